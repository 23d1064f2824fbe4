"""Findings in words: what is wrong, by how much, what is usual, and what it points to."""

from collections.abc import Sequence

from mahtdiag.anatomy.rule import LimitSpec
from mahtdiag.anatomy.rules import RULE_BY_CODE
from mahtdiag.schema.findings import Finding
from mahtdiag.schema.skeleton import Skeleton

_MOST_REASONS = 3


def finding_reason(finding: Finding, skeleton: Skeleton) -> str:
    """One finding in words: `L3 and L4: disc space 2.4 heights, usual 0.4: a level may be missing`."""
    rule = RULE_BY_CODE[finding.code]
    where = _blamed_names(finding, skeleton) if rule.names_points else finding.vertebra.replace("/", " and ")
    return f"{where}: {rule.say(finding, limit_of(finding, skeleton))}"


def limit_of(finding: Finding, skeleton: Skeleton) -> LimitSpec:
    """The limit that a finding breaks."""
    return RULE_BY_CODE[finding.code].limit_of(finding, skeleton)


def image_reason(findings: Sequence[Finding], skeleton: Skeleton, most: int | None = _MOST_REASONS) -> str:
    """All findings of one image in one line, in the order of `grouped`; empty where there is none.

    The worst finding of each kind is put in words, with the other places where the same fires; at most
    `most` kinds (None: all), the rest are counted.
    """
    groups = grouped(findings, skeleton)
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


def grouped(findings: Sequence[Finding], skeleton: Skeleton) -> tuple[tuple[Finding, ...], ...]:
    """Findings by the limit they break, the worst first within a group.

    Groups that contradict what the keypoints mean come first, the worst leading: they are the cause where
    others fire with them (a mirrored vertebra also steps out of its line). Then the rest, the worst leading.
    """
    broken = {id(finding): limit_of(finding, skeleton) for finding in findings}
    by_key: dict[str, list[Finding]] = {}
    for finding in sorted(findings, key=lambda f: (not broken[id(f)].by_definition, -f.severity)):
        by_key.setdefault(broken[id(finding)].key, []).append(finding)
    return tuple(tuple(group) for group in by_key.values())


def _blamed_names(finding: Finding, skeleton: Skeleton) -> str:
    """`L3 UL and LR`: the blamed corners; the vertebra alone where all of them are blamed."""
    corners = [
        skeleton.corner_of[k] for k in finding.keypoints if skeleton.vertebra_of[k] == finding.vertebra
    ]
    if not corners or len(corners) == skeleton.vertebra_of.count(finding.vertebra):
        return finding.vertebra
    head = ", ".join(corners[:-1])
    return f"{finding.vertebra} {f'{head} and {corners[-1]}' if head else corners[0]}"
