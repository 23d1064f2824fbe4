"""Two labellings of images that are there twice: the readers' distance by theory, and what is left out."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from mahtdiag.diagnosis.copies import UNMOVED, Affine, CopyKind, CopyPair
from mahtdiag.diagnosis.label_noise import LabelNoise
from mahtdiag.diagnosis.labelled_twice import are_same_labels, mapped_labels, noise_of_copies
from mahtdiag.schema.skeleton import Skeleton, View
from tests.anatomy.spines import natural_spines

AP, LA = View.AP.skeleton, View.LA.skeleton
Floats = NDArray[np.float64]
WIDTH = 700.0


def pair(
    image: str, other: str, scale: float = 1.0, *, mirrored: bool = False, across: bool = False
) -> CopyPair:
    """A copy that shows the whole of an image `WIDTH` pixels wide."""
    to_image: Affine = UNMOVED
    kind = CopyKind.IDENTICAL
    if mirrored or scale != 1.0:
        kind = CopyKind.COPY
        to_image = (
            ((-1 / scale, 0.0, WIDTH - 1), (0.0, 1 / scale, 0.0))
            if mirrored
            else ((1 / scale, 0.0, 0.0), (0.0, 1 / scale, 0.0))
        )
    return CopyPair(image, other, across, kind, (scale, scale), 1.0, 1.0, mirrored, 0.9, to_image)


def in_copy(points: Floats, scale: float, mirrored: bool) -> Floats:
    """Labels `[K, 2]` as somebody writes them on the copy, written out by corner."""
    placed = points * scale
    if not mirrored:
        return placed
    placed[:, 0] = (WIDTH - 1 - points[:, 0]) * scale
    # UL takes the place of UR, LL that of LR, and the other way round.
    return np.stack([placed[k + 1 if k % 2 == 0 else k - 1] for k in range(len(points))])


def noise_of(
    pairs: list[CopyPair],
    ours: dict[str, Floats],
    theirs: dict[str, Floats] | None = None,
    skeleton: Skeleton = AP,
) -> LabelNoise | None:
    units = {name: number for number, name in enumerate(ours)}
    spacing = {name: np.array([0.2, 0.2]) for name in ours}
    return noise_of_copies(pairs, ours, theirs or {}, skeleton, units, spacing)


@pytest.mark.parametrize("skeleton", [AP, LA])
@pytest.mark.parametrize("mirrored", [False, True])
@given(scale=st.floats(0.3, 2.0), seed=st.integers(0, 100))
def test_labels_of_a_copy_come_back(skeleton: Skeleton, mirrored: bool, scale: float, seed: int) -> None:
    points = np.random.default_rng(seed).uniform(0, WIDTH, size=(skeleton.keypoints, 2))
    points[3] = np.nan
    of = pair("a", "b", scale, mirrored=mirrored)
    back = mapped_labels(of, in_copy(points, scale, mirrored), skeleton)
    np.testing.assert_allclose(back, points, atol=1e-9)


@pytest.mark.parametrize(("scale", "mirrored"), [(1.0, False), (0.5, False), (0.5, True), (1.5, True)])
@pytest.mark.parametrize("sigma_px", [2.0, 6.0])
def test_two_readers_are_as_far_apart_as_theory_says(scale: float, mirrored: bool, sigma_px: float) -> None:
    rng = np.random.default_rng(5)
    truth = natural_spines(View.AP, 200)
    pairs, ours = [], {}
    for n, points in enumerate(truth):
        first, second = (points + rng.normal(0, sigma_px, points.shape) for _ in range(2))
        ours[f"a{n}"], ours[f"b{n}"] = first, in_copy(second, scale, mirrored)
        pairs.append(pair(f"a{n}", f"b{n}", scale, mirrored=mirrored))
    found = noise_of(pairs, ours)
    assert found is not None
    assert found.copies is not None
    assert (found.images, found.unmatched) == (200 - found.copies.same_labels, 0)
    # Each difference is σ√2 an axis: a Rayleigh distance of mean σ√2 · √(π/2) = σ√π.
    assert found.floor("px") == pytest.approx(sigma_px * math.sqrt(math.pi), rel=0.03)
    assert found.floor("mm") == pytest.approx(0.2 * sigma_px * math.sqrt(math.pi), rel=0.03)
    assert found.whole[0].sem == pytest.approx((sigma_px, sigma_px), rel=0.04)
    assert found.copies.same_labels == 0


@pytest.mark.parametrize(("scale", "mirrored"), [(1.0, False), (0.3, False), (0.3, True), (1.7, True)])
def test_copied_labels_are_no_second_labelling(scale: float, mirrored: bool) -> None:
    for points in natural_spines(View.AP, 100):
        of = pair("a", "b", scale, mirrored=mirrored)
        exact = in_copy(points, scale, mirrored)
        assert noise_of([of], {"a": points, "b": exact}) is None
        assert noise_of([of], {"a": points, "b": np.rint(exact)}) is None
        assert noise_of([of], {"a": np.rint(points), "b": np.rint(exact)}) is None
        # Somebody corrected a few of them.
        corrected = exact.copy()
        if of.kind is CopyKind.IDENTICAL:
            corrected[:6] += 9.0
            assert noise_of([of], {"a": points, "b": corrected}) is None


def test_what_registration_is_off_by_is_no_difference() -> None:
    points = natural_spines(View.AP, 1)[0]
    off = points @ np.array([[1.002, 0.001], [-0.001, 0.998]]) + (1.5, -2.0)
    assert np.abs(off - points).max() > 1.01
    assert are_same_labels(pair("a", "b", 0.999), points, off)
    assert not are_same_labels(pair("a", "b"), points, off)


def test_no_image_counts_twice_and_what_is_left_out_is_counted() -> None:
    rng = np.random.default_rng(2)
    points = natural_spines(View.AP, 1)[0]
    few = np.where(np.arange(20)[:, None] < 7, points, np.nan)
    ours = {"a": points, "b": points.copy(), "c": points + rng.normal(0, 4, points.shape), "d": few}
    theirs = {"a": points + rng.normal(0, 4, points.shape)}
    every = [pair("a", "b"), pair("a", "c"), pair("b", "c"), pair("c", "d"), pair("b", "a", across=True)]
    found = noise_of([*every, pair("a", "gone"), pair("gone", "a")], ours, theirs)
    assert found is not None
    assert found.copies is not None
    assert (found.images, found.copies.same_labels, found.copies.too_few) == (2, 1, 1)
    both = [ours["c"] - ours["a"], theirs["a"] - ours["b"]]
    assert found.floor("px") == pytest.approx(np.mean([math.hypot(*row) for each in both for row in each]))


def test_nothing_is_said_without_pairs() -> None:
    assert noise_of([], {}) is None
