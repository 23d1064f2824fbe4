"""Every figure of a run, each an object: the page, the files of `figures` and `Run.figure` ask them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeAlias

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from mahtdiag.anatomy.measured_columns import OF_WHOLE_SPINES
from mahtdiag.anatomy.whole_spine import is_whole
from mahtdiag.diagnosis.anatomy import RuleTally
from mahtdiag.diagnosis.error_curve import ErrorCurve, error_curve
from mahtdiag.diagnosis.keypoint_bias import KeypointBias, keypoint_bias
from mahtdiag.diagnosis.measured import TITLES, MeasuredPair
from mahtdiag.diagnosis.metrics.error_units import ERROR_UNITS, ErrorUnit
from mahtdiag.diagnosis.metrics.losses import LOSS_NAMES
from mahtdiag.diagnosis.run_table import RunTable
from mahtdiag.reports.figures import calibration, errors
from mahtdiag.reports.figures.calibration import PlotData
from mahtdiag.reports.figures.keypoints import error_boxes_figure, error_vectors_figure
from mahtdiag.reports.figures.pictures import WorstImage, contact_sheet_figure
from mahtdiag.reports.figures.style import FileKind, figure_bytes, headed, plot_style
from mahtdiag.reports.overlay.draw import Image
from mahtdiag.reports.text import counted, number, pixels
from mahtdiag.schema.skeleton import Skeleton

Floats = NDArray[np.float64]
DrawnFigure: TypeAlias = Figure
WORST: Final = 8
AGREEMENT: Final = "agreement-"


@dataclass(frozen=True, slots=True)
class FigureData:
    """What figures are drawn from: a run as far as it is known.

    `unit` is what errors are told in. `no_sigma` says why `sigma` is None. `picture`: the pixels of an image
    by its row in the table, None where they are gone.
    """

    table: RunTable
    unit: ErrorUnit
    loss_weights: Mapping[str, float]
    tallies: Sequence[RuleTally] = ()
    pairs: Sequence[MeasuredPair] = ()
    sigma: PlotData | None = None
    no_sigma: str = "the run has no σ"
    picture: Callable[[int], Image | None] = lambda row: None

    @property
    def error(self) -> Floats:
        """Radial errors in the unit, `[N, K]`."""
        return self.unit.errors(self.table)

    @property
    def curve(self) -> ErrorCurve | None:
        """The cumulative error curve up to the largest threshold of the unit."""
        missed = self.unit.missed(self.table)
        return error_curve(self.error, missed, self.unit.thresholds[-1], self.table.units)

    @property
    def bias(self) -> KeypointBias:
        """Mean error vectors, in the unit."""
        offset, error_px = self.table.pred_px - self.table.gt_px, self.table.error_px
        with np.errstate(divide="ignore", invalid="ignore"):
            factor = np.where(error_px == 0, 0.0, self.error / error_px)
        return keypoint_bias(offset * factor[..., None], self.table.units)

    def measured(self, name: str) -> list[MeasuredPair]:
        """The levels of a measurement that have a known pair."""
        return [pair for pair in self.pairs if pair.name == name and pair.difference.n]

    def worst_rows(self) -> list[int]:
        """Rows of the images that want to be looked at most, at most eight."""
        order = np.argsort(-np.nan_to_num(self.unit.urgency(self.table), nan=-1.0), kind="stable")
        return [int(row) for row in order[:WORST]]

    def why(self, row: int) -> str:
        """What an image is called worst by, with its number: mean radial error, or severity."""
        if not self.table.labelled:
            return f"severity {number(float(self.table.urgency[row]), 2)}"
        known = self.error[row][np.isfinite(self.error[row])]
        if not known.size:
            return "no error known"
        return f"mean {pixels(float(known.mean()))}, largest {pixels(float(known.max()))} {self.unit.short}"

    def worst_image(self, row: int) -> WorstImage:
        """What is shown of it."""
        return WorstImage(self.table.record(row), self.why(row), self.picture(row))

    @property
    def by_what(self) -> str:
        """What images are ranked by."""
        return f"mean radial error, {self.unit.words}" if self.table.labelled else "severity of violations"


@dataclass(frozen=True, slots=True)
class RunFigure:
    """A figure: its permanent name, what it asks, what it shows to those who do not see it.

    `lacks`: why a run has none, None where it has one; `draw` is only then called. `note`: what it rests on.
    """

    name: str
    title: str
    shows: str
    draw: Callable[[FigureData], Figure]
    lacks: Callable[[FigureData], str | None]
    note: Callable[[FigureData], str]

    def drawn(self, data: FigureData, *, titled: bool = False) -> Figure:
        """The figure in the style of all; raises ValueError where the run lacks it.

        `titled`: with its title and note, for one that stands alone.
        """
        reason = self.lacks(data)
        if reason is not None:
            raise ValueError(reason)
        with plot_style():
            figure = self.draw(data)
            if titled:
                headed(figure, self.title, self.note(data))
            # What is laid out once is the same in every file.
            figure.draw_without_rendering()
            figure.set_layout_engine("none")
            return figure


def figure_file(figure: RunFigure, data: FigureData, kind: FileKind) -> bytes:
    """A figure as a file; raises ValueError where the run lacks it."""
    with plot_style():
        return figure_bytes(figure.drawn(data), kind)


def titled_files(names: Sequence[str], data: FigureData) -> Iterator[tuple[str, bytes]]:
    """PNG and SVG of these figures, as far as the run has them, with their titles."""
    kinds: tuple[FileKind, ...] = ("png", "svg")
    for name in names:
        if FIGURE_OF[name].lacks(data) is None:
            with plot_style():
                drawn = FIGURE_OF[name].drawn(data, titled=True)
                yield from [(f"{name}.{kind}", figure_bytes(drawn, kind)) for kind in kinds]


def agreement_files(table: RunTable, pairs: Sequence[MeasuredPair]) -> dict[str, bytes]:
    """Bland–Altman plots by file name (`cobb_deg.png`), PNG and SVG; none without a single known pair."""
    data = FigureData(table, ERROR_UNITS[0], {}, pairs=pairs)
    found = titled_files([figure.name for figure in AGREEMENT_FIGURES], data)
    return {name.removeprefix(AGREEMENT).replace("-", "_"): content for name, content in found}


def _no_error(data: FigureData) -> str | None:
    return None if np.isfinite(data.error).any() else "no keypoint has both a label and a prediction"


def _no_sigma(data: FigureData) -> str | None:
    return data.no_sigma if data.sigma is None else None


def _no_loss(data: FigureData) -> str | None:
    if any(np.isinf(data.table.loss(name)).any() for name in errors.PART_COLOURS):
        return "a part of the loss is infinite"
    known = any(np.isfinite(data.table.loss(name)).any() for name in errors.PART_COLOURS)
    return None if known else "no part of the loss is known"


def _no_rule(data: FigureData) -> str | None:
    fired = any(tally.images or tally.label_images for tally in data.tallies)
    return None if fired else "no rule fired"


def _no_pair(name: str, data: FigureData) -> str | None:
    if name in OF_WHOLE_SPINES and not is_whole(data.table.skeleton):
        return "measured where there are thoracic or cervical levels"
    if data.pairs and name not in {pair.name for pair in data.pairs}:
        return f"not measured in {data.table.view} images"
    return None if data.measured(name) else f"no image has a {TITLES[name]} of both label and prediction"


def _errors_note(data: FigureData) -> str:
    known = np.isfinite(data.error)
    images = int(known.any(axis=1).sum())
    return f"{counted(int(known.sum()), 'keypoint')} in {counted(images, 'image')}, {data.unit.words}"


def _curve_note(data: FigureData) -> str:
    curve = data.curve
    missed = f", {curve.missed:,} of them missed" if curve is not None and curve.missed else ""
    judged = 0 if curve is None else curve.judged
    return f"{counted(judged, 'keypoint')}{missed}; threshold {data.unit.thresholds[-1]:g} {data.unit.words}"


def _sigma_note(data: FigureData) -> str:
    return "" if data.sigma is None else calibration.counted_points(data.sigma.report)


def _pair_note(name: str, data: FigureData) -> str:
    pairs = data.measured(name)
    most = max((pair.difference.n for pair in pairs), default=0)
    return f"{counted(len(pairs), 'level')}, up to {counted(most, 'image')}"


def _worst_note(data: FigureData) -> str:
    rows = data.worst_rows()
    return f"worst {len(rows)} of {counted(len(data.table), 'image')} by {data.by_what}"


def _curve(data: FigureData) -> Figure:
    curve = data.curve
    if curve is None:
        raise ValueError("no error is known")
    return errors.error_curve_figure(curve, data.unit.words)


def _losses(data: FigureData) -> Figure:
    parts = {name: data.table.loss(name) for name in LOSS_NAMES}
    return errors.loss_figure(parts, data.loss_weights)


def _worst(data: FigureData) -> Figure:
    images = [data.worst_image(row) for row in data.worst_rows()]
    return contact_sheet_figure(images, data.table.skeleton)


def _of_sigma(draw: Callable[[PlotData], Figure], name: str, title: str, shows: str) -> RunFigure:
    def of(data: FigureData) -> Figure:
        if data.sigma is None:
            raise ValueError(data.no_sigma)
        return draw(data.sigma)

    return RunFigure(name, title, shows, of, _no_sigma, _sigma_note)


def _agreement_name(measurement: str) -> str:
    return f"{AGREEMENT}{measurement.replace('_', '-')}"


def _agreement(name: str, title: str) -> RunFigure:
    return RunFigure(
        _agreement_name(name),
        f"How far do label and prediction agree in {title}?",
        f"Bland–Altman plot of the {title}, prediction against label",
        lambda data: errors.bland_altman_figure(data.measured(name)),
        partial(_no_pair, name),
        partial(_pair_note, name),
    )


SIGMA_FIGURES: Final = (
    _of_sigma(
        calibration.reliability_figure, "reliability", "Is σ as large as the errors?",
        "Share of errors inside the predicted intervals and ellipses by nominal level, with counts",
    ),
    _of_sigma(
        calibration.sparsification_figure, "sparsification", "Does σ find the errors?",
        "Mean error of the rest when the least certain keypoints are removed first",
    ),
    _of_sigma(
        calibration.z_figure, "z-histogram", "Are the errors Gaussian, without bias, and as wide as σ?",
        "Histogram of error over σ by axis, against the standard normal",
    ),
    _of_sigma(
        calibration.error_sigma_figure, "error-sigma", "Are uncertain keypoints the wrong ones?",
        "Radial error against σ on logarithmic axes",
    ),
    _of_sigma(
        calibration.coverage_figure, "keypoint-coverage", "Where is σ wrong?",
        "Share of errors inside the 90 % interval per keypoint on a schematic spine, in %; "
        "* fewer than 20 keypoints, too few to judge",
    ),
)  # fmt: skip
AGREEMENT_FIGURES: Final = tuple(_agreement(name, title) for name, title in TITLES.items())
FIGURES: Final[tuple[RunFigure, ...]] = (
    RunFigure(
        "error-curve", "How many keypoints are found how exactly?",
        "Cumulative share of keypoints by radial error, with the area under it and the failure rate",
        _curve, _no_error, _curve_note,
    ),
    RunFigure(
        "error-distribution", "How large are the errors?",
        "Histogram of the radial errors, and the share of keypoints up to each error",
        lambda data: errors.distribution_figure(data.error, data.unit.thresholds, data.unit.words),
        _no_error, _errors_note,
    ),
    RunFigure(
        "error-boxes", "How are the errors of each keypoint distributed?",
        "Quartiles and 5th to 95th percentile of the radial error of each keypoint beside a schematic spine",
        lambda data: error_boxes_figure(data.table.skeleton, data.error, data.unit.words),
        _no_error, _errors_note,
    ),
    RunFigure(
        "error-spine", "Where in the spine are the errors?",
        "Mean radial error of each keypoint on a schematic spine",
        lambda data: errors.error_spine_figure(data.table.skeleton, data.error, data.unit.words),
        _no_error, _errors_note,
    ),
    RunFigure(
        "error-vectors", "In which direction do keypoints lie off?",
        "Mean error vector of each keypoint on a schematic spine, magnified, with 95 % ellipses",
        lambda data: error_vectors_figure(data.table.skeleton, data.bias, data.unit.words),
        _no_error, _errors_note,
    ),
    RunFigure(
        "losses", "What is the loss made of?",
        "Mean weighted parts of the loss, and how they add up in each image",
        _losses, _no_loss, lambda data: counted(len(data.table), "image"),
    ),
    RunFigure(
        "violations", "Which spines are impossible, and why?",
        "Images in which each anatomical rule fired",
        lambda data: errors.violations_figure(data.tallies),
        _no_rule, lambda data: counted(len(data.table), "image"),
    ),
    *AGREEMENT_FIGURES,
    *SIGMA_FIGURES,
    RunFigure(
        "worst-images", "Which images are the worst?",
        "The worst images cut to the spine, with labels, predictions and errors",
        _worst, lambda data: None if len(data.table) else "no image was evaluated", _worst_note,
    ),
)  # fmt: skip
"""In the order of the page."""

FIGURE_OF: Final = {figure.name: figure for figure in FIGURES}
_OF_WHOLE_SPINES: Final = {_agreement_name(name) for name in OF_WHOLE_SPINES}


def figures_of(skeleton: Skeleton) -> tuple[RunFigure, ...]:
    """The figures of a run where none is named: those of whole spines for these alone."""
    whole = is_whole(skeleton)
    return tuple(figure for figure in FIGURES if whole or figure.name not in _OF_WHOLE_SPINES)
