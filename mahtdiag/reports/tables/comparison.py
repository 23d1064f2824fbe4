"""The tables that `compare` prints: what decides, every other number, and the images that changed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from mahtdiag.diagnosis.comparison import ComparedMetric, Comparison, JudgedMetric, Outcome, Verdict
from mahtdiag.diagnosis.metrics.errors import TABLES, TABLES_MM
from mahtdiag.diagnosis.metrics.measures import SAME_PX
from mahtdiag.diagnosis.metrics.metric import GroupKind, Metric
from mahtdiag.diagnosis.metrics.registry import metric_of
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
from mahtdiag.reports.text import ABSENT, as_limited, counted, in_unit, interval, number, pixels, signed
from mahtdiag.schema.skeleton import Skeleton

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

    `names_a` and `names_b`: what the compared images are called in either. `compared`: how many numbers were
    tested, of all pairs of runs.
    """

    skeleton: Skeleton
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
    compared: int = 0


def comparison_parts(
    result: ComparisonResult,
    width: int = STANDARD_WIDTH,
    *,
    everything: bool = False,
    all_levels: bool = False,
) -> Iterator[Part]:
    """Everything about one pair of runs; what a terminal has above 80 columns goes to file names.

    `everything`: all images that changed instead of those that did most; `all_levels`: each vertebra of a
    spine of several regions.
    """
    comparison = result.comparison
    yield Line(f"A  {result.a} ({result.checkpoint_a})", Style.STRONG)
    yield Line(f"{result.letter}  {result.b} ({result.checkpoint_b})", Style.STRONG)
    of = "" if comparison.patients is None else f" of {counted(comparison.patients, 'patient')}"
    yield Line(
        f"{result.skeleton.in_words}, {counted(comparison.images, 'image')}{of} in both, paired by content"
    )
    yield Line()
    if comparison.judged:
        yield judged_table(comparison.judged, comparison.kind_of_units)
    shown = [each for each in comparison.metrics if not (comparison.in_mm and _is_px_of_group(each.metric))]
    kinds = {each.metric.group.kind for each in shown}
    if GroupKind.REGION in kinds and not all_levels:
        shown = [each for each in shown if each.metric.group.kind is not GroupKind.VERTEBRA]
    yield from metric_tables(shown, result.letter, comparison.kind_of_units, result.compared)
    name_width = min(LONGEST_NAME, NAME_WIDTH + max(0, width - STANDARD_WIDTH))
    if np.isfinite(comparison.errors.a).any():
        for how, rows in zip(("further off", "closer"), comparison.errors.changed(), strict=True):
            most = len(rows) if everything else SHOWN_IMAGES
            yield changed_images(f"{result.letter} is {how}", result, rows, name_width, most)
    yield from (Line(f"note: {note}") for note in result.notes)
    yield from verdict_lines(result)


def _is_px_of_group(metric: Metric) -> bool:
    """Whether it is the mean error in pixels of a vertebra or corner, whose millimetres are told."""
    return metric.group.kind in TABLES_MM and metric.table == TABLES[metric.group.kind]


def judged_table(judged: Sequence[JudgedMetric], unit: str) -> Table:
    """The numbers that decide: how much worse B is, how much worse it may be, and what could be shown."""
    with_margin = any(each.margin for each in judged)
    columns = ("worse by", "95 % interval", *(("margin",) if with_margin else ()), "p", "shows", "")
    return table(
        "What decides",
        (TableColumn("metric", wraps="anywhere"), *columns),
        (
            (
                each.name,
                _limited(each, each.worsening),
                interval(each.worsening_ci95),
                *((number(each.margin),) if with_margin else ()),
                _p_value(each.p_holm),
                _limited(each, each.detectable),
                Cell(str(each.outcome).removesuffix(" margin"), STYLES.get(each.outcome, Style.PLAIN)),
            )
            for each in judged
        ),
        note=f"worse: beyond the margin{'' if with_margin else ' of 0'} with p < 0.05, corrected for all "
        "that decides (Holm); within: the interval is inside it, or nothing differs. shows: the smallest "
        f"loss that 4 of 5 sets of so many {unit} would show. p and interval are of one test: signs flipped "
        f"by {unit.removesuffix('s')}.",
        dense=True,
    )


def metric_tables(
    metrics: Sequence[ComparedMetric], letter: str, unit: str, corrected: int
) -> Iterator[Table]:
    """Every number of both runs, by section; the last one explains the columns."""
    sections: dict[str, list[ComparedMetric]] = {}
    for metric in metrics:
        sections.setdefault(metric.metric.table, []).append(metric)
    note = (
        f"p and interval are of one test: signs flipped by {unit.removesuffix('s')}; p is corrected for all "
        f"{corrected} numbers compared (Holm). better, worse: p < 0.05."
    )
    for place, (title, chosen) in enumerate(sections.items(), start=1):
        # Millimetres lead where they are known.
        chosen.sort(key=lambda each: not any(part.endswith("_mm") for part in each.metric.path))
        yield metric_table(title, chosen, letter, note if place == len(sections) else "")


def metric_table(title: str, metrics: Sequence[ComparedMetric], letter: str, note: str = "") -> Table:
    """Numbers of both runs, their difference with its interval, and whether that is more than chance."""
    columns = (TableColumn("", wraps="words"), "A", letter, f"{letter} − A", "95 % interval", "p", "")
    return table(title, columns, map(_metric_cells, metrics), note=note, dense=True)


def _metric_cells(metric: ComparedMetric) -> tuple[str | Cell, ...]:
    found = metric.difference
    # Shares are shown in percent.
    unit = metric.metric.unit
    scale = 100.0 if unit == "share" else 1.0
    return (
        title_of(metric.metric),
        in_unit(found.a, unit),
        in_unit(found.b, unit),
        signed(in_unit(found.difference, unit)),
        interval(found.ci95, scale),
        _p_value(found.p_holm),
        Cell(str(metric.verdict), STYLES[metric.verdict]) if metric.verdict in STYLES else "",
    )


def _p_value(p: float | None) -> str:
    if p is None:
        return ABSENT
    return "<0.001" if p < SMALLEST_P else f"{p:.3f}"


def changed_images(
    how: str, result: ComparisonResult, rows: Sequence[int], name_width: int, most: int = SHOWN_IMAGES
) -> Part:
    """The images in which a run is most further off, or closer, by mean radial error."""
    if not rows:
        return Line(f"{how} in no image.\n")
    errors, shown = result.comparison.errors, rows[:most]
    unit = errors.unit.words
    which = f", the most in these {len(shown)}" if len(rows) > len(shown) else ""
    return table(
        f"{how} in {len(rows)} of {counted(result.comparison.images, 'image')}{which}",
        ("image", f"A, mean {unit}", f"{result.letter}, mean {unit}", f"{result.letter} − A"),
        (
            (
                short_name(result.names_a[row], name_width),
                pixels(errors.a[row]),
                pixels(errors.b[row]),
                signed(pixels(errors.change[row])),
            )
            for row in shown
        ),
    )


def verdict_lines(result: ComparisonResult) -> Iterator[Line]:
    """The verdict in a sentence, with what led to it; another one where `--strict` finds it open."""
    comparison = result.comparison
    verdict = comparison.verdict
    if verdict is Verdict.SAME and comparison.same:
        yield Line(
            f"verdict: {result.letter} predicts the same as A, no keypoint differs by {SAME_PX:g} px or more"
        )
    elif verdict is Verdict.SAME:
        yield Line(
            f"verdict: {result.letter} is neither shown to be worse than A beyond the margin nor to be better"
        )
    elif verdict is Verdict.TOO_FEW:
        few = ", ".join(
            f"{each.name} ({each.difference.too_few(comparison.kind_of_units)})"
            for each in comparison.judged
            if each.outcome is Outcome.TOO_FEW and each.difference is not None
        )
        yield Line(f"verdict: none, {few}", Style.BAD)
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
    return f"{judged.name} by {_limited(judged, abs(judged.worsening or 0.0))} ({interval(bounds)}{margin})"


def title_of(metric: Metric) -> str:
    """A number as a row of its table calls it."""
    return metric.short or metric.label


def _limited(judged: JudgedMetric, value: float | None) -> str:
    """A number in the unit of its margin."""
    metric = metric_of(judged.name)
    return as_limited(value, "" if metric is None else metric.unit)
