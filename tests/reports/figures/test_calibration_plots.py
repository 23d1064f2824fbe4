"""The pictures of `calibration` show the numbers, are the same every time, and stand any input."""

import subprocess
import sys
from dataclasses import replace
from math import inf
from xml.etree import ElementTree

import cv2
import matplotlib
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from scipy.stats import norm

from mahtdiag.diagnosis.metrics.error_units import ERROR_UNITS
from mahtdiag.diagnosis.run_table import RunTable
from mahtdiag.reports.figures.calibration import (
    PlotData,
    coverage_figure,
    error_sigma_figure,
    reliability_figure,
    sparsification_figure,
    z_figure,
)
from mahtdiag.reports.figures.registry import FIGURE_OF, SIGMA_FIGURES, FigureData, titled_files
from mahtdiag.reports.figures.spine import sketch
from mahtdiag.reports.figures.style import plot_style
from mahtdiag.schema.skeleton import LL, LR, SKELETONS, UL, UR, Skeleton, View
from tests.reports.overlay.overlay_records import THORACOLUMBAR
from tests.reports.tables.calibrated_result import Floats, plot_data, residuals


def calibration_pictures(data: PlotData) -> dict[str, bytes]:
    """What `calibration` writes."""
    table = RunTable(data.skeleton, {"image": ()})
    names = [figure.name for figure in SIGMA_FIGURES]
    return dict(titled_files(names, FigureData(table, ERROR_UNITS[0], {}, sigma=data)))


def axes_of(figure: Figure) -> Axes:
    return figure.axes[0]


def line(figure: Figure, label: str) -> Floats:
    """The points of the line with this label, [n, 2]."""
    found = next(item for item in axes_of(figure).lines if str(item.get_label()).startswith(label))
    return np.asarray(found.get_xydata(), dtype=np.float64)


def texts(figure: Figure) -> list[str]:
    return [item.get_text() for axes in figure.axes for item in axes.texts]


def test_reliability_shows_both_curves() -> None:
    data = plot_data(*residuals())
    figure = reliability_figure(data)
    assert data.report.curve is not None
    assert data.report.radial.curve is not None
    np.testing.assert_array_equal(line(figure, "intervals")[:, 1], data.report.curve.observed)
    np.testing.assert_array_equal(line(figure, "ellipses")[:, 1], data.report.radial.curve.observed)
    assert len(axes_of(figure).collections) == 2  # their bands


def test_counts_by_level_are_as_many_as_coordinates() -> None:
    data = plot_data(*residuals())
    bars = [patch for patch in reliability_figure(data).axes[1].patches if isinstance(patch, Rectangle)]
    heights = [bar.get_height() for bar in bars]
    inside = [norm.cdf(abs(z)) - norm.cdf(-abs(z)) for z in data.z.ravel()]
    assert heights == [sum(t / 10 <= level < (t + 1) / 10 for level in inside) for t in range(10)]
    assert sum(heights) == data.z.size


def test_sparsification_starts_at_the_mean_error() -> None:
    data = plot_data(*residuals())
    figure = sparsification_figure(data)
    assert line(figure, "removed by σ")[0, 1] == pytest.approx(data.error_px.mean())
    assert line(figure, "removed by the error")[-1, 1] <= line(figure, "removed by σ")[-1, 1]


def test_histogram_counts_what_lies_beyond_it() -> None:
    residual, sigma = residuals()
    residual[:, :2, 0] = 100.0 * sigma[:, :2, 0]
    figure = z_figure(plot_data(residual, sigma))
    bars = [patch for patch in axes_of(figure).patches if isinstance(patch, Rectangle)]
    area = sum(bar.get_height() * bar.get_width() for bar in bars)
    assert area == pytest.approx(2.0)  # both axes, nothing lost
    assert "5.0 % beyond ±5" in axes_of(figure).get_xlabel()


def test_conformal_radius_is_a_line_through_the_errors() -> None:
    data = plot_data(*residuals())
    slope = line(error_sigma_figure(data), "90 % conformal")
    np.testing.assert_allclose(slope[:, 1] / slope[:, 0], data.conformal_limit)
    below = data.error_px <= data.conformal_limit * data.sigma_px
    assert below.mean() == pytest.approx(0.9, abs=0.01)
    labels = [
        str(item.get_label())
        for item in axes_of(error_sigma_figure(replace(data, conformal_limit=inf))).lines
    ]
    assert not any("conformal" in label for label in labels)


def test_many_keypoints_are_thinned_and_said_to_be() -> None:
    figure = error_sigma_figure(plot_data(*residuals(images=300)))
    assert len(line(figure, "keypoints (4,000 of them)")) == 4000


def test_spine_shows_each_keypoints_coverage() -> None:
    residual, sigma = residuals(view=View.LA)
    residual[:, 20] *= 5.0
    residual[:, 3] = np.nan
    residual[15:, 21] = np.nan
    data = plot_data(residual, sigma, View.LA)
    shown = texts(coverage_figure(data))
    share = {g.name: g.coverage_90 for g in data.report.groups if g.kind == "keypoint"}
    assert f"{100 * share['S1 UL']:.0f}" in shown
    assert f"{100 * share['S1 UR']:.0f}*" in shown
    assert "–" in shown
    assert {"L1", "L5", "S1"} <= set(shown)
    assert "fewer than 20 keypoints" in FIGURE_OF["keypoint-coverage"].shows


@pytest.mark.parametrize(
    "skeleton", [*SKELETONS, THORACOLUMBAR, replace(THORACOLUMBAR, view=View.LA)], ids=str
)
def test_the_sketch_is_a_spine(skeleton: Skeleton) -> None:
    points = sketch(skeleton)
    assert points.shape == (skeleton.keypoints, 2)
    body = points[: skeleton.body_keypoints].reshape(-1, 4, 2)
    assert (body[:, UL, 0] < body[:, UR, 0]).all()
    assert (body[:, LL, 0] < body[:, LR, 0]).all()
    assert (body[:, UL, 1] < body[:, LL, 1]).all()
    assert (np.diff(body.mean(axis=1)[:, 1]) > 1.0).all()
    gaps = np.linalg.norm(points[:, None] - points[None], axis=-1)[
        ~np.eye(skeleton.keypoints, dtype=np.bool_)
    ]
    assert gaps.min() > 0.45  # the marks do not cover one another


def test_a_spine_of_68_keypoints_is_drawn() -> None:
    shares = {name: 0.5 + k / 200 for k, name in enumerate(THORACOLUMBAR.keypoint_names)}
    data = plot_data(*residuals(images=2))
    any_group = next(group for group in data.report.groups if group.kind == "keypoint")
    groups = tuple(
        replace(any_group, name=name, n_keypoints=50, enough=True, coverage_90=share)
        for name, share in shares.items()
    )
    report = replace(data.report, groups=groups)
    with plot_style():
        figure = coverage_figure(replace(data, skeleton=THORACOLUMBAR, report=report))
    shown = [text.get_text() for text in axes_of(figure).texts]
    assert {*THORACOLUMBAR.vertebrae} <= {*shown}
    assert f"{100 * shares['L5 LR']:.0f}" in shown


def awkward(kind: str) -> tuple[Floats, Floats]:
    residual, sigma = residuals(images=2)
    if kind == "zero residuals":
        return np.zeros_like(residual), sigma
    if kind == "constant sigma":
        return residual, np.full_like(sigma, 3.0)
    if kind == "one keypoint":
        residual[:] = np.nan
        residual[0, 0] = 1.0
    if kind == "huge":
        return 1e11 * residual, sigma
    return residual[:1], sigma[:1]


@pytest.mark.parametrize("kind", ["zero residuals", "constant sigma", "one keypoint", "huge", "one image"])
def test_awkward_input_is_drawn_without_a_warning(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    pictures = calibration_pictures(plot_data(*awkward(kind)))
    assert len(pictures) == 10
    assert caplog.records == []


def test_files_are_pictures_and_the_same_every_time() -> None:
    data = plot_data(*residuals(images=15))
    first, second = (calibration_pictures(data) for _ in range(2))
    assert first == second
    for name, content in first.items():
        if name.endswith(".svg"):
            assert ElementTree.fromstring(content).tag.endswith("svg")
        else:
            image = cv2.imdecode(np.frombuffer(content, dtype=np.uint8), cv2.IMREAD_COLOR)
            assert image is not None
            assert min(image.shape[:2]) > 500
            assert (image[:5] == 255).all(), "nothing is cut off at the top"
            assert (image[-3:] == 255).all(), "nothing is cut off at the bottom"


def test_the_users_settings_neither_matter_nor_suffer() -> None:
    data = plot_data(*residuals(images=15))
    plain = calibration_pictures(data)
    with matplotlib.rc_context({"font.size": 30.0, "axes.facecolor": "black"}):
        assert calibration_pictures(data) == plain
        assert matplotlib.rcParams["font.size"] == 30.0


def test_pyplot_stays_out() -> None:
    code = "import sys, mahtdiag.reports.figures.calibration; print('matplotlib.pyplot' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "False"
