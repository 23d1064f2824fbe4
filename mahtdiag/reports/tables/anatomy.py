"""The tables that `anatomy` prints: what fired where, what kind of mistakes, and whether they matter."""

from collections.abc import Sequence
from itertools import groupby

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from mahtdiag.anatomy.rule import amount
from mahtdiag.anatomy.wording import group_reason, grouped
from mahtdiag.diagnosis.anatomy import (
    AnatomyReport,
    AnatomyVerdict,
    ErrorBreakdown,
    JudgedImage,
    PredictionDiagnosis,
    RuleTally,
    Source,
)
from mahtdiag.reports.numbers import ABSENT, percent, pixels
from mahtdiag.reports.tables.agreement import agreement_table, meyerding_table, systematic_table
from mahtdiag.reports.tables.ambiguity import ambiguity_parts
from mahtdiag.reports.tables.evaluation import NAME_WIDTH, plain_table, short_name
from mahtdiag.reports.tables.gates import gates_table
from mahtdiag.schema.findings import Finding
from mahtdiag.schema.samples import Failure
from mahtdiag.schema.skeleton import View

STANDARD_WIDTH = 80
LONGEST_NAME = 60
WORST_OF_RUN, WORST_OF_LABELS = 8, 20
REASONS = 3
RULE_WIDTH, LONGEST_RULE = 29, 44
SHORT_UNIT = {"heights": " h", "widths": " w", "usual spacings": "×"}


def anatomy_report(report: AnatomyReport, width: int = STANDARD_WIDTH) -> RenderableType:
    """The tables of a judged run or set, one below the other; columns above 80 go to names and reasons."""
    wider = max(0, width - STANDARD_WIDTH)
    verdict, judged = report.verdict, len(report.verdict.images)
    what = "predictions" if report.source is Source.RUN else "labels"
    parts: list[RenderableType] = [
        Text(report.subject, style="bold"),
        Text(f"{verdict.view} view, {what} of {judged} images"),
        Text(),
    ]
    if judged:
        parts += [tally_table(verdict, what, wider), worst_images_table(report, wider)]
        if report.diagnosis is not None:
            parts += _diagnosis(report.diagnosis)
    else:
        parts.append(Text("Nothing was judged.", style="bold red"))
    if report.gates:
        parts.append(gates_table(report.gates))
    if report.failures:
        parts.append(unusable_table(report.failures, report.source))
    parts += [Text(f"note: {note}") for note in report.notes]
    if report.pictures:
        folder = report.pictures[0].rpartition("/")[0]
        parts.append(Text(f"plots: {folder} ({len(report.pictures)} files)"))
    return Group(*(piece for part in parts for piece in _spaced(part)))


def _spaced(part: RenderableType) -> tuple[RenderableType, ...]:
    """A table is followed by an empty line."""
    return (part, Text()) if isinstance(part, Table) else (part,)


def _name_width(wider: int) -> int:
    """Room for a file name on a terminal `wider` than 80 columns."""
    return min(LONGEST_NAME, NAME_WIDTH + wider // 2)


def tally_table(verdict: AnatomyVerdict, what: str, wider: int) -> Table:
    """Every group, and the rules of it that fired: images, keypoints, worst case; labels beside them."""
    images, beside = len(verdict.images), verdict.label_violating is not None
    title = f"Violations in {verdict.violating} of {images} {what} ({percent(verdict.share_violating)})"
    if verdict.label_violating is not None:
        title += f", in {verdict.label_violating} of their labels"
    columns = ["code", "rule", "images", *(["labels"] if beside else []), "points", "worst", "in image"]
    table = plain_table(title, *columns)
    table.columns[1].justify = table.columns[-1].justify = "left"
    table.columns[1].no_wrap = False
    table.columns[1].width = min(LONGEST_RULE, RULE_WIDTH + wider // 2) - (7 if beside else 0)
    table.padding = (0, 0)
    for group, members in groupby(verdict.tallies, key=lambda tally: tally.rule.group):
        tallies = list(members)
        fired = [tally for tally in tallies if tally.images or tally.label_images]
        counts = [_images_of(verdict, {t.rule.code for t in tallies}, labels=False)]
        if beside:
            counts.append(_images_of(verdict, {t.rule.code for t in tallies}, labels=True))
        heading = Text(str(group), style="bold")
        table.add_row("", heading, *(str(count) for count in counts), *([ABSENT] if not fired else []))
        for tally in fired:
            table.add_row(*_tally_cells(tally, beside, _name_width(wider)))
    table.caption = (
        "h, w: this spine's median vertebra height, width; ×: its usual spacing. More: --explain CODE."
    )
    table.caption_justify = "left"
    return table


def _images_of(verdict: AnatomyVerdict, codes: set[str], *, labels: bool) -> int:
    """Images in which any of these rules fired."""
    return sum(not codes.isdisjoint(image.label_codes if labels else image.codes) for image in verdict.images)


def _tally_cells(tally: RuleTally, beside: bool, name_width: int) -> list[str | Text]:
    cells: list[str | Text] = [tally.rule.code, tally.rule.title, str(tally.images)]
    if beside:
        cells.append(str(tally.label_images or 0))
    worst = f"{measured(tally.worst)} {tally.worst.vertebra}" if tally.worst else ABSENT
    return [*cells, str(tally.keypoints), worst, Text(short_name(tally.worst_image or ABSENT, name_width))]


def measured(finding: Finding) -> str:
    """The value of a finding with a short unit."""
    if finding.unit == "°":
        return f"{finding.value:.0f}°"
    if finding.unit == "keypoints":
        return f"{finding.value:.0f}"
    if finding.unit.startswith("of the mean"):
        return f"{100 * finding.value:.0f} %"
    return f"{amount(finding.value)}{SHORT_UNIT.get(finding.unit, '')}"


def worst_images_table(report: AnatomyReport, wider: int) -> RenderableType:
    """The most suspicious images with their reasons in words, and what their labels break as well."""
    verdict = report.verdict
    most = WORST_OF_RUN if report.source is Source.RUN else WORST_OF_LABELS
    shown = [image for image in verdict.images if image.findings][:most]
    if not shown:
        return Text("No rule fired in any image.\n")
    what = "Worst images" if report.source is Source.RUN else "Most suspicious labels"
    table = plain_table(f"{what}: {len(shown)} of {verdict.violating}", "image", "sev.", "code", "reason")
    table.columns[2].justify = "left"
    table.columns[3].justify = "left"
    table.columns[3].no_wrap = False
    table.columns[3].width = STANDARD_WIDTH + wider - _name_width(wider) - 15
    for image in shown:
        _add_image(table, image, verdict.view, _name_width(wider))
    table.caption = "sev.: severity, the sum over the rules that fired of 1 + ln(excess over the limit)."
    table.caption_justify = "left"
    return table


def _add_image(table: Table, image: JudgedImage, view: View, name_width: int) -> None:
    groups = grouped(image.findings, view.skeleton)
    name, severity = Text(short_name(image.image, name_width)), f"{image.severity:.1f}"
    for row, group in enumerate(groups[:REASONS]):
        table.add_row(
            name if row == 0 else "",
            severity if row == 0 else "",
            group[0].code,
            group_reason(group, view.skeleton),
        )
    rest = dict.fromkeys(group[0].code for group in groups[REASONS:])
    if rest:
        table.add_row("", "", "", f"and {', '.join(rest)}")
    if image.label_findings:
        table.add_row("", "", "", Text(f"its label breaks {', '.join(image.label_codes)}", style="bold"))


def _diagnosis(diagnosis: PredictionDiagnosis) -> list[RenderableType]:
    parts: list[RenderableType] = [repair_table_text(diagnosis), *level_shift_lines(diagnosis)]
    parts += ambiguity_parts(diagnosis.ambiguity)
    if diagnosis.in_px is not None:
        parts.append(systematic_table(diagnosis.in_px, diagnosis.in_cells, diagnosis.sentence))
    parts.append(agreement_table(diagnosis.measured))
    if diagnosis.measured.meyerding is not None:
        parts.append(meyerding_table(diagnosis.measured.meyerding))
    return parts


def repair_table_text(errors: ErrorBreakdown) -> RenderableType:
    """What kind of mistakes there are, and what repairing each kind alone would gain."""
    mean = errors.mean_error_px
    if mean is None:
        return Text("No keypoint has both a label and a prediction: nothing to compare.\n")
    title = f"Error types: mean error {pixels(mean)} px over {errors.keypoints:,} keypoints"
    table = plain_table(title, "type", "keypoints", "of all", "of error", "repaired: mean px", "gain")
    for row in errors.repairs:
        gain = mean - row.repaired_mean_px
        table.add_row(
            row.error_type.title,
            f"{row.keypoints:,}",
            percent(row.keypoint_share),
            percent(row.error_share),
            pixels(row.repaired_mean_px),
            pixels(max(0.0, gain)),
        )
    table.caption = "Good: within 0.1 of the vertebra's width. Level shift +1: marked one level too low."
    table.caption_justify = "left"
    return table


def level_shift_lines(errors: ErrorBreakdown) -> list[RenderableType]:
    """Whole images marked one level off, by name."""
    shifts = errors.level_shifts
    if not shifts:
        return [Text("No image is marked one level off as a whole.\n")]
    names = ", ".join(f"{shift.image} ({shift.shift:+d})" for shift in shifts[:REASONS])
    more = f" and {len(shifts) - REASONS} more" if len(shifts) > REASONS else ""
    images = "image" if len(shifts) == 1 else "images"
    line = f"{len(shifts)} {images} marked one level off as a whole (+1: too low): {names}{more}\n"
    return [Text(line, style="bold red")]


def unusable_table(failures: Sequence[Failure], source: Source) -> Table:
    """Images that could not be judged, by name, with the reason."""
    what = "Not evaluated in this run" if source is Source.RUN else "Could not be judged"
    table = plain_table(f"{what}: {len(failures)}", "image", "reason")
    table.columns[0].no_wrap = table.columns[1].no_wrap = False
    table.columns[0].max_width = LONGEST_NAME // 2
    table.columns[1].justify = "left"
    for failure in failures:
        table.add_row(Text(failure.image, overflow="fold"), Text(failure.reason, overflow="fold"))
    return table
