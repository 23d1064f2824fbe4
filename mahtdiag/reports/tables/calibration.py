"""What `calibration` prints: the verdict, every number with its definition, the groups, what to do."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mahtdiag.calibration.by_chance import MIN_UNITS
from mahtdiag.calibration.groups import MIN_KEYPOINTS, GroupCalibration
from mahtdiag.calibration.report import CalibrationReport, Coverage
from mahtdiag.diagnosis.gates import GateResult
from mahtdiag.diagnosis.metrics.registry import metric_of
from mahtdiag.reports.tables.recalibration import (
    RecalibrationResult,
    conformal_table,
    recalibration_table,
)
from mahtdiag.reports.tables.table import (
    Cells,
    Line,
    Part,
    Style,
    Table,
    TableColumn,
    gates_table,
    intervals_over,
    table,
)
from mahtdiag.reports.text import ABSENT, counted, in_unit, interval, number, percent, pixels
from mahtdiag.schema.model_spec import SIGMA_BOUNDS
from mahtdiag.statistics.intervals import FEWEST_OF_SQUARES

MOST_GROUPS = 8
FEW, BEYOND = "*", "!"
STATUS_STYLE = {"calibrated": Style.SOUND, "faulty": Style.BAD}
PLAIN = Style.PLAIN

# Name, key, and what it is; a blank name starts a new section.
NUMBERS = (
    ("σ scale", "sigma_scale", "√(mean z²), z = error/σ; 1 is right"),
    ("core factor", "core_scale", "median |z| / 0.6745: the bulk"),
    ("tail factor", "tail_scale", "95 % quantile of |z| / 1.96: the tail"),
    ("bias in x", "bias_x", "mean z in x; 0 is right"),
    ("bias in y", "bias_y", "mean z in y; 0 is right"),
    ("MACE", "mace", "mean |observed − promised|; 0 is best"),
    ("RMSCE", "rmsce", "root mean square of the same"),
    ("area", "miscalibration_area", "between the curve and the diagonal"),
    ("ENCE", "ence", "mean |RMSE − RMS σ| / RMS σ, 10 bins"),
    ("", "", ""),
    ("sharpness, px", "sharpness_px", "√(mean σ²); small is sharp"),
    ("NLL", "nll", "Gaussian negative log-likelihood"),
    ("CRPS, px", "crps_px", "Gaussian ranked probability score"),
    ("check score, px", "check", "pinball loss, levels 0.01 … 0.99"),
    ("interval score", "interval", "px, centred levels 0.01 … 0.99"),
    ("", "", ""),
    ("Spearman", "spearman", "rank correlation of σ and error"),
    ("AUSE", "ause", "excess over best ranking; 0 is best"),
)


@dataclass(frozen=True, slots=True)
class CalibrationResult:
    """Everything that the tables show. `recalibration` is None where `no_recalibration` says why.

    The two shares of σ² are None where its parts are not told apart. `sigma_bounds`: where the uncertainty
    loss clamps a head's σ, model-input pixels.
    """

    title: str
    source: str
    large_error: str
    report: CalibrationReport
    recalibration: RecalibrationResult | None
    no_recalibration: str | None
    applied: RecalibrationResult | None
    closing: tuple[str, ...]
    aleatoric_share: float | None = None
    epistemic_share: float | None = None
    gates: tuple[GateResult, ...] = ()
    sigma_bounds: tuple[float, float] = SIGMA_BOUNDS
    patients: int | None = None
    pictures: tuple[str, ...] = ()


def calibration_parts(result: CalibrationResult, *, everything: bool = False) -> Iterator[Part]:
    """All tables, one below the other, in 80 columns; `everything`: all groups instead of the worst."""
    report = result.report
    yield from (Line(result.title, Style.STRONG), Line(result.source), Line())
    yield from (Line(report.verdict, STATUS_STYLE.get(report.status, Style.DOUBTFUL)), Line())
    if report.n_keypoints:
        yield from (summary_table(result), coverage_table(report))
        kinds = dict.fromkeys(group.kind for group in report.groups)
        by_kind = [[group for group in report.groups if group.kind == kind] for kind in kinds]
        for groups in sorted(by_kind, key=_kind_order):
            if len(groups) > 1:
                yield group_table(groups, len(groups) if everything else MOST_GROUPS)
    shown = result.applied or result.recalibration
    if shown is not None:
        yield from (recalibration_table(shown), conformal_table(shown))
    elif result.no_recalibration is not None:
        yield Line(f"No recalibration: {result.no_recalibration}.")
    if result.gates:
        yield gates_table(result.gates)
    yield from map(Line, result.closing)


def _kind_order(groups: Sequence[GroupCalibration]) -> int:
    order = ("region", "vertebra", "corner", "keypoint", "axis", "sex", "age band")
    return order.index(groups[0].kind) if groups[0].kind in order else len(order)


def counts(report: CalibrationReport) -> str:
    """How many keypoints and images are behind every number, and what was left out."""
    text = f"{counted(report.n_keypoints, 'keypoint')} in {counted(report.n_images, 'image')}"
    for count, what in (
        (report.missing, "not labelled"),
        (report.invalid_sigma, "left out for a σ that is 0, negative or no number"),
        (report.invalid_residual, "left out for an impossible prediction"),
    ):
        text += f"; {count:,} {what}" if count else ""
    return text


def summary_table(result: CalibrationResult) -> Table:
    """Every number with its interval and its definition; `–` with a reason below where it is undefined."""
    report, bins = result.report, result.report.quantile_bins
    later = {"σ scale, ENCE, sharpness and NLL": FEWEST_OF_SQUARES}
    lines = [f"{counts(report)}. {intervals_over(report.n_images, result.patients, later)}"]
    if bins:
        shares = " ".join(ABSENT if j is None else f"{j:.2f}" for j in bins.jaccard)
        lines.append(f"Fifths by σ against fifths by error, Jaccard index, lowest first: {shares}.")
    if report.expected_error is not None:
        pairs = zip(report.expected_error.expected_px, report.expected_error.true_px, strict=True)
        fifths = " ".join(ABSENT if a is None else f"{pixels(a)}/{pixels(b)}" for a, b in pairs)
        lines.append(f"ERE, the expected radial error of heatmaps; fifths by it, expected/true px: {fifths}.")
    lines += [f"{name}: undefined, {reason}." for name, reason in _undefined(report)]
    return table(
        "Numbers",
        ("", "value", "95 % interval", TableColumn("what it is", wraps="words")),
        _number_rows(result),
        note="\n".join(lines),
        note_style=PLAIN,
    )


def _number_rows(result: CalibrationResult) -> Iterator[Cells | None]:
    report = result.report
    for name, key, meaning in NUMBERS:
        if name:
            yield name, calibration_number(report, key), interval(report.ci95.get(key)), meaning
        else:
            yield None
        if key == "mace":
            yield _by_chance(report)
    expected = report.expected_error
    if expected is not None:
        rho, of = expected.spearman, "rank correlation of ERE and error"
        yield "ERE: Spearman", number(rho), interval(expected.ci95.get("spearman")), of
        yield "ERE: ratio", number(expected.ratio), "", "mean error over mean ERE"
    yield "AUC", number(report.auc_large_error), "", f"finds errors > {result.large_error}"
    yield None
    low, high = result.sigma_bounds
    yield "at lower bound", percent(report.at_min_share), "", f"σ at or below {low:g} model-input px"
    yield "at upper bound", percent(report.at_max_share), "", f"σ at or above {high:g} model-input px"
    subgroups = report.adversarial
    # The first size is 2 residuals, whose MACE says nothing.
    worst = None if subgroups is None else float(subgroups.worst_mace[1])
    ninth = "" if subgroups is None else f"worst MACE of random {percent(float(subgroups.share[1]), 0)}"
    yield "worst subgroup", number(worst), "", f"{ninth} of the residuals"
    if result.aleatoric_share is not None and result.epistemic_share is not None:
        yield "aleatoric share", percent(result.aleatoric_share), "", "mean share of σ² within passes"
        yield "epistemic share", percent(result.epistemic_share), "", "mean share of σ² between passes"


def calibration_number(report: CalibrationReport, key: str) -> str:
    """A number of calibration as its unit is written."""
    metric = metric_of(f"calibration.{key}")
    return in_unit(getattr(report, key), "" if metric is None else metric.unit)


def _by_chance(report: CalibrationReport) -> Cells:
    """The MACE of a calibrated model of the same size."""
    most = report.mace_by_chance_most
    bounds = ABSENT if most is None else f"up to {number(most)}"
    return "  by chance", number(report.mace_by_chance), bounds, "if σ is right, at this size (19 of 20)"


def _undefined(report: CalibrationReport) -> list[tuple[str, str]]:
    names = {key: name for name, key, _ in NUMBERS if name}
    names |= {"auc_large_error": "AUC", "at_min_share": "at lower bound", "at_max_share": "at upper bound"}
    return [(names[key], reason) for key, reason in report.reasons.items() if key in names]


def coverage_table(report: CalibrationReport) -> Table:
    """Share of errors inside the predicted intervals (per axis) and ellipses (radial)."""
    rows: list[Cells] = []
    for level, axis in report.coverage.items():
        radial = report.radial.coverage.get(level, Coverage(float("nan")))
        shares = (text for each in (axis, radial) for text in (percent(each.observed), _bounds(each)))
        rows.append((percent(float(level), 0), *shares))
    return table(
        "Coverage: share of errors inside",
        ("promised", "interval", "95 % interval", "ellipse", "95 % interval"),
        rows,
        note="interval: |z| up to the normal quantile, x and y apart; ellipse: d² up to the χ²₂ quantile. "
        f"Ellipses: MACE {number(report.radial.mace)}, σ scale {number(report.radial.sigma_scale)}.",
        note_style=PLAIN,
    )


def _bounds(coverage: Coverage) -> str:
    return f"{interval(coverage.ci95, 100)} %" if coverage.ci95 else ABSENT


def group_table(groups: Sequence[GroupCalibration], most: int = MOST_GROUPS) -> Table:
    """Groups of one kind, the largest MACE first; those with too few keypoints or images last and marked."""
    shown = groups if len(groups) <= most + 2 else groups[:most]
    order = f"worst {len(shown)} of {len(groups)}" if len(shown) < len(groups) else "worst first"
    notes = []
    if any(group.enough for group in groups):
        notes.append("chance: mean MACE of groups of this size whose σ is right.")
    else:
        order = "too few to rank"
    if any(_is_beyond_chance(group) for group in shown):
        notes.append(f"{BEYOND} more than 19 of 20 of them show.")
    if not all(group.enough for group in shown):
        notes.append(
            f"{FEW} fewer than {MIN_KEYPOINTS} keypoints or {MIN_UNITS} images (patients, where known): too "
            "few to judge."
        )
    return table(
        f"By {groups[0].kind}, {order}",
        ("", "n", "images", "MACE", "chance", "scale", "bias x", "bias y", "in 90 %", "σ px"),
        (
            (
                group.name + ("" if group.enough else f" {FEW}"),
                f"{group.n_keypoints:,}",
                f"{group.n_images:,}",
                number(group.mace, 2) + (f" {BEYOND}" if _is_beyond_chance(group) else ""),
                number(group.mace_by_chance, 2),
                number(group.sigma_scale),
                _signed(group.bias_x),
                _signed(group.bias_y),
                percent(group.coverage_90, 0),
                pixels(group.sharpness_px),
            )
            for group in shown
        ),
        note=" ".join(notes),
        note_style=PLAIN,
    )


def _is_beyond_chance(group: GroupCalibration) -> bool:
    return group.enough and group.mace > (group.mace_by_chance_most or 1.0)


def _signed(value: float | None) -> str:
    return ABSENT if value is None else f"{value:+.2f}"
