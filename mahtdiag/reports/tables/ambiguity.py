"""Heatmaps with two peaks, in a table and in words."""

from rich.console import RenderableType
from rich.text import Text

from mahtdiag.diagnosis.ambiguity import Ambiguity, AmbiguousGroup
from mahtdiag.diagnosis.summary import Estimate
from mahtdiag.reports.numbers import ABSENT, counted, interval
from mahtdiag.reports.tables.evaluation import plain_table


def ambiguity_parts(ambiguity: Ambiguity | None) -> list[RenderableType]:
    """A row per vertebra with ambiguous heatmaps and the sentences; nothing where there are none."""
    if ambiguity is None or not (ambiguity.total.two_peaks or ambiguity.total.disagree):
        return []
    total = ambiguity.total
    title = (
        f"Ambiguous heatmaps: {counted(total.two_peaks, 'keypoint')} with two peaks in "
        f"{total.images} of {counted(ambiguity.images, 'image')}"
    )
    # There is room for one interval.
    columns = [str(change.method) for change in total.changes]
    columns.insert(1, "95 % interval")
    table = plain_table(title, "", "images", "points", "between", "apart", *columns)
    for group in (*ambiguity.by_vertebra, total):
        if group.two_peaks or group.disagree:
            table.add_row(*_cells(group))
    table.caption = (
        "Two peaks: the second at least half the first, over 3 σ away. Between: decoded over σ from either; "
        "apart: over σ from the highest cell. "
        f"{' and '.join(str(change.method) for change in total.changes)}: "
        "change of the mean error, px, by that --decode."
    )
    return [table, *(Text(f"{sentence}\n", style="bold") for sentence in ambiguity.sentences)]


def _cells(group: AmbiguousGroup) -> list[str]:
    changes = [_change(change.everywhere) for change in group.changes]
    first = group.changes[0].everywhere if group.changes else None
    changes.insert(1, interval(first.ci95 if first else None))
    counts = (group.images, group.two_peaks, group.between, group.disagree)
    return [group.name, *(str(count) for count in counts), *changes]


def _change(estimate: Estimate | None) -> str:
    return ABSENT if estimate is None else f"{estimate.value:+.2f}"
