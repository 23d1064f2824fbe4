"""Scaling, shifting, cropping, mirroring, permuting and batching change no finding."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mahtdiag.anatomy.findings import Findings, check_anatomy
from mahtdiag.anatomy.rules import Limits
from mahtdiag.schema.skeleton import LA, Skeleton, View

from .spines import ANY_SKELETON, Floats, natural_spines, straight_spine

SOME_SKELETON = st.sampled_from(ANY_SKELETON)


@st.composite
def whole_number_spines(draw: st.DrawFn) -> tuple[Skeleton, Floats]:
    """A straight spine with some of its points thrown about: whole numbers, so that moving them is exact."""
    skeleton = draw(SOME_SKELETON)
    moves = draw(
        hnp.arrays(
            np.float64,
            (3, skeleton.keypoints, 2),
            elements=st.integers(-120, 120).map(float),
            fill=st.just(0.0),
        )
    )
    return skeleton, straight_spine(skeleton) + moves


def columns(found: Findings) -> tuple[object, ...]:
    return (
        found.key.tolist(),
        found.image.tolist(),
        found.level.tolist(),
        found.value.tolist(),
        found.severity.tolist(),
        found.blame.tolist(),
        found.image_severity().tolist(),
    )


@settings(max_examples=60, deadline=None)
@given(whole_number_spines(), st.integers(-3, 3), st.integers(-5000, 5000), st.integers(-5000, 5000))
def test_scaling_and_shifting_change_nothing(
    spines: tuple[Skeleton, Floats], power: int, x: int, y: int
) -> None:
    """Powers of two and whole numbers: the arithmetic is exact, so the findings are equal bit for bit."""
    skeleton, points = spines
    moved = (points + np.array([x, y])) * 2.0**power
    assert columns(check_anatomy(points, skeleton, image_size_px=None)) == columns(
        check_anatomy(moved, skeleton, image_size_px=None)
    )


@settings(max_examples=40, deadline=None)
@given(SOME_SKELETON, st.floats(0.01, 100), st.floats(-1e4, 1e4), st.floats(-1e4, 1e4), st.integers(0, 1000))
def test_any_scale_and_shift_keeps_the_values(
    skeleton: Skeleton, scale: float, x: float, y: float, seed: int
) -> None:
    points = natural_spines(skeleton, 2, seed)
    points[:, 8:12] = points[:, [9, 8, 11, 10]]
    before = check_anatomy(points, skeleton, image_size_px=None)
    after = check_anatomy(points * scale + [x, y], skeleton, image_size_px=None)
    assert before.codes_per_image() == after.codes_per_image()
    np.testing.assert_allclose(before.value, after.value, rtol=1e-5)


@settings(max_examples=40, deadline=None)
@given(whole_number_spines(), st.integers(0, 100), st.integers(0, 60))
def test_cropping_around_the_spine_changes_nothing(
    spines: tuple[Skeleton, Floats], left: int, top: int
) -> None:
    skeleton, points = spines
    points = points + 200.0
    size = np.full((3, 2), 2000.0)
    whole = check_anatomy(points, skeleton, image_size_px=size)
    cropped = check_anatomy(points - [left, top], skeleton, image_size_px=size - [left, top])
    assert "A601" not in {code for codes in whole.codes_per_image() for code in codes}
    assert columns(whole) == columns(cropped)


@settings(max_examples=60, deadline=None)
@given(whole_number_spines())
def test_the_rules_treat_left_and_right_alike(spines: tuple[Skeleton, Floats]) -> None:
    """A mirrored image whose corners are renamed accordingly is as good or bad as the original."""
    skeleton, points = spines
    renamed = np.arange(skeleton.keypoints) ^ 1
    mirrored = (points * [-1.0, 1.0])[:, renamed]
    before = check_anatomy(points, skeleton, image_size_px=None)
    after = check_anatomy(mirrored, skeleton, image_size_px=None)
    assert before.codes_per_image() == after.codes_per_image()
    np.testing.assert_allclose(before.value, after.value, rtol=1e-9, atol=1e-12)
    for image in range(3):
        for one, other in zip(before.of_image(image), after.of_image(image), strict=True):
            if one.code != "A403":
                assert one.keypoints == tuple(sorted(k ^ 1 for k in other.keypoints))


@pytest.mark.parametrize("skeleton", ANY_SKELETON)
def test_an_image_is_judged_by_itself(skeleton: Skeleton) -> None:
    """More images than fit one working block, in another order and one by one."""
    rng = np.random.default_rng(1)
    points = natural_spines(skeleton, 2100) + rng.normal(0, 12, (2100, skeleton.keypoints, 2))
    together = check_anatomy(points, skeleton, image_size_px=None)
    order = rng.permutation(2100)
    codes = together.codes_per_image()
    shuffled = check_anatomy(points[order], skeleton, image_size_px=None)
    assert shuffled.codes_per_image() == tuple(codes[i] for i in order)
    np.testing.assert_array_equal(shuffled.image_severity(), together.image_severity()[order])
    assert (np.diff(together.image) >= 0).all()
    for image in (0, 1023, 1024, 2099):
        (alone,) = check_anatomy(points[[image]], skeleton, image_size_px=None).per_image()
        assert [(f.code, f.vertebra, f.value, f.keypoints) for f in alone] == [
            (f.code, f.vertebra, f.value, f.keypoints) for f in together.of_image(image)
        ]
    assert any(codes)


@settings(max_examples=60, deadline=None)
@given(whole_number_spines(), st.data())
def test_a_missing_keypoint_is_blamed_by_its_own_rule_alone(
    spines: tuple[Skeleton, Floats], data: st.DataObject
) -> None:
    skeleton, points = spines
    missing = data.draw(hnp.arrays(np.bool_, (3, skeleton.keypoints)))
    kind = data.draw(st.sampled_from([np.nan, np.inf, -np.inf, 1e12]))
    points[missing] = kind
    found = check_anatomy(points, skeleton, image_size_px=np.full((3, 2), 2000.0))
    assert np.isfinite(found.value).all()
    assert np.isfinite(found.severity).all()
    for image in range(3):
        blamed: set[int] = set()
        for finding in found.of_image(image):
            if finding.code == "A603":
                assert finding.value == len(finding.keypoints)
                blamed |= set(finding.keypoints)
            else:
                assert finding.keypoints
                assert not missing[image][list(finding.keypoints)].any(), finding
        assert blamed == set(np.flatnonzero(missing[image]).tolist())


@settings(max_examples=40, deadline=None)
@given(whole_number_spines(), st.integers(0, 4))
def test_a_vertebra_without_keypoints_takes_its_findings_with_it(
    spines: tuple[Skeleton, Floats], vertebra: int
) -> None:
    """What is measured on one other vertebra alone stays as it was (the scale may change: angles only)."""
    skeleton, points = spines
    before = check_anatomy(points, skeleton, image_size_px=None)
    without = points.copy()
    name = skeleton.bodies[vertebra]
    without[:, skeleton.keypoints_of(name)] = np.nan
    after = check_anatomy(without, skeleton, image_size_px=None)

    def angles(found: Findings) -> list[tuple[int, str, float]]:
        return [
            (image, f.vertebra, f.value)
            for image in range(3)
            for f in found.of_image(image)
            if f.code in ("A201", "A202", "A301") and name not in f.vertebra
        ]

    assert [key[:2] for key in angles(after)] == [key[:2] for key in angles(before)]
    assert [key[2] for key in angles(after)] == pytest.approx([key[2] for key in angles(before)])


def test_a_value_at_its_limit_is_the_same_seen_in_a_mirror() -> None:
    """Corners 0.7 heights off their side, the limit itself: rounding must not decide."""
    points = straight_spine(LA)[None].copy()
    points[0, [9, 10]] = [[525.0, 172.0], [387.0, 222.0]]
    mirrored = (points * [-1.0, 1.0])[:, np.arange(22) ^ 1]
    limits = Limits.of(View.LA, {"A404": 0.7})
    for seen in (points, mirrored):
        (codes,) = check_anatomy(seen, LA, image_size_px=None, limits=limits).codes_per_image()
        assert "A404" not in codes
