"""Curves on spines that are drawn with given tilts, and against loops."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mahtdiag.anatomy.coronal import (
    SMALLEST_CURVE_DEG,
    CurveRegion,
    coronal_curves,
    endplate_cobb_deg,
    half_level_names,
    midline_cobb,
    midline_tilt_deg,
    region_of_apex,
    regional_curves,
    turning_vertebrae,
)
from mahtdiag.schema.skeleton import AP, Levels, Skeleton, View

from .spines import GAP, HEIGHT, T1_TO_L5, WIDTH, Floats, natural_spines

C7_TO_L5 = Skeleton.of(View.AP, Levels("C7", "L5"))
C2_TO_S1 = Skeleton.of(View.AP, Levels("C2", "S1"))
ONE = Skeleton.of(View.AP, Levels("T5", "T5"))
S_CURVE = (0, 4, 8, 12, 15, 10, 3, -5, -14, -22, -25, -20, -10, 2, 12, 18, 14)
"""Tilts of T1 to L5: turns at T1, T5, T11, L4."""


def spine_with(tilts_deg: tuple[float, ...]) -> Floats:
    """`[4·B, 2]`: equal rectangles, each turned by its tilt, one below the other at right angles to it."""
    points, at = [], np.array([500.0, 100.0])
    for n, tilt in enumerate(tilts_deg):
        turn = math.radians(tilt)
        across = np.array([math.cos(turn), math.sin(turn)])
        down = np.array([-math.sin(turn), math.cos(turn)])
        if n:
            at = at + down * (HEIGHT + GAP) / 2
        for y, x in ((-1, -1), (-1, 1), (1, -1), (1, 1)):
            points.append(at + x * WIDTH / 2 * across + y * HEIGHT / 2 * down)
        at = at + down * (HEIGHT + GAP) / 2
    return np.array(points)


def scoliotic_spines(seed: int, count: int = 1) -> Floats:
    """`[count, 68, 2]`: tilts that wander, corners that shake."""
    rng = np.random.default_rng(seed)
    steps = rng.normal(0, 4, (count, 17)) + 8 * np.sin(rng.uniform(0, 6, (count, 1)) + np.arange(17) / 2)
    spines = np.stack([spine_with(tuple(tilts)) for tilts in np.cumsum(steps, axis=1)])
    return spines + rng.normal(0, 2, spines.shape)


def mirrored(points: Floats) -> Floats:
    """The image flipped, corners renamed."""
    return (points * [-1.0, 1.0])[..., np.arange(points.shape[-2]) ^ 1, :]


def moved(points: Floats, turn_deg: float, scale: float) -> Floats:
    turn = math.radians(turn_deg)
    matrix = scale * np.array([[math.cos(turn), math.sin(turn)], [-math.sin(turn), math.cos(turn)]])
    return points @ matrix + [70.0, -30.0]


def naive_tilt(left: Floats, right: Floats) -> float:
    return math.degrees(math.atan2(right[1] - left[1], right[0] - left[0]))


def naive_midlines(points: Floats) -> list[float]:
    bodies = [points[k : k + 4] for k in range(0, len(points), 4)]
    return [naive_tilt((b[0] + b[2]) / 2, (b[1] + b[3]) / 2) for b in bodies]


def naive_ends(tilts: list[float]) -> list[int]:
    """All extremes; as long as two neighbours differ by too little, the two that differ least go."""
    last = len(tilts) - 1
    left = [
        n for n in range(last + 1)
        if n in (0, last) or (tilts[n] - tilts[n - 1]) * (tilts[n + 1] - tilts[n]) < 0
    ]  # fmt: skip
    while len(left) > 1:
        size, n = min((abs(tilts[b] - tilts[a]), n) for n, (a, b) in enumerate(pairwise(left)))
        if size >= SMALLEST_CURVE_DEG:
            return left
        # At an end of the spine the inner of the two is the extreme still.
        if n == 0:
            del left[0]
        elif n == len(left) - 2:
            del left[-1]
        else:
            del left[n : n + 2]
    return []


def naive_apex(points: Floats, upper: int, lower: int) -> int:
    middle = {}
    for v in range(upper, lower + 1):
        middle[2 * v] = points[4 * v : 4 * v + 4].mean(axis=0)
        if v < lower:
            middle[2 * v + 1] = points[4 * v + 2 : 4 * v + 6].mean(axis=0)
    start, end = middle[2 * upper], middle[2 * lower]
    away = {}
    for half in range(2 * upper + 1, 2 * lower):
        x, y = middle[half] - start
        along = math.atan2(*(end - start)[::-1])
        away[half] = abs(math.hypot(x, y) * math.sin(math.atan2(y, x) - along))
    return max(away, key=lambda half: away[half])


def test_the_curves_of_a_drawn_spine() -> None:
    found = coronal_curves(spine_with(S_CURVE)[None], T1_TO_L5)
    names, halves = T1_TO_L5.bodies, half_level_names(T1_TO_L5)
    assert [(names[a], names[b]) for a, b in zip(found.upper, found.lower, strict=True)] == [
        ("T1", "T5"),
        ("T5", "T11"),
        ("T11", "L4"),
    ]
    assert found.midline_deg == pytest.approx([15, -40, 43])
    assert found.endplate_deg == pytest.approx(found.midline_deg)
    assert [halves[n] for n in found.apex] == ["T3", "T8", "L1/L2"]
    assert found.region.tolist() == [0, 1, 2]
    # The sign is the side of the apex: the middle of T8 lies left of T5 and T11.
    centres = spine_with(S_CURVE).reshape(17, 4, 2).mean(axis=1)[:, 0]
    assert centres[7] < min(centres[4], centres[10])
    assert centres[13] > max(centres[10], centres[15])
    regional = regional_curves(spine_with(S_CURVE)[None], T1_TO_L5)
    left_and_right = [[math.nan, 15], [40, math.nan], [math.nan, 43]]
    np.testing.assert_allclose(regional.midline_deg[0], left_and_right)
    np.testing.assert_allclose(regional.endplate_deg[0], left_and_right)
    assert regional.known.all()


def test_the_largest_angle_may_span_several_curves() -> None:
    """Two curves to the right with a small one to the left between them: no one curve has 45°."""
    tilts = (-20, -15, -10, -3, 4, 8, 10, 8, 2, -4, -6, -5, 0, 8, 16, 25, 24)
    points = spine_with(tilts)[None]
    largest = midline_cobb(midline_tilt_deg(points, T1_TO_L5))
    assert largest.angle_deg == pytest.approx([45])
    assert (largest.upper[0], largest.lower[0]) == (0, 15)
    assert coronal_curves(points, T1_TO_L5).midline_deg == pytest.approx([30, -16, 31])


def test_a_bend_below_ten_degrees_is_no_curve() -> None:
    straight = (0, 1, 3, 5, 6, 4, 2, 1, 0, -1, -3, -3.9, -3, 0, 2, 4, 5)
    bent = (*straight[:11], -4.1, *straight[12:])
    found = coronal_curves(np.stack([spine_with(straight), spine_with(bent)]), T1_TO_L5)
    assert found.image.tolist() == [1]
    assert found.midline_deg == pytest.approx([-10.1])
    regional = regional_curves(spine_with(straight)[None], T1_TO_L5)
    assert regional.known.all()
    assert np.isnan(regional.midline_deg).all()


def test_the_largest_of_several_curves_in_a_region() -> None:
    tilts = (0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 12, 12, 0, 0, -14, 5, 5)
    found = coronal_curves(spine_with(tilts)[None], T1_TO_L5)
    in_region = found.region == CurveRegion.THORACOLUMBAR
    assert found.midline_deg[in_region] == pytest.approx([-26, 19])
    regional = regional_curves(spine_with(tilts)[None], T1_TO_L5)
    assert regional.midline_deg[0, 2] == pytest.approx([26, 19])
    tilts = (*tilts[:12], -4, 10, -14, 5, 5)
    assert coronal_curves(spine_with(tilts)[None], T1_TO_L5).midline_deg == pytest.approx(
        [12, -16, 14, -24, 19]
    )
    regional = regional_curves(spine_with(tilts)[None], T1_TO_L5)
    assert regional.midline_deg[0, 2] == pytest.approx([24, 19])


def test_regions_of_every_apex() -> None:
    by_name = dict(zip(half_level_names(C7_TO_L5), region_of_apex(C7_TO_L5).tolist(), strict=True))
    assert [by_name[name] for name in ("C7", "C7/T1", "T1")] == [-1, -1, -1]
    assert [by_name[name] for name in ("T1/T2", "T2", "T3", "T5", "T5/T6")] == [0] * 5
    assert [by_name[name] for name in ("T6", "T6/T7", "T9", "T11", "T11/T12")] == [1] * 5
    assert [by_name[name] for name in ("T12", "T12/L1", "L1", "L4", "L5")] == [2] * 5
    assert len(by_name) == 2 * len(C7_TO_L5.bodies) - 1


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6))
def test_against_loops(seed: int) -> None:
    points = scoliotic_spines(seed)[0]
    tilts = naive_midlines(points)
    largest = midline_cobb(midline_tilt_deg(points[None], T1_TO_L5))
    pairs = {(a, b): abs(tilts[a] - tilts[b]) for a in range(17) for b in range(a + 1, 17)}
    ends = max(pairs, key=lambda pair: pairs[pair])
    assert largest.angle_deg[0] == pytest.approx(pairs[ends])
    assert (largest.upper[0], largest.lower[0]) == ends
    plates = [naive_tilt(points[k], points[k + 1]) for k in range(0, 68, 2)]
    by_plates = max(abs(plates[2 * a] - plates[2 * b + 1]) for a, b in pairs)
    assert endplate_cobb_deg(points[None], T1_TO_L5)[0] == pytest.approx(by_plates)
    curves = coronal_curves(points[None], T1_TO_L5)
    turns = naive_ends(tilts)
    assert list(zip(curves.upper.tolist(), curves.lower.tolist(), strict=True)) == list(pairwise(turns))
    assert curves.midline_deg == pytest.approx([tilts[b] - tilts[a] for a, b in pairwise(turns)])
    assert curves.endplate_deg == pytest.approx(
        [plates[2 * b + 1] - plates[2 * a] for a, b in pairwise(turns)]
    )
    assert curves.apex.tolist() == [naive_apex(points, a, b) for a, b in pairwise(turns)]
    regional = regional_curves(points[None], T1_TO_L5)
    for region in range(3):
        inside = [angle for angle, r in zip(curves.midline_deg, curves.region, strict=True) if r == region]
        left = max((-angle for angle in inside if angle < 0), default=math.nan)
        right = max((angle for angle in inside if angle > 0), default=math.nan)
        assert regional.midline_deg[0, region] == pytest.approx([left, right], nan_ok=True)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.floats(-180, 180), st.floats(0.1, 10))
def test_moving_changes_nothing_and_a_mirror_the_side(seed: int, turn_deg: float, scale: float) -> None:
    points = scoliotic_spines(seed, 3)
    curves = coronal_curves(points, T1_TO_L5)
    other, flipped = moved(points, turn_deg, scale), mirrored(points)
    for changed, sign in ((other, 1), (flipped, -1)):
        again = coronal_curves(changed, T1_TO_L5)
        for name in ("image", "upper", "lower", "apex", "region"):
            assert getattr(again, name).tolist() == getattr(curves, name).tolist()
        np.testing.assert_allclose(again.midline_deg, sign * curves.midline_deg, atol=1e-6)
        np.testing.assert_allclose(again.endplate_deg, sign * curves.endplate_deg, atol=1e-6)
        largest, before = (midline_cobb(midline_tilt_deg(p, T1_TO_L5)) for p in (changed, points))
        np.testing.assert_allclose(largest.angle_deg, before.angle_deg, atol=1e-6)
        assert largest.upper.tolist() == before.upper.tolist()
        plates = endplate_cobb_deg(changed, T1_TO_L5)
        np.testing.assert_allclose(plates, endplate_cobb_deg(points, T1_TO_L5), atol=1e-6)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6), st.permutations(range(4)))
def test_images_do_not_know_each_other(seed: int, order: list[int]) -> None:
    points = scoliotic_spines(seed, 4)
    points[1, 20] = np.nan
    whole = regional_curves(points[order], T1_TO_L5).midline_deg
    alone = np.concatenate([regional_curves(points[n : n + 1], T1_TO_L5).midline_deg for n in order])
    np.testing.assert_array_equal(whole, alone)


@pytest.mark.parametrize("keypoint", [0, 29, 67])
@pytest.mark.parametrize("value", [np.nan, np.inf, 1e12])
def test_a_missing_corner_leaves_nothing_known(keypoint: int, value: float) -> None:
    points = np.stack([spine_with(S_CURVE)] * 2)
    points[0, keypoint, 1] = value
    assert np.isnan(midline_tilt_deg(points, T1_TO_L5)[0]).sum() == 1
    largest = midline_cobb(midline_tilt_deg(points, T1_TO_L5))
    assert np.isnan(largest.angle_deg).tolist() == [True, False]
    assert (largest.upper[0], largest.lower[0]) == (-1, -1)
    assert coronal_curves(points, T1_TO_L5).image.tolist() == [1, 1, 1]
    regional = regional_curves(points, T1_TO_L5)
    assert regional.known.tolist() == [False, True]
    assert np.isnan(regional.midline_deg[0]).all()
    assert np.isfinite(regional.midline_deg[1]).any(axis=1).all()


def test_degenerate_sets() -> None:
    for points in (np.zeros((0, 68, 2)), np.full((2, 68, 2), 3.0), np.full((2, 68, 2), np.nan)):
        assert coronal_curves(points, T1_TO_L5).image.size == 0
        assert np.isnan(midline_cobb(midline_tilt_deg(points, T1_TO_L5)).angle_deg).all()
        assert np.isnan(endplate_cobb_deg(points, T1_TO_L5)).all()
        assert not regional_curves(points, T1_TO_L5).known.any()
    one = np.array([[[0, 0], [9, 0], [0, 5], [9, 5]]], dtype=np.float64)
    assert np.isnan(midline_cobb(midline_tilt_deg(one, ONE)).angle_deg).all()
    assert np.isnan(endplate_cobb_deg(one, ONE)).all()
    assert coronal_curves(one, ONE).image.size == 0


def test_any_run_of_vertebrae() -> None:
    lumbar = spine_with(S_CURVE)[None, -20:]
    assert coronal_curves(lumbar, AP).midline_deg == pytest.approx([28])
    whole = spine_with((-15, *S_CURVE))[None]
    assert coronal_curves(whole, C7_TO_L5).midline_deg == pytest.approx([30, -40, 43])
    # Lower endplate of C2, C3 to L5, upper endplate of S1.
    whole = spine_with((40, -15, -15, -15, -15, -15, *S_CURVE, 90))[None, 2:-2]
    found = coronal_curves(whole, C2_TO_S1)
    assert found.midline_deg == pytest.approx([30, -40, 43])
    assert [C2_TO_S1.bodies[v] for v in found.upper] == ["C3", "T5", "T11"]
    assert endplate_cobb_deg(whole, C2_TO_S1) == pytest.approx([43])
    assert np.isfinite(endplate_cobb_deg(natural_spines(C7_TO_L5, 2), C7_TO_L5)).all()


def test_midlines_shake_less_than_endplates_and_no_largest_angle_is_zero() -> None:
    """Noise of 2 px on every corner of a straight spine."""
    rng = np.random.default_rng(8)
    points = spine_with((0,) * 17) + rng.normal(0, 2, (400, 68, 2))
    midline = midline_tilt_deg(points, T1_TO_L5)
    along = points[:, 1::2] - points[:, 0::2]
    endplate = np.degrees(np.arctan2(along[..., 1], along[..., 0]))
    assert endplate.std() / midline.std() == pytest.approx(math.sqrt(2), rel=0.03)
    largest = midline_cobb(midline).angle_deg
    assert largest.min() > 1.5
    assert endplate_cobb_deg(points, T1_TO_L5).mean() > 1.2 * largest.mean()


def test_ends_of_equal_tilts_are_the_upper_ones() -> None:
    tilts = np.array([[0, 0, 20, 20, 0, 0.0]])
    assert np.flatnonzero(turning_vertebrae(tilts)[0]).tolist() == [0, 2, 4]
    assert np.flatnonzero(turning_vertebrae(-tilts)[0]).tolist() == [0, 2, 4]
    assert not turning_vertebrae(tilts, smallest_deg=20.1).any()
    assert turning_vertebrae(tilts, smallest_deg=20.0).sum() == 3
