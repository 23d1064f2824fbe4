"""`compare`: is one run better than another on the same images, by which numbers, and on which images?"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from string import ascii_uppercase

import numpy as np

from mahtdiag.config.gates import parse_margin
from mahtdiag.config.settings import Settings
from mahtdiag.diagnosis.comparison import (
    PRIMARY,
    PRIMARY_MM,
    ComparedMetric,
    Comparison,
    JudgedMetric,
    Outcome,
    Verdict,
    compare_runs,
    compared_names,
    together,
)
from mahtdiag.diagnosis.gates import Bound, Gate, GateResult, Margin
from mahtdiag.diagnosis.image_errors import both_know_mm
from mahtdiag.diagnosis.metrics.errors import MISS_RATE
from mahtdiag.diagnosis.metrics.registry import is_of_errors
from mahtdiag.diagnosis.worst_images import WorstImages, by_increase
from mahtdiag.errors import ExitStatus, UsageError
from mahtdiag.reports.ci.record import CiRecord, GateCase, NumberRow, interval_in_words
from mahtdiag.reports.tables.comparison import ComparisonResult, verdict_lines
from mahtdiag.reports.tables.setup import plausibility_note
from mahtdiag.reports.tables.table import WORSE_BY
from mahtdiag.reports.text import counted, in_unit, interval, signed
from mahtdiag.runs.reading import Run, open_finished
from mahtdiag.schema.records import Failure
from mahtdiag.statistics.sign_flips import Interval
from mahtdiag.workflows.compare.pairing import Pair, pair_runs, require_images, why_missing


@dataclass(frozen=True, slots=True)
class CompareRequest:
    """What a user asked for: run folders, the first of which the others are compared with.

    `margins` are texts such as `radial_error_px.mean=0.3`; without any, those of `[gates.baseline]` hold, and
    without these `default_margins`. `strict`: a run has to be shown to be no worse. `common`: other data is
    no error.
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
        """1 where a run is worse, or, when strict, not shown to be no worse; 2 where too few images tell."""
        failed = any(
            each.comparison.verdict is Verdict.WORSE or (each.strict and not each.comparison.non_inferior)
            for each in self.pairs
        )
        if failed:
            return ExitStatus.GATE_FAILED
        told = all(each.comparison.verdict is not Verdict.TOO_FEW for each in self.pairs)
        return ExitStatus.OK if told else ExitStatus.NOT_DONE


def compare(request: CompareRequest) -> ComparedRuns:
    """Compare every run with the first.

    Raises MahtdiagError for runs that cannot be read or compared, and margins on what is not compared.
    """
    if len(request.runs) < 2:
        raise UsageError("name two runs or more: mahtdiag compare RUN_A RUN_B")
    margins = _margins(request)
    runs = tuple(open_finished(path, request.cwd) for path in request.runs)
    pairs = tuple(_compared(runs[0], run, margins, request, _letter(n)) for n, run in enumerate(runs) if n)
    settled = together([pair.comparison for pair in pairs])
    tested = sum(m.difference.p_value is not None for comparison in settled for m in comparison.metrics)
    return ComparedRuns(
        runs,
        tuple(replace(pair, comparison=c, compared=tested) for pair, c in zip(pairs, settled, strict=True)),
    )


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
    comparison = judge_pair(pair, margins or default_margins(pair))
    missing = [judged.name for judged in comparison.judged if judged.outcome is Outcome.MISSING]
    if margins is not None and missing:
        raise UsageError(*(f"margin on {name}: {why_missing(name, pair)}" for name in missing))
    judged = tuple(judged for judged in comparison.judged if judged.name not in missing)
    return ComparisonResult(
        skeleton=a.skeleton,
        a=a.label,
        b=b.label,
        checkpoint_a=a.document.checkpoint.path,
        checkpoint_b=b.document.checkpoint.path,
        comparison=replace(comparison, judged=judged),
        names_a=pair.names_a,
        names_b=pair.names_b,
        strict=request.strict,
        notes=(
            *_implausible(a),
            *_implausible(b),
            *_same(a, b),
            *_unsealed(a),
            *_unsealed(b),
            *_missed(pair, letter),
            *pair.notes,
        ),
        letter=letter,
    )


def default_margins(pair: Pair) -> tuple[Margin, ...]:
    """What decides where nobody says what: of errors those in millimetres where both runs know them."""
    names = PRIMARY_MM if both_know_mm(pair.a, pair.b) else PRIMARY
    return tuple(Margin(name, 0.0, relative=False) for name in names)


def judge_pair(pair: Pair, margins: tuple[Margin, ...]) -> Comparison:
    """All numbers that are usually compared and those with a margin; missed keypoints decide, if any are."""
    missed = pair.a.missed.any() or pair.b.missed.any()
    if missed and MISS_RATE not in [margin.metric for margin in margins]:
        margins = (*margins, Margin(MISS_RATE, 0.0, relative=False))
    names = compared_names(pair.a.skeleton, in_mm=both_know_mm(pair.a, pair.b))
    more = tuple(margin.metric for margin in margins if margin.metric not in names)
    return replace(compare_runs(pair.a, pair.b, (*names, *more), margins), lost=pair.lost)


def _missed(pair: Pair, letter: str) -> tuple[str, ...]:
    """What errors are compared over where keypoints are missed."""
    a, b = (int(table.missed.sum()) for table in (pair.a, pair.b))
    if not a and not b:
        return ()
    both = int((np.isfinite(pair.a.error_px) & np.isfinite(pair.b.error_px)).sum())
    return (
        f"A misses {counted(a, 'labelled keypoint')}, {letter} {b:,}: errors are compared over the {both:,} "
        "that both predict, success rates over all that are labelled",
    )


def _same(a: Run, b: Run) -> tuple[str, ...]:
    return (
        ("A and B are the same run, which cannot differ from itself",)
        if a.path.resolve() == b.path.resolve()
        else ()
    )


def _implausible(run: Run) -> tuple[str, ...]:
    return plausibility_note(run.label, run.document.setup_entries)


def _unsealed(run: Run) -> tuple[str, ...]:
    if run.sealed:
        return ()
    return (
        f"{run.label} was written by an earlier version, which kept no checksums: it may have been edited",
    )


def of_comparison(compared: ComparedRuns) -> CiRecord:
    """Runs against the first: the numbers that decide, those that differ, the images that got worse."""
    pairs = compared.pairs
    several = len(pairs) > 1
    lettered = [(f"{pair.letter}: " if several else "", pair) for pair in pairs]
    lost = [failure for pair in pairs for failure in _lost(pair)]
    return CiRecord(
        command="compare",
        about=(("A", pairs[0].a), *((pair.letter, pair.b) for pair in pairs)),
        said=" ".join(_said(pair, before) for before, pair in lettered),
        judged=max(pair.comparison.images for pair in pairs),
        failures=tuple(lost),
        failures_allowed=not lost,
        gates=tuple(_case(pair, of, before) for before, pair in lettered for of in pair.comparison.judged),
        numbers=tuple(row for before, pair in lettered for row in _numbers(pair, before)),
        worst=_worse(pairs[0]) if not several else None,
        notes=tuple(dict.fromkeys(note for pair in pairs for note in pair.notes)),
    )


def _said(pair: ComparisonResult, before: str) -> str:
    if before:
        return f"{before}{pair.comparison.verdict}."
    return " ".join(line.text for line in verdict_lines(pair)).removeprefix("verdict: ")


def _lost(pair: ComparisonResult) -> Iterator[Failure]:
    for image in pair.comparison.lost:
        yield Failure(image, f"evaluated in {pair.a}, failed in {pair.b}")


def _case(pair: ComparisonResult, judged: JudgedMetric, before: str) -> GateCase:
    """How much worse a run is, against its margin.

    The end of the interval that has to keep the margin is the lower one, or the upper one where a run must
    be shown to be no worse.
    """
    bound = Bound.UPPER if pair.strict else Bound.LOWER
    ends, few = judged.worsening_ci95, judged.outcome is Outcome.TOO_FEW
    passed = judged.outcome in (Outcome.BETTER, Outcome.WITHIN) or (
        judged.outcome is Outcome.OPEN and not pair.strict
    )
    result = GateResult(
        Gate(f"{before}{judged.name}{WORSE_BY}", "<=", judged.margin or 0.0, bound),
        value=_judged_end(judged, ends, bound),
        passed=passed,
        estimate=judged.worsening,
        ci95=ends,
        reason=judged.difference.too_few(pair.comparison.kind_of_units)
        if few and judged.difference
        else None,
    )
    return GateCase(result, _worse(pair, before) if is_of_errors(judged.name) and not passed else None)


def _judged_end(judged: JudgedMetric, ends: Interval | None, bound: Bound) -> float | None:
    """The end that is judged; 0 where no image differs, whatever others might have shown."""
    if judged.difference is not None and judged.difference.same:
        return 0.0
    return None if ends is None else ends[1 if bound is Bound.UPPER else 0]


def _worse(pair: ComparisonResult, before: str = "") -> WorstImages | None:
    errors = pair.comparison.errors
    rows, _ = errors.changed()
    names = [pair.names_a[row] for row in rows]
    found = by_increase(names, errors.a[rows], errors.b[rows], errors.unit.words).worst(too_high=True)
    if found is None or not before:
        return found
    return replace(found, what=f"{found.what} in {pair.letter}")


def _numbers(pair: ComparisonResult, before: str) -> Iterator[NumberRow]:
    """The numbers that decide and those that differ by more than chance."""
    judged = {each.name for each in pair.comparison.judged}
    for metric in pair.comparison.metrics:
        if metric.name in judged or metric.verdict in (Verdict.BETTER, Verdict.WORSE):
            yield _number(metric, before)


def _number(metric: ComparedMetric, before: str) -> NumberRow:
    found = metric.difference
    a, b, change = (in_unit(value, metric.metric.unit) for value in (found.a, found.b, found.difference))
    told = "" if metric.verdict in (None, Verdict.SAME) else f", {metric.verdict}"
    share = metric.metric.unit == "share"
    text = f"{a} → {b}{' %' if share else ''} ({signed(change)}{told})"
    bounds = found.ci95 and f"{interval(found.ci95, 100)} %"
    return NumberRow(
        f"{before}{metric.name}", text, (bounds or "") if share else interval_in_words(found.ci95)
    )
