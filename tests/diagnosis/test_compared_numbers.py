"""Every number that two runs are compared by, against what one run alone says of the same images."""

import numpy as np
import pytest
from numpy.typing import NDArray

from mahtdiag.anatomy.error_types import ErrorType, classify_errors
from mahtdiag.calibration.report import calibration_report
from mahtdiag.calibration.scores import collect_points
from mahtdiag.calibration.sums import (
    COUNT_COLUMNS,
    SCORE_COLUMNS,
    image_sums,
    mean_scores,
    numbers,
    numbers_of,
    sums_of,
)
from mahtdiag.diagnosis.comparison import compare_runs, compared_names
from mahtdiag.diagnosis.gates import Margin
from mahtdiag.diagnosis.metrics.losses import LOSS_NAMES
from mahtdiag.diagnosis.metrics.registry import known_metrics, metrics_of
from mahtdiag.diagnosis.numbers import as_content, estimate, find_number
from mahtdiag.diagnosis.paired import Difference
from mahtdiag.diagnosis.run_table import RunTable
from mahtdiag.schema.skeleton import AP, LA, View

from .compared import is_compared, two_runs

Floats = NDArray[np.float64]


def found_in(a: RunTable, b: RunTable, *names: str) -> dict[str, Difference]:
    """Differences by name; all that are usually compared where none is named."""
    asked = names or compared_names(a.skeleton)
    margins = [Margin(name, 0.0, relative=False) for name in names]
    comparison = compare_runs(a, b, asked, margins)
    return {metric.name: metric.difference for metric in comparison.metrics}


def alone(run: RunTable) -> dict[str, object]:
    """What is said of one run, by the names of `run.json`; computed by the code that writes it."""
    metrics = metrics_of(run.skeleton).values()
    calibration = calibration_report(run.pred_px - run.gt_px, run.sigma_px, intervals=False)
    return {
        **as_content(metrics, estimate(metrics, run)),
        "calibration": calibration.as_json(),
    }


@pytest.mark.parametrize("view", list(View))
def test_every_number_is_the_one_that_a_run_alone_has(view: View) -> None:
    a, b = two_runs(40, view)
    content = alone(a), alone(b)
    names = [
        metric.name
        for metric in known_metrics()
        if is_compared(metric.name, view.skeleton)
        and all(find_number(each, metric.name) is not None for each in content)
    ]
    assert len(names) > 150
    found = found_in(a, b, *names)
    assert set(found) == set(names)
    for name, difference in found.items():
        assert difference.a == pytest.approx(find_number(content[0], name), rel=1e-9, abs=1e-12), name
        assert difference.b == pytest.approx(find_number(content[1], name), rel=1e-9, abs=1e-12), name
        assert difference.difference == difference.b - difference.a


@pytest.mark.parametrize("view", list(View))
def test_what_is_usually_compared_has_a_name_in_the_document(view: View) -> None:
    names = compared_names(view.skeleton)
    known = {metric.name for metric in known_metrics()}
    assert set(names) <= known
    assert len(set(names)) == len(names)
    assert all(is_compared(name, view.skeleton) for name in names)


def test_names_of_nothing_that_can_be_compared() -> None:
    for name in (
        "radial_error_px.max", "radial_error_px.std", "calibration.ence", "calibration.spearman",
        "images.failed", "losses.heatmap_keypoint_share", "anatomy.by_code.A999.images", "seconds.total",
        "error_types.by_type.jitter.error_share", "error_types.by_type.unknown.keypoints",
        "vertebrae.T12.sdr_px.2", "by_vertebra.S1", "anatomy.vertebrae.S1.violations",
    ):  # fmt: skip
        assert not is_compared(name, AP), name
        assert found_in(*two_runs(6), name) == {}
    assert is_compared("by_vertebra.S1", LA)


def test_violations_and_mistakes_of_neither_run_are_left_out() -> None:
    a, b = two_runs(12)
    found = found_in(a, b)
    fired = {code for run in (a, b) for code, images in run.findings.images_by_code().items() if images}
    assert {name.split(".")[2] for name in found if name.startswith("anatomy.by_code")} == fired
    kinds = {ErrorType(int(kind)).title for r in (a, b) for kind in np.unique(types_of(r)) if kind >= 0}
    assert {n.split(".")[2] for n in found if n.startswith("error_types.by_type")} == kinds


def types_of(run: RunTable) -> NDArray[np.int8]:
    return classify_errors(run.pred_px, run.gt_px).types


def test_kinds_of_mistakes_count_where_both_runs_tell_them() -> None:
    a, b = two_runs(12)
    a.pred_px[3, :4] = np.nan
    known = (types_of(a) >= 0) & (types_of(b) >= 0)
    share = float(((types_of(b) == ErrorType.GOOD) & known).sum() / known.sum())
    assert found_in(a, b)["error_types.by_type.good.keypoint_share"].b == pytest.approx(share)


def test_errors_count_where_both_runs_know_them() -> None:
    a, b = two_runs(12)
    a.error_px[0] = np.nan
    b.error_px[1, :7] = np.nan
    known = np.isfinite(a.error_px) & np.isfinite(b.error_px)
    found = found_in(a, b)
    assert found["radial_error_px.mean"].a == pytest.approx(float(a.error_px[known].mean()))
    assert found["radial_error_px.median"].b == pytest.approx(float(np.median(b.error_px[known])))
    assert found["sdr_px.4"].b == pytest.approx(float((b.error_px[known] <= 4.0).mean()))


def test_no_spacing_no_millimetres() -> None:
    a, b = two_runs(6)
    b.error_mm[:] = np.nan
    assert not [name for name in found_in(a, b) if "_mm" in name]


@pytest.mark.parametrize(
    "name",
    [
        "radial_error_px.median", "radial_error_px.p90", "calibration.mace", "calibration.radial.mace",
        "calibration.sigma_scale", "calibration.sharpness_px",
    ],
)  # fmt: skip
def test_errors_of_numbers_that_are_no_means_against_whole_resamples(name: str) -> None:
    """The standard error by influence against numbers of whole resampled sets."""
    a, b = two_runs(150, seed=4, worse=1.3)
    rng, drawn = np.random.default_rng(0), []
    for _ in range(150):
        rows = rng.integers(150, size=150)
        drawn.append(number_of(b.taken(rows), name) - number_of(a.taken(rows), name))
    found = found_in(a, b, name)[name]
    assert found.difference == pytest.approx(number_of(b, name) - number_of(a, name))
    assert found.test is not None
    # What is known of a quantile's slope is known from one set of images alone.
    assert found.test.standard_error == pytest.approx(float(np.std(drawn)), rel=0.4 if "p90" in name else 0.3)


def number_of(run: RunTable, name: str) -> float:
    """A number of a run alone."""
    if name.startswith("calibration"):
        report = calibration_report(run.pred_px - run.gt_px, run.sigma_px, intervals=False)
        return find_number({"calibration": report.as_json()}, name) or 0.0
    return float(np.nanquantile(run.error_px, {"median": 0.5, "p90": 0.9}[name.rpartition(".")[2]]))


def test_calibration_counts_keypoints_with_a_usable_sigma_in_both_runs() -> None:
    a, b = two_runs(15)
    b.sigma_px[0] = np.nan
    a.sigma_px[1, :5] = 0.0
    a.sigma_px[2, 3, 0] = np.inf
    usable = (
        np.isfinite(b.sigma_px).all(axis=2)
        & np.isfinite(a.sigma_px).all(axis=2)
        & (a.sigma_px > 0).all(axis=2)
    )
    found = found_in(a, b)
    for run, value in ((a, found["calibration.nll"].a), (b, found["calibration.nll"].b)):
        residual = np.where(np.expand_dims(usable, -1), run.pred_px - run.gt_px, np.nan)
        assert value == pytest.approx(calibration_report(residual, run.sigma_px, intervals=False).nll)


def test_without_a_usable_sigma_there_is_no_calibration() -> None:
    a, b = two_runs(6)
    b.sigma_px[:] = np.nan
    assert not [name for name in found_in(a, b) if name.startswith("calibration")]


def test_the_order_of_the_images_changes_no_number() -> None:
    a, b = two_runs(25, View.LA)
    rows = np.random.default_rng(1).permutation(25)
    one, other = found_in(a, b), found_in(a.taken(rows), b.taken(rows))
    assert list(one) == list(other)
    for name, difference in one.items():
        assert other[name].a == pytest.approx(difference.a), name
        assert other[name].b == pytest.approx(difference.b), name
        assert other[name].p_value == pytest.approx(difference.p_value, abs=0.03), name


def test_swapping_the_runs_turns_every_sign() -> None:
    a, b = two_runs(25)
    one, other = found_in(a, b), found_in(b, a)
    for name, difference in one.items():
        assert other[name].difference == -difference.difference, name
        assert other[name].ci95 == pytest.approx(
            tuple(-bound for bound in reversed(difference.ci95 or ())), rel=1e-6, abs=1e-9
        ), name


@pytest.mark.parametrize("images", [1, 9, 20])
def test_the_same_run_twice_has_no_difference(images: int) -> None:
    a, _ = two_runs(20)
    a = a.taken(np.arange(images))
    for name, difference in found_in(a, a).items():
        p_value = 1.0 if images >= difference.fewest else None
        assert (difference.difference, difference.p_value, difference.p_holm) == (0.0, p_value, p_value), name
        assert difference.ci95 == (None if p_value is None else (0.0, 0.0)), name


def test_numbers_that_are_equal_in_both_runs_differ_by_exactly_nothing() -> None:
    """Other columns of the same product do not touch them."""
    a, b = two_runs(40)
    for run in (a, b):
        run.error_px[:, :4] = a.error_px[:, :4]
    found = found_in(a, b)
    assert found["by_vertebra.L1"].ci95 == (0.0, 0.0)
    assert found["by_vertebra.L2"].ci95 != (0.0, 0.0)


def test_means_of_losses_over_images_that_have_them_in_both_runs() -> None:
    a, b = two_runs(10)
    b.loss("coord")[2] = np.nan
    kept = [0, 1, *range(3, 9)]
    found = found_in(a, b)
    assert found["losses.coord"].a == pytest.approx(float(a.loss("coord")[kept].mean()))
    assert set(LOSS_NAMES) == {name.partition(".")[2] for name in found if name.startswith("losses")}


def test_sums_by_image_are_those_of_all_sums() -> None:
    a, _ = two_runs(30)
    points = collect_points(a.pred_px - a.gt_px, a.sigma_px)
    whole = sums_of(points).by_image.rows(slice(None))
    np.testing.assert_array_equal(image_sums(points), whole)
    total = whole.sum(axis=0)
    from_scores, from_counts = (
        numbers_of(total[columns], columns) for columns in (SCORE_COLUMNS, COUNT_COLUMNS)
    )
    assert (from_scores.nll, from_scores.sigma_scale) == (numbers(total).nll, numbers(total).sigma_scale)
    assert (from_counts.mace, from_counts.radial_mace) == (numbers(total).mace, numbers(total).radial_mace)
    scores = mean_scores(whole)
    for name in ("nll", "crps_px", "check", "interval"):
        np.testing.assert_allclose(scores[name], getattr(numbers(whole), name))
