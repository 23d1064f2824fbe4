"""What the page shows, and its parts in reading order: pictures and tables from the records of a run."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from mahtdiag.diagnosis.anatomy import AnatomyReport, PredictionDiagnosis
from mahtdiag.diagnosis.metrics.error_units import ErrorUnit
from mahtdiag.diagnosis.metrics.metric import GroupKind
from mahtdiag.diagnosis.numbers import RunNumbers, numbers_of
from mahtdiag.diagnosis.run_table import RunTable
from mahtdiag.reports.ci.record import GateCase
from mahtdiag.reports.figures.calibration import PlotData
from mahtdiag.reports.figures.registry import (
    AGREEMENT_FIGURES,
    FIGURE_OF,
    SIGMA_FIGURES,
    FigureData,
    RunFigure,
)
from mahtdiag.reports.figures.style import COLUMN, inline_svg, plot_style
from mahtdiag.reports.overlay.draw import Image
from mahtdiag.reports.tables.anatomy import (
    systematic_table,
    tally_table,
    worst_images,
)
from mahtdiag.reports.tables.bodies import bodies_table
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
from mahtdiag.schema.setup import SetupEntry, SetupStatus

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
        return leading_unit(self.error_unit, self.numbers)[0]

    def figures(self, picture: Callable[[int], Image | None] = lambda row: None) -> FigureData:
        """What its figures are drawn from; `picture`: the pixels of an image by its row."""
        diagnosis = self.anatomy.diagnosis
        return FigureData(
            table=self.table,
            unit=self.unit,
            loss_weights=self.loss_weights,
            tallies=self.anatomy.verdict.tallies,
            pairs=() if diagnosis is None else diagnosis.measured.pairs,
            sigma=self.plots,
            no_sigma=self.no_sigma,
            picture=picture,
        )

    @property
    def of_labels(self) -> bool:
        """Whether labels are judged, and no run."""
        return self.anatomy.verdict.label_violating is None

    @property
    def no_sigma(self) -> str:
        """Why no figure of σ can be drawn, where none can."""
        if not self.table.labelled:
            return "there are no labels"
        return (
            "the run has no σ" if self.calibration is None else "no keypoint has both an error and a valid σ"
        )


NAME_WIDTH = 40
WIDER = 60
GROUPS_SHOWN = ("region", "vertebra", "corner", "sex", "age band")


@dataclass(frozen=True, slots=True)
class Plot:
    """A figure of the page, `wide` where it needs its whole width, with its caption."""

    name: str
    title: str
    note: str
    svg: Markup
    wide: bool = False


Block = Plot | Part
Stack = tuple[Block, ...]


@dataclass(frozen=True, slots=True)
class Chapter:
    """A part of the page: rows of one or two stacks of blocks beside each other, then all its plots."""

    name: str
    title: str
    rows: tuple[tuple[Stack, ...], ...]
    plots: tuple[Plot, ...] = ()


# The headline of judged labels says the same.
LABELS_POSSIBLE = "labels.possible"
OF_LABELS = "Which rules do labels break?"


def told_at_the_top(report: ReportContent) -> frozenset[str]:
    """The checks of the set-up that are said in full where the page opens: those that are not fine."""
    off = (SetupStatus.WRONG, SetupStatus.WARNING)
    found = {entry.check for entry in report.setup if entry.status in off}
    return frozenset(found - ({LABELS_POSSIBLE} if report.of_labels else set()))


def sections_of(report: ReportContent) -> Iterator[Chapter]:
    """Every part between the verdict and the gallery."""
    data = report.figures()
    if report.setup:
        yield Chapter("setup", "Setup", (((setup_table(report.setup, told_at_the_top(report)),),),))
    if report.table.labelled:
        yield from (_errors(report, data), _losses(report, data))
    else:
        yield _predictions(report)
    noise = report.anatomy.noise
    if noise is not None:
        rows = ((tuple(noise_parts(noise, report.table)),),)
        yield Chapter("label-noise", "Disagreement of two readers", rows)
    yield anatomy_chapter(report.anatomy, data)
    if report.anatomy.diagnosis is not None:
        yield _measurements(report.anatomy.diagnosis, data)
    if report.calibration is not None:
        yield _calibration(report.calibration, data)
    else:
        why = "the run has no σ" if report.table.labelled else "there are no labels"
        nothing = Line(f"Not judged: {why}.")
        yield Chapter("uncertainty", "Predicted uncertainty", (((nothing,),),))


def plots_of(figures: Sequence[RunFigure], data: FigureData) -> tuple[Plot, ...]:
    """Those of the figures that the run has."""
    return tuple(_plot(figure, data) for figure in figures if figure.lacks(data) is None)


def _plot(figure: RunFigure, data: FigureData) -> Plot:
    with plot_style():
        drawn = figure.draw(data)
        wide = drawn.get_figwidth() > COLUMN
        svg = inline_svg(drawn, figure.name, figure.shows)
    return Plot(figure.name, figure.title, figure.note(data), svg, wide)


def _named(*names: str) -> tuple[RunFigure, ...]:
    return tuple(FIGURE_OF[name] for name in names)


ERROR_FIGURES = _named("error-curve", "error-boxes", "error-vectors", "error-distribution", "error-spine")


def _errors(report: ReportContent, data: FigureData) -> Chapter:
    images = report.table
    diagnosis = report.anatomy.diagnosis
    sigma_scale = report.calibration.report.sigma_scale if report.calibration else None
    leading, why = leading_unit(report.error_unit, report.numbers)
    kinds: Stack = (repair_table(images, leading), level_shift_line(images)) if diagnosis else ()
    evaluated, failed = len(images), len(images.failures)
    table: Stack = (
        *((Line(why),) if why else ()),
        error_summary_table(report.numbers, evaluated=evaluated, failed=failed, unit=leading),
        *clean_label_parts(report.numbers, sigma_scale, leading),
    )
    regions = (
        error_group_table(
            "Radial error by region", report.numbers, GroupKind.REGION, NAME_WIDTH, unit=leading
        ),
    )
    groups = (
        *(regions if images.skeleton.regions_apart else ()),
        error_group_table(
            "Radial error by vertebra", report.numbers, GroupKind.VERTEBRA, NAME_WIDTH, unit=leading
        ),
        error_group_table(
            "Radial error by corner", report.numbers, GroupKind.CORNER, NAME_WIDTH, unit=leading
        ),
    )
    ambiguous = tuple(ambiguity_parts(diagnosis.ambiguity)) if diagnosis else ()
    rows: list[tuple[Stack, ...]] = [(table, (*kinds, *groups))]
    subgroups = tuple(subgroup_parts(images))
    rows += [(stack,) for stack in (subgroups, ambiguous) if stack]
    return Chapter("errors", "Errors", tuple(rows), plots_of(ERROR_FIGURES, data))


def _predictions(report: ReportContent) -> Chapter:
    """What is told of images without labels."""
    diagnosis = report.anatomy.diagnosis
    ambiguous = tuple(ambiguity_parts(diagnosis.ambiguity)) if diagnosis else ()
    first = tuple(unlabelled_parts(report.table, len(report.table.failures), NAME_WIDTH))
    return Chapter("predictions", "Predictions", tuple((stack,) for stack in (first, ambiguous) if stack))


def _losses(report: ReportContent, data: FigureData) -> Chapter:
    table = loss_table(report.numbers, report.loss_weights)
    plots: Stack = plots_of(_named("losses"), data)
    return Chapter("losses", "Losses", (((table,), plots) if plots else ((table,),),))


def anatomy_chapter(report: AnatomyReport, data: FigureData) -> Chapter:
    """Rules that fired in predictions, and labels that the network speaks against."""
    verdict = report.verdict
    rows: list[tuple[Stack, ...]] = []
    if plots := plots_of(_named("violations"), data):
        judged = "predictions"
        if report.diagnosis is None:
            judged, plots = "labels", tuple(replace(plot, title=OF_LABELS) for plot in plots)
        # As long as each other; sentences have the whole width, where most of them need one line.
        rows += [(plots, (tally_table(verdict, judged, WIDER),)), ((worst_images(report, WIDER),),)]
    else:
        rows.append(((Line("No rule fired in any image, nor in any label."),),))
    if report.diagnosis is not None and report.diagnosis.suspicious is not None:
        suspicious = tuple(suspicious_parts(report.diagnosis.suspicious, verdict.skeleton, WIDER))
        rows += [(suspicious,)] if suspicious else []
    return Chapter("anatomy", "Anatomical violations", tuple(rows))


def _measurements(diagnosis: PredictionDiagnosis, data: FigureData) -> Chapter:
    left: Stack = tuple(measurement_parts(diagnosis.measured, diagnosis.smape))
    right: Stack = ()
    if diagnosis.in_px is not None:
        right = (systematic_table(diagnosis.in_px, diagnosis.in_cells, _named_only(diagnosis.sentence)),)
    if diagnosis.bodies is not None:
        right = (*right, bodies_table(diagnosis.bodies, _named_only(diagnosis.bodies_sentence)))
    rows = ((left, right) if right else (left,),)
    return Chapter("measurements", "Clinical measurements", rows, plots_of(AGREEMENT_FIGURES, data))


def _named_only(sentence: str | None) -> str | None:
    """A finding that stands at the top of the page is not said again."""
    return "What this comes to is said at the top of the page." if sentence else None


def _calibration(tables: CalibrationResult, data: FigureData) -> Chapter:
    report = tables.report
    first: Stack = (Line(report.verdict, Style.STRONG), Line(tables.source))
    if data.sigma is None:
        return Chapter("uncertainty", "Predicted uncertainty", ((first,),))
    rows: tuple[tuple[Stack, ...], ...] = (
        (first,),
        ((summary_table(tables),), (coverage_table(report), *_groups(tables))),
    )
    return Chapter("uncertainty", "Predicted uncertainty", rows, plots_of(SIGMA_FIGURES, data))


def _groups(tables: CalibrationResult) -> Iterator[Part]:
    for kind in GROUPS_SHOWN:
        groups = [group for group in tables.report.groups if group.kind == kind]
        if len(groups) > 1:
            yield group_table(groups)
