"""`compare`: is one run better than another on the same images, by which numbers, and on which images?"""

from dataclasses import dataclass, replace
from pathlib import Path
from string import ascii_uppercase

from mahtdiag.config.gates import parse_margin
from mahtdiag.config.settings import Settings
from mahtdiag.diagnosis.comparison import (
    PRIMARY,
    Comparison,
    Outcome,
    Verdict,
    compare_runs,
    compared_names,
)
from mahtdiag.diagnosis.gates import Margin
from mahtdiag.errors import ExitStatus, UsageError
from mahtdiag.reports.tables.comparison import ComparisonResult
from mahtdiag.runs.reading import Run, open_finished
from mahtdiag.workflows.compare.pairing import Pair, pair_runs, require_images, why_missing


@dataclass(frozen=True, slots=True)
class CompareRequest:
    """What a user asked for: run folders, the first of which the others are compared with.

    `margins` are texts such as `radial_error_px.mean=0.3`; without any, those of `[gates.baseline]` hold, and
    without these 0 on the primary numbers. `strict`: a run has to be shown to be no worse. `common`: other
    data is no error.
    """

    runs: tuple[Path, ...]
    settings: Settings
    cwd: Path
    margins: tuple[str, ...] = ()
    strict: bool = False
    common: bool = False


@dataclass(frozen=True, slots=True)
class ComparedRuns:
    """Every run against the first: a pair for each but that one."""

    runs: tuple[Run, ...]
    pairs: tuple[ComparisonResult, ...]

    @property
    def status(self) -> ExitStatus:
        """1 where a run is worse, or, when strict, not shown to be no worse."""
        failed = any(
            each.comparison.verdict is Verdict.WORSE or (each.strict and not each.comparison.non_inferior)
            for each in self.pairs
        )
        return ExitStatus.GATE_FAILED if failed else ExitStatus.OK


def compare(request: CompareRequest) -> ComparedRuns:
    """Compare every run with the first.

    Raises MahtdiagError for runs that cannot be read or compared, and margins on what is not compared.
    """
    if len(request.runs) < 2:
        raise UsageError("name two runs or more: mahtdiag compare RUN_A RUN_B")
    margins = _margins(request)
    runs = tuple(open_finished(path, request.cwd) for path in request.runs)
    pairs = tuple(_compared(runs[0], run, margins, request, _letter(n)) for n, run in enumerate(runs) if n)
    return ComparedRuns(runs, pairs)


def _letter(number: int) -> str:
    """`B` for the first run that is compared with A, `C` for the second."""
    return ascii_uppercase[number] if number < len(ascii_uppercase) else f"run {number + 1}"


def _margins(request: CompareRequest) -> tuple[Margin, ...] | None:
    """The margins that were asked for; None where none were."""
    margins, problems = [], []
    for text in request.margins:
        name, separator, amount = text.rpartition("=")
        try:
            if not separator:
                raise ValueError("expected METRIC=AMOUNT, as in radial_error_px.mean=0.3")
            margins.append(parse_margin(name.strip(), amount))
        except ValueError as error:
            problems.append(f"--margin {text}: {error}")
    if problems:
        raise UsageError(*problems)
    baseline = request.settings.gates.baseline
    if not margins and baseline is not None:
        return baseline.margins
    return tuple(margins) or None


def _compared(
    a: Run, b: Run, margins: tuple[Margin, ...] | None, request: CompareRequest, letter: str
) -> ComparisonResult:
    for run in (a, b):
        require_images(run)
    by = a.document.conditions
    pair = pair_runs(a, b, by.limits, by.rules, common=request.common)
    comparison = judge_pair(pair, margins or tuple(Margin(name, 0.0, relative=False) for name in PRIMARY))
    missing = [judged.name for judged in comparison.judged if judged.outcome is Outcome.MISSING]
    if margins is not None and missing:
        raise UsageError(*(f"margin on {name}: {why_missing(name, pair)}" for name in missing))
    judged = tuple(judged for judged in comparison.judged if judged.name not in missing)
    return ComparisonResult(
        view=a.view,
        a=a.label,
        b=b.label,
        checkpoint_a=a.document.checkpoint.path,
        checkpoint_b=b.document.checkpoint.path,
        comparison=replace(comparison, judged=judged),
        names_a=pair.names_a,
        names_b=pair.names_b,
        strict=request.strict,
        notes=(*_same(a, b), *_unsealed(a), *_unsealed(b), *pair.notes),
        letter=letter,
    )


def judge_pair(pair: Pair, margins: tuple[Margin, ...]) -> Comparison:
    """All numbers that are usually compared and those with a margin."""
    names = compared_names(pair.a.skeleton)
    more = tuple(margin.metric for margin in margins if margin.metric not in names)
    return replace(compare_runs(pair.a, pair.b, (*names, *more), margins), lost=pair.lost)


def _same(a: Run, b: Run) -> tuple[str, ...]:
    return ("A and B are the same run, which cannot differ from itself",) if a.path.samefile(b.path) else ()


def _unsealed(run: Run) -> tuple[str, ...]:
    if run.sealed:
        return ()
    return (
        f"{run.label} was written by an earlier version, which kept no checksums: it may have been edited",
    )
