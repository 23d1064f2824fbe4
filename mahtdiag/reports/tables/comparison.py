"""The tables that `compare` prints: what decides, every other number, and the images that changed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mahtdiag.diagnosis.comparison import ComparedMetric, Comparison, JudgedMetric, Outcome, Verdict
from mahtdiag.diagnosis.metrics.metric import Metric
from mahtdiag.diagnosis.paired import Interval
from mahtdiag.reports.numbers import ABSENT, counted, interval, number, pixels
from mahtdiag.reports.tables.table import (
    LONGEST_NAME,
    NAME_WIDTH,
    STANDARD_WIDTH,
    Cell,
    Column,
    Line,
    Part,
    Style,
    Table,
    short_name,
    table,
)
from mahtdiag.schema.skeleton import View

MOST_IMAGES = 1000
"""A comparison of 100,000 images does not name each; `images.parquet` of the runs has them all."""
SHOWN_IMAGES = 8
SMALLEST_P = 0.001
STYLES = {
    Outcome.WORSE: Style.BAD,
    Outcome.BETTER: Style.GOOD,
    Verdict.WORSE: Style.BAD,
    Verdict.BETTER: Style.GOOD,
}


@dataclass(frozen=True, slots=True)
class ChangedImage:
    """An image whose mean radial error is another in B; `image_b` is its name there."""

    image: str
    image_b: str
    a_px: float
    b_px: float

    @property
    def change_px(self) -> float:
        """How much further off B is."""
        return self.b_px - self.a_px


@dataclass(frozen=True, slots=True)
class ComparisonView:
    """Run B against run A; of several runs, `letter` tells which of them B is.

    `worse` and `better`: the most changed images first, at most `MOST_IMAGES` of `worse_images` and
    `better_images`.
    """

    view: View
    a: str
    b: str
    checkpoint_a: str
    checkpoint_b: str
    comparison: Comparison
    worse: tuple[ChangedImage, ...]
    better: tuple[ChangedImage, ...]
    worse_images: int
    better_images: int
    strict: bool
    notes: tuple[str, ...]
    letter: str = "B"


def comparison_parts(view: ComparisonView, width: int = STANDARD_WIDTH) -> Iterator[Part]:
    """Everything about one pair of runs; what a terminal has above 80 columns goes to file names."""
    comparison = view.comparison
    yield Line(f"A  {view.a} ({view.checkpoint_a})", Style.STRONG)
    yield Line(f"{view.letter}  {view.b} ({view.checkpoint_b})", Style.STRONG)
    yield Line(f"{view.view} view, {counted(comparison.images, 'image')} in both, paired by content")
    yield Line()
    if comparison.judged:
        yield judged_table(comparison.judged)
    yield from metric_tables(comparison.metrics, view.letter)
    name_width = min(LONGEST_NAME, NAME_WIDTH + max(0, width - STANDARD_WIDTH))
    yield changed_images(f"{view.letter} is further off", view, view.worse, view.worse_images, name_width)
    yield changed_images(f"{view.letter} is closer", view, view.better, view.better_images, name_width)
    yield from (Line(f"note: {note}") for note in view.notes)
    yield from verdict_lines(view)


def judged_table(judged: Sequence[JudgedMetric]) -> Table:
    """The numbers that decide: how much worse B is, and how much worse it may be."""
    return table(
        "What decides",
        (Column("metric", wraps="anywhere"), "worse by", "95 % interval", "margin", ""),
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
        _bounds(found.ci95, scale),
        "<0.001" if found.p_holm < SMALLEST_P else f"{found.p_holm:.3f}",
        Cell(str(metric.verdict), STYLES[metric.verdict]) if metric.verdict in STYLES else "",
    )


def changed_images(
    how: str, view: ComparisonView, images: Sequence[ChangedImage], count: int, name_width: int
) -> Part:
    """The images in which a run is most further off, or closer, by mean radial error."""
    if not images:
        return Line(f"{how} in no image.\n")
    shown = images[:SHOWN_IMAGES]
    most = f", the most in these {len(shown)}" if count > len(shown) else ""
    return table(
        f"{how} in {count} of {counted(view.comparison.images, 'image')}{most}",
        ("image", "A, mean px", f"{view.letter}, mean px", f"{view.letter} − A"),
        (
            (
                short_name(image.image, name_width),
                pixels(image.a_px),
                pixels(image.b_px),
                _signed(image.change_px),
            )
            for image in shown
        ),
    )


def verdict_lines(view: ComparisonView) -> Iterator[Line]:
    """The verdict in a sentence, with what led to it; another one where `--strict` finds it open."""
    comparison = view.comparison
    verdict = comparison.verdict
    if verdict is Verdict.SAME:
        yield Line(
            f"verdict: {view.letter} is neither shown to be worse than A beyond the margin nor to be better"
        )
    else:
        outcome = Outcome.WORSE if verdict is Verdict.WORSE else Outcome.BETTER
        reasons = [_reason(each) for each in comparison.judged if each.outcome is outcome]
        if comparison.lost and verdict is Verdict.WORSE:
            reasons.append(f"it failed on {counted(len(comparison.lost), 'image')} that A has evaluated")
        yield Line(f"verdict: {view.letter} is {verdict} than A: {'; '.join(reasons)}", STYLES[verdict])
    open_ = [each.name for each in comparison.judged if each.outcome in (Outcome.OPEN, Outcome.MISSING)]
    if view.strict and open_:
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


def _bounds(interval: Interval | None, scale: float) -> str:
    """Two digits each: seven columns fit into 80 characters whatever the numbers are."""
    if interval is None:
        return ABSENT
    low, high = interval
    return f"{number(scale * low, 2)} to {number(scale * high, 2)}"


def _signed(value: float) -> str:
    return f"{'+' if value > 0 else ''}{number(value)}"
