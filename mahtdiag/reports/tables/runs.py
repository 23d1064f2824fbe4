"""Runs beside each other, as tables and as plain values."""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import combinations, groupby
from pathlib import PurePath
from typing import Final

from mahtdiag.reports.rendering import Json
from mahtdiag.reports.tables.table import (
    STANDARD_WIDTH,
    Cell,
    Line,
    Part,
    Style,
    Table,
    TableColumn,
    table,
)
from mahtdiag.reports.text import ABSENT, counted, in_unit, interval, shorten
from mahtdiag.schema.safe_text import one_line
from mahtdiag.schema.skeleton import View

PX, MM = "radial_error_px.mean", "radial_error_mm.mean"
SHORT: Final = {
    PX: "mean px",
    MM: "mean mm",
    "anatomy.images_with_violations": "impossible %",
    "calibration.mace": "MACE",
}
"""What columns are called."""
RUNS: Final = "runs"
"""The folder whose runs commands take by their numbers alone."""
MOST_OTHERS: Final = 8
NUMBER_WIDTH, CHECKPOINT_WIDTH, GATES_WIDTH, LEAST_NAME = 11, 13, 6, 12


@dataclass(frozen=True, slots=True)
class ListedNumber:
    """A number of a run with its 95 % interval; shares are shown in percent."""

    value: float
    ci95: tuple[float, float] | None
    unit: str
    label: str

    @property
    def scale(self) -> float:
        """What it is multiplied by where people read it."""
        return 100.0 if self.unit == "share" else 1.0


@dataclass(frozen=True, slots=True)
class ListedRun:
    """A run by the number that `compare` takes; `images` are all of its data, `evaluated` those it got to.

    `spacing_mm`: what was said of images without a pixel spacing of their own.
    """

    number: int
    run: str
    finished: bool
    latest: bool
    started: datetime
    view: View
    checkpoint: str
    checkpoint_sha256: str
    data: str
    data_sha256: str | None
    images: int
    evaluated: int
    failed: int
    gates: int
    gates_failed: tuple[str, ...]
    spacing_mm: float | None = None
    numbers: Mapping[str, ListedNumber] = field(default_factory=dict)

    @property
    def of(self) -> tuple[str, str]:
        """What it is a run of: numbers of other images are not to be compared."""
        return str(self.view), self.data_sha256 or self.data


@dataclass(frozen=True, slots=True)
class OtherFolder:
    """A folder that is no run that can be read, and why."""

    path: str
    problem: str


@dataclass(frozen=True, slots=True)
class RunsResult:
    """The runs of a folder, those of the same images together; `columns`: the numbers that are shown."""

    folder: str
    sort: str
    columns: tuple[str, ...]
    runs: tuple[ListedRun, ...]
    others: tuple[OtherFolder, ...]


def runs_parts(result: RunsResult, width: int = STANDARD_WIDTH) -> Iterator[Part]:
    """A table for each set of images, then what is no run, and how to compare the first two."""
    wider = max(0, width - STANDARD_WIDTH)
    groups = [[*same] for _, same in groupby(result.runs, key=lambda run: run.of)]
    for same in groups:
        yield _runs_table(result, same, wider)
    for other in result.others[:MOST_OTHERS]:
        yield Line(f"not listed: {one_line(other.path)}: {one_line(other.problem)}", Style.DOUBTFUL)
    if len(result.others) > MOST_OTHERS:
        yield Line(f"not listed: {len(result.others) - MOST_OTHERS} more; --format json names them")
    pair = next((found for same in groups if (found := _best_two(same))), None)
    if pair is not None:
        typed = " ".join(_typed(result, run) for run in reversed(pair))
        yield Line(f"next: mahtdiag compare {typed}", Style.STRONG)


def _best_two(same: Sequence[ListedRun]) -> tuple[ListedRun, ListedRun] | None:
    """The first two that `compare` takes together."""
    pairs = combinations([run for run in same if run.finished], 2)
    return next((pair for pair in pairs if pair[0].spacing_mm == pair[1].spacing_mm), None)


def _typed(result: RunsResult, run: ListedRun) -> str:
    """What commands take for a run."""
    if PurePath(result.folder) == PurePath(RUNS):
        return str(run.number)
    return shlex.quote(one_line(f"{result.folder.rstrip('/')}/{run.number}"))


def _columns(result: RunsResult, runs: Sequence[ListedRun]) -> list[str]:
    """What runs are ranked by first; errors in millimetres, where all of them know these, else in pixels."""
    known = [name for name in result.columns if any(name in run.numbers for run in runs)]
    in_mm = all(MM in run.numbers for run in runs)
    left_out = PX if in_mm else MM
    first = [result.sort] if result.sort in known else []
    return list(dict.fromkeys((*first, *(name for name in known if name != left_out))))


def _runs_table(result: RunsResult, runs: Sequence[ListedRun], wider: int) -> Table:
    first, columns = runs[0], _columns(result, runs)
    heads: list[TableColumn] = []
    for place, name in enumerate(columns):
        unit = " %" if any(run.numbers[name].unit == "share" for run in runs if name in run.numbers) else ""
        title = SHORT.get(name, f"{name}{unit}")
        heads.append(
            TableColumn(title, right=True, wraps="words" if name in SHORT else "anywhere", most=NUMBER_WIDTH)
        )
        if not place:
            heads.append(TableColumn("95 % interval", right=True))
    heads.append(TableColumn("gates failed", right=True, wraps="words", width=GATES_WIDTH))
    told = [[*_numbers(run, columns)] for run in runs]
    # The name of a run is never parted: without room there is no checkpoint, and at last an ellipsis.
    numbers_width = sum(map(_width, heads, zip(*told, strict=True)))
    digits = max(len(str(run.number)) for run in runs)
    room = STANDARD_WIDTH + wider - digits - 1 - numbers_width
    checkpoint_width = CHECKPOINT_WIDTH + wider // 2
    names = [_name(result, run, STANDARD_WIDTH + wider) for run in runs]
    with_checkpoint = max(map(len, names)) <= room - checkpoint_width - 1
    notes = [f"by {result.sort}"]
    notes += ["*: images failed"] if any(run.failed for run in runs) else []
    notes += ["unfinished: as far as it got"] if any(not run.finished for run in runs) else []
    return table(
        f"{one_line(first.data)}: {first.view} view, {counted(first.images, 'image')}",
        (
            TableColumn("#", right=True),
            TableColumn("run"),
            *heads,
            *((TableColumn("checkpoint", most=checkpoint_width),) if with_checkpoint else ()),
        ),
        (
            (
                str(run.number),
                Cell(_name(result, run, max(room, LEAST_NAME)), Style.PLAIN if run.finished else Style.DIM),
                *numbers,
                *((_checkpoint(run, checkpoint_width),) if with_checkpoint else ()),
            )
            for run, numbers in zip(runs, told, strict=True)
        ),
        note="; ".join(notes),
        dense=True,
    )


def _width(column: TableColumn, cells: Sequence[str | Cell]) -> int:
    """How wide a column is, with the space before it."""
    words = column.name.split() if column.wraps == "words" else [column.name]
    texts = [*words, *(cell.text if isinstance(cell, Cell) else cell for cell in cells)]
    return 1 + (column.width or min(column.most or STANDARD_WIDTH, max(map(len, texts))))


def _name(result: RunsResult, run: ListedRun, room: int) -> str:
    """What a run is called, shortened in the middle, and what is said of it."""
    marks = (" *" if run.failed else "") + (" (latest)" if run.latest else "")
    marks += "" if run.finished else f" (unfinished, {run.evaluated + run.failed} of {run.images})"
    name = one_line(run.run.removeprefix(f"{result.folder.rstrip('/')}/"))
    return f"{shorten(name, max(LEAST_NAME, room - len(marks)))}{marks}"


def _numbers(run: ListedRun, columns: Sequence[str]) -> Iterator[str | Cell]:
    for place, column in enumerate(columns):
        found = run.numbers.get(column)
        yield ABSENT if found is None else in_unit(found.value, found.unit)
        if not place:
            yield ABSENT if found is None else interval(found.ci95, found.scale)
    failed = f"{len(run.gates_failed)}/{run.gates}"
    yield Cell(failed, Style.BAD if run.gates_failed else Style.GOOD) if run.gates else ABSENT


def _checkpoint(run: ListedRun, width: int) -> str:
    names = ",".join(PurePath(part).name for part in run.checkpoint.split(","))
    return shorten(one_line(names), width)


def runs_content(result: RunsResult) -> dict[str, Json]:
    """What `--format json` prints."""
    return {
        "folder": result.folder,
        "sort": result.sort,
        "runs": [_run_content(run) for run in result.runs],
        "not_listed": [{"path": other.path, "problem": other.problem} for other in result.others],
    }


def _run_content(run: ListedRun) -> dict[str, Json]:
    return {
        "number": run.number,
        "run": run.run,
        "status": "complete" if run.finished else "interrupted",
        "latest": run.latest,
        "started": run.started.isoformat(),
        "view": str(run.view),
        "checkpoint": {"path": run.checkpoint, "sha256": run.checkpoint_sha256},
        "data": {"path": run.data, "sha256": run.data_sha256},
        "images": {"total": run.images, "evaluated": run.evaluated, "failed": run.failed},
        "numbers": {
            name: {"value": found.value, "ci95": None if found.ci95 is None else [*found.ci95]}
            for name, found in run.numbers.items()
        },
        "gates": {"total": run.gates, "failed": [*run.gates_failed]},
    }
