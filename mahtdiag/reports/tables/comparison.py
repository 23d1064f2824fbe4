"""The tables that `compare` prints: what decides, every other number, and the images that changed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mahtdiag.diagnosis.comparison import ComparedMetric, Comparison, JudgedMetric, Outcome, Verdict
from mahtdiag.diagnosis.metrics.metric import Metric
from mahtdiag.reports.tables.table import (
    LONGEST_NAME,
    NAME_WIDTH,
    STANDARD_WIDTH,
    Cell,
    Line,
    Part,
    Style,
    Table,
    TableColumn,
    short_name,
    table,
)
from mahtdiag.reports.text import counted, interval, number, pixels
from mahtdiag.schema.skeleton import View

SHOWN_IMAGES = 8
SMALLEST_P = 0.001
STYLES = {
    Outcome.WORSE: Style.BAD,
    Outcome.BETTER: Style.GOOD,
    Verdict.WORSE: Style.BAD,
    Verdict.BETTER: Style.GOOD,
}


@dataclass(frozen=True, slots=True)
class ComparisonResult:
    """Run B against run A; of several runs, `letter` tells which of them B is.

    `names_a` and `names_b`: what the compared images are called in either.
    """

    view: View
    a: str
    b: str
    checkpoint_a: str
    checkpoint_b: str
    comparison: Comparison
    names_a: Sequence[str]
    names_b: Sequence[str]
    strict: bool
    notes: tuple[str, ...]
    letter: str = "B"


def comparison_parts(result: ComparisonResult, width: int = STANDARD_WIDTH) -> Iterator[Part]:
    """Everything about one pair of runs; what a terminal has above 80 columns goes to file names."""
    comparison = result.comparison
    yield Line(f"A  {result.a} ({result.checkpoint_a})", Style.STRONG)
    yield Line(f"{result.letter}  {result.b} ({result.checkpoint_b})", Style.STRONG)
    yield Line(f"{result.view} view, {counted(comparison.images, 'image')} in both, paired by content")
    yield Line()
    if comparison.judged:
        yield judged_table(comparison.judged)
    yield from metric_tables(comparison.metrics, result.letter)
    name_width = min(LONGEST_NAME, NAME_WIDTH + max(0, width - STANDARD_WIDTH))
    for how, rows in zip(("further off", "closer"), comparison.changed(), strict=True):
        yield changed_images(f"{result.letter} is {how}", result, rows, name_width)
    yield from (Line(f"note: {note}") for note in result.notes)
    yield from verdict_lines(result)


def judged_table(judged: Sequence[JudgedMetric]) -> Table:
    """The numbers that decide: how much worse B is, and how much worse it may be."""
    return table(
        "What decides",
        (TableColumn("metric", wraps="anywhere"), "worse by", "95 % interval", "margin", ""),
        (
            (
                each.name,
                number(each.worsening),
                interval(each.worsening_ci95),
                number(each.margin),
                # Whole, it would leave no room for the longest name that usually decides.
                Cell(str(each.outcome).removesuffix(" margin"), STYLES.get(each.outcome, Style.PLAIN)),
            )
            for each in judged
        ),
        note="worse: the whole interval is beyond the margin; within: inside it. "
        "Intervals: 2,000 paired bootstrap resamples of images.",
    )


def metric_tables(metrics: Sequence[ComparedMetric], letter: str) -> Iterator[Table]:
    """Every number of both runs, by section; the last one explains the columns."""
    sections: dict[str, list[ComparedMetric]] = {}
    for metric in metrics:
        sections.setdefault(metric.metric.table, []).append(metric)
    note = (
        f"p: Wilcoxon signed-rank over images (set-level numbers: bootstrap), corrected for all "
        f"{len(metrics)} numbers by Holm's method. better, worse: p < 0.05 and 0 outside the interval."
    )
    for place, (title, chosen) in enumerate(sections.items(), start=1):
        yield metric_table(title, chosen, letter, note if place == len(sections) else "")


def metric_table(title: str, metrics: Sequence[ComparedMetric], letter: str, note: str = "") -> Table:
    """Numbers of both runs, their difference with its interval, and whether that is more than chance."""
    columns = ("", "A", letter, f"{letter} − A", "95 % interval", "p", "")
    return table(title, columns, map(_metric_cells, metrics), note=note, dense=True)


def _metric_cells(metric: ComparedMetric) -> tuple[str | Cell, ...]:
    found = metric.difference
    # Shares are shown in percent.
    scale = 100.0 if metric.metric.unit == "share" else 1.0
    return (
        title_of(metric.metric),
        number(scale * found.a),
        number(scale * found.b),
        _signed(scale * found.difference),
        # Two digits each: seven columns fit into 80 characters whatever the numbers are.
        interval(found.ci95, scale, 2),
        "<0.001" if found.p_holm < SMALLEST_P else f"{found.p_holm:.3f}",
        Cell(str(metric.verdict), STYLES[metric.verdict]) if metric.verdict in STYLES else "",
    )


def changed_images(how: str, result: ComparisonResult, rows: Sequence[int], name_width: int) -> Part:
    """The images in which a run is most further off, or closer, by mean radial error."""
    if not rows:
        return Line(f"{how} in no image.\n")
    comparison, shown = result.comparison, rows[:SHOWN_IMAGES]
    most = f", the most in these {len(shown)}" if len(rows) > len(shown) else ""
    return table(
        f"{how} in {len(rows)} of {counted(comparison.images, 'image')}{most}",
        ("image", "A, mean px", f"{result.letter}, mean px", f"{result.letter} − A"),
        (
            (
                short_name(result.names_a[row], name_width),
                pixels(comparison.error_a_px[row]),
                pixels(comparison.error_b_px[row]),
                _signed(comparison.change_px[row]),
            )
            for row in shown
        ),
    )


def verdict_lines(result: ComparisonResult) -> Iterator[Line]:
    """The verdict in a sentence, with what led to it; another one where `--strict` finds it open."""
    comparison = result.comparison
    verdict = comparison.verdict
    if verdict is Verdict.SAME:
        yield Line(
            f"verdict: {result.letter} is neither shown to be worse than A beyond the margin nor to be better"
        )
    else:
        outcome = Outcome.WORSE if verdict is Verdict.WORSE else Outcome.BETTER
        reasons = [_reason(each) for each in comparison.judged if each.outcome is outcome]
        if comparison.lost and verdict is Verdict.WORSE:
            reasons.append(f"it failed on {counted(len(comparison.lost), 'image')} that A has evaluated")
        yield Line(f"verdict: {result.letter} is {verdict} than A: {'; '.join(reasons)}", STYLES[verdict])
    open_ = [each.name for each in comparison.judged if each.outcome in (Outcome.OPEN, Outcome.MISSING)]
    if result.strict and open_:
        yield Line(f"strict: not shown to be within the margin: {', '.join(open_)}", Style.BAD)


def _reason(judged: JudgedMetric) -> str:
    low, high = judged.worsening_ci95 or (0.0, 0.0)
    # Of a better number the gain is told, not a negative loss.
    bounds = (low, high) if judged.outcome is Outcome.WORSE else (-high, -low)
    margin = f", margin {number(judged.margin)}" if judged.margin else ""
    return f"{judged.name} by {number(abs(judged.worsening or 0.0))} ({interval(bounds)}{margin})"


def title_of(metric: Metric) -> str:
    """A number as a row of its table calls it."""
    return metric.short or metric.label


def _signed(value: float) -> str:
    return f"{'+' if value > 0 else ''}{number(value)}"
