"""What the page shows, and its parts in reading order: pictures and tables from the records of a run."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup
from matplotlib.figure import Figure
from numpy.typing import NDArray

from mahtdiag.diagnosis.anatomy import AnatomyReport, PredictionDiagnosis
from mahtdiag.diagnosis.metrics.error_units import ErrorUnit
from mahtdiag.diagnosis.metrics.losses import LOSS_NAMES
from mahtdiag.diagnosis.metrics.metric import GroupKind
from mahtdiag.diagnosis.numbers import RunNumbers, numbers_of
from mahtdiag.diagnosis.run_table import RunTable
from mahtdiag.reports.ci.record import GateCase
from mahtdiag.reports.figures.calibration import PlotData, figure_makers
from mahtdiag.reports.figures.errors import (
    bland_altman_figure,
    distribution_figure,
    error_spine_figure,
    known_measurements,
    loss_figure,
    violations_figure,
)
from mahtdiag.reports.figures.style import inline_svg, plot_style
from mahtdiag.reports.tables.anatomy import (
    systematic_table,
    tally_table,
    worst_images,
)
from mahtdiag.reports.tables.calibration import CalibrationResult, coverage_table, group_table, summary_table
from mahtdiag.reports.tables.clean_labels import clean_label_parts
from mahtdiag.reports.tables.errors import group_table as error_group_table
from mahtdiag.reports.tables.errors import leading_unit
from mahtdiag.reports.tables.errors import summary_table as error_summary_table
from mahtdiag.reports.tables.evaluation import ambiguity_parts, level_shift_line, loss_table, repair_table
from mahtdiag.reports.tables.label_noise import noise_parts
from mahtdiag.reports.tables.measurements import measurement_parts
from mahtdiag.reports.tables.setup import setup_table
from mahtdiag.reports.tables.subgroups import subgroup_parts
from mahtdiag.reports.tables.suspicious_labels import suspicious_parts
from mahtdiag.reports.tables.table import Line, Part, Style
from mahtdiag.reports.tables.unlabelled import unlabelled_parts
from mahtdiag.schema.choices import LeadingUnit
from mahtdiag.schema.setup import SetupEntry

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Facts:
    """Names and values of one kind: the checkpoint, the data, the machine."""

    title: str
    rows: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class ReportContent:
    """A finished run.

    `calibration` is None where the run has no σ, `plots` also where no keypoint has both an error and a σ.
    """

    title: str
    subtitle: str
    table: RunTable
    loss_weights: Mapping[str, float]
    anatomy: AnatomyReport
    calibration: CalibrationResult | None
    plots: PlotData | None
    gates: tuple[GateCase, ...]
    provenance: tuple[Facts, ...]
    notes: tuple[str, ...]
    setup: tuple[SetupEntry, ...] = ()
    error_unit: LeadingUnit | None = None

    @property
    def numbers(self) -> RunNumbers:
        """What the table tells."""
        return numbers_of(self.table)

    @property
    def unit(self) -> ErrorUnit:
        """What is asked for; else millimetres where any image has a pixel spacing, else pixels."""
        in_mm = self.numbers.get("radial_error_mm.mean") is not None
        return leading_unit(self.error_unit or (LeadingUnit.MM if in_mm else None), self.numbers)[0]


NAME_WIDTH = 40
WIDER = 60
MOST_COLUMNS = 3
GROUPS_SHOWN = ("vertebra", "corner", "sex", "age band")


@dataclass(frozen=True, slots=True)
class Plot:
    """A picture of the page."""

    svg: Markup


Block = Plot | Part
Stack = tuple[Block, ...]


@dataclass(frozen=True, slots=True)
class Chapter:
    """A part of the page. `rows` hold one or two stacks of blocks, which stand beside each other."""

    name: str
    title: str
    rows: tuple[tuple[Stack, ...], ...]


def sections_of(report: ReportContent) -> Iterator[Chapter]:
    """Every part between the verdict and the gallery."""
    if report.setup:
        yield Chapter("setup", "Setup", (((setup_table(report.setup),),),))
    if report.table.labelled:
        yield from (_errors(report), _losses(report))
    else:
        yield _predictions(report)
    noise = report.anatomy.noise
    if noise is not None:
        rows = ((tuple(noise_parts(noise, report.table)),),)
        yield Chapter("label-noise", "Disagreement of two readers", rows)
    yield anatomy_chapter(report.anatomy)
    if report.anatomy.diagnosis is not None:
        yield _measurements(report.anatomy.diagnosis)
    if report.calibration is not None:
        yield _calibration(report.calibration, report.plots)
    else:
        why = "the run has no σ" if report.table.labelled else "there are no labels"
        nothing = Line(f"Not judged: {why}.")
        yield Chapter("uncertainty", "Predicted uncertainty", (((nothing,),),))


def _plot(figure: Figure, name: str, description: str) -> Plot:
    return Plot(inline_svg(figure, name, description))


def _errors(report: ReportContent) -> Chapter:
    images, unit = report.table, report.unit
    error = unit.errors(images)
    with plot_style():
        distribution = _plot(
            distribution_figure(error, unit.thresholds, unit.words),
            "error-distribution",
            f"Histogram of the radial errors in {unit.words}, and the share of keypoints up to each error",
        )
        spine = _plot(
            error_spine_figure(images.skeleton, error, unit.words),
            "error-spine",
            f"Mean radial error of each keypoint in {unit.words} on a schematic spine",
        )
    diagnosis = report.anatomy.diagnosis
    kinds: Stack = (repair_table(images), level_shift_line(images)) if diagnosis else ()
    sigma_scale = report.calibration.report.sigma_scale if report.calibration else None
    leading, why = leading_unit(report.error_unit, report.numbers)
    evaluated, failed = len(images), len(images.failures)
    table: Stack = (
        *((Line(why),) if why else ()),
        error_summary_table(report.numbers, evaluated=evaluated, failed=failed, unit=leading),
        *clean_label_parts(report.numbers, sigma_scale),
    )
    groups = (
        error_group_table(
            "Radial error by vertebra", report.numbers, GroupKind.VERTEBRA, NAME_WIDTH, unit=leading
        ),
        error_group_table(
            "Radial error by corner", report.numbers, GroupKind.CORNER, NAME_WIDTH, unit=leading
        ),
    )
    ambiguous = tuple(ambiguity_parts(diagnosis.ambiguity)) if diagnosis else ()
    rows: list[tuple[Stack, ...]] = [((distribution,), (spine,)), (table, kinds), (groups,)]
    subgroups = tuple(subgroup_parts(images))
    rows += [(stack,) for stack in (subgroups, ambiguous) if stack]
    return Chapter("errors", "Errors", tuple(rows))


def _predictions(report: ReportContent) -> Chapter:
    """What is told of images without labels."""
    diagnosis = report.anatomy.diagnosis
    ambiguous = tuple(ambiguity_parts(diagnosis.ambiguity)) if diagnosis else ()
    first = tuple(unlabelled_parts(report.table, len(report.table.failures), NAME_WIDTH))
    return Chapter("predictions", "Predictions", tuple((stack,) for stack in (first, ambiguous) if stack))


def _losses(report: ReportContent) -> Chapter:
    table = loss_table(report.numbers, report.loss_weights)
    with plot_style():
        figure = _plot(
            loss_figure({name: report.table.loss(name) for name in LOSS_NAMES}, report.loss_weights),
            "loss-parts",
            "Mean weighted parts of the loss, and how they add up in each image",
        )
    return Chapter("losses", "Losses", (((figure,), (table,)),))


def anatomy_chapter(report: AnatomyReport) -> Chapter:
    """Rules that fired in predictions, and labels that the network speaks against."""
    verdict = report.verdict
    rows: list[tuple[Stack, ...]] = []
    if any(tally.images or tally.label_images for tally in verdict.tallies):
        with plot_style():
            figure = violations_figure(verdict.tallies, len(verdict.images))
            plot = _plot(figure, "violations", "Images in which each anatomical rule fired")
        worst, table = worst_images(report, WIDER), tally_table(verdict, "predictions", WIDER)
        rows += [((plot,), (worst,)), ((table,),)]
    else:
        rows.append(((Line("No rule fired in any image, nor in any label."),),))
    if report.diagnosis is not None and report.diagnosis.suspicious is not None:
        suspicious = tuple(suspicious_parts(report.diagnosis.suspicious, verdict.skeleton, WIDER))
        rows += [(suspicious,)] if suspicious else []
    return Chapter("anatomy", "Anatomical violations", tuple(rows))


def _measurements(diagnosis: PredictionDiagnosis) -> Chapter:
    measured = diagnosis.measured
    plots: dict[int, list[Block]] = {1: [], 2: [], 3: []}
    with plot_style():
        for name, pairs in known_measurements(measured.pairs):
            rows = -(-len(pairs) // MOST_COLUMNS)
            columns = -(-len(pairs) // rows)
            figure = bland_altman_figure(pairs, columns)
            description = f"Bland–Altman plot of the {pairs[0].title}, prediction against label"
            plots[columns].append(_plot(figure, f"agreement-{name.replace('_', '-')}", description))
    shared: list[Block] = []
    if diagnosis.in_px is not None:
        shared.append(systematic_table(diagnosis.in_px, diagnosis.in_cells, diagnosis.sentence))
    left, right = tuple(measurement_parts(measured)), (*shared, *plots[1])
    page: list[tuple[Stack, ...]] = [(left, right) if right else (left,)]
    page += [tuple((plot,) for plot in plots[2][first : first + 2]) for first in range(0, len(plots[2]), 2)]
    page += [((plot,),) for plot in plots[3]]
    return Chapter("measurements", "Clinical measurements", tuple(page))


def _calibration(tables: CalibrationResult, data: PlotData | None) -> Chapter:
    report = tables.report
    first: Stack = (Line(report.verdict, Style.STRONG), Line(tables.source))
    if data is None:
        return Chapter("uncertainty", "Predicted uncertainty", ((first,),))
    plots: dict[str, Stack] = {}
    with plot_style():
        for name, make in figure_makers().items():
            plots[name] = (_plot(make(data), f"calibration-{name}", _DESCRIPTIONS[name]),)
    rows: tuple[tuple[Stack, ...], ...] = (
        (first,),
        (plots["reliability"], plots["keypoint-coverage"]),
        (plots["sparsification"], plots["z-histogram"]),
        (plots["error-sigma"], (coverage_table(report),)),
        ((summary_table(tables), *_groups(tables)),),
    )
    return Chapter("uncertainty", "Predicted uncertainty", rows)


_DESCRIPTIONS = {
    "reliability": "Share of errors inside the predicted intervals and ellipses by nominal level",
    "sparsification": "Mean error of the rest when the least certain keypoints are removed first",
    "z-histogram": "Histogram of error over σ by axis, against the standard normal",
    "error-sigma": "Radial error against σ on logarithmic axes",
    "keypoint-coverage": "Share of errors inside the 90 % interval per keypoint on a schematic spine",
}


def _groups(tables: CalibrationResult) -> Iterator[Part]:
    for kind in GROUPS_SHOWN:
        groups = [group for group in tables.report.groups if group.kind == kind]
        if len(groups) > 1:
            yield group_table(groups)
