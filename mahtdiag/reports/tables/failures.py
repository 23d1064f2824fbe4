"""Images that could not be used, with their reasons: a mistake that many of them share is said once."""

from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath
from typing import Final

from mahtdiag.errors import without_numbers
from mahtdiag.reports.tables.table import LONGEST_NAME, Table, TableColumn, table
from mahtdiag.schema.records import Failure

# Rows of one reason before they become one, and the further images that this one names.
MOST_ALIKE: Final = 2
NAMED: Final = 2


def failures_table(what: str, failures: Sequence[Failure], *, everything: bool = False) -> Table:
    """Images by name with their reasons; `everything`: each in a row of its own, whatever they share."""
    columns = (
        TableColumn("image", wraps="anywhere", most=LONGEST_NAME // 2),
        TableColumn("reason", wraps="anywhere"),
    )
    rows = ((fail.image, fail.reason) for fail in failures) if everything else _by_reason(failures)
    return table(f"{what}: {len(failures)}", columns, rows)


def _by_reason(failures: Sequence[Failure]) -> Iterator[tuple[str, str]]:
    """A row for each mistake; reasons that differ in the image's own name or in numbers are one."""
    alike: dict[str, list[Failure]] = {}
    for failure in failures:
        stem = str(PurePosixPath(failure.image).with_suffix(""))
        mistake = without_numbers(failure.reason, stem, PurePosixPath(stem).name)
        alike.setdefault(mistake, []).append(failure)
    for first, *others in alike.values():
        if len(others) < MOST_ALIKE:
            yield from ((fail.image, fail.reason) for fail in (first, *others))
            continue
        names = ", ".join(fail.image for fail in others[:NAMED])
        more = ", …" if len(others) > NAMED else ""
        yield first.image, f"{first.reason}; likewise {len(others):,} more: {names}{more}"
