"""What `evaluate` prints at the end: every table of a finished run, in reading order.

Those of error types, failures and ambiguous heatmaps are shown by `anatomy` and the page as well.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from mahtdiag.anatomy.rules import RULE_BY_CODE
from mahtdiag.diagnosis.ambiguity import Ambiguity, AmbiguousGroup, ambiguity_of
from mahtdiag.diagnosis.anatomy import shift_by_image
from mahtdiag.diagnosis.gates import GateResult
from mahtdiag.diagnosis.label_noise import noise_of_run
from mahtdiag.diagnosis.metrics.anatomy import ANATOMY
from mahtdiag.diagnosis.metrics.error_units import ErrorUnit
from mahtdiag.diagnosis.metrics.losses import KEYPOINT_SHARE, LOSSES
from mahtdiag.diagnosis.metrics.metric import Estimate, GroupKind
from mahtdiag.diagnosis.numbers import RunNumbers, find_number
from mahtdiag.diagnosis.repairs import repairs_in
from mahtdiag.diagnosis.run_table import RunTable
from mahtdiag.diagnosis.worst_images import largest_known, mean_of_known
from mahtdiag.reports.tables.clean_labels import clean_label_parts, mark_note, marked_name
from mahtdiag.reports.tables.errors import MM, PX, group_table, leading_unit, summary_table
from mahtdiag.reports.tables.failures import failures_table
from mahtdiag.reports.tables.label_noise import disagreement_table, unmatched_parts
from mahtdiag.reports.tables.setup import headline_parts, setup_table
from mahtdiag.reports.tables.subgroups import subgroup_parts
from mahtdiag.reports.tables.table import (
    INDENT,
    LONGEST_NAME,
    NAME_WIDTH,
    STANDARD_WIDTH,
    Cells,
    Line,
    Part,
    Style,
    Table,
    TableColumn,
    gates_table,
    table,
)
from mahtdiag.reports.tables.unlabelled import unlabelled_parts
from mahtdiag.reports.text import (
    ABSENT,
    counted,
    interval,
    number,
    percent,
    pixels,
)
from mahtdiag.schema.choices import LeadingUnit
from mahtdiag.schema.records import Failure
from mahtdiag.schema.setup import SetupEntry

WORST_ROWS = 8
SHIFTS_NAMED = 3
WITH_VIOLATIONS = "anatomy.images_with_violations"
IN_ELLIPSES = "radial.coverage.0.95.observed"
# Room for four violation codes.
CODES_WIDTH = 20
PARTS = ("heatmap", "coord", "anatomical", "uncertainty")
ANATOMICAL_TERMS = ("order", "parallel", "ratio")
SHORT_PART = {"heatmap": "heatmap", "coord": "coord", "anatomical": "anatom.", "uncertainty": "uncert."}


@dataclass(frozen=True, slots=True)
class EvaluationResult:
    """A finished run. `numbers` is None where nothing was evaluated, `calibration` as `run.json` has it."""

    title: str
    subtitle: str
    evaluated: int
    failed: int
    numbers: RunNumbers | None
    loss_weights: dict[str, float]
    calibration: Mapping[str, object] | None
    gates: tuple[GateResult, ...]
    failures: tuple[Failure, ...]
    notes: tuple[str, ...]
    setup: tuple[SetupEntry, ...] = ()
    error_unit: LeadingUnit | None = None


def evaluation_parts(
    result: EvaluationResult,
    width: int = STANDARD_WIDTH,
    *,
    everything: bool = False,
    all_levels: bool = False,
) -> Iterator[Part]:
    """The tables of a run, one below the other; what a terminal has above 80 columns goes to file names.

    `everything`: all images instead of the worst; `all_levels`: each vertebra of a spine of several regions.
    """
    yield from headline_parts(result.setup)
    yield from (Line(result.title, Style.STRONG), Line(result.subtitle), Line())
    if result.setup:
        yield setup_table(result.setup)
    if result.numbers is None:
        yield Line("Nothing was evaluated.", Style.BAD)
    else:
        name_width = min(LONGEST_NAME, NAME_WIDTH + max(0, width - STANDARD_WIDTH))
        if result.numbers.table.labelled:
            yield from _results(result, result.numbers, name_width, everything, all_levels)
        else:
            yield from _without_labels(result, result.numbers, name_width, all_levels)
    if result.gates:
        yield gates_table(result.gates)
    if result.failures:
        yield failures_table("Not evaluated", result.failures, everything=everything)
    yield from (Line(f"note: {note}") for note in result.notes)


def _results(
    result: EvaluationResult, numbers: RunNumbers, name_width: int, everything: bool, all_levels: bool
) -> Iterator[Part]:
    unit, why = leading_unit(result.error_unit, numbers)
    if why:
        yield Line(f"{why}\n")
    yield summary_table(numbers, evaluated=result.evaluated, failed=result.failed, unit=unit)
    yield from clean_label_parts(numbers, find_number(result.calibration or {}, "sigma_scale"), unit)
    noise = noise_of_run(numbers.table)
    if noise is not None:
        yield from (disagreement_table(noise), *unmatched_parts(noise))
    regions = bool(numbers.table.skeleton.regions_apart)
    if regions:
        yield group_table("Radial error by region", numbers, GroupKind.REGION, name_width, unit=unit)
    if all_levels or not regions:
        yield group_table("Radial error by vertebra", numbers, GroupKind.VERTEBRA, name_width, unit=unit)
    yield group_table("Radial error by corner", numbers, GroupKind.CORNER, name_width, unit=unit)
    yield from subgroup_parts(numbers.table)
    yield loss_table(numbers, result.loss_weights)
    rows = len(numbers.table) if everything else WORST_ROWS
    yield worst_table(numbers.table, result.loss_weights, name_width, unit=unit, most=rows)
    yield violations_table(numbers)
    yield from (repair_table(numbers.table, unit), level_shift_line(numbers.table))
    yield from ambiguity_parts(ambiguity_of(numbers.table), all_levels=all_levels)
    if result.calibration is not None:
        yield _calibration(result.calibration)


def _without_labels(
    result: EvaluationResult, numbers: RunNumbers, name_width: int, all_levels: bool
) -> Iterator[Part]:
    yield from unlabelled_parts(numbers.table, result.failed, name_width)
    yield violations_table(numbers)
    yield from ambiguity_parts(ambiguity_of(numbers.table), all_levels=all_levels)


def _calibration(stored: Mapping[str, object]) -> Table:
    """The few calibration numbers that belong beside the errors."""
    return table(
        "Predicted uncertainty",
        ("", "value", "ideal"),
        (
            (
                "mean absolute calibration error (MACE)",
                number(find_number(stored, "mace")),
                _by_chance(stored),
            ),
            ("95 % ellipses hold the keypoint", percent(find_number(stored, IN_ELLIPSES)), "95.0 %"),
            ("σ scale that fits best", number(find_number(stored, "sigma_scale")), "1"),
            *(
                (f"  factor that fits {what}", number(value), "1")
                for name, what in (("core_scale", "half of the errors"), ("tail_scale", "95 % of them"))
                if (value := find_number(stored, name)) is not None
            ),
            ("sharpness (root mean square σ), px", pixels(find_number(stored, "sharpness_px")), ""),
            ("rank correlation of σ and error", number(find_number(stored, "spearman")), "1"),
        ),
        note=str(stored.get("verdict", "")),
        note_style=Style.PLAIN,
    )


def _by_chance(stored: Mapping[str, object]) -> str:
    """What a model whose σ is right shows at this size; runs of earlier versions do not say."""
    mean = find_number(stored, "mace_by_chance")
    return "0" if mean is None else f"about {number(mean)}"


def loss_table(numbers: RunNumbers, weights: Mapping[str, float]) -> Table:
    """Mean of each loss part, its weight, and its share of the weighted sum."""
    metrics = {metric.path[-1]: (metric, found) for metric, found in numbers.of(LOSSES)}
    losses = {name: found for name, (_, found) in metrics.items()}
    keypoint_share = losses.get(KEYPOINT_SHARE)
    shares = _shares({name: losses[name].value for name in PARTS if name in losses}, weights)
    rows: list[Cells | None] = []
    for name in PARTS:
        if name in losses:
            rows.append((*_estimate(name, losses[name]), f"{weights[name]:g}", percent(shares[name])))
        if name == "anatomical":
            terms = [term for term in ANATOMICAL_TERMS if term in losses]
            rows += [_estimate(f"{INDENT}{term}", losses[term]) for term in terms]
    own_place = (*PARTS, *ANATOMICAL_TERMS, "total", KEYPOINT_SHARE)
    rows += [_estimate(metric.label, of) for name, (metric, of) in metrics.items() if name not in own_place]
    rows.append(None)
    if "total" in losses:
        rows.append(_estimate("total", losses["total"]))
    note = ""
    if keypoint_share is not None:
        note = (
            f"{percent(keypoint_share.value)} of the heatmap loss comes from keypoint pixels (target > 0.5), "
            "the rest from background."
        )
    columns = ("part", "mean", "95 % interval", "weight", "share")
    return table(f"Loss (mean over images, {numbers.table.conditions.loss_frame})", columns, rows, note=note)


def _estimate(name: str, estimate: Estimate) -> tuple[str, str, str]:
    return name, number(estimate.value), interval(estimate.ci95)


def _shares(parts: Mapping[str, float], weights: Mapping[str, float]) -> dict[str, float]:
    """Share of each weighted part; magnitudes are compared, since a likelihood can be negative."""
    weighted = {name: abs(weights[name] * value) for name, value in parts.items() if np.isfinite(value)}
    total = sum(weighted.values())
    return {name: weighted.get(name, 0.0) / total if total else 0.0 for name in parts}


def worst_table(
    images: RunTable,
    weights: Mapping[str, float],
    name_width: int = NAME_WIDTH,
    *,
    unit: ErrorUnit = PX,
    most: int = WORST_ROWS,
) -> Table:
    """The worst images by mean radial error: errors, then every loss part and its share.

    Violation codes are added where there is room for them.
    """
    mean, largest = images.radial_error_px, images.max_error_px
    if unit is not PX:
        mean, largest = mean_of_known(unit.errors(images)), largest_known(unit.errors(images))
    order = np.argsort(-np.nan_to_num(unit.urgency(images), nan=-1.0), kind="stable")
    worst: list[int] = order[:most].tolist()
    shown = [part for part in PARTS if np.isfinite(images.loss(part)[worst]).any()]
    roomy = name_width >= NAME_WIDTH + CODES_WIDTH
    name_width -= CODES_WIDTH if roomy else 0
    rows: list[Cells] = []
    for row in worst:
        losses = {part: float(images.loss(part)[row]) for part in shown}
        shares = _shares(losses, weights)
        numbers = (pixels(mean[row]), pixels(largest[row]), number(images.loss("total")[row]))
        parts = [f"{number(losses[part], 2)} {100 * shares[part]:.0f}%" for part in shown]
        codes = [" ".join(images.violations[row]) or ABSENT] if roomy else []
        name = marked_name(images, images.image[row], name_width)
        rows.append((name, *numbers, *parts, *codes))
    what = f"by mean radial error, {unit.words}; loss and its parts with their shares"
    columns = ("image", "mean", "max", "loss", *(SHORT_PART[part] for part in shown))
    return table(
        f"Worst {len(worst)} of {len(images)} images {what}",
        (*columns, *([TableColumn("violations")] if roomy else [])),
        rows,
        note=mark_note(images, [images.image[row] for row in worst]),
    )


def violations_table(numbers: RunNumbers) -> Table:
    """Anatomical violations among the predictions: the rules that fired, the most frequent first."""
    by_rule = numbers.by_group(ANATOMY, GroupKind.RULE)
    fired = {group.name: of for group, of in by_rule.items() if of["images"].value}
    rows = []
    for code, of in sorted(fired.items(), key=lambda item: (-item[1]["images"].value, item[0])):
        images, findings = int(of["images"].value), int(of["findings"].value)
        share = percent(images / len(numbers.table), 0)
        rows.append((code, RULE_BY_CODE[code].title, f"{images} ({share})", str(findings)))
    title = (
        f"Anatomical violations among the predictions: {percent(numbers[WITH_VIOLATIONS].value)} of images"
    )
    columns = ("code", TableColumn("rule"), "images", "findings")
    return table(title, columns, rows or [(ABSENT, "no rule fired", "0", "0")])


def repair_table(run: RunTable, unit: ErrorUnit = MM) -> Part:
    """What kind of mistakes there are, and what repairing each kind alone would gain; `unit` leads."""
    found = repairs_in(run, unit)
    if found is None:
        return Line("No keypoint has both a label and a prediction: nothing to compare.\n")
    words, keypoints = found.unit.words, sum(row.keypoints for row in found.rows)
    without = (
        f" Without {counted(found.left_out, 'keypoint')} whose mm are not known." if found.left_out else ""
    )
    return table(
        f"Error types: mean error {pixels(found.mean)} {words} over {keypoints:,} keypoints",
        ("type", "keypoints", "of all", "of error", f"gain, {words}", "95 % interval"),
        (
            (
                row.error_type.title,
                f"{row.keypoints:,}",
                percent(row.keypoint_share),
                percent(row.error_share),
                pixels(max(0.0, found.mean - row.repaired_mean)),
                interval(found.gains[row.error_type].ci95) if row.error_type in found.gains else "",
            )
            for row in found.rows
        ),
        note="Gain: of the mean error if these were repaired. Good: within 0.1 of the vertebra's width. "
        f"Level shift +1: marked one level too low.{without}",
    )


def level_shift_line(run: RunTable) -> Line:
    """Whole images marked one level off, by name."""
    shifts = shift_by_image(run)
    if not shifts:
        return Line("No image is marked one level off as a whole.\n")
    names = ", ".join(f"{image} ({shift:+d})" for image, shift in [*shifts.items()][:SHIFTS_NAMED])
    more = f" and {len(shifts) - SHIFTS_NAMED} more" if len(shifts) > SHIFTS_NAMED else ""
    images = "image" if len(shifts) == 1 else "images"
    said = f"{len(shifts)} {images} marked one level off as a whole (+1: too low): {names}{more}\n"
    return Line(said, Style.BAD)


def ambiguity_parts(ambiguity: Ambiguity | None, *, all_levels: bool = True) -> Iterator[Part]:
    """How many heatmaps are diffuse, a row per vertebra with ambiguous ones, and the sentences, if any.

    Rows per region where there are several, unless `all_levels` are asked for.
    """
    if ambiguity is None:
        return
    total = ambiguity.total
    if total.diffuse:
        yield Line(
            f"Diffuse heatmaps: {total.diffuse:,} of {counted(total.keypoints, 'keypoint')} in "
            f"{total.images_diffuse} of {counted(ambiguity.images, 'image')}. Over half of the rows away "
            "from the peak reach a quarter of it; no second peak is sought there.\n",
            Style.STRONG,
        )
    if total.two_peaks or total.disagree:
        yield from _ambiguity_table(ambiguity, all_levels)


def _ambiguity_table(ambiguity: Ambiguity, all_levels: bool) -> Iterator[Part]:
    total = ambiguity.total
    # Without labels nobody can tell what another decoder would change.
    known = any(change.everywhere is not None for change in total.changes)
    methods = [str(change.method) for change in total.changes if known]
    # There is room for one interval.
    changes = [*methods[:1], "95 % interval", *methods[1:]] if known else []
    levels = ambiguity.by_vertebra if all_levels or not ambiguity.by_region else ambiguity.by_region
    groups = [group for group in (*levels, total) if group.two_peaks or group.disagree]
    yield table(
        f"Ambiguous heatmaps: {counted(total.two_peaks, 'keypoint')} with two peaks in "
        f"{total.images} of {counted(ambiguity.images, 'image')}",
        ("", "images", "points", "between", "apart", *changes),
        (_ambiguous(group)[: 5 + len(changes)] for group in groups),
        note="Two peaks: the second at least half the first, over 3 σ away. Between: decoded over σ from "
        "either; apart: over σ from the highest cell."
        + (f" {' and '.join(methods)}: change of the mean error, px, by that --decode." if known else ""),
    )
    for sentence in ambiguity.sentences:
        yield Line(f"{sentence}\n", Style.STRONG)


def _ambiguous(group: AmbiguousGroup) -> list[str]:
    changes = [_change(change.everywhere) for change in group.changes]
    first = group.changes[0].everywhere if group.changes else None
    changes.insert(1, interval(first.ci95 if first else None))
    counts = (group.images, group.two_peaks, group.between, group.disagree)
    return [group.name, *(str(count) for count in counts), *changes]


def _change(estimate: Estimate | None) -> str:
    return ABSENT if estimate is None else f"{estimate.value:+.2f}"
