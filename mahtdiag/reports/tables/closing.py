"""The last lines of a command: what came of it, and what to type next; all that `--quiet` leaves."""

from collections.abc import Iterable, Iterator
from typing import Final

from mahtdiag.reports.ci.record import CiRecord
from mahtdiag.reports.tables.setup import counts
from mahtdiag.reports.tables.table import Line, Part, Style
from mahtdiag.reports.text import counted
from mahtdiag.schema.setup import SetupStatus

MOST_NEXT: Final = 2


def with_closing(parts: Iterable[Part], record: CiRecord, *, quiet: bool) -> Iterator[Part]:
    """The tables of a command unless it is to be quiet, and its last lines."""
    if not quiet:
        part: Part = Line()
        for part in parts:
            yield part
        if isinstance(part, Line) and not part.text.endswith("\n"):
            yield Line()
    yield from closing_parts(record)


def closing_parts(record: CiRecord) -> Iterator[Line]:
    """At most eight lines: headline, setup, gates, images that are missing, where all is kept, what next."""
    yield Line(headline_of(record), Style.STRONG)
    if record.setup:
        wrong = [entry.check for entry in record.setup if entry.status is SetupStatus.WRONG]
        names = f" (wrong: {', '.join(wrong)})" if wrong else ""
        yield Line(f"setup: {counts(record.setup)}{names}", Style.BAD if wrong else Style.PLAIN)
    failed = record.failed_gates
    if failed:
        more = f"; and {len(failed) - 1} more" if len(failed) > 1 else ""
        count = f"{len(failed)} of {counted(len(record.gates), 'gate')} failed"
        yield Line(f"gates: {count}: {failed[0].sentence}{more}", Style.BAD)
    elif record.gates:
        yield Line(f"gates: {counted(len(record.gates), 'gate')} passed", Style.GOOD)
    if record.failures:
        of = len(record.failures) + record.judged
        allowed = " (allowed)" if record.failures_allowed else ""
        style = Style.DOUBTFUL if record.failures_allowed else Style.BAD
        yield Line(f"images: {len(record.failures)} of {of} failed{allowed}", style)
    for step in record.next_steps[:MOST_NEXT]:
        yield Line(f"next: {step}", whole=True)
    if record.kept:
        yield Line(record.kept, whole=True)


def headline_of(record: CiRecord) -> str:
    """The verdict, or else the first of the numbers with its interval; why nothing came of it."""
    if record.problems:
        return record.problems[0]
    if record.said:
        return record.said
    if not record.numbers:
        return record.headline
    first = record.numbers[0]
    bounds = f" (95 % interval {first.interval})" if first.interval else ""
    return f"{first.name}: {first.value}{bounds}, {counted(record.judged, 'image')}"
