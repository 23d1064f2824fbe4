"""`compare`: is one run better than another on the same images, by which numbers, and on which images?"""

from dataclasses import dataclass, replace
from pathlib import Path

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
class ComparedPair:
    """Run B against run A; `names_a`, `names_b`: what each calls the images compared, in one order."""

    a: Run
    b: Run
    label_a: str
    label_b: str
    names_a: tuple[str, ...]
    names_b: tuple[str, ...]
    comparison: Comparison
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ComparedRuns:
    """Every run against the first."""

    pairs: tuple[ComparedPair, ...]
    strict: bool

    @property
    def status(self) -> ExitStatus:
        """1 where a run is worse, or, when strict, not shown to be no worse."""
        failed = any(
            each.comparison.verdict is Verdict.WORSE or (self.strict and not each.comparison.non_inferior)
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
    first, *others = (open_finished(path, request.cwd) for path in request.runs)
    pairs = tuple(_compared(first, run, margins, common=request.common) for run in others)
    return ComparedRuns(pairs, request.strict)


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


def _compared(a: Run, b: Run, margins: tuple[Margin, ...] | None, *, common: bool) -> ComparedPair:
    for run in (a, b):
        require_images(run)
    by = a.document.conditions
    pair = pair_runs(a, b, by.limits, by.rules, common=common)
    comparison = judge_pair(pair, margins or tuple(Margin(name, 0.0, relative=False) for name in PRIMARY))
    missing = [judged.name for judged in comparison.judged if judged.outcome is Outcome.MISSING]
    if margins is not None and missing:
        raise UsageError(*(f"margin on {name}: {why_missing(name, pair)}" for name in missing))
    judged = tuple(judged for judged in comparison.judged if judged.name not in missing)
    return ComparedPair(
        a=a,
        b=b,
        label_a=a.label,
        label_b=b.label,
        names_a=pair.names_a,
        names_b=pair.names_b,
        comparison=replace(comparison, judged=judged),
        notes=(*_same(a, b), *_unsealed(a), *_unsealed(b), *pair.notes),
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
