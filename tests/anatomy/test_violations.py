"""Each kind of mistake is found under its name, and a good spine is left alone."""

from collections.abc import Callable

import numpy as np
import pytest

from mahtdiag.anatomy.findings import Findings, check_anatomy
from mahtdiag.anatomy.rules import RULES, Limits, select_rules
from mahtdiag.schema.records import Finding
from mahtdiag.schema.skeleton import AP, LA, LUMBAR, Skeleton, View

from .spines import (
    ANY_SKELETON,
    C2_TO_S1,
    GAP,
    HEIGHT,
    T1_TO_S1,
    WIDTH,
    Floats,
    natural_spines,
    sizes_for,
    straight_spine,
)

L3 = slice(8, 12)


def first_of(skeleton: Skeleton) -> int:
    """Index of the first keypoint of the last five bodies."""
    return skeleton.first_body_keypoint + skeleton.body_keypoints - AP.keypoints


def here(level: str, skeleton: Skeleton) -> str:
    """A lumbar level, or where the skeleton has it among its last five bodies."""
    own = dict(zip(LUMBAR, skeleton.bodies[-5:], strict=True))
    return "/".join(own[name] for name in level.split("/"))


def check(points: Floats, skeleton: Skeleton = AP) -> Findings:
    return check_anatomy(points[None], skeleton, image_size_px=sizes_for(points[None]))


def of_code(points: Floats, code: str, skeleton: Skeleton = AP) -> tuple[Finding, ...]:
    return tuple(f for f in check(points, skeleton).of_image(0) if f.code == code)


@pytest.mark.parametrize("skeleton", ANY_SKELETON)
def test_good_spines_have_no_finding(skeleton: Skeleton) -> None:
    points = natural_spines(skeleton, 200)
    found = check_anatomy(points, skeleton, image_size_px=sizes_for(points))
    assert len(found) == 0
    assert found.image_severity().tolist() == [0.0] * 200
    assert found.codes_per_image() == ((),) * 200


def swap(*pairs: tuple[int, int]) -> Callable[[Floats], None]:
    def change(points: Floats) -> None:
        for a, b in pairs:
            points[[a, b]] = points[[b, a]]

    return change


def move(keypoint: int, x: float, y: float) -> Callable[[Floats], None]:
    def change(points: Floats) -> None:
        points[keypoint] += (x, y)

    return change


def shift_from(keypoint: int, y: float) -> Callable[[Floats], None]:
    def change(points: Floats) -> None:
        points[keypoint:, 1] += y

    return change


def rotate_endplate(first: int, angle_deg: float) -> Callable[[Floats], None]:
    def change(points: Floats) -> None:
        reach = WIDTH / 2 * np.array([np.cos(np.radians(angle_deg)), np.sin(np.radians(angle_deg))])
        centre = points[first : first + 2].mean(axis=0)
        points[first], points[first + 1] = centre - reach, centre + reach

    return change


def widen(vertebra: int, factor: float, axis: int) -> Callable[[Floats], None]:
    def change(points: Floats) -> None:
        own = points[4 * vertebra : 4 * vertebra + 4]
        own[:, axis] = own[:, axis].mean() + factor * (own[:, axis] - own[:, axis].mean())

    return change


SPACING = HEIGHT + GAP
ALL_L3 = (8, 9, 10, 11)
CASES = [
    ("A101", swap((8, 12), (9, 13), (10, 14), (11, 15)), "L3/L4", tuple(range(8, 16))),
    ("A102", shift_from(12, -GAP - 10), "L3/L4", (10, 11, 12, 13)),
    ("A103", swap((8, 10), (9, 11)), "L3", ALL_L3),
    ("A201", rotate_endplate(8, 38), "L3", ALL_L3),
    ("A202", rotate_endplate(8, 38), "L2/L3", (6, 7, 8, 9)),
    ("A203", rotate_endplate(8, 28), "L3", (8, 9)),
    ("A203", rotate_endplate(0, 28), "L1", (0, 1)),
    ("A203", rotate_endplate(2, 28), "L1", (2, 3)),
    ("A301", widen(2, 0.25, axis=0), "L3", ALL_L3),
    ("A301", widen(2, 0.4, axis=1), "L3", ALL_L3),
    ("A302", widen(4, 0.5, axis=0), "L4/L5", tuple(range(12, 20))),
    ("A302", widen(4, 0.3, axis=1), "L4/L5", tuple(range(12, 20))),
    ("A401", swap((8, 9)), "L3", ALL_L3),
    ("A401", swap((8, 10)), "L3", ALL_L3),
    ("A402", swap((8, 9), (10, 11)), "L3", ALL_L3),
    ("A403", move(8, 60, 35), "L3", (8,)),
    ("A404", move(11, HEIGHT, 0), "L3", (11,)),
    ("A405", move(11, HEIGHT, 0), "L3", (11,)),
    ("A405", move(0, -HEIGHT, 0), "L1", (0,)),
    ("A501", shift_from(12, SPACING), "L3/L4", (10, 11, 12, 13)),
    ("A501", shift_from(12, -SPACING + 5), "L3/L4", (10, 11, 12, 13)),
    ("A601", move(8, -500, 0), "L3", (8,)),
    ("A602", move(8, WIDTH - 1, 0), "L3", (8, 9)),
    ("A603", move(8, np.nan, 0), "L3", (8,)),
]


@pytest.mark.parametrize(("code", "change", "level", "blamed"), CASES)
@pytest.mark.parametrize("skeleton", ANY_SKELETON)
def test_a_mistake_is_found_under_its_name(
    code: str, change: Callable[[Floats], None], level: str, blamed: tuple[int, ...], skeleton: Skeleton
) -> None:
    points, first = straight_spine(skeleton), first_of(skeleton)
    change(points[first:])
    found = of_code(points, code, skeleton)
    assert (here(level, skeleton), tuple(first + k for k in blamed)) in [
        (f.vertebra, f.keypoints) for f in found
    ]
    assert all(f.severity >= 1 and f.unit and np.isfinite(f.value) for f in found)


def test_every_rule_has_a_case() -> None:
    assert {code for code, *_ in CASES} == {rule.code for rule in RULES}


# Of the last body, counted from the first keypoint of the one above it.
LAST_BODY = [
    ("A101", swap((0, 4), (1, 5), (2, 6), (3, 7)), "L4/L5"),
    ("A103", swap((4, 6), (5, 7)), "L5"),
    ("A201", rotate_endplate(6, 38), "L5"),
    ("A203", rotate_endplate(6, 38), "L5"),
    ("A301", widen(1, 0.25, axis=0), "L5"),
    ("A302", widen(1, 0.5, axis=0), "L4/L5"),
    ("A401", swap((6, 7)), "L5"),
    ("A402", swap((4, 5), (6, 7)), "L5"),
    ("A403", move(7, -60, -35), "L5"),
    ("A405", move(7, HEIGHT, 0), "L5"),
    ("A601", move(7, 900, 0), "L5"),
    ("A602", move(7, 1 - WIDTH, 0), "L5"),
    ("A603", move(7, np.nan, 0), "L5"),
]


@pytest.mark.parametrize(("code", "change", "level"), LAST_BODY)
@pytest.mark.parametrize("skeleton", ANY_SKELETON)
def test_the_last_corner_of_the_last_body_is_blamed(
    code: str, change: Callable[[Floats], None], level: str, skeleton: Skeleton
) -> None:
    """Keypoints 67 and 89 of whole spines, which a mask of 64 bits has no room for."""
    points, last = straight_spine(skeleton), skeleton.of_bodies.stop - 1
    change(points[last - 7 :])
    findings = [f for f in of_code(points, code, skeleton) if f.vertebra == here(level, skeleton)]
    assert last in {k for f in findings for k in f.keypoints}
    found = check(points, skeleton)
    assert found.blame.shape == (len(found), skeleton.keypoints)
    by_column = {int(k) for row in found.blame for k in np.flatnonzero(row)}
    assert by_column == {k for f in found.of_image(0) for k in f.keypoints}


@pytest.mark.parametrize(
    ("code", "change", "level"),
    [
        ("A101", shift_from(20, -SPACING - GAP), "L5/S1"),
        ("A102", shift_from(20, -GAP - 10), "L5/S1"),
        ("A202", rotate_endplate(20, 50), "L5/S1"),
        ("A203", rotate_endplate(18, 40), "L5"),
        ("A203", rotate_endplate(20, 40), "S1"),
        ("A402", swap((20, 21)), "S1"),
        ("A405", move(21, HEIGHT, 0), "S1"),
        ("A501", shift_from(20, SPACING), "L5/S1"),
        ("A601", shift_from(20, 1000), "S1"),
        ("A602", move(20, WIDTH, 0), "S1"),
        ("A603", move(21, 0, np.inf), "S1"),
    ],
)
@pytest.mark.parametrize("skeleton", [LA, T1_TO_S1, C2_TO_S1])
def test_the_sacrum_counts_as_half_a_vertebra(
    code: str, change: Callable[[Floats], None], level: str, skeleton: Skeleton
) -> None:
    points = straight_spine(skeleton)
    change(points[-LA.keypoints :])
    found = [f for f in of_code(points, code, skeleton) if f.vertebra == level]
    assert found
    if "S1" in level and code != "A603":
        assert {skeleton.keypoints - 2, skeleton.keypoints - 1} & {k for f in found for k in f.keypoints}


def test_lordosis_of_the_last_disc_is_normal() -> None:
    points = straight_spine(LA)
    rotate_endplate(20, 24)(points)
    assert check(points, LA).codes_per_image() == ((),)


def test_a_single_crossed_endplate_is_no_mirroring_and_no_exchange() -> None:
    for pair in ((8, 9), (8, 10)):
        points = straight_spine(AP)
        swap(pair)(points)
        codes = check(points).codes_per_image()[0]
        assert "A401" in codes
        assert not {"A103", "A402", "A403"} & set(codes)


@pytest.mark.parametrize("skeleton", ANY_SKELETON)
def test_mirrored_image_fires_in_every_vertebra(skeleton: Skeleton) -> None:
    points = straight_spine(skeleton)
    points[:, 0] = 1000 - points[:, 0]
    found = check(points, skeleton)
    assert found.codes_per_image() == (("A402",),)
    assert tuple(f.vertebra for f in found.of_image(0)) == skeleton.vertebrae


def test_exchanged_axes_look_mirrored() -> None:
    assert "A402" in check(straight_spine(AP)[:, ::-1]).codes_per_image()[0]


def test_a_misplaced_vertebra_does_not_accuse_its_neighbours() -> None:
    """L5 marked above L1 (the last points of a list that starts one late): order, and nothing about shape."""
    points = straight_spine(AP)
    points[16:, 1] -= 5 * SPACING
    found = check(points)
    assert set(found.codes_per_image()[0]) <= {"A101", "A102", "A404", "A501"}
    assert [f.vertebra for f in found.of_image(0) if f.code == "A101"] == ["L4/L5"]


@pytest.mark.parametrize("skeleton", ANY_SKELETON)
def test_severity_grows_with_the_excess(skeleton: Skeleton) -> None:
    by_angle = []
    for angle in (35, 45, 55, 65):
        points = straight_spine(skeleton)
        rotate_endplate(first_of(skeleton) + 8, angle)(points)
        (finding,) = of_code(points, "A201", skeleton)
        by_angle.append((finding.severity, check(points, skeleton).image_severity()[0]))
    assert by_angle == sorted(by_angle)
    assert len(set(by_angle)) == len(by_angle)
    assert by_angle[0][0] > 1
    assert by_angle[0][1] > 0


def test_severity_is_one_at_the_limit_and_two_one_spread_beyond() -> None:
    points = straight_spine(AP)
    rotate_endplate(8, 40)(points)
    limits = Limits.of(View.AP, {"A201": 40 - 1e-6})
    (finding,) = [
        f
        for f in check_anatomy(points[None], AP, image_size_px=None, limits=limits).of_image(0)
        if f.code == "A201"
    ]
    assert finding.severity == pytest.approx(1)
    limits = Limits.of(View.AP, {"A201": 40 - 19.0})
    (finding,) = [
        f
        for f in check_anatomy(points[None], AP, image_size_px=None, limits=limits).of_image(0)
        if f.code == "A201"
    ]
    assert finding.limit == 21.0
    assert finding.severity == pytest.approx(2)


def test_two_kinds_of_evidence_outweigh_one() -> None:
    one, two = straight_spine(AP), straight_spine(AP)
    swap((0, 1), (2, 3))(one)
    swap((0, 1), (2, 3))(two)
    shift_from(16, SPACING)(two)
    severity = check_anatomy(np.stack([one, two]), AP, image_size_px=None).image_severity()
    assert 0 < severity[0] < severity[1]


def test_only_the_chosen_rules_are_checked() -> None:
    points = straight_spine(AP)
    swap((8, 12), (9, 13), (10, 14), (11, 15))(points)
    rules = select_rules(["A1"], ["A102"])
    found = check_anatomy(points[None], AP, image_size_px=None, rules=rules)
    assert found.codes_per_image() == (("A101",),)
    assert found.findings_by_code() == {"A101": 1, "A103": 0}
    assert found.images_by_code() == {"A101": 1, "A103": 0}


def test_counts_by_code() -> None:
    points = natural_spines(AP, 3)
    points[0] = points[0] * [-1, 1] + [1000, 0]
    points[2, 0] = np.nan
    found = check_anatomy(points, AP, image_size_px=None)
    assert found.findings_by_code()["A402"] == 5
    assert found.images_by_code()["A402"] == 1
    assert found.images_by_code()["A603"] == 1
    assert sum(found.images_by_code().values()) == 2
    assert found.codes_per_image() == (("A402",), (), ("A603",))
    assert [len(findings) for findings in found.per_image()] == [5, 0, 1]


def test_wrong_shapes_are_refused() -> None:
    points = natural_spines(AP, 2)
    with pytest.raises(ValueError, match=r"LA keypoints are \[N, 22, 2\], got \[2, 20, 2\]"):
        check_anatomy(points, LA, image_size_px=None)
    with pytest.raises(ValueError, match=r"image sizes are \[2, 2\], got \[1, 2\]"):
        check_anatomy(points, AP, image_size_px=np.ones((1, 2)))
    with pytest.raises(ValueError, match="limits are for LA"):
        check_anatomy(points, AP, image_size_px=None, limits=Limits.of(View.LA))


@pytest.mark.parametrize("skeleton", ANY_SKELETON)
@pytest.mark.parametrize("keypoint", [0, 1, 2, 3, 8, 11, 18, 19])
@pytest.mark.parametrize("steps", [(1.5, 0.0), (-1.5, 0.0)])
def test_the_corner_that_is_off_is_blamed_and_not_the_one_next_to_it(
    keypoint: int, steps: tuple[float, float], skeleton: Skeleton
) -> None:
    points = straight_spine(skeleton)
    for own in {keypoint, keypoint + first_of(skeleton)}:
        moved = points.copy()
        moved[own] += np.array(steps) * HEIGHT
        found = check(moved, skeleton).of_image(0)
        assert {k for f in found if f.code in ("A404", "A405") for k in f.keypoints} == {own}


@pytest.mark.parametrize("skeleton", ANY_SKELETON)
@pytest.mark.parametrize("endplate", range(10))
@pytest.mark.parametrize("degrees", [-35, 35])
def test_the_endplate_that_is_tilted_is_blamed_and_not_the_one_next_to_it(
    endplate: int, degrees: float, skeleton: Skeleton
) -> None:
    for left in {2 * endplate, 2 * endplate + first_of(skeleton)}:
        points = straight_spine(skeleton)
        rotate_endplate(left, degrees)(points)
        blamed = {f.keypoints for f in check(points, skeleton).of_image(0) if f.code == "A203"}
        assert blamed == {(left, left + 1)}


def test_a_slip_takes_both_corners_along() -> None:
    """Meyerding grade IV at L4/L5: both sides step over, no corner does so by itself."""
    points = straight_spine(LA)
    points[16:, 0] += 0.9 * WIDTH
    assert "A404" in check(points, LA).codes_per_image()[0]
    assert not of_code(points, "A405", LA)


def test_spacing_is_judged_by_the_bodies_and_the_usual_disc() -> None:
    """A tall body is as far from its neighbours as it must be; a level left out is not."""
    points = straight_spine(AP)
    points[14:, 1] += 0.8 * HEIGHT
    tall = check(points).codes_per_image()[0]
    points[14:, 1] -= 0.8 * HEIGHT
    points[12:, 1] += 0.8 * HEIGHT
    apart = of_code(points, "A501")
    assert "A501" not in tall
    values = [f.value for f in apart if f.vertebra == "L3/L4" and f.unit == "usual spacings"]
    assert values == pytest.approx([(HEIGHT + GAP + 0.8 * HEIGHT) / (HEIGHT + GAP)])


@pytest.mark.parametrize("vertebra", [0, 2, 4])
def test_a_narrow_body_is_out_of_step_on_both_sides_and_no_single_corner_is(vertebra: int) -> None:
    points = straight_spine(AP)
    widen(vertebra, 0.3, axis=0)(points)
    assert not of_code(points, "A405")


def test_findings_of_all_images_are_those_of_each() -> None:
    points = np.stack([straight_spine(AP)] * 5)
    points += (
        np.random.default_rng(0).normal(0.0, 40.0, points.shape) * np.array([1, 0, 1, 0, 1])[:, None, None]
    )
    found = check_anatomy(points, AP, image_size_px=None)
    each = tuple(found.of_image(image) for image in range(5))
    assert found.per_image() == each
    assert [bool(findings) for findings in each] == [True, False, True, False, True]
    assert found.codes_per_image() == tuple(tuple(dict.fromkeys(f.code for f in of)) for of in each)
    blamed = [np.flatnonzero(row).tolist() for row in found.blame]
    assert [list(f.keypoints) for of in each for f in of] == blamed
