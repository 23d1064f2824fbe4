"""The search for copies: descriptors by SciPy's cosine transform, and what may not change them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.fft import dctn

from mahtdiag.diagnosis.copies import SIDE, Candidate, descriptors, search, shared_patients

Pixels = NDArray[np.uint8]


def pictures(count: int, seed: int = 0) -> Pixels:
    """Smooth pictures without anything in common."""
    rng = np.random.default_rng(seed)
    coarse = rng.uniform(40, 200, size=(count, 20, 20))
    return np.repeat(np.repeat(coarse, SIDE // 20, axis=1), SIDE // 20, axis=2).astype(np.uint8)


def candidates(of: Pixels, among: Pixels | None = None) -> list[Candidate]:
    return [candidate for _, found in search(of, among) for candidate in found]


def test_whole_pictures_are_described_by_their_cosine_coefficients() -> None:
    stack = pictures(3)
    for picture, vector in zip(stack, descriptors(stack, windows=False)[:, 0], strict=True):
        # SciPy's transform counts every order alike where ours has integrals: the same up to one factor.
        coefficients = dctn(picture.astype(np.float64), type=2)
        wanted = [
            np.hypot(u, v) * coefficients[u, v] for u in range(12) for v in range(12) if 2 <= u + v <= 14
        ]
        assert vector == pytest.approx(np.array(wanted) / np.linalg.norm(wanted), abs=2e-3)


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 1000), st.floats(0.3, 1.2), st.floats(-10, 10))
def test_brightness_and_contrast_change_nothing(seed: int, gain: float, offset: float) -> None:
    picture = pictures(1, seed)
    changed = np.rint(gain * picture + offset).clip(0, 255).astype(np.uint8)
    like = descriptors(picture, windows=False)[0, 0] @ descriptors(changed, windows=False)[0, 0]
    assert like > 0.995


@pytest.mark.parametrize("mirrored", [False, True])
def test_a_window_of_a_picture_is_found_where_it_is(mirrored: bool) -> None:
    stack = pictures(12)
    cut = round(0.8 * SIDE)
    rows = np.minimum(np.arange(SIDE) * cut // SIDE, cut - 1)
    window = stack[7, :cut, :cut][rows][:, rows]
    copy = window[:, ::-1] if mirrored else window
    best = max(candidates(stack, copy[None]), key=lambda found: found.likeness)
    assert (best.a, best.b, best.mirrored) == (7, 0, mirrored)
    assert (best.window.left, best.window.top) == (0, 0)
    assert [best.window.right, best.window.bottom] == pytest.approx([0.8, 0.8])


def test_no_picture_is_held_against_itself() -> None:
    stack = np.concatenate([pictures(30), pictures(1)])
    found = candidates(stack)
    assert {(c.a, c.b) for c in found} == {(0, 30), (30, 0)}
    assert all(c.likeness == pytest.approx(1, abs=1e-5) for c in found)


def test_a_picture_of_one_grey_is_like_no_other() -> None:
    assert candidates(np.full((3, SIDE, SIDE), 7, dtype=np.uint8)) == []
    assert candidates(pictures(1)) == []


def test_patients_of_both_sets() -> None:
    ours = [("a.jpg", "1"), ("b.jpg", "1"), ("c.jpg", None), ("d.jpg", "3")]
    found = shared_patients(ours, [("x.jpg", "2"), ("y.jpg", "1")])
    assert found is not None
    assert [(p.patient, p.images, p.others) for p in found] == [("1", ("a.jpg", "b.jpg"), ("y.jpg",))]
    assert shared_patients(ours, [("x.jpg", None)]) is None
    assert shared_patients(ours, [("x.jpg", "9")]) == ()
