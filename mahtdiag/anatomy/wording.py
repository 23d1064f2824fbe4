"""Findings in words: what is wrong, by how much, what is usual, and what it points to."""

from collections.abc import Callable, Sequence

from mahtdiag.anatomy.limit_spec import LimitSpec
from mahtdiag.anatomy.rules import LIMIT_BY_KEY, RULE_BY_CODE
from mahtdiag.anatomy.sources import BY_DEFINITION
from mahtdiag.schema.findings import Finding
from mahtdiag.schema.skeleton import Skeleton

_MOST_REASONS = 3


def amount(value: float) -> str:
    """A measured value as a sentence carries it: one decimal, two below 1/10, none from 100; a real minus."""
    size = abs(value)
    if size >= 1e6:
        text = f"{value:.1e}"
    elif size >= 100:
        text = f"{value:,.0f}"
    else:
        text = f"{value:.1f}" if size >= 0.095 or value == 0 else f"{value:.2f}"
    return text.replace("-", "−")


def degrees(value: float) -> str:
    """An angle as a sentence carries it."""
    return f"{value:.0f}°"


def limit_of(finding: Finding) -> LimitSpec:
    """The limit that a finding breaks: of its rule, in its unit, on its side."""
    limits = [limit for limit in RULE_BY_CODE[finding.code].limits if limit.unit == finding.unit]
    if finding.code in ("A202", "A203") and finding.vertebra.endswith("S1"):
        return LIMIT_BY_KEY[f"{finding.code}-S1"]
    for limit in limits:
        if (limit.fires == "above") == (finding.value > finding.limit):
            return limit
    return limits[0]


def finding_reason(finding: Finding, skeleton: Skeleton) -> str:
    """One finding in words: `L3 and L4: disc space 2.4 heights, usual 0.4: a level may be missing`."""
    limit = limit_of(finding)
    where = _blamed_names(finding, skeleton) if finding.code in _NAMES_POINTS else _levels(finding)
    return f"{where}: {_SENTENCES[limit.key](finding, limit)}"


def image_reason(findings: Sequence[Finding], skeleton: Skeleton, most: int | None = _MOST_REASONS) -> str:
    """All findings of one image in one line, in the order of `grouped`; empty where there is none.

    The worst finding of each kind is put in words, with the other places where the same fires; at most
    `most` kinds (None: all), the rest are counted.
    """
    groups = grouped(findings)
    shown = groups if most is None else groups[:most]
    parts = [group_reason(group, skeleton) for group in shown]
    rest = [group[0].code for group in groups[len(shown) :]]
    if rest:
        parts.append(f"and {', '.join(dict.fromkeys(rest))}")
    return "; ".join(parts)


def group_reason(group: Sequence[Finding], skeleton: Skeleton) -> str:
    """The worst of several findings of one kind in words, and where else the same fires."""
    others = {finding.vertebra for finding in group[1:]} - {group[0].vertebra}
    names = ", ".join(name for name in skeleton.levels if name in others)
    return finding_reason(group[0], skeleton) + (f" (also {names})" if names else "")


def grouped(findings: Sequence[Finding]) -> tuple[tuple[Finding, ...], ...]:
    """Findings by the limit they break, the worst first within a group.

    Groups that contradict what the keypoints mean come first, the worst leading: they are the cause where
    others fire with them (a mirrored vertebra also steps out of its line). Then the rest, the worst leading.
    """
    by_key: dict[str, list[Finding]] = {}
    for finding in sorted(findings, key=lambda f: (not _impossible(f), -f.severity)):
        by_key.setdefault(limit_of(finding).key, []).append(finding)
    return tuple(tuple(group) for group in by_key.values())


def _impossible(finding: Finding) -> bool:
    return limit_of(finding).origin == BY_DEFINITION


def _levels(finding: Finding) -> str:
    """`L3` or `L3 and L4`."""
    return finding.vertebra.replace("/", " and ")


def _blamed_names(finding: Finding, skeleton: Skeleton) -> str:
    """`L3 UL and LR`: the blamed corners; the vertebra alone where all of them are blamed."""
    corners = [
        skeleton.corner_of[k] for k in finding.keypoints if skeleton.vertebra_of[k] == finding.vertebra
    ]
    if not corners or len(corners) == skeleton.vertebra_of.count(finding.vertebra):
        return finding.vertebra
    head = ", ".join(corners[:-1])
    return f"{finding.vertebra} {f'{head} and {corners[-1]}' if head else corners[0]}"


def _usual(limit: LimitSpec) -> str:
    return f"usual {amount(limit.typical)}"


def _pair(finding: Finding) -> tuple[str, str]:
    upper, _, lower = finding.vertebra.partition("/")
    return upper, lower


def _centres(finding: Finding, limit: LimitSpec) -> str:
    upper, lower = _pair(finding)
    if finding.value == 0:
        place = f"the centre of {lower} lies level with that of {upper}"
    else:
        place = f"the centre of {lower} lies {amount(-finding.value)} heights above that of {upper}"
    return f"{place}, usual {amount(limit.typical)} below: vertebrae out of order"


def _overlap(finding: Finding, limit: LimitSpec) -> str:
    overlap = f"endplates overlap by {amount(-finding.value)} heights"
    return f"{overlap}, usual gap {amount(limit.typical)}: an endplate on the wrong side of the disc"


def _exchanged(finding: Finding, limit: LimitSpec) -> str:
    return f"upper endplate {amount(-finding.value)} heights below the lower one: the two are exchanged"


def _not_parallel(finding: Finding, limit: LimitSpec) -> str:
    angle = f"endplates {degrees(finding.value)} apart, usual {degrees(limit.typical)}"
    return f"{angle}: an endplate is tilted or a corner is off"


def _wedged(finding: Finding, limit: LimitSpec) -> str:
    angle = f"disc wedged by {degrees(finding.value)}, usual {degrees(limit.typical)}"
    return f"{angle}: an endplate is tilted or a corner is off"


def _leaning(finding: Finding, limit: LimitSpec) -> str:
    side = ("upper", "lower")[min(finding.keypoints, default=0) // 2 % 2]
    angle = f"{side} endplate tilted by {degrees(finding.value)} against its neighbours"
    return f"{angle}, usual {degrees(limit.typical)}: one of its corners is off"


def _too_tall(finding: Finding, limit: LimitSpec) -> str:
    ratio = f"width/height {amount(finding.value)}, {_usual(limit)}"
    return f"{ratio}: the outline is too tall for one body"


def _too_flat(finding: Finding, limit: LimitSpec) -> str:
    ratio = f"width/height {amount(finding.value)}, {_usual(limit)}"
    return f"{ratio}: too flat, an endplate on another level or marked twice"


def _jump(name: str) -> Callable[[Finding, LimitSpec], str]:
    def sentence(finding: Finding, limit: LimitSpec) -> str:
        jump = f"{name} differ by {100 * finding.value:.0f} % of their mean"
        return f"{jump}, usual {100 * limit.typical:.0f} %: an outline holds more, or less, than one body"

    return sentence


def _crossed(finding: Finding, limit: LimitSpec) -> str:
    return f"outline crosses itself, {amount(finding.value)} heights deep: two corners are exchanged"


def _mirrored(finding: Finding, limit: LimitSpec) -> str:
    depth = f"left corners {amount(-finding.value)} widths right of the right ones"
    return f"{depth}: mirrored, or left and right exchanged"


def _dented(finding: Finding, limit: LimitSpec) -> str:
    if finding.value == 0:
        return "corner on the line between its neighbours: the outline has collapsed there"
    return f"corner bent inwards by {amount(-finding.value)} heights: the corner is off"


def _off_side(finding: Finding, limit: LimitSpec) -> str:
    step = f"{amount(finding.value)} heights off the line of its side"
    return f"{step}, {_usual(limit)}: the corner is off"


def _off_alone(finding: Finding, limit: LimitSpec) -> str:
    step = f"{amount(finding.value)} heights out of step with the opposite corner"
    return f"{step}, {_usual(limit)}: the corner is off"


def _spacing(meaning: str) -> Callable[[Finding, LimitSpec], str]:
    def sentence(finding: Finding, limit: LimitSpec) -> str:
        return f"centres {amount(finding.value)} × this spine's usual spacing apart: {meaning}"

    return sentence


def _disc_space(finding: Finding, limit: LimitSpec) -> str:
    gap = f"disc space {amount(finding.value)} heights, {_usual(limit)}"
    return f"{gap}: a level may be missing"


def _outside(finding: Finding, limit: LimitSpec) -> str:
    return f"{amount(finding.value)} heights outside the image: another image, size or unit"


def _coincide(finding: Finding, limit: LimitSpec) -> str:
    distance = f"{amount(finding.value)} heights from another keypoint, {_usual(limit)}"
    return f"{distance}: marked twice or copied"


def _missing(finding: Finding, limit: LimitSpec) -> str:
    return "no place: not annotated, not finite or beyond ±10⁹ px"


_NAMES_POINTS = frozenset({"A403", "A404", "A405", "A601", "A602", "A603"})
_SENTENCES: dict[str, Callable[[Finding, LimitSpec], str]] = {
    "A101": _centres,
    "A102": _overlap,
    "A103": _exchanged,
    "A201": _not_parallel,
    "A202": _wedged,
    "A202-S1": _wedged,
    "A203": _leaning,
    "A203-S1": _leaning,
    "A301-min": _too_tall,
    "A301-max": _too_flat,
    "A302-width": _jump("widths"),
    "A302-height": _jump("heights"),
    "A401": _crossed,
    "A402": _mirrored,
    "A403": _dented,
    "A404": _off_side,
    "A405": _off_alone,
    "A501-min": _spacing("a level may be marked twice"),
    "A501-max": _spacing("a level may be missing"),
    "A501-gap": _disc_space,
    "A601": _outside,
    "A602": _coincide,
    "A603": _missing,
}
