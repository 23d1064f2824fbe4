"""Every value that a rule judges, against the same quantity written out for one spine."""

import numpy as np
import pytest

from mahtdiag.anatomy.findings import Findings, check_anatomy
from mahtdiag.anatomy.limit import Fires
from mahtdiag.anatomy.rules import LIMIT_BY_KEY, Limits, select_rules
from mahtdiag.schema.skeleton import AP, Skeleton, View
from tests.anatomy.naive import quantities
from tests.anatomy.spines import ANY_SKELETON, SHORT, natural_spines, sizes_for, straight_spine


def everything_fires(skeleton: Skeleton) -> Limits:
    """Limits that every finite value breaks: the findings then hold all that was measured."""
    return Limits.of(
        skeleton.view, {k: -1e9 if s.fires is Fires.ABOVE else 1e9 for k, s in LIMIT_BY_KEY.items()}
    )


def measured(found: Findings, image: int) -> dict[tuple[str, str], float]:
    """Values by limit key without region, and place; an endplate's by its number."""
    values = {}
    rows = np.flatnonzero(found.image == image)
    for row, finding in zip(rows, found.of_image(image), strict=True):
        key = found.broken[found.key[row]].base
        of_endplate = key.startswith(("A203", "A501-share"))
        level = f"{finding.vertebra} {finding.keypoints[0] // 2}" if of_endplate else finding.vertebra
        assert (key, level) not in values
        values[key, level] = finding.value
    return values


@pytest.mark.parametrize("skeleton", [*ANY_SKELETON, *SHORT], ids=str)
def test_every_quantity_is_what_its_formula_says(skeleton: Skeleton) -> None:
    points = natural_spines(skeleton, 20)
    found = check_anatomy(points, skeleton, image_size_px=None, limits=everything_fires(skeleton))
    for image in range(points.shape[0]):
        expected = quantities([(float(x), float(y)) for x, y in points[image]], skeleton)
        got = {k: v for k, v in measured(found, image).items() if k[0] != "A603"}
        assert got.keys() == expected.keys()
        for key, value in expected.items():
            assert got[key] == pytest.approx(value, rel=1e-9, abs=1e-9), key


def test_depth_of_a_crossing() -> None:
    """One endplate of a 90×50 rectangle exchanged: each corner is a width away from its place."""
    points = straight_spine(AP)[None]
    points[0, [8, 9]] = points[0, [9, 8]]
    found = check_anatomy(points, AP, image_size_px=None, rules=select_rules(["A401"]))
    (finding,) = found.of_image(0)
    # In the crossed order UL, UR, LR, LL each corner's neighbours are the ends of a side, 50 apart, and the
    # corner is 90 away from that side.
    assert finding.value == pytest.approx(90 / 50)
    assert finding.vertebra == "L3"


@pytest.mark.parametrize(
    ("shift", "expected"),
    [((-420.0, 0.0), 19.5 / 50), ((0.0, 1000.0), (100 + 288 + 50 + 1000 - 999.5) / 50), ((0.0, 0.0), None)],
)
def test_distance_beyond_the_image(shift: tuple[float, float], expected: float | None) -> None:
    points = straight_spine(AP)[None] + np.array(shift)
    found = check_anatomy(points, AP, image_size_px=sizes_for(points)).of_image(0)
    worst = max((f.value for f in found if f.code == "A601"), default=None)
    assert worst == (None if expected is None else pytest.approx(expected))


def test_half_a_pixel_outside_is_the_edge_of_the_image() -> None:
    points = straight_spine(AP)[None]
    points[..., 0] += -0.5 - points[..., 0].min()
    edge = {"A601": 0.0}
    limits = Limits.of(View.AP, edge)
    assert not len(check_anatomy(points, AP, image_size_px=sizes_for(points), limits=limits))
    beyond = check_anatomy(points - [0.01, 0.0], AP, image_size_px=sizes_for(points), limits=limits)
    assert beyond.codes_per_image() == (("A601",),)
    assert all(f.keypoints[0] % 2 == 0 for f in beyond.of_image(0))
