"""A201–A302: neighbouring endplates are tilted alike; bodies are well-proportioned and of like size."""

from collections.abc import Mapping
from math import inf

import numpy as np

from mahtdiag.anatomy.geometry import SMALLEST, Floats, Geometry
from mahtdiag.anatomy.limit import (
    AASCE,
    CERVICAL_CHOICE,
    L5_BODY,
    LA_CHOICE,
    ROUNDING,
    THORACIC_AP,
    Fires,
    LimitSpec,
)
from mahtdiag.anatomy.rule import (
    END_STRENGTH,
    SHORTEST,
    Places,
    Points,
    Quantity,
    Rule,
    Shape,
    Sign,
    Sketch,
    Spine,
    amount,
    bars,
    cross,
    degrees,
    middle,
    peaks,
    usual,
    way,
)
from mahtdiag.schema.records import Finding, RuleGroup
from mahtdiag.schema.skeleton import Region

_AASCE_TAIL = (
    "Beyond the 99.9th percentile of L1–L5 in clean real AP radiographs (21.0° within a vertebra, 23.0° "
    "across a disc; AASCE 2019, 2,150 vertebrae of 430 images). Three of "
    "these images go further, up to 29° and 31°: a likely malformed vertebra, and two annotations of one "
    "patient that contradict each other."
)
_LORDOSIS = (
    "Of a lordosis of 61° between L1 and S1 the discs L4/L5 and L5/S1 and the body of L5 make nearly 60 %, "
    "36° together (350 people without complaints; Damasceno et al., Acta Ortopédica Brasileira, 2006, "
    "doi:10.1590/S1413-78522006000400003)."
)
_LUMBOSACRAL = (
    "The disc L5/S1 is wedged by 14.6° ± 3.4° (mean ± SD of 300 people; Onyemaechi, Evaluation of lumbar "
    "angles and their clinical correlates in a Nigerian population, Int J Res Med Sci, 2017)."
)
_WEDGED_BODY = (
    f"AP: {_AASCE_TAIL} LA: {L5_BODY} A severe fracture, grade 3, has lost more than 40 % of "
    "its height (Genant et al., J Bone Miner Res 8(9), 1993), which wedges such a body by 18° if it "
    "is lost on one side. The limit is a choice beyond that: four fifths of the height lost on one "
    "side."
)
_WEDGED_DISC = (
    f"AP: {_AASCE_TAIL} LA: {_LORDOSIS} The limit is a choice: one disc as wedged as those three together."
)
_WEDGED_LAST_DISC = f"{_LUMBOSACRAL} The limit is a choice far beyond: three times the mean."
_LEANING_PLATE = (
    f"AP: {AASCE} LA: lordosis wedges discs more than bodies, and the value is half the "
    f"difference of the wedges on either side of an endplate. {_LUMBOSACRAL} The limit is a choice: "
    "it leaves room for a difference of 40°."
)
_LEANING_LAST_PLATE = (
    f"{_LUMBOSACRAL} {_LORDOSIS} L4/L5 is thus wedged by about as much. The limit is a choice "
    "far beyond what the two differ by: in patients either disc may have collapsed."
)
_THORACIC = f"AP: {THORACIC_AP} {LA_CHOICE}"
_THORACIC_BAND = (
    "AP: the lower end as in the lumbar spine, the upper one beyond the most extreme value of T1–T12 in "
    "clean real AP radiographs: T1 and T2 are seen so obliquely that they look flat (8.5 is their most "
    f"extreme value, 4.8 that of T3–T12; AASCE 2019, 419 images). {LA_CHOICE}"
)
_CERVICAL_BAND = "A choice: the band of the lumbar spine; no set of cervical spines was at hand."


def _wedge_of_bodies(geometry: Geometry, limits: Mapping[str, float]) -> tuple[Quantity, ...]:
    """Angle between the two endplates of each vertebra, degrees."""
    angle_deg = np.abs(geometry.of_body_wedges(geometry.tilt_changes_deg))
    return (Quantity("A201", angle_deg, Places.bodies(geometry.skeleton)),)


def _angle_of_body(spine: Spine, finding: Finding) -> Sketch:
    return _meeting(spine, spine.upper(spine.vertebra(finding)))


def _meeting(spine: Spine, upper: int) -> Sketch:
    """An endplate and the one after it, carried on until they meet."""
    plates = np.stack([spine.endplate(upper), spine.endplate(upper + 1)])
    return Sketch(Sign.ANGLE, ((Shape.MEETING, plates),), np.empty((0, 2)))


_BODY = LimitSpec("A201", "°", Fires.ABOVE, 22.0, 32.0, 3.0, _WEDGED_BODY, possible=(0.0, 90.0))

A201 = Rule(
    code="A201",
    group=RuleGroup.PARALLELISM,
    title="endplates of a vertebra not parallel",
    meaning="A body is nearly a rectangle: one of its endplates was placed at an angle, or a corner is off.",
    formula="angle between the lines through its upper and its lower endplate, 0–90°",
    limits=(
        _BODY,
        _BODY.within(Region.THORACIC, _THORACIC, ap=28.0),
        _BODY.within(Region.CERVICAL, CERVICAL_CHOICE),
    ),
    measure=_wedge_of_bodies,
    sentence="endplates {degrees} apart, usual {usual_degrees}: an endplate is tilted or a corner is off",
    sketch=_angle_of_body,
)


def _wedge_of_discs(geometry: Geometry, limits: Mapping[str, float]) -> tuple[Quantity, ...]:
    """Angle between the endplates around each disc, degrees; above a last endplate it has its own limit."""
    wedge_deg = np.abs(geometry.of_disc_wedges(geometry.tilt_changes_deg))
    inner = geometry.between_bodies.stop
    return _last_apart("A202", "A202-S1", wedge_deg, Places.discs(geometry.skeleton), inner)


def _last_apart(key: str, key_last: str, values: Floats, places: Places, inner: int) -> tuple[Quantity, ...]:
    """The first `inner` rows under one key; what a last endplate adds to them under another."""
    above, last = slice(0, inner), slice(inner, None)
    measures = (Quantity(key, values[above], places[above]), Quantity(key_last, values[last], places[last]))
    return measures if values.shape[0] > inner else measures[:1]


def _angle_of_disc(spine: Spine, finding: Finding) -> Sketch:
    return _meeting(spine, spine.lower(spine.vertebra(finding)))


_DISC = LimitSpec("A202", "°", Fires.ABOVE, 25.0, 35.0, 4.0, _WEDGED_DISC, possible=(0.0, 90.0))

A202 = Rule(
    code="A202",
    group=RuleGroup.PARALLELISM,
    title="disc space wedged",
    meaning="The endplates around a disc are nearly parallel: one of them was placed at an angle.",
    formula="angle between the lines through a lower endplate and the next upper endplate, 0–90°",
    limits=(
        _DISC,
        LimitSpec(
            "A202-S1", "°", Fires.ABOVE, 45.0, 45.0, 15.0, _WEDGED_LAST_DISC, possible=(0.0, 90.0), last=True
        ),
        _DISC.within(Region.THORACIC, _THORACIC, ap=28.0),
        _DISC.within(Region.CERVICAL, CERVICAL_CHOICE),
    ),
    measure=_wedge_of_discs,
    sentence="disc wedged by {degrees}, usual {usual_degrees}: an endplate is tilted or a corner is off",
    sketch=_angle_of_disc,
)


def _leaning(geometry: Geometry, limits: Mapping[str, float]) -> tuple[Quantity, ...]:
    """How far each endplate leans against those next to it, degrees, where that peaks.

    An inner endplate: its tilt minus the mean of its two neighbours'. The first and the last have one
    neighbour: the wedge between the two, less what the next wedge of its kind makes usual. That is half the
    wedge of the next body; of a vertebra with one endplate alone, all of the wedge of the next disc (below
    the spine it has its own limit). Unknown where there is no next one.
    """
    change_deg, skeleton = geometry.tilt_changes_deg, geometry.skeleton
    if len(change_deg) < _FEWEST_CHANGES:
        first = last = np.full_like(change_deg[:1], np.nan)
    else:
        first = change_deg[:1] - _share_of_next(skeleton.first_endplate is not None) * change_deg[2:3]
        last = change_deg[-1:] - _share_of_next(skeleton.last_endplate is not None) * change_deg[-3:-2]
    leaning_deg = np.abs(np.concatenate([first, (change_deg[:-1] - change_deg[1:]) / 2, last]))
    strengths = leaning_deg.copy()
    strengths[[0, -1]] *= END_STRENGTH
    peaks_deg = peaks(leaning_deg, 1, strengths)
    # Of the three that the first and the last are measured by, any that is tilted moves their value as well.
    for end, others in ((0, slice(1, 4)), (-1, slice(-4, -1))):
        beaten = np.fmax.reduce(leaning_deg[others], axis=0) > strengths[end] * (1.0 + ROUNDING)
        peaks_deg[end, beaten] = np.nan
    inner = skeleton.endplates - (skeleton.last_endplate is not None)
    return _last_apart("A203", "A203-S1", peaks_deg, Places.endplates(geometry.skeleton), inner)


def _share_of_next(endplate_alone: bool) -> float:
    """How much of the next wedge of its kind, body or disc, the wedge at an end of the spine should have."""
    return 1.0 if endplate_alone else 0.5


def _leans(finding: Finding, limit: LimitSpec) -> str:
    side = ("upper", "lower")[min(finding.keypoints, default=0) // 2 % 2]
    angle = f"{side} endplate tilted by {degrees(finding.value)} against its neighbours"
    return f"{angle}, usual {degrees(limit.typical)}: one of its corners is off"


def _own_and_usual_tilt(spine: Spine, finding: Finding) -> Sketch | None:
    """The endplate, and through its middle the direction that those next to it lead one to expect."""
    if not finding.keypoints:
        return None
    number = min(finding.keypoints) // 2
    plate = spine.endplate(number)
    own, usual = way(plate), _usual_way(spine, number)
    at, reach = middle(plate), 0.75 * float(np.hypot(*(plate[1] - plate[0])))
    lines = [np.stack([at - reach * along, at + reach * along]) for along in (own, usual)]
    angles = np.stack([[at, at + sign * own, at + sign * usual] for sign in (1.0, -1.0)])
    shapes = ((Shape.LINE, lines[0][None]), (Shape.ANGLE, angles), (Shape.DASHED, lines[1][None]))
    return Sketch(Sign.TILT, shapes, lines[1][::-1])


def _usual_way(spine: Spine, number: int) -> Points:
    """The direction that an endplate is held against, as a unit vector: see `_leaning`."""
    last = spine.skeleton.endplates - 1
    alone = {0: spine.skeleton.first_endplate is not None, last: spine.skeleton.last_endplate is not None}

    def way_of(endplate: int) -> Points:
        return way(spine.endplate(endplate))

    if 0 < number < last:
        own, above, below = (way_of(n) for n in (number, number - 1, number + 1))
        usual = above * np.copysign(1.0, above @ own) + below * np.copysign(1.0, below @ own)
        return np.asarray(usual / max(float(np.hypot(*usual)), SHORTEST), dtype=np.float64)
    step = 1 if number == 0 else -1
    next_, third, fourth = (way_of(number + step * n) for n in (1, 2, 3))
    turn = _share_of_next(alone[number]) * np.arctan2(cross(fourth, third), fourth @ third)
    turned = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    return np.asarray(turned @ next_, dtype=np.float64)


_PLATE = LimitSpec("A203", "°", Fires.ABOVE, 17.0, 20.0, 2.0, _LEANING_PLATE, possible=(0.0, 180.0))

A203 = Rule(
    code="A203",
    group=RuleGroup.PARALLELISM,
    title="endplate tilted against its neighbours",
    meaning="The spine bends gradually, so a single endplate does not lean against both its neighbours: one "
    "of its two corners is off.",
    formula="tilt of an endplate minus the mean tilt of the endplates above and below it, near 0 however "
    "strongly the spine curves; of the first and last: tilt against the other endplate of the vertebra "
    "minus half the same tilt of the next vertebra; of S1: wedge of L5/S1 minus that of L4/L5",
    limits=(
        _PLATE,
        LimitSpec(
            "A203-S1",
            "°",
            Fires.ABOVE,
            25.0,
            25.0,
            3.0,
            _LEANING_LAST_PLATE,
            possible=(0.0, 180.0),
            last=True,
        ),
        _PLATE.within(Region.THORACIC, _THORACIC, ap=20.0),
        _PLATE.within(Region.CERVICAL, CERVICAL_CHOICE),
    ),
    measure=_leaning,
    sentence=_leans,
    sketch=_own_and_usual_tilt,
)


_LARGEST_RATIO = 1000.0
_FEWEST_CHANGES = 3
_SOURCE_BAND = (
    "The band of the anatomical loss of the networks under test. 99.8 % of clean real AP vertebrae lie in "
    "it; L5 seen obliquely reaches 5.5 (AASCE 2019)."
)
_SIZES = f"AP: {AASCE} LA: the AP limit is kept; no lateral set was at hand."


def _width_over_height(geometry: Geometry, limits: Mapping[str, float]) -> tuple[Quantity, ...]:
    """Width/height of each vertebra, between 1/1000 and 1000; unknown where it has neither."""
    width, height = geometry.widths, geometry.heights
    ratio = width / np.maximum(height, width / _LARGEST_RATIO)
    ratio = np.where(width + height > SMALLEST, np.maximum(ratio, 1 / _LARGEST_RATIO), np.nan)
    bodies = Places.bodies(geometry.skeleton)
    return (Quantity("A301-min", ratio, bodies), Quantity("A301-max", ratio, bodies))


def _outside_the_band(finding: Finding, limit: LimitSpec) -> str:
    ratio = f"width/height {amount(finding.value)}, {usual(limit)}"
    if limit.fires is Fires.BELOW:
        return f"{ratio}: the outline is too tall for one body"
    return f"{ratio}: too flat, an endplate on another level or marked twice"


def _width_and_height(spine: Spine, finding: Finding) -> Sketch:
    extents = spine.extents(spine.vertebra(finding))
    return bars(extents, extents[0, 1])


_BAND = (
    LimitSpec("A301-min", "width/height", Fires.BELOW, 0.5, 0.5, 1.8, _SOURCE_BAND, possible=(0.0, inf)),
    LimitSpec("A301-max", "width/height", Fires.ABOVE, 4.0, 4.0, 1.8, _SOURCE_BAND, possible=(0.0, inf)),
)

A301 = Rule(
    code="A301",
    group=RuleGroup.ASPECT_RATIO,
    title="width/height outside the band",
    meaning="A body is neither a needle nor a plank: an endplate is missing, doubled or on another level.",
    formula="mean length of the two endplates / mean length of the two sides",
    limits=(
        *_BAND,
        _BAND[0].within(Region.THORACIC, _THORACIC_BAND),
        _BAND[1].within(Region.THORACIC, _THORACIC_BAND, ap=12.0),
        *(limit.within(Region.CERVICAL, _CERVICAL_BAND) for limit in _BAND),
    ),
    measure=_width_over_height,
    sentence=_outside_the_band,
    sketch=_width_and_height,
)

_WIDTH = LimitSpec("A302-width", "of the mean width", Fires.ABOVE, 0.41, 0.41, 0.05, _SIZES, (0.0, 2.0))
_HEIGHT = LimitSpec("A302-height", "of the mean height", Fires.ABOVE, 0.95, 0.95, 0.08, _SIZES, (0.0, 2.0))


def _jumps(geometry: Geometry, limits: Mapping[str, float]) -> tuple[Quantity, ...]:
    """Change of width and of height from each body to the next, over their mean (0…2)."""
    pairs = Places.pairs(geometry.skeleton)[geometry.between_bodies]
    return (
        Quantity(_WIDTH.key, _relative_change(geometry.widths), pairs),
        Quantity(_HEIGHT.key, _relative_change(geometry.heights), pairs),
    )


def _relative_change(sizes: Floats) -> Floats:
    total = sizes[1:] + sizes[:-1]
    return np.where(total > SMALLEST, 2 * np.abs(sizes[1:] - sizes[:-1]) / total, np.nan)


def _differ(finding: Finding, limit: LimitSpec) -> str:
    name = "widths" if limit.base == _WIDTH.key else "heights"
    jump = f"{name} differ by {100 * finding.value:.0f} % of their mean"
    return f"{jump}, usual {100 * limit.typical:.0f} %: an outline holds more, or less, than one body"


def _both_sizes(spine: Spine, finding: Finding) -> Sketch:
    vertebra = spine.vertebra(finding)
    which = 0 if finding.unit == _WIDTH.unit else 1
    sizes = np.stack([spine.extents(number)[which] for number in (vertebra, vertebra + 1)])
    return bars(sizes, sizes[:, 1].mean(axis=0))


A302 = Rule(
    code="A302",
    group=RuleGroup.ASPECT_RATIO,
    title="width or height jumps between neighbours",
    meaning="Neighbouring bodies resemble each other: one outline holds more, or less, than one body.",
    formula="|difference| / mean of the widths (or heights) of neighbouring vertebrae",
    limits=(
        *(_WIDTH, _HEIGHT),
        _WIDTH.within(Region.THORACIC, _THORACIC, ap=0.48),
        _HEIGHT.within(Region.THORACIC, _THORACIC, ap=1.1),
        *(limit.within(Region.CERVICAL, CERVICAL_CHOICE) for limit in (_WIDTH, _HEIGHT)),
    ),
    measure=_jumps,
    sentence=_differ,
    sketch=_both_sizes,
)

RULES = (A201, A202, A203, A301, A302)
