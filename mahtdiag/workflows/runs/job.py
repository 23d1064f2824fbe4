"""`runs`: the runs of a folder beside each other, best first, and what else is in it."""

import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mahtdiag.diagnosis.metrics.metric import Better
from mahtdiag.diagnosis.metrics.registry import metric_of, nearest_name, without_section
from mahtdiag.diagnosis.numbers import HEADLINE, find_interval, find_number, paths_of
from mahtdiag.errors import RunFolderError, UsageError
from mahtdiag.reports.tables.runs import MM, PX, SHORT, ListedNumber, ListedRun, OtherFolder, RunsResult
from mahtdiag.runs.reading import (
    DOCUMENT,
    RUNS,
    Run,
    inner_folders,
    latest_run,
    list_runs,
    open_run,
    run_folders,
)
from mahtdiag.schema.safe_text import one_line

STARTED = "started"
BY_ITSELF: Mapping[str, Callable[[ListedRun], float | str]] = {
    STARTED: lambda run: -run.started.timestamp(),
    "number": lambda run: float(run.number),
    "run": lambda run: run.run,
    "gates": lambda run: float(len(run.gates_failed)),
    "checkpoint": lambda run: run.checkpoint,
}
"""What else than a number of a run puts runs into an order."""
ALSO: Mapping[str, str] = {
    **{heading.lower(): name for name, heading in SHORT.items()},
    "date": STARTED,
    "age": STARTED,
    "#": "number",
    "name": "run",
    "gates failed": "gates",
    "impossible": "anatomy.images_with_violations",
}
"""Headings of the columns, and other words for the same."""


@dataclass(frozen=True, slots=True)
class RunsRequest:
    """What a user asked for: `folder` None is `runs/`; `sort` a number of a run, or `started`.

    Without `sort` it is the first of the numbers that head a run which there is, or `started`.
    """

    folder: Path | None
    sort: str | None
    cwd: Path


def rank_runs(request: RunsRequest) -> RunsResult:
    """Every run of a folder, those of the same data together, the best of them first.

    A run that is not finished comes last, and so does one that does not know the number. Folders that are no
    run, and runs that are damaged or were changed, are named with the reason.

    Raises:
        RunFolderError: no such folder, or no run in it.
        UsageError: no run has that number.
    """
    named = request.folder or Path(RUNS)
    folder = request.cwd / named
    if not folder.is_dir():
        why = "not a folder" if os.path.lexists(folder) else "no such folder"
        raise RunFolderError(f"{named}: {why}; name the one that holds the runs")
    if (folder / DOCUMENT).exists():
        raise RunFolderError(
            f"{named}: a run itself; name the folder that holds it, or use `mahtdiag report`"
        )
    runs, others = _opened(folder, request.cwd)
    if not runs:
        why = "; ".join(f"{other.path}: {other.problem}" for other in others[:3])
        raise RunFolderError(
            f"{named}: no run in it{f' ({why})' if why else ''}; `mahtdiag evaluate` makes one"
        )
    contents = {run.number: run.content for run in runs}
    known = {name for content in contents.values() for name in map(without_section, paths_of(content))}
    sort = _sort(request, named, _heads(contents.values(), known), known)
    columns = tuple(
        name for name in dict.fromkeys((*_heads(contents.values(), known), sort)) if name in known
    )
    listed = [replace(run.listed, numbers=_numbers(run.content, columns)) for run in runs]
    return RunsResult(str(named), sort, columns, tuple(_ranked(listed, sort)), tuple(others))


def _heads(contents: Collection[Mapping[str, object]], known: set[str]) -> list[str]:
    """What is shown of runs: millimetres before pixels where each run that has errors knows them."""
    heads = [name for name in HEADLINE if name in known]
    measured = [content for content in contents if find_number(content, PX) is not None]
    first = MM if all(find_number(content, MM) is not None for content in measured) else PX
    return sorted(heads, key=(first, *HEADLINE).index)


def _sort(request: RunsRequest, folder: Path, heads: list[str], known: set[str]) -> str:
    """The number that puts the runs into their order, or `started`."""
    if request.sort is None:
        return next(iter(heads), STARTED)
    sort = without_section(ALSO.get(request.sort.lower(), request.sort))
    if sort in BY_ITSELF or sort in known:
        return sort
    why = f"--sort {request.sort}: no run in {folder} has this number"
    near = None if metric_of(sort) else nearest_name(sort, known)
    if near is not None:
        raise UsageError(f"{why}; did you mean {near}?")
    have = f"they have {', '.join(heads)}" if heads else "they have no numbers"
    raise UsageError(f"{why}; {have}; --sort {STARTED} sorts by age")


@dataclass(frozen=True, slots=True)
class _Opened:
    number: int
    listed: ListedRun
    content: dict[str, object]


def _opened(folder: Path, cwd: Path) -> tuple[list[_Opened], list[OtherFolder]]:
    """The runs that can be read, by their numbers, and every other folder."""
    numbers = {path: number for number, path in enumerate(list_runs(folder), start=1)}
    latest = _latest(cwd)
    runs, others = [], []
    for path in run_folders(folder):
        try:
            run = open_run(path, cwd)
        except RunFolderError as error:
            more = f", and {len(error.problems) - 1} more" if len(error.problems) > 1 else ""
            reason = error.problems[0].removeprefix(f"{path}/").removeprefix(f"{path}: ")
            others.append(OtherFolder(_seen(path, cwd), f"{one_line(reason)}{more}"))
            continue
        number = numbers.get(path)
        if number is None:
            others.append(OtherFolder(_seen(path, cwd), f"{DOCUMENT} does not say when it was started"))
            continue
        content = run.document.model_dump(mode="json", by_alias=True)
        runs.append(_Opened(number, _listed(run, number, is_latest=path.resolve() == latest), content))
    empty = (inner for inner in inner_folders(folder) if not any(True for _ in _runs_at(inner)))
    others += [OtherFolder(_seen(path, cwd), f"no run: it has no {DOCUMENT}") for path in empty]
    return sorted(runs, key=lambda run: run.number), others


def _runs_at(folder: Path) -> Iterator[Path]:
    if os.path.lexists(folder / DOCUMENT):
        yield folder
    else:
        yield from run_folders(folder, depth=2)


def _latest(cwd: Path) -> Path | None:
    try:
        return latest_run(cwd).resolve()
    except RunFolderError:
        return None


def _seen(path: Path, cwd: Path) -> str:
    return str(path.relative_to(cwd) if path.is_relative_to(cwd) else path)


def _listed(run: Run, number: int, *, is_latest: bool) -> ListedRun:
    document = run.document
    return ListedRun(
        number=number,
        run=run.label,
        finished=document.status == "complete",
        latest=is_latest,
        started=document.started,
        view=document.view,
        checkpoint=document.checkpoint.path,
        checkpoint_sha256=document.checkpoint.sha256,
        data=document.data.path,
        data_sha256=document.data.sha256 or document.data.listing_sha256,
        images=document.images.total,
        evaluated=document.images.evaluated,
        failed=document.images.failed,
        gates=len(document.gates),
        gates_failed=tuple(gate.metric for gate in document.gates if not gate.passed),
        spacing_mm=document.resolved.pixel_spacing_mm,
    )


def _numbers(content: dict[str, object], names: Sequence[str]) -> dict[str, ListedNumber]:
    found = {}
    for name in names:
        value = find_number(content, name) if name not in BY_ITSELF else None
        if value is not None:
            metric = metric_of(name)
            unit, label = ("", name) if metric is None else (metric.unit, metric.label)
            found[name] = ListedNumber(value, find_interval(content, name), unit, label)
    return found


def _ranked(runs: Sequence[ListedRun], sort: str) -> Iterator[ListedRun]:
    """Best first within a set of images; sets in the order of their latest run, the newest first."""
    metric = metric_of(sort)
    sign = -1.0 if metric is not None and metric.better is Better.HIGHER else 1.0

    def place(run: ListedRun) -> tuple[bool, bool, float | str]:
        if sort in BY_ITSELF:
            return not run.finished, False, BY_ITSELF[sort](run)
        number = run.numbers.get(sort)
        return not run.finished, number is None, 0.0 if number is None else sign * number.value

    newest: dict[object, float] = {}
    for run in runs:
        newest[run.of] = max(newest.get(run.of, 0.0), run.started.timestamp())
    for of in sorted(newest, key=lambda of: -newest[of]):
        yield from sorted((run for run in runs if run.of == of), key=place)
