"""Every finding can be put into words, and the words say what was measured."""

import numpy as np
import pytest

from mahtdiag.anatomy.findings import check_anatomy, finding_reason, grouped, image_reason, limit_of
from mahtdiag.anatomy.limit import Fires, LimitSpec
from mahtdiag.anatomy.rule import amount
from mahtdiag.anatomy.rules import LIMIT_BY_KEY, RULES
from mahtdiag.schema.records import Finding
from mahtdiag.schema.skeleton import AP, LA, Region, Skeleton, View

from .spines import ANY_SKELETON, C2_TO_S1, IMAGE_SIZE, natural_spines


def finding(key: str, value: float, vertebra: str, *keypoints: int, severity: float = 2.0) -> Finding:
    """A finding that breaks the limit `key`."""
    limit = LIMIT_BY_KEY[key]
    return Finding(key[:4], 0, vertebra, value, limit.unit, limit.default(View.LA), severity, keypoints)


def beyond(limit: LimitSpec) -> float:
    """A value that breaks a limit."""
    return limit.la + 0.3 if limit.fires is Fires.ABOVE else limit.la - 0.3


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (finding("A501-gap", 2.4, "L3/L4", 10, 11, 12, 13),
         "L3 and L4: disc space 2.4 heights, usual 0.4: a level may be missing"),
        (finding("A101", -1.23, "L2/L3"),
         "L2 and L3: the centre of L3 lies 1.2 heights above that of L2, usual 1.4 below: "
         "vertebrae out of order"),
        (finding("A101", 0.0, "L2/L3"),
         "L2 and L3: the centre of L3 lies level with that of L2, usual 1.4 below: vertebrae out of order"),
        (finding("A102", -0.31, "L1/L2"),
         "L1 and L2: endplates overlap by 0.3 heights, usual gap 0.4: "
         "an endplate on the wrong side of the disc"),
        (finding("A201", 34.2, "L5"),
         "L5: endplates 34° apart, usual 3°: an endplate is tilted or a corner is off"),
        (finding("A202-S1", 50.0, "L5/S1"),
         "L5 and S1: disc wedged by 50°, usual 15°: an endplate is tilted or a corner is off"),
        (finding("A203", 26.0, "L4", 14, 15),
         "L4: lower endplate tilted by 26° against its neighbours, usual 2°: one of its corners is off"),
        (finding("A302-height", 1.2, "L1/L2"),
         "L1 and L2: heights differ by 120 % of their mean, usual 8 %: "
         "an outline holds more, or less, than one body"),
        (finding("A404", 0.83, "L3", 11),
         "L3 LR: 0.8 heights off the line of its side, usual 0.05: the corner is off"),
        (finding("A405", 0.62, "L1", 1),
         "L1 UR: 0.6 heights out of step with the opposite corner, usual 0.05: the corner is off"),
        (finding("A203-S1", 31.0, "S1", 20, 21),
         "S1: upper endplate tilted by 31° against its neighbours, usual 3°: one of its corners is off"),
        (finding("A601", 0.5, "L1", 0, 2, 3), "L1 UL, LL and LR: 0.5 heights outside the image: "
         "another image, size or unit"),
        (finding("A603", 4.0, "L1", 0, 1, 2, 3),
         "L1: no place: not annotated, not finite or beyond ±10⁹ px"),
        (finding("A603", 1.0, "S1", 21),
         "S1 UR: no place: not annotated, not finite or beyond ±10⁹ px"),
    ],
)  # fmt: skip
def test_the_words(found: Finding, words: str) -> None:
    assert finding_reason(found, LA) == words


@pytest.mark.parametrize("key", list(LIMIT_BY_KEY))
def test_every_limit_has_words_with_its_value(key: str) -> None:
    limit = LIMIT_BY_KEY[key]
    skeleton = LA if limit.region is None else C2_TO_S1
    vertebra = {"A202-S1": "L5/S1", "A203-S1": "S1"}.get(key) or place_of(limit)
    found = finding(key, beyond(limit), vertebra, 4)
    assert limit_of(found, skeleton) is limit
    reason = finding_reason(found, skeleton)
    assert reason.startswith(vertebra.replace("/", " and "))
    if key != "A603":
        assert any(word[0].isdigit() for word in reason.split(": ", 1)[1].replace("−", "").split())


def place_of(limit: LimitSpec) -> str:
    """A place that a limit holds at."""
    above, below = {Region.CERVICAL: ("C3", "C4"), Region.THORACIC: ("T12", "L1")}.get(
        limit.region or Region.LUMBAR, ("L1", "L2")
    )
    in_pairs = limit.key[:4] in PAIRS and limit.base != "A501-share"
    return f"{above}/{below}" if in_pairs else above


PAIRS = ("A101", "A102", "A202", "A302", "A501")


@pytest.mark.parametrize("skeleton", ANY_SKELETON)
def test_the_limit_is_the_one_that_fired(skeleton: Skeleton) -> None:
    """Against the key that the check itself noted, on spines in which everything is wrong."""
    rng = np.random.default_rng(3)
    points = natural_spines(skeleton, 60)
    points += rng.normal(size=points.shape) * rng.uniform(0, 120, size=(60, 1, 1))
    points[::7, 5] = np.nan
    found = check_anatomy(points, skeleton, image_size_px=np.full((60, 2), IMAGE_SIZE[0] / 2))
    keys = [found.broken[key].key for key in found.key]
    assert {key[:4] for key in keys} == {rule.code for rule in RULES}
    assert [limit_of(one, skeleton).key for image in found.per_image() for one in image] == keys


def test_findings_of_an_image_in_one_line() -> None:
    """What no keypoints can mean comes first, then the worst; the worst of each kind is put in words."""
    found = (
        finding("A201", 30.0, "L4", severity=3.0),
        finding("A501-max", 2.1, "L3/L4", severity=9.0),
        finding("A201", 40.0, "L2", severity=5.0),
        finding("A201", 28.0, "L1", severity=2.0),
        finding("A402", -1.0, "L3", severity=1.4),
        finding("A404", 0.9, "L3", 9, severity=4.2),
    )
    assert image_reason(found, AP, most=3) == (
        "L3: left corners 1.0 widths right of the right ones: mirrored, or left and right exchanged; "
        "L3 and L4: centres 2.1 × this spine's usual spacing apart: a level may be missing; "
        "L2: endplates 40° apart, usual 3°: an endplate is tilted or a corner is off (also L1, L4); "
        "and A404"
    )
    everything = image_reason(found, AP, most=None)
    assert everything.count("; ") == 3
    assert everything.endswith("L3 UR: 0.9 heights off the line of its side, usual 0.05: the corner is off")


def test_nothing_found_is_no_sentence() -> None:
    assert image_reason((), AP) == ""
    assert grouped((), AP) == ()


@pytest.mark.parametrize(
    ("value", "text"),
    [(2.44, "2.4"), (0.04, "0.04"), (0.0, "0.0"), (-0.3, "-0.3"), (102.4, "102"), (12345.6, "12,346"),
     (3.2e8, "3.2e+08"), (0.0954, "0.1")],
)  # fmt: skip
def test_amounts(value: float, text: str) -> None:
    assert amount(value) == text
