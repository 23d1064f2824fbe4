"""What `calibration` prints: the verdict, every number with its definition, the groups, what to do."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from mahtdiag.calibration import CalibrationReport, Change, ConformalRow, ConformalTable, RecalibrationRow
from mahtdiag.calibration.groups import MIN_KEYPOINTS, GroupCalibration
from mahtdiag.calibration.recalibration import Scope
from mahtdiag.calibration.report import Coverage
from mahtdiag.diagnosis.gates import GateResult
from mahtdiag.reports.numbers import ABSENT, counted, interval, number, percent, pixels
from mahtdiag.reports.tables.evaluation import plain_table
from mahtdiag.reports.tables.gates import gates_table
from mahtdiag.schema.model_spec import SIGMA_BOUNDS

MOST_GROUPS = 8
FEW = "*"
STATUS_STYLE = {"calibrated": "bold green", "faulty": "bold red"}

# Name, key, and what it is; a blank name starts a new section.
NUMBERS = (
    ("σ scale", "sigma_scale", "√(mean z²), z = error/σ; 1 is right"),
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
class RecalibrationView:
    """A before/after table with what it was fitted and judged on.

    `rows`: σ as it came, one factor, one factor per keypoint; `common` is the one factor. `changes`: of the
    NLL, by scope. `where`: in words, what the factors were fitted on and judged on.
    """

    rows: tuple[RecalibrationRow, ...]
    common: float
    changes: Mapping[Scope, Change]
    conformal: ConformalTable
    where: str


@dataclass(frozen=True, slots=True)
class CalibrationView:
    """Everything that the tables show. `recalibration` is None where `no_recalibration` says why.

    The two shares of σ² are None where its parts are not told apart. `sigma_bounds`: where the uncertainty
    loss clamps a head's σ, model-input pixels.
    """

    title: str
    source: str
    large_error: str
    report: CalibrationReport
    recalibration: RecalibrationView | None
    no_recalibration: str | None
    applied: RecalibrationView | None
    closing: tuple[str, ...]
    aleatoric_share: float | None = None
    epistemic_share: float | None = None
    gates: tuple[GateResult, ...] = ()
    sigma_bounds: tuple[float, float] = SIGMA_BOUNDS
    resamples: int = 2000


def calibration_tables(view: CalibrationView) -> RenderableType:
    """All tables, one below the other, in 80 columns."""
    report = view.report
    parts: list[RenderableType] = [Text(view.title, style="bold"), Text(view.source), Text(), verdict(report)]
    if report.n_keypoints:
        parts += [summary_table(view), coverage_table(report)]
        kinds = dict.fromkeys(group.kind for group in report.groups)
        by_kind = [[group for group in report.groups if group.kind == kind] for kind in kinds]
        parts += [group_table(groups) for groups in sorted(by_kind, key=_kind_order) if len(groups) > 1]
    if view.applied is not None:
        parts += [recalibration_table(view.applied), conformal_table(view.applied)]
    elif view.recalibration is not None:
        parts += [recalibration_table(view.recalibration), conformal_table(view.recalibration)]
    elif view.no_recalibration is not None:
        parts.append(Text(f"No recalibration: {view.no_recalibration}."))
    parts += [gates_table(view.gates)] if view.gates else []
    parts += [Text(line) for line in view.closing]
    return Group(
        *(piece for part in parts for piece in ((part, Text()) if isinstance(part, Table) else (part,)))
    )


def _kind_order(groups: Sequence[GroupCalibration]) -> int:
    order = ("vertebra", "corner", "keypoint", "axis", "sex", "age band")
    return order.index(groups[0].kind) if groups[0].kind in order else len(order)


def verdict(report: CalibrationReport) -> RenderableType:
    """The verdict in words, in the colour of its status."""
    return Group(Text(report.verdict, style=STATUS_STYLE.get(report.status, "bold yellow")), Text())


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


def summary_table(view: CalibrationView) -> Table:
    """Every number with its interval and its definition; `–` with a reason below where it is undefined."""
    report = view.report
    table = plain_table("Numbers", "", "value", "95 % interval", "what it is")
    table.columns[3].justify, table.columns[3].no_wrap = "left", False
    for name, key, meaning in NUMBERS:
        if not name:
            table.add_section()
            continue
        table.add_row(name, number(getattr(report, key)), interval(report.ci95.get(key)), meaning)
    table.add_row("AUC", number(report.auc_large_error), "", f"finds errors > {view.large_error}")
    bins = report.quantile_bins
    shares = " ".join(ABSENT if j is None else f"{j:.2f}" for j in bins.jaccard) if bins else ABSENT
    subgroups = report.adversarial
    # The first size is 2 residuals, whose MACE says nothing.
    worst = None if subgroups is None else float(subgroups.worst_mace[1])
    ninth = "" if subgroups is None else f"worst MACE of random {percent(float(subgroups.share[1]), 0)}"
    table.add_section()
    low, high = view.sigma_bounds
    table.add_row("at lower bound", percent(report.at_min_share), "", f"σ at or below {low:g} model-input px")
    table.add_row(
        "at upper bound", percent(report.at_max_share), "", f"σ at or above {high:g} model-input px"
    )
    table.add_row("worst subgroup", number(worst), "", f"{ninth} of the residuals")
    if view.aleatoric_share is not None and view.epistemic_share is not None:
        table.add_row("aleatoric share", percent(view.aleatoric_share), "", "mean share of σ² within passes")
        table.add_row("epistemic share", percent(view.epistemic_share), "", "mean share of σ² between passes")
    lines = [f"{counts(report)}. Intervals: {view.resamples:,} resamples of images."]
    if bins:
        lines.append(f"Fifths by σ against fifths by error, Jaccard index, lowest first: {shares}.")
    lines += [f"{name}: undefined, {reason}." for name, reason in _undefined(report)]
    table.caption, table.caption_justify = Text("\n".join(lines)), "left"
    return table


def _undefined(report: CalibrationReport) -> list[tuple[str, str]]:
    names = {key: name for name, key, _ in NUMBERS if name}
    names |= {"auc_large_error": "AUC", "at_min_share": "at lower bound", "at_max_share": "at upper bound"}
    return [(names[key], reason) for key, reason in report.reasons.items() if key in names]


def coverage_table(report: CalibrationReport) -> Table:
    """Share of errors inside the predicted intervals (per axis) and ellipses (radial)."""
    table = plain_table(
        "Coverage: share of errors inside",
        "promised",
        "interval",
        "95 % interval",
        "ellipse",
        "95 % interval",
    )
    for level, axis in report.coverage.items():
        radial = report.radial.coverage.get(level, Coverage(float("nan")))
        table.add_row(
            percent(float(level), 0), percent(axis.observed), _percent_interval(axis),
            percent(radial.observed), _percent_interval(radial),
        )  # fmt: skip
    table.caption_justify = "left"
    table.caption = Text(
        f"interval: |z| up to the normal quantile, x and y apart; ellipse: d² up to the χ²₂ quantile. "
        f"Ellipses: MACE {number(report.radial.mace)}, σ scale {number(report.radial.sigma_scale)}."
    )
    return table


def _percent_interval(coverage: Coverage) -> str:
    return f"{interval(coverage.ci95, 100)} %" if coverage.ci95 else ABSENT


def group_table(groups: Sequence[GroupCalibration]) -> Table:
    """Groups of one kind, the largest MACE first; those with too few keypoints last and marked."""
    kind = groups[0].kind
    shown = groups if len(groups) <= MOST_GROUPS + 2 else groups[:MOST_GROUPS]
    of = f", worst {len(shown)} of {len(groups)}" if len(shown) < len(groups) else ", worst first"
    table = plain_table(
        f"By {kind}{of}", "", "n", "images", "MACE", "σ scale", "bias x", "bias y", "in 90 %", "RMS σ px"
    )
    for group in shown:
        table.add_row(
            Text(group.name + ("" if group.enough else f" {FEW}")),
            f"{group.n_keypoints:,}",
            f"{group.n_images:,}",
            number(group.mace),
            number(group.sigma_scale),
            _signed(group.bias_x),
            _signed(group.bias_y),
            percent(group.coverage_90),
            pixels(group.sharpness_px),
        )
    if not all(group.enough for group in shown):
        table.caption_justify = "left"
        table.caption = Text(f"{FEW} fewer than {MIN_KEYPOINTS} keypoints: too few to judge")
    return table


def _signed(value: float | None) -> str:
    return ABSENT if value is None else f"{value:+.2f}"


def recalibration_table(view: RecalibrationView) -> Table:
    """Calibration with σ as it came, with one factor, and with one factor per keypoint."""
    table = plain_table(
        "Recalibration", "σ", "MACE", "radial", "NLL", "CRPS px", "σ scale", "sharpness", "in 90 %"
    )
    names = {None: "as it came", "global": f"× {view.common:.3g}", "keypoint": "× one per keypoint"}
    for row in view.rows:
        table.add_row(
            names[row.scope], number(row.mace), number(row.radial_mace), number(row.nll),
            number(row.crps_px), number(row.sigma_scale), pixels(row.sharpness_px), percent(row.coverage_90),
        )  # fmt: skip
    table.caption_justify = "left"
    table.caption = Text(f"{view.where} {advice(view)}")
    return table


def advice(view: RecalibrationView) -> str:
    """What the before/after table calls for."""
    before, *after = view.rows
    best = min(after, key=lambda row: row.nll)
    change = view.changes[best.scope or "global"]
    factor = f"One factor ({view.common:.2f})" if best.scope == "global" else "One factor per keypoint"
    by = f"NLL {before.nll:.2f} to {best.nll:.2f}, change {_change(change)}"
    if change.is_rise:
        return f"{factor} makes it worse ({by}): the spread is not what is wrong, do not rescale."
    if not change.is_drop:
        return f"{factor} gains nothing beyond chance ({by})."
    if best.mace > before.mace:
        return (
            f"{factor} helps the likelihood ({by}) but not the coverage (MACE {number(before.mace)} to "
            f"{number(best.mace)}): the errors are not Gaussian, prefer the conformal regions."
        )
    return f"{factor} helps ({by}); MACE {number(before.mace)} to {number(best.mace)}."


def _change(change: Change) -> str:
    value = f"{change.value:+.2f}"
    return value if change.ci95 is None else f"{value} ({change.ci95[0]:+.2f} to {change.ci95[1]:+.2f})"


def conformal_table(view: RecalibrationView) -> Table:
    """Regions that keep their promise whatever the distribution: their size, and what they held."""
    table = plain_table(
        "Conformal regions", "promised", "region", "one for all", "held", "one per keypoint", "held"
    )
    table.columns[1].justify = "left"
    for kind, rows in (("ellipse, σ", view.conformal.ellipse), ("disc, px", view.conformal.disc_px)):
        for row in rows:
            table.add_row(
                percent(row.limits.coverage, 0), kind, _limit(row.limits.pooled), percent(row.held_pooled),
                _limit_range(row), percent(row.held_by_keypoint),
            )  # fmt: skip
        table.add_section()
    table.caption_justify = "left"
    unbounded = any(len(row.limits.unbounded) for row in (*view.conformal.ellipse, *view.conformal.disc_px))
    table.caption = Text(
        "An ellipse of so many σ, or a disc, around the prediction; held: share of keypoints inside. "
        f"{view.where}"
        + (" ∞: too few images to promise this share, the region is unbounded." if unbounded else "")
    )
    return table


def _limit_range(row: ConformalRow) -> str:
    limits = [float(limit) for limit in row.limits.by_keypoint]
    low, high = _limit(min(limits)), _limit(max(limits))
    return low if low == high else f"{low} to {high}"


def _limit(value: float) -> str:
    return "∞" if value == float("inf") else number(value)
