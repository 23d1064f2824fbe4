"""Limits by region: where they hold, and whom a finding in a long spine blames."""

import numpy as np
import pytest

from mahtdiag.anatomy.findings import Findings, check_anatomy, finding_reason, image_reason
from mahtdiag.anatomy.limit import Fires, LimitSpec
from mahtdiag.anatomy.rules import LIMIT_BY_KEY, Limits, limits_for, select_rules
from mahtdiag.diagnosis.anatomy import judge
from mahtdiag.schema.skeleton import AP, LA, Levels, Region, Skeleton, View
from tests.anatomy.spines import (
    C2_TO_L5,
    C2_TO_S1,
    GAP,
    HEIGHT,
    T1_TO_L5,
    Floats,
    natural_spines,
    straight_spine,
)

REGIONAL = [limit for limit in LIMIT_BY_KEY.values() if limit.region is not None]


def found(points: Floats, skeleton: Skeleton, rule: str, **limits: float) -> Findings:
    keys = {key.replace("_", "-"): value for key, value in limits.items()}
    some = Limits.of(skeleton, keys)
    return check_anatomy(points, skeleton, image_size_px=None, limits=some, rules=select_rules([rule]))


def places(points: Floats, skeleton: Skeleton, rule: str, **limits: float) -> list[str]:
    return [finding.vertebra for finding in found(points, skeleton, rule, **limits).of_image(0)]


def test_a_disc_is_of_the_region_of_the_vertebra_above_it() -> None:
    points = natural_spines(C2_TO_S1, 1)
    everywhere = {"A202": -1.0, "A202_S1": 1e3, "A202_thoracic": 1e3, "A202_cervical": 1e3}
    assert places(points, C2_TO_S1, "A202", **everywhere) == ["L1/L2", "L2/L3", "L3/L4", "L4/L5"]
    thoracic = places(points, C2_TO_S1, "A202", **everywhere | {"A202": 1e3, "A202_thoracic": -1.0})
    assert (thoracic[0], thoracic[-1], len(thoracic)) == ("T1/T2", "T12/L1", 12)
    cervical = places(points, C2_TO_S1, "A202", **everywhere | {"A202": 1e3, "A202_cervical": -1.0})
    assert cervical == ["C2/C3", "C3/C4", "C4/C5", "C5/C6", "C6/C7", "C7/T1"]
    assert places(points, C2_TO_S1, "A202", **everywhere | {"A202": 1e3, "A202_S1": -1.0}) == ["L5/S1"]


@pytest.mark.parametrize("rule", ["A404", "A405"])
def test_a_corner_is_blamed_by_the_limit_of_its_region(rule: str) -> None:
    """T6 and L3 have a corner that is off by as much."""
    points = straight_spine(T1_TO_L5)[None]
    moved = [int(T1_TO_L5.keypoints_of(name)[3]) for name in ("T6", "L3")]
    points[0, moved, 0] += 1.4 * HEIGHT
    (both,) = found(points, T1_TO_L5, rule).per_image()
    assert [finding.keypoints for finding in both] == [(keypoint,) for keypoint in moved]
    (one,) = found(points, T1_TO_L5, rule, **{f"{rule}_thoracic": 2.0}).per_image()
    assert [finding.keypoints for finding in one] == [(moved[1],)]


@pytest.mark.parametrize("spec", REGIONAL, ids=lambda limit: limit.key)
@pytest.mark.parametrize("view", View)
def test_severity_counts_by_the_limit_of_the_region(spec: LimitSpec, view: View) -> None:
    skeleton = Skeleton.of(view, Levels("C2", "S1"))
    points = natural_spines(skeleton, 1, seed=2)
    way = -1e3 if spec.fires is Fires.ABOVE else 1e3
    every = {each.key: 1e6 if each.fires is Fires.ABOVE else -1e6 for each in LIMIT_BY_KEY.values()}
    limits = Limits.of(skeleton, every | {spec.key: way})
    fired = check_anatomy(points, skeleton, image_size_px=None, limits=limits)
    assert {fired.broken[key].key for key in fired.key} == {spec.key}
    assert all(Region.of(finding.vertebra) is spec.region for finding in fired.of_image(0))
    away = np.abs(fired.value - way) / abs(spec.default(view) - spec.typical)
    np.testing.assert_allclose(fired.severity, 1.0 + away)


def test_limits_of_other_regions_are_not_among_those_of_a_spine() -> None:
    """What a run of lumbar spines stores is what it was before regions had limits."""
    for skeleton in (AP, LA):
        assert set(Limits.of(skeleton).values) == {k for k, spec in LIMIT_BY_KEY.items() if not spec.region}
        assert Limits.of(skeleton) == Limits.of(skeleton.view)
    assert {limit.region for limit in limits_for(T1_TO_L5)} == {None, Region.THORACIC}
    assert "A202-thoracic" in Limits.of(AP, {"A202-thoracic": 3.0}).values


@pytest.mark.parametrize("skeleton", [T1_TO_L5, C2_TO_S1], ids=str)
def test_limits_of_a_view_leave_regions_their_own(skeleton: Skeleton) -> None:
    """Runs that were stored with lumbar limits alone."""
    rng = np.random.default_rng(0)
    points = natural_spines(skeleton, 30) + rng.normal(0, 12, (30, skeleton.keypoints, 2))
    both = [
        check_anatomy(points, skeleton, image_size_px=None, limits=limits)
        for limits in (None, Limits.of(skeleton.view))
    ]
    assert len(both[0]) > 10
    np.testing.assert_array_equal(both[0].limit, both[1].limit)
    np.testing.assert_array_equal(both[0].blame, both[1].blame)


def test_an_endplate_that_is_off_takes_its_body_out_of_step() -> None:
    """T6 loses a third of its height to the disc below: no other limit is near."""
    points = straight_spine(T1_TO_L5)
    lower = T1_TO_L5.keypoints_of("T6")[2:]
    points[lower, 1] -= 0.5 * HEIGHT
    found = check_anatomy(points[None], T1_TO_L5, image_size_px=None).of_image(0)
    share = HEIGHT / (HEIGHT + GAP) - 0.5 * HEIGHT / (HEIGHT + GAP)
    (finding,) = (one for one in found if one.unit == "of body and disc")
    assert (finding.code, finding.vertebra, finding.keypoints) == ("A501", "T6", tuple(lower.tolist()))
    assert finding.value == pytest.approx(share)
    reason = "T6: the body takes 0.35 less of body and disc together than those around: an endplate is off"
    assert finding_reason(finding, T1_TO_L5) == reason
    assert reason in image_reason(found, T1_TO_L5, most=None)


def test_sizes_are_relative_to_what_is_near() -> None:
    """Bodies and gaps that grow steadily to twice their size: a gap counts as large as the next."""
    points = straight_spine(T1_TO_L5)
    grow = np.linspace(0.7, 1.4, points.shape[0] // 4)
    tops, top = [], 100.0
    for size in grow:
        tops.append(top)
        top += size * (HEIGHT + GAP)
    for body, (size, top) in enumerate(zip(grow, tops, strict=True)):
        x, y = 400.0 + 45.0 * size * np.array([-1, 1, -1, 1]), top + HEIGHT * size * np.array([0, 0, 1, 1])
        points[4 * body : 4 * body + 4] = np.stack([x, y], axis=1)
    everything = {limit.key: -1e9 for limit in limits_for(T1_TO_L5) if limit.base == "A102"}
    assert not len(check_anatomy(points[None], T1_TO_L5, image_size_px=None))
    gaps = check_anatomy(
        points[None],
        T1_TO_L5,
        image_size_px=None,
        limits=Limits.of(T1_TO_L5, dict.fromkeys(everything, 1000000000.0)),
        rules=select_rules(["A102"]),
    )
    inner = gaps.value[2:-2]
    np.testing.assert_allclose(inner, GAP / HEIGHT, rtol=0.05)


@pytest.mark.parametrize("skeleton", [T1_TO_L5, C2_TO_L5], ids=str)
def test_blame_reaches_every_keypoint(skeleton: Skeleton) -> None:
    """Of 68 and of 90 each, in the findings, their records and the tally of a verdict."""
    count = skeleton.keypoints
    points = np.repeat(straight_spine(skeleton)[None], count, axis=0)
    points[np.arange(count), np.arange(count)] = np.nan
    found = check_anatomy(points, skeleton, image_size_px=None)
    verdict = judge([f"{n:02d}" for n in range(count)], found)
    for keypoint in range(count):
        (finding,) = found.of_image(keypoint)
        assert (finding.code, finding.keypoints) == ("A603", (keypoint,))
        assert finding.vertebra == skeleton.vertebra_of[keypoint]
        assert verdict.images.of_row(keypoint).findings == (finding,)
    (tally,) = (one for one in verdict.tallies if one.rule.code == "A603")
    assert tally.keypoints == count
