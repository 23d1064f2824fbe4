"""The tables that `compare` prints: what decides, every other number, and the images that changed."""

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from mahtdiag.diagnosis.comparison import ComparedMetric, JudgedMetric, Outcome, Verdict
from mahtdiag.diagnosis.metrics import metric_of
from mahtdiag.diagnosis.paired import Interval
from mahtdiag.reports.numbers import ABSENT, counted, interval, number, pixels
from mahtdiag.reports.tables.comparison_screen import ChangedImage, ComparisonView
from mahtdiag.reports.tables.evaluation import NAME_WIDTH, plain_table, short_name

STANDARD_WIDTH = 80
LONGEST_NAME = 60
SHOWN_IMAGES = 8
SMALLEST_P = 0.001
STYLES = {
    Outcome.WORSE: "bold red",
    Outcome.BETTER: "green",
    Verdict.WORSE: "bold red",
    Verdict.BETTER: "green",
}
SECTIONS = (
    ("Radial error", ("radial_error_", "sdr_")),
    ("Mean radial error by vertebra, px", ("by_vertebra.", "vertebrae.")),
    ("Mean radial error by corner, px", ("by_corner.", "corners.")),
    ("Loss (mean over images, network frame)", ("losses.",)),
    ("Anatomical violations: share of images, findings, images by code", ("anatomy.",)),
    ("Error types: share of keypoints", ("error_types.",)),
    ("Predicted uncertainty; of intervals and ellipses what they hold", ("calibration.",)),
)
CALIBRATION = {
    "mace": "MACE",
    "nll": "NLL",
    "crps_px": "CRPS, px",
    "sharpness_px": "sharpness, px",
    "sigma_scale": "best σ scale",
    "radial.mace": "MACE of ellipses",
}


def comparison_report(view: ComparisonView, width: int = STANDARD_WIDTH) -> RenderableType:
    """Everything about one pair of runs; what a terminal has above 80 columns goes to file names."""
    name_width = min(LONGEST_NAME, NAME_WIDTH + max(0, width - STANDARD_WIDTH))
    comparison = view.comparison
    parts: list[RenderableType] = [
        Text(f"A  {view.a} ({view.checkpoint_a})", style="bold"),
        Text(f"{view.letter}  {view.b} ({view.checkpoint_b})", style="bold"),
        Text(f"{view.view} view, {counted(comparison.images, 'image')} in both, paired by content"),
        Text(),
    ]
    if comparison.judged:
        parts.append(judged_table(comparison.judged))
    parts += metric_tables(comparison.metrics, view.letter)
    parts += [
        changed_images(f"{view.letter} is further off", view, view.worse, view.worse_images, name_width),
        changed_images(f"{view.letter} is closer", view, view.better, view.better_images, name_width),
    ]
    parts += [Text(f"note: {note}") for note in view.notes]
    parts.append(verdict_line(view))
    spaced = [piece for part in parts for piece in ((part, Text()) if isinstance(part, Table) else (part,))]
    return Group(*spaced)


def judged_table(judged: Sequence[JudgedMetric]) -> Table:
    """The numbers that decide: how much worse B is, and how much worse it may be."""
    table = plain_table("What decides", "metric", "worse by", "95 % interval", "margin", "")
    table.columns[0].no_wrap, table.columns[0].overflow = False, "fold"
    for each in judged:
        table.add_row(
            Text(each.name),
            number(each.worsening),
            interval(each.worsening_ci95),
            number(each.margin),
            # Whole, it would leave no room for the longest name that usually decides.
            Text(str(each.outcome).removesuffix(" margin"), style=STYLES.get(each.outcome, "")),
        )
    table.caption = (
        "worse: the whole interval is beyond the margin; within: inside it. "
        "Intervals: 2,000 paired bootstrap resamples of images."
    )
    return table


def metric_tables(metrics: Sequence[ComparedMetric], letter: str) -> list[Table]:
    """Every number of both runs, by section."""
    tables = []
    for title, prefixes in SECTIONS:
        chosen = [metric for metric in metrics if metric.name.startswith(prefixes)]
        if chosen:
            tables.append(metric_table(title, chosen, letter))
    if tables:
        tables[-1].caption = (
            f"p: Wilcoxon signed-rank over images (set-level numbers: bootstrap), corrected for all "
            f"{len(metrics)} numbers by Holm's method. better, worse: p < 0.05 and 0 outside the interval."
        )
    return tables


def metric_table(title: str, metrics: Sequence[ComparedMetric], letter: str) -> Table:
    """Numbers of both runs, their difference with its interval, and whether that is more than chance."""
    table = plain_table(title, "", "A", letter, f"{letter} − A", "95 % interval", "p", "")
    table.padding = 0
    for metric in metrics:
        found, scale = metric.difference, _scale(metric.name)
        style = "" if metric.verdict is None else STYLES.get(metric.verdict, "")
        told = metric.verdict if metric.verdict in (Verdict.WORSE, Verdict.BETTER) else ""
        table.add_row(
            Text(title_of(metric.name)),
            number(scale * found.a),
            number(scale * found.b),
            _signed(scale * found.difference),
            _bounds(found.ci95, scale),
            "<0.001" if found.p_holm < SMALLEST_P else f"{found.p_holm:.3f}",
            Text(str(told), style=style),
        )
    return table


def changed_images(
    how: str, view: ComparisonView, images: Sequence[ChangedImage], count: int, name_width: int
) -> RenderableType:
    """The images in which a run is most further off, or closer, by mean radial error."""
    if not images:
        return Text(f"{how} in no image.\n")
    shown = images[:SHOWN_IMAGES]
    most = f", the most in these {len(shown)}" if count > len(shown) else ""
    title = f"{how} in {count} of {counted(view.comparison.images, 'image')}{most}"
    table = plain_table(title, "image", "A, mean px", f"{view.letter}, mean px", f"{view.letter} − A")
    for image in shown:
        table.add_row(
            Text(short_name(image.image, name_width)),
            pixels(image.a_px),
            pixels(image.b_px),
            _signed(image.change_px),
        )
    return table


def verdict_line(view: ComparisonView) -> Text:
    """The verdict in a sentence, with what led to it."""
    comparison = view.comparison
    verdict = comparison.verdict
    if verdict is Verdict.SAME:
        line = Text(
            f"verdict: {view.letter} is neither shown to be worse than A beyond the margin nor to be better"
        )
    else:
        outcome = Outcome.WORSE if verdict is Verdict.WORSE else Outcome.BETTER
        reasons = [_reason(each) for each in comparison.judged if each.outcome is outcome]
        if comparison.lost and verdict is Verdict.WORSE:
            reasons.append(f"it failed on {counted(len(comparison.lost), 'image')} that A has evaluated")
        line = Text(
            f"verdict: {view.letter} is {verdict} than A: {'; '.join(reasons)}", style=STYLES[verdict]
        )
    open_ = [each.name for each in comparison.judged if each.outcome in (Outcome.OPEN, Outcome.MISSING)]
    if view.strict and open_:
        line.append(f"\nstrict: not shown to be within the margin: {', '.join(open_)}", style="bold red")
    return line


def _reason(judged: JudgedMetric) -> str:
    low, high = judged.worsening_ci95 or (0.0, 0.0)
    # Of a better number the gain is told, not a negative loss.
    bounds = (low, high) if judged.outcome is Outcome.WORSE else (-high, -low)
    margin = f", margin {number(judged.margin)}" if judged.margin else ""
    return f"{judged.name} by {number(abs(judged.worsening or 0.0))} ({interval(bounds)}{margin})"


def title_of(name: str) -> str:
    """A number's name as a row of its section calls it; what has no short one keeps its own."""
    section, _, rest = name.partition(".")
    unit = section.rpartition("_")[2]
    if section.startswith("radial_error_"):
        return f"{rest}, {unit}"
    if section.startswith("sdr_"):
        return f"within {rest} {unit}, %"
    if section in ("by_vertebra", "by_corner"):
        return rest
    if section == "losses":
        return f"  {rest}" if rest in ("order", "parallel", "ratio") else rest
    short = {"anatomy": _anatomy_title, "error_types": _type_title, "calibration": _calibration_title}
    return short[section](rest) if section in short else name


def _anatomy_title(rest: str) -> str:
    if rest.startswith("by_code."):
        _, code, what = rest.split(".")
        return code if what == "images" else f"{code}, findings"
    return {"images_with_violations": "images with any, %", "violations": "findings"}.get(rest, rest)


def _type_title(rest: str) -> str:
    title, _, what = rest.removeprefix("by_type.").rpartition(".")
    if what == "level_shifts":
        return "images shifted"
    return f"{title}, %" if what == "keypoint_share" else f"{title}, keypoints"


def _calibration_title(rest: str) -> str:
    if ".observed" in rest:
        level = 100 * float(rest.removesuffix(".observed").rpartition("coverage.")[2])
        return f"{level:g} % {'ellipse' if rest.startswith('radial') else 'interval'}, %"
    return CALIBRATION.get(rest, rest)


def _scale(name: str) -> float:
    """Shares are shown in percent."""
    metric = metric_of(name)
    return 100.0 if metric is not None and metric.unit == "share" else 1.0


def _bounds(interval: Interval | None, scale: float) -> str:
    """Two digits each: seven columns fit into 80 characters whatever the numbers are."""
    if interval is None:
        return ABSENT
    low, high = interval
    return f"{number(scale * low, 2)} to {number(scale * high, 2)}"


def _signed(value: float) -> str:
    return f"{'+' if value > 0 else ''}{number(value)}"
