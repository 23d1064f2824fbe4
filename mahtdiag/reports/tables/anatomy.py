"""What `anatomy` prints: what fired where, what kind of mistakes, whether they matter."""

from collections.abc import Iterator, Mapping
from itertools import groupby
from textwrap import fill

from mahtdiag.anatomy.findings import group_reason, grouped
from mahtdiag.anatomy.geometry import AROUND
from mahtdiag.anatomy.limit import LimitSpec
from mahtdiag.anatomy.rule import Rule, amount
from mahtdiag.anatomy.systematic import Fitted, SystematicError
from mahtdiag.diagnosis.anatomy import (
    AnatomyReport,
    AnatomyVerdict,
    JudgedImage,
    PredictionDiagnosis,
    RuleTally,
    Source,
)
from mahtdiag.diagnosis.run_table import RunTable
from mahtdiag.reports.rendering import Json
from mahtdiag.reports.tables.bodies import bodies_table
from mahtdiag.reports.tables.copies import copies_parts
from mahtdiag.reports.tables.evaluation import (
    ambiguity_parts,
    level_shift_line,
    repair_table,
)
from mahtdiag.reports.tables.failures import failures_table
from mahtdiag.reports.tables.label_noise import noise_parts
from mahtdiag.reports.tables.measurements import measurement_parts
from mahtdiag.reports.tables.setup import headline_parts, setup_table
from mahtdiag.reports.tables.suspicious_labels import MOST_ROWS, suspicious_parts
from mahtdiag.reports.tables.table import (
    LONGEST_NAME,
    NAME_WIDTH,
    STANDARD_WIDTH,
    Cell,
    Cells,
    Line,
    Part,
    Style,
    Table,
    TableColumn,
    gates_table,
    short_name,
    table,
)
from mahtdiag.reports.text import ABSENT, interval, number, percent
from mahtdiag.schema.records import Finding
from mahtdiag.schema.skeleton import Skeleton, View

WORST_OF_RUN, WORST_OF_LABELS = 8, 20
REASONS = 3
RULE_WIDTH, LONGEST_RULE = 29, 44
SHORT_UNIT = {"heights": " h", "widths": " w", "usual spacings": "×"}


def anatomy_parts(
    report: AnatomyReport,
    width: int = STANDARD_WIDTH,
    *,
    everything: bool = False,
    all_levels: bool = False,
) -> Iterator[Part]:
    """The tables of a judged run or set, one below the other; columns above 80 go to names and reasons.

    `everything`: all images instead of the worst; `all_levels`: each vertebra of a spine of several regions.
    """
    wider = max(0, width - STANDARD_WIDTH)
    verdict, judged = report.verdict, len(report.verdict.images)
    what = "predictions" if report.source is Source.RUN else "labels"
    yield from headline_parts(report.setup)
    yield Line(report.subject, Style.STRONG)
    yield Line(f"{verdict.skeleton.in_words}, {what} of {judged} images")
    yield Line()
    if report.source is Source.LABELS and report.setup:
        yield setup_table(report.setup)
    if judged:
        yield tally_table(verdict, what, wider)
        yield worst_images(report, wider, judged if everything else None)
        if report.diagnosis is not None:
            if report.diagnosis.suspicious is not None:
                suspicious = report.diagnosis.suspicious
                rows = len(suspicious.labels) if everything else MOST_ROWS
                yield from suspicious_parts(suspicious, verdict.skeleton, wider, rows)
            yield from _diagnosis(report.diagnosis, report.judged, all_levels)
    else:
        yield Line("Nothing was judged.", Style.BAD)
    if report.noise is not None:
        yield from noise_parts(report.noise, report.judged if report.source is Source.RUN else None)
    if report.copies is not None:
        yield from copies_parts(report.copies, wider)
    if report.gates:
        yield gates_table(report.gates)
    if report.failures:
        of_run = report.source is Source.RUN
        what = "Not evaluated in this run" if of_run else "Could not be judged"
        yield failures_table(what, report.failures, everything=everything)
    yield from (Line(f"note: {note}") for note in report.notes)
    if report.pictures:
        folder = report.pictures[0].rpartition("/")[0]
        yield Line(f"plots: {folder} ({len(report.pictures)} files)")


def _name_width(wider: int) -> int:
    """Room for a file name on a terminal `wider` than 80 columns."""
    return min(LONGEST_NAME, NAME_WIDTH + wider // 2)


def tally_note(skeleton: Skeleton) -> str:
    """What the short units of the table are."""
    whole = "h, w: this spine's median vertebra height, width; ×: its usual spacing"
    nearby = "h, w: median height, width of the five vertebrae nearest; ×: their usual spacing"
    return f"{nearby if len(skeleton.bodies) > AROUND else whole}. More: mahtdiag explain CODE."


def tally_table(verdict: AnatomyVerdict, what: str, wider: int) -> Table:
    """Every group, and the rules of it that fired: images, keypoints, worst case; labels beside them."""
    images, beside = len(verdict.images), verdict.label_violating is not None
    title = f"Violations in {verdict.violating} of {images} {what} ({percent(verdict.share_violating)})"
    if beside:
        title += f", in {verdict.label_violating} of their labels"
    broken = [of for of in (verdict.by_group, verdict.label_by_group) if of is not None]
    rows: list[Cells] = []
    for group, members in groupby(verdict.tallies, key=lambda tally: tally.rule.group):
        tallies = list(members)
        fired = [tally for tally in tallies if tally.images or tally.label_images]
        counts = [str(of[group]) for of in broken]
        rows.append(("", Cell(str(group), Style.STRONG), *counts, *([] if fired else [ABSENT])))
        rows += [_tally_cells(tally, beside, _name_width(wider)) for tally in fired]
    width = min(LONGEST_RULE, RULE_WIDTH + wider // 2) - (7 if beside else 0)
    labels = ("labels",) if beside else ()
    return table(
        title,
        (
            *("code", TableColumn("rule", wraps="words", width=width), "images", *labels, "points", "worst"),
            TableColumn("in image"),
        ),
        rows,
        note=tally_note(verdict.skeleton),
        dense=True,
    )


def _tally_cells(tally: RuleTally, beside: bool, name_width: int) -> Cells:
    labels = (str(tally.label_images or 0),) if beside else ()
    worst = f"{measured(tally.worst)} {tally.worst.vertebra}" if tally.worst else ABSENT
    image = short_name(tally.worst_image or ABSENT, name_width)
    return (tally.rule.code, tally.rule.title, str(tally.images), *labels, str(tally.keypoints), worst, image)


def measured(finding: Finding) -> str:
    """The value of a finding with a short unit."""
    if finding.unit == "°":
        return f"{finding.value:.0f}°"
    if finding.unit == "keypoints":
        return f"{finding.value:.0f}"
    if finding.unit.startswith("of the mean"):
        return f"{100 * finding.value:.0f} %"
    return f"{amount(finding.value)}{SHORT_UNIT.get(finding.unit, '')}"


def worst_images(report: AnatomyReport, wider: int, most: int | None = None) -> Part:
    """The most suspicious images with their reasons in words, and what their labels break as well."""
    verdict = report.verdict
    most = most or (WORST_OF_RUN if report.source is Source.RUN else WORST_OF_LABELS)
    shown = verdict.images[: min(most, verdict.violating)]
    if not shown:
        return Line("No rule fired in any image.\n")
    what = "Worst images by severity" if report.source is Source.RUN else "Most suspicious labels by severity"
    skeleton = verdict.skeleton
    reason_width = STANDARD_WIDTH + wider - _name_width(wider) - 15
    return table(
        f"{what}: {len(shown)} of {verdict.violating}",
        ("image", "sev.", TableColumn("code"), TableColumn("reason", wraps="words", width=reason_width)),
        (row for image in shown for row in _image_rows(image, skeleton, _name_width(wider))),
        note="sev.: severity, the sum over the rules that fired of 1 + ln(excess over the limit).",
    )


def _image_rows(image: JudgedImage, skeleton: Skeleton, name_width: int) -> Iterator[Cells]:
    groups = grouped(image.findings, skeleton)
    named = (short_name(image.image, name_width), f"{image.severity:.1f}")
    for group in groups[:REASONS]:
        yield *named, group[0].code, group_reason(group, skeleton)
        named = "", ""
    rest = dict.fromkeys(group[0].code for group in groups[REASONS:])
    if rest:
        yield "", "", "", f"and {', '.join(rest)}"
    if image.label_findings:
        yield "", "", "", Cell(f"its label breaks {', '.join(image.label_codes)}", Style.STRONG)


def _diagnosis(diagnosis: PredictionDiagnosis, judged: RunTable, all_levels: bool) -> Iterator[Part]:
    if judged.labelled:
        yield from (repair_table(judged), level_shift_line(judged))
    yield from ambiguity_parts(diagnosis.ambiguity, all_levels=all_levels)
    if diagnosis.in_px is not None:
        yield systematic_table(diagnosis.in_px, diagnosis.in_cells, diagnosis.sentence)
    if diagnosis.bodies is not None:
        yield bodies_table(diagnosis.bodies, diagnosis.bodies_sentence)
    yield from measurement_parts(diagnosis.measured, diagnosis.smape, all_levels=all_levels)


NOTHING_SHARED = "No shared shift, scale or rotation that means anything."


def systematic_table(in_px: SystematicError, in_cells: SystematicError | None, sentence: str | None) -> Table:
    """The transformation that best brings predictions onto labels, in pixels and in heatmap cells."""
    rows: list[Cells] = []
    for title, name in (
        ("shift in x", "shift_x"),
        ("shift in y", "shift_y"),
        ("scale in x", "scale_x"),
        ("scale in y", "scale_y"),
        ("rotation, °", "rotation_deg"),
        ("outline in x", "outline_x"),
        ("outline in y", "outline_y"),
    ):
        digits = 3 if "shift" in name or "deg" in name else 4
        row = _estimate(getattr(in_px, name), digits)
        # An angle has no meaning where cells are longer along one axis than along the other.
        if in_cells and name != "rotation_deg":
            row += _estimate(getattr(in_cells, name), digits)
        rows.append((title, *row))
    empty = [""] * (2 if in_cells else 0)
    for corner, offsets in zip(("UL", "UR", "LL", "LR"), in_px.corners, strict=True):
        rows += [
            (f"{corner} off in {axis}", *_estimate(e), *empty) for axis, e in zip("xy", offsets, strict=True)
        ]
    return table(
        f"Shared by all predictions ({in_px.images} images): prediction to label",
        ("", "px", "95 % interval", *(["cells", "95 % interval"] if in_cells else [])),
        rows,
        note=sentence or NOTHING_SHARED,
        note_style=Style.STRONG if sentence else Style.PLAIN,
    )


def _estimate(estimate: Fitted, digits: int = 3) -> list[str]:
    return [number(estimate.value, digits), interval((estimate.low, estimate.high), digits=digits)]


WIDTH = 80
SetLimits = Mapping[View, Mapping[str, float]]
NOTHING_SET: SetLimits = {}


def rule_parts(rule: Rule, settings: SetLimits = NOTHING_SET) -> tuple[Line, ...]:
    """What a terminal shows of it."""
    return tuple(map(Line, rule_text(rule, settings).splitlines()))


def rule_text(rule: Rule, settings: SetLimits = NOTHING_SET) -> str:
    """Meaning, formula, default limits and where they come from, at 80 columns.

    `settings`: limits that a project has set, by view and key, which are shown beside the defaults.
    """
    lines = [f"{rule.code} {rule.title} ({rule.group})", "", _paragraph(rule.meaning), ""]
    lines += [_paragraph(f"Measured: {rule.formula}."), ""]
    for limit in rule.limits:
        lines += [_paragraph(_limit(limit)), _paragraph(limit.origin)]
        lines += [_paragraph(line) for line in _set_limits(limit, settings)]
        lines.append("")
    keys = ", ".join(f'"{limit.key}"' for limit in rule.limits)
    where = f"Set it in mahtdiag.toml under [anatomy.limits], [anatomy.AP] or [anatomy.LA]: {keys}."
    lines.append(fill(where, WIDTH, break_on_hyphens=False))
    return "\n".join(lines) + "\n"


def rule_content(rule: Rule, settings: SetLimits = NOTHING_SET) -> dict[str, Json]:
    """The same for programs: `limits` by key, each with its default and the limit in force by view."""
    limits: dict[str, Json] = {
        limit.key: {
            "unit": limit.unit,
            "fires": str(limit.fires),
            "default": {str(view): limit.default(view) for view in View},
            "in_force": {str(view): in_force(limit, view, settings) for view in View},
            "origin": limit.origin,
        }
        for limit in rule.limits
    }
    return {
        "code": rule.code,
        "group": str(rule.group),
        "title": rule.title,
        "meaning": rule.meaning,
        "formula": rule.formula,
        "limits": limits,
    }


def in_force(limit: LimitSpec, view: View, settings: SetLimits) -> float:
    """The limit that a project has set, or else the default."""
    return settings.get(view, {}).get(limit.key, limit.default(view))


def _set_limits(limit: LimitSpec, settings: SetLimits) -> Iterator[str]:
    for view in View:
        value = in_force(limit, view, settings)
        if value != limit.default(view):
            yield f"Set here: {with_unit(value, limit)} in {view}."


def _limit(limit: LimitSpec) -> str:
    """`A202 fires above 25° in AP and 35° in LA by default; in an ordinary spine about 4°.`"""
    values = {view: with_unit(limit.default(view), limit) for view in View}
    both = " and ".join(f"{value} in {view}" for view, value in values.items())
    single = values[View.AP] == values[View.LA]
    text = f"{limit.key} fires {limit.fires} {values[View.AP] if single else both} by default"
    # Below zero it is a mere scale of severity.
    usual = f"; in an ordinary spine about {with_unit(limit.typical, limit)}" if limit.typical >= 0 else ""
    return f"{text}{usual}."


def with_unit(value: float, limit: LimitSpec) -> str:
    """`25°`, `0.05 heights`."""
    if limit.unit == "width/height":
        return f"{value:g}"
    return f"{value:g}{'' if limit.unit == '°' else ' '}{limit.unit}"


def _paragraph(text: str) -> str:
    return fill(text, WIDTH)
