"""The table of anatomical rules: it feeds the checks, `--explain`, the limits and the documentation."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from mahtdiag.anatomy.limit_spec import Fires, LimitSpec
from mahtdiag.anatomy.sources import (
    AASCE,
    AASCE_TAIL,
    BY_DEFINITION,
    LA_ALONE,
    LA_BODY_WEDGE,
    LA_DISC_WEDGE,
    LA_LEANING,
    LA_SACRAL_LEANING,
    LA_SACRAL_WEDGE,
    LA_SIZES,
    LA_SLIP,
    LA_SPACING,
    READERS,
    SIDES,
    SOURCE_BAND,
    SPECIFIED,
)
from mahtdiag.errors import UsageError
from mahtdiag.schema.findings import RuleGroup


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule with its permanent code; `meaning` says what a violation tells, `formula` what is measured."""

    code: str
    group: RuleGroup
    title: str
    meaning: str
    formula: str
    limits: tuple[LimitSpec, ...]

    @property
    def unit(self) -> str:
        """Unit of the measured value (several where a rule measures several quantities)."""
        return ", ".join(dict.fromkeys(limit.unit for limit in self.limits))


def _rule(code: str, group: RuleGroup, title: str, meaning: str, formula: str, *limits: LimitSpec) -> Rule:
    return Rule(code, group, title, meaning, formula, limits)


RULES: tuple[Rule, ...] = (
    _rule(
        "A101",
        RuleGroup.ORDERING,
        "centre not below the one above",
        "Vertebrae are listed from above; one listed out of turn is another level.",
        "(y of the lower centre − y of the upper centre) / median height; S1's centre is the middle of its "
        "endplate",
        LimitSpec("A101", "heights", Fires.AT_OR_BELOW, 0.0, 0.0, 1.4, BY_DEFINITION),
    ),
    _rule(
        "A102",
        RuleGroup.ORDERING,
        "neighbouring endplates overlap",
        "Two bodies cannot share a place: an endplate was put on its neighbour's level, or on the wrong "
        "side of the disc.",
        "gap from the middle of the lower endplate to the middle of the next upper endplate, along the line "
        "that joins the two centres, / median height; negative where they overlap",
        LimitSpec("A102", "heights", Fires.BELOW, -0.12, -0.12, 0.44, READERS),
    ),
    _rule(
        "A103",
        RuleGroup.ORDERING,
        "upper and lower endplate exchanged",
        "The corners of the lower endplate were given as those of the upper one, and the reverse.",
        "extent from the upper to the lower endplate along the local spine axis, the larger of the left and "
        "the right side, / median height",
        LimitSpec("A103", "heights", Fires.BELOW, 0.0, 0.0, 1.0, BY_DEFINITION),
    ),
    _rule(
        "A201",
        RuleGroup.PARALLELISM,
        "endplates of a vertebra not parallel",
        "A body is nearly a rectangle: one of its endplates was placed at an angle, or a corner is off.",
        "angle between the lines through its upper and its lower endplate, 0–90°",
        LimitSpec("A201", "°", Fires.ABOVE, 22.0, 32.0, 3.0, f"AP: {AASCE_TAIL} LA: {LA_BODY_WEDGE}"),
    ),
    _rule(
        "A202",
        RuleGroup.PARALLELISM,
        "disc space wedged",
        "The endplates around a disc are nearly parallel: one of them was placed at an angle.",
        "angle between the lines through a lower endplate and the next upper endplate, 0–90°",
        LimitSpec("A202", "°", Fires.ABOVE, 25.0, 35.0, 4.0, f"AP: {AASCE_TAIL} LA: {LA_DISC_WEDGE}"),
        LimitSpec("A202-S1", "°", Fires.ABOVE, 45.0, 45.0, 15.0, LA_SACRAL_WEDGE),
    ),
    _rule(
        "A203",
        RuleGroup.PARALLELISM,
        "endplate tilted against its neighbours",
        "The spine bends gradually, so a single endplate does not lean against both its neighbours: one of "
        "its two corners is off.",
        "tilt of an endplate minus the mean tilt of the endplates above and below it, near 0 however "
        "strongly the spine curves; of the first and last: tilt against the other endplate of the vertebra "
        "minus half the same tilt of the next vertebra; of S1: wedge of L5/S1 minus that of L4/L5",
        LimitSpec("A203", "°", Fires.ABOVE, 17.0, 20.0, 2.0, f"AP: {AASCE} LA: {LA_LEANING}"),
        LimitSpec("A203-S1", "°", Fires.ABOVE, 25.0, 25.0, 3.0, LA_SACRAL_LEANING),
    ),
    _rule(
        "A301",
        RuleGroup.ASPECT_RATIO,
        "width/height outside the band",
        "A lumbar body is neither a needle nor a plank: an endplate is missing, doubled or on another level.",
        "mean length of the two endplates / mean length of the two sides",
        LimitSpec("A301-min", "width/height", Fires.BELOW, 0.5, 0.5, 1.8, SOURCE_BAND),
        LimitSpec("A301-max", "width/height", Fires.ABOVE, 4.0, 4.0, 1.8, SOURCE_BAND),
    ),
    _rule(
        "A302",
        RuleGroup.ASPECT_RATIO,
        "width or height jumps between neighbours",
        "Neighbouring bodies resemble each other: one outline holds more, or less, than one body.",
        "|difference| / mean of the widths (or heights) of neighbouring vertebrae",
        LimitSpec("A302-width", "of the mean width", Fires.ABOVE, 0.41, 0.41, 0.05, LA_SIZES),
        LimitSpec("A302-height", "of the mean height", Fires.ABOVE, 0.95, 0.95, 0.08, LA_SIZES),
    ),
    _rule(
        "A401",
        RuleGroup.SHAPE,
        "outline crosses itself",
        "Two corners of one vertebra were exchanged.",
        "depth to which the crossed corners reach past each other / median height; 0 where nothing crosses",
        LimitSpec("A401", "heights", Fires.ABOVE, 0.0, 0.0, -0.5, BY_DEFINITION),
    ),
    _rule(
        "A402",
        RuleGroup.SHAPE,
        "left and right mirrored",
        "Left corners lie right of the right ones: exchanged names, or a mirrored image.",
        "extent of the endplates from left to right, across the local spine axis, the larger of the two, "
        "/ median width",
        LimitSpec("A402", "widths", Fires.BELOW, 0.0, 0.0, 1.0, BY_DEFINITION),
    ),
    _rule(
        "A403",
        RuleGroup.SHAPE,
        "outline not convex",
        "A body's outline has no dent: a corner is off, or the outline has collapsed into a line.",
        "smallest distance by which a corner stands out from the line between its two neighbours "
        "/ median height; negative where a corner is bent inwards",
        LimitSpec("A403", "heights", Fires.AT_OR_BELOW, 0.0, 0.0, 0.8, BY_DEFINITION),
    ),
    _rule(
        "A404",
        RuleGroup.SHAPE,
        "corner off the line of its side",
        "The two edges of the spine are smooth: a single corner that steps out of them is off.",
        "distance of a corner, across the local spine axis, from the middle of the corners above and "
        "below it on the same side / median height",
        LimitSpec("A404", "heights", Fires.ABOVE, 0.51, 0.7, 0.05, f"{SIDES} LA: {LA_SLIP}"),
    ),
    _rule(
        "A405",
        RuleGroup.SHAPE,
        "corner out of step with the opposite one",
        "A bend, a slip and a narrower body take both sides of the spine along: a corner that steps out by "
        "itself is off.",
        "distance of a corner from the line of its side (A404) minus that of the other corner of its "
        "endplate / median height; at the first and the last endplate: the smaller of the distances by which "
        "the side that ends in the corner leans against the opposite side, and against the same side of the "
        "next vertebra (from S1: of the next disc)",
        LimitSpec("A405", "heights", Fires.ABOVE, 0.6, 0.5, 0.05, f"{SIDES} LA: {LA_ALONE}"),
    ),
    _rule(
        "A501",
        RuleGroup.LEVELS,
        "spacing off this spine's own pattern",
        "Levels follow each other in a steady rhythm: one is missing, marked twice, or endplates of two "
        "vertebrae were paired.",
        "centre spacing / (mean height of the two bodies + median disc gap of the image; three or more gaps "
        "needed); disc gap / median height",
        LimitSpec("A501-min", "usual spacings", Fires.BELOW, 0.6, 0.5, 1.0, LA_SPACING),
        LimitSpec("A501-max", "usual spacings", Fires.ABOVE, 1.4, 1.5, 1.0, LA_SPACING),
        LimitSpec("A501-gap", "heights", Fires.ABOVE, 1.25, 1.25, 0.44, SPECIFIED),
    ),
    _rule(
        "A601",
        RuleGroup.POINTS,
        "keypoint outside the image",
        "There is nothing to mark beyond the image: the coordinates belong to another image, size or unit.",
        "distance beyond the outer edge of the image's pixels / median height",
        LimitSpec("A601", "heights", Fires.ABOVE, 0.05, 0.05, -0.5, READERS),
    ),
    _rule(
        "A602",
        RuleGroup.POINTS,
        "keypoints coincide",
        "Each keypoint has a place of its own: one was marked twice or copied.",
        "distance to the nearest other keypoint / median height; corners that face each other across a disc "
        "are left to A102 and A202, they touch in narrow discs",
        LimitSpec("A602", "heights", Fires.BELOW, 0.05, 0.05, 0.95, READERS),
    ),
    _rule(
        "A603",
        RuleGroup.POINTS,
        "keypoint not a finite number",
        "The keypoint is not annotated, or the network's output is broken there.",
        "number of keypoints of a vertebra with a missing or infinite coordinate, or one beyond ±10⁹ pixels",
        LimitSpec("A603", "keypoints", Fires.ABOVE, 0.0, 0.0, -4.0, BY_DEFINITION),
    ),
)

RULE_BY_CODE: dict[str, Rule] = {rule.code: rule for rule in RULES}
LIMIT_BY_KEY: dict[str, LimitSpec] = {limit.key: limit for rule in RULES for limit in rule.limits}


def nearest(word: str, known: Iterable[str]) -> str:
    """` Did you mean X?` with the known word closest to `word`, or all known ones."""
    words = list(known)
    longer = [name for name in words if word and name.startswith(word.upper())]
    matches = longer or get_close_matches(word.upper(), words, n=1, cutoff=0.4)
    return f" Did you mean {' or '.join(matches)}?" if matches else f" Known are {', '.join(words)}."


def _matching(prefixes: Sequence[str], option: str) -> set[str]:
    """Codes that start with any of the prefixes; every prefix has to match one."""
    found: set[str] = set()
    problems = []
    for prefix in prefixes:
        codes = {code for code in RULE_BY_CODE if prefix and code.startswith(prefix.upper())}
        if not codes:
            problems.append(f"{option}: no anatomical rule {prefix!r}.{nearest(prefix, RULE_BY_CODE)}")
        found |= codes
    if problems:
        raise UsageError(*problems)
    return found


def select_rules(select: Sequence[str] = (), ignore: Sequence[str] = ()) -> tuple[Rule, ...]:
    """The rules to apply, in the table's order; `select` empty means all, `ignore` wins.

    Both take codes or prefixes (`A1`, `A302`). Raises UsageError, naming the nearest code, for a prefix that
    matches none, and where nothing is left to check.
    """
    chosen = _matching(select, "select") if select else set(RULE_BY_CODE)
    chosen -= _matching(ignore, "ignore")
    if not chosen:
        raise UsageError("select, ignore: no anatomical rule is left to check; ignore fewer codes.")
    return tuple(rule for rule in RULES if rule.code in chosen)


def get_rule(code: str) -> Rule:
    """The rule with this code. Raises UsageError, naming the nearest code, where there is none."""
    rule = RULE_BY_CODE.get(code.upper())
    if rule is None:
        raise UsageError(f"no anatomical rule {code!r}.{nearest(code, RULE_BY_CODE)}")
    return rule
