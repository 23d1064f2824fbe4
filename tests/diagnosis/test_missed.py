"""Keypoints that are labelled and not predicted: counted, never a better number."""

from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from mahtdiag.diagnosis.comparison import Verdict, compare_runs
from mahtdiag.diagnosis.gates import Gate, Margin, judge_gates, leaves_out_misses
from mahtdiag.diagnosis.metrics.error_units import ERROR_UNITS
from mahtdiag.diagnosis.metrics.registry import known_metrics
from mahtdiag.diagnosis.numbers import numbers_of
from mahtdiag.diagnosis.records import nothing_found
from mahtdiag.diagnosis.run_table import RunTable
from mahtdiag.runs.results import NUMBER_SECTIONS
from mahtdiag.schema.skeleton import View
from tests.anatomy.spines import natural_spines

from .compared import run_of

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
MISS_RATE = Margin("miss_rate", 0.0, relative=False)
MEAN = Margin("radial_error_px.mean", 0.0, relative=False)


def runs(
    images: int = 24, view: View = View.AP, seed: int = 0, missed: float = 0.1
) -> tuple[RunTable, RunTable, Bools]:
    """A run that predicts everything, the same one that misses some, and which `[N, K]`."""
    rng = np.random.default_rng(seed)
    gt = natural_spines(view, images, seed)
    pred = gt + rng.normal(0, 4, gt.shape)
    gt[rng.random(gt.shape[:2]) < 0.05] = np.nan
    gone = rng.random(gt.shape[:2]) < missed
    gone[:, 12] = False
    return run_of(pred, gt, view), run_of(np.where(gone[..., None], np.nan, pred), gt, view), gone


def content(table: RunTable) -> Mapping[str, object]:
    return numbers_of(table).content()


@pytest.mark.parametrize("view", list(View))
def test_against_loops(view: View) -> None:
    whole, some, gone = runs(view=view)
    found = numbers_of(some)
    labelled: Bools = np.asarray(np.isfinite(some.gt_px).all(-1))
    errors, missed = [], 0
    for i, k in np.argwhere(labelled).tolist():
        if gone[i, k]:
            missed += 1
        else:
            errors.append(float(np.linalg.norm(whole.pred_px[i, k] - whole.gt_px[i, k])))
    assert missed > 10
    assert found["miss_rate"].value == pytest.approx(missed / (missed + len(errors)))
    assert found["radial_error_px.mean"].value == pytest.approx(sum(errors) / len(errors))
    assert found["radial_error_px.missed"].value == missed
    assert found["keypoints_measured"].value == len(errors)
    assert found["keypoints_missing"].value == (~labelled).sum()
    for threshold in (2, 4, 8):
        reached = sum(error <= threshold for error in errors)
        assert found[f"sdr_px.{threshold}"].value == pytest.approx(reached / (missed + len(errors)))
    # In millimetres those of the first image, whose spacing is not known, are none.
    in_mm = int((gone & labelled)[1:].sum())
    assert found["radial_error_mm.missed"].value == in_mm
    known_mm = int(np.isfinite(some.error_mm).sum())
    reached = int((some.error_mm <= 2).sum())
    assert found["sdr_mm.2"].value == pytest.approx(reached / (known_mm + in_mm))
    l3 = [k for k, name in enumerate(view.skeleton.vertebra_of) if name == "L3"]
    of_l3 = int((gone & labelled).T[l3].sum())
    assert found["vertebrae.L3.radial_error_px.missed"].value == of_l3
    assert found["vertebrae.L3.miss_rate"].value == pytest.approx(of_l3 / labelled[:, l3].sum())
    low, high = found["miss_rate"].ci95 or (1.0, 0.0)
    assert low < found["miss_rate"].value < high


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 999), missed=st.floats(0.0, 0.6))
def test_missing_more_makes_no_rate_better(seed: int, missed: float) -> None:
    whole, some, _ = runs(seed=seed, missed=missed, images=12)
    before, after = numbers_of(whole), numbers_of(some)
    assert before["miss_rate"].value == 0.0
    for unit in ERROR_UNITS:
        for name in before.found:
            if name.startswith(f"sdr_{unit.key}."):
                assert after[name].value <= before[name].value + 1e-12
    # What nobody labelled is not missed.
    unlabelled = np.isnan(some.gt_px).any(-1)
    assert not some.missed[unlabelled].any()


def test_a_group_of_which_nothing_is_predicted_is_still_told() -> None:
    whole, _, _ = runs()
    pred = whole.pred_px.copy()
    pred[:, 4:8] = np.nan
    run = run_of(pred, whole.gt_px, View.AP)
    stored = content(run)
    for name in ("metrics", "clean_labels"):
        if name in stored:
            NUMBER_SECTIONS[name].model_validate(stored[name])
    metrics = stored["metrics"]
    assert isinstance(metrics, dict)
    assert metrics["vertebrae"]["L2"]["miss_rate"] == 1.0
    assert metrics["vertebrae"]["L2"]["keypoints"] == 0
    assert "radial_error_px" not in metrics["vertebrae"]["L2"]


def gate(name: str, comparison: str, limit: float) -> Gate:
    return Gate(name, comparison, limit)


ERRORS = (
    "radial_error_px.mean",
    "radial_error_width_pct.p95",
    "by_vertebra.L3",
    "corners.UL.radial_error_px.max",
)


@pytest.mark.parametrize("name", ERRORS)
def test_a_limit_on_errors_fails_unless_misses_are_limited_too(name: str) -> None:
    whole, some, _ = runs()
    generous = gate(name, "<=", 1e6)
    (passed,) = judge_gates([generous], content(whole))
    assert passed.passed
    (result,) = judge_gates([generous], content(some))
    assert not result.passed
    assert result.value is None
    assert result.estimate is not None
    assert result.reason is not None
    assert "missed keypoint" in result.reason
    assert "miss_rate" in result.reason
    for limit in (gate("miss_rate", "<=", 0.5), gate("radial_error_px.missed", "<", 1e6)):
        assert all(each.passed for each in judge_gates([generous, limit], content(some)))
    first, second = judge_gates([generous, gate("miss_rate", "<=", 0.001)], content(some))
    assert (first.passed, second.passed) == (True, False)
    # These say nothing of how many may be missed.
    for other in (gate("miss_rate", ">=", 0.0), gate("vertebrae.L3.miss_rate", "<=", 1.0)):
        assert not judge_gates([generous, other], content(some))[0].passed


def test_numbers_that_count_what_is_missed_are_judged() -> None:
    _, some, _ = runs()
    for name, comparison, limit in (("sdr_px.16", ">=", 0.1), ("keypoints_measured", ">=", 3.0)):
        (result,) = judge_gates([gate(name, comparison, limit)], content(some))
        assert result.passed
    told = {metric.name for metric in known_metrics() if leaves_out_misses(metric.name)}
    assert {"radial_error_px.mean", "clean_labels.radial_error_px.p95", "by_corner.UL"} <= told
    assert not any(name.endswith(("missed", "miss_rate")) or "sdr_" in name for name in told)


def test_a_run_that_misses_what_is_hard_is_not_better() -> None:
    """B is closer by a little where it predicts, and says nothing of the rest."""
    rng = np.random.default_rng(1)
    gt = natural_spines(View.AP, 40)
    pred = gt + rng.normal(0, 4, gt.shape)
    closer = gt + 0.8 * (pred - gt)
    for share, verdict in ((0.0, Verdict.BETTER), (0.3, Verdict.WORSE)):
        gone = np.linalg.norm(pred - gt, axis=-1) > np.quantile(np.linalg.norm(pred - gt, axis=-1), 1 - share)
        b = run_of(np.where(gone[..., None], np.nan, closer), gt, View.AP)
        found = compare_runs(run_of(pred, gt, View.AP), b, (MEAN.metric, "miss_rate"), (MEAN, MISS_RATE))
        assert found.verdict is verdict
        # Over the same keypoints of both, not each over its own.
        mean = next(each.difference for each in found.metrics if each.name == MEAN.metric)
        both = np.linalg.norm(pred - gt, axis=-1)[~gone]
        assert mean.a == pytest.approx(both.mean())
        assert mean.b == pytest.approx(0.8 * both.mean())


def test_one_more_that_is_missed_is_no_proof_but_forbids_better() -> None:
    rng = np.random.default_rng(2)
    gt = natural_spines(View.AP, 40)
    pred = gt + rng.normal(0, 4, gt.shape)
    closer = gt + 0.8 * (pred - gt)
    closer[3, 5] = np.nan
    a, b = run_of(pred, gt, View.AP), run_of(closer, gt, View.AP)
    assert compare_runs(a, b, (MEAN.metric, "miss_rate"), (MEAN, MISS_RATE)).verdict is Verdict.SAME
    allowed = Margin("miss_rate", 0.01, relative=False)
    assert compare_runs(a, b, (MEAN.metric, "miss_rate"), (MEAN, allowed)).verdict is Verdict.BETTER
    # The other way round it misses fewer.
    assert compare_runs(b, a, (MEAN.metric, "miss_rate"), (MEAN, MISS_RATE)).verdict is Verdict.WORSE


def test_runs_that_miss_nothing_are_not_compared_by_it() -> None:
    whole, some, _ = runs(images=40)
    assert [m.name for m in compare_runs(whole, whole, ("miss_rate",), ()).metrics] == []
    assert [m.name for m in compare_runs(whole, some, ("miss_rate",), ()).metrics] == ["miss_rate"]


def test_an_image_of_which_nothing_can_be_measured_has_failed() -> None:
    points = natural_spines(View.AP, 1)[0]
    nothing, part = np.full_like(points, np.nan), points.copy()
    part[:3] = np.nan
    assert nothing_found(points, points) is None
    assert nothing_found(part, points) is None
    assert nothing_found(nothing, points) == "no keypoint is predicted (NaN throughout)"
    assert nothing_found(nothing, nothing) == "no keypoint is predicted (NaN throughout)"
    # Without labels there is nothing to miss.
    assert nothing_found(part, nothing) is None
    label = np.where(np.arange(20)[:, None] < 2, points, np.nan)
    assert nothing_found(part, label) == "none of its 2 labelled keypoints is predicted (NaN)"
