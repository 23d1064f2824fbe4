"""The page of every number of a run, from the registry that tables, gates and comparisons ask."""

from collections.abc import Iterable

from handbook.concepts import explained_at
from mahtdiag.diagnosis.metrics.metric import Better, GroupKind, IntervalKind, Metric
from mahtdiag.diagnosis.metrics.registry import known_metrics

_INTRODUCTION = """# Numbers of a run

Each of these is in `run.json` under `metrics`, in the tables, and may be named by a gate, by
`mahtdiag compare --margin`, by `mahtdiag runs --sort` and by `run.numbers` in Python. `mahtdiag explain NAME`
says the same of one, and what it takes to be known. Those of single vertebrae, corners, rules and kinds of
mistakes have the names of the last section. What each is leads to [its concept](concepts/index.md): formula,
picture, when it misleads.

Better: whether less (↓) or more (↑) of it is better. Interval: it has one of 95 %, from so many patients or
images on.
"""
_SIGNS = {Better.LOWER: "↓", Better.HIGHER: "↑", Better.NEITHER: ""}
_REST = "Other numbers"


def page() -> str:
    """The page, in Markdown: one table for each section, then one example of each kind of group."""
    of_all = [metric for metric in known_metrics() if metric.group.kind is GroupKind.ALL]
    sections: dict[str, list[Metric]] = {}
    for metric in of_all:
        sections.setdefault(metric.table or _REST, []).append(metric)
    lines = [_INTRODUCTION]
    for title in sorted(sections, key=lambda each: each == _REST):
        lines += [f"## {title}", "", *table(sections[title]), ""]
    first: dict[str, Metric] = {}
    for metric in known_metrics():
        if metric.group.kind is not GroupKind.ALL:
            first.setdefault(f"{metric.group.kind}, {metric.table or metric.section}", metric)
    lines += ["## Of groups", "", "The first of each kind:", "", *table(first.values()), ""]
    return "\n".join(lines)


def table(metrics: Iterable[Metric]) -> list[str]:
    """A row for each metric."""
    head = ["| name | what | unit | better | interval |", "| --- | --- | --- | --- | --- |"]
    return head + [
        f"| `{metric.name}` | [{metric.label.strip()}]({explained_at(metric.name)}) "
        f"| {metric.unit} | {_SIGNS[metric.better]} "
        f"| {'' if metric.interval is IntervalKind.NONE else f'from {metric.fewest}'} |"
        for metric in metrics
    ]
