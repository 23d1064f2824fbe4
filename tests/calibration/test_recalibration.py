"""What mends σ: factors against a minimiser, a Student-t, nothing judged by what it helped to fit."""

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from mahtdiag.calibration.nll_changes import Change, nll_changes
from mahtdiag.calibration.recalibration import (
    Scope,
    apply_sigma_scale,
    cross_fitted_sigma,
    cross_fitted_student,
    fit_sigma_scale,
    fit_student_t,
    harms,
    recalibration_row,
    student_row,
)
from mahtdiag.calibration.scores import nll

from .simulate import FloatArray, calibrated, faulty


def test_scale_minimises_the_likelihood() -> None:
    data = calibrated(np.random.default_rng(0))
    scale = fit_sigma_scale(data.residual_px, data.sigma_px / 3)
    best = minimize_scalar(
        lambda s: float(nll(data.residual_px, s * data.sigma_px / 3).mean()),
        bounds=(0.1, 10),
        method="bounded",
    )
    assert scale.common == pytest.approx(best.x, rel=1e-4)
    z = 3 * data.residual_px[:, 7] / data.sigma_px[:, 7]
    assert scale.by_keypoint[7] == pytest.approx(np.sqrt(np.mean(z**2)), rel=1e-12)
    assert scale.n == 1000
    assert scale.counts == (50,) * 20


def test_few_labels_take_the_common_factor() -> None:
    data = calibrated(np.random.default_rng(1))
    residual = data.residual_px.copy()
    residual[19:, 4] = np.nan
    scale = fit_sigma_scale(residual, data.sigma_px)
    assert scale.counts[4] == 19
    assert scale.by_keypoint[4] == scale.common
    assert scale.by_keypoint[3] != scale.common


def test_scaling_sigma_scales_the_factor_back() -> None:
    data = calibrated(np.random.default_rng(2))
    once = fit_sigma_scale(data.residual_px, data.sigma_px)
    twice = fit_sigma_scale(data.residual_px, apply_sigma_scale(data.sigma_px, once, "keypoint"))
    np.testing.assert_allclose(twice.by_keypoint, 1.0, rtol=1e-12)
    halved = fit_sigma_scale(data.residual_px, 0.5 * data.sigma_px)
    assert halved.common == pytest.approx(2 * once.common, rel=1e-12)


def test_no_image_helps_to_fit_its_own_factor() -> None:
    data = calibrated(np.random.default_rng(3), images=25)
    (base,) = cross_fitted_sigma(data.residual_px, data.sigma_px)
    changed = data.residual_px.copy()
    changed[11] *= 100.0
    (again,) = cross_fitted_sigma(changed, data.sigma_px)
    np.testing.assert_array_equal(again[11], base[11])
    same = np.array([np.array_equal(again[i], base[i]) for i in range(25)])
    # Its whole fold of five keeps its factor, all others change.
    assert same.sum() == 5


def test_cross_fitting_against_a_loop() -> None:
    data = calibrated(np.random.default_rng(4), images=13, keypoints=30)
    fold = np.random.default_rng(9).permutation(13) % 5
    expected = data.sigma_px.copy()
    for part in range(5):
        rest = fold != part
        z = data.residual_px[rest] / data.sigma_px[rest]
        expected[~rest] *= np.sqrt(np.mean(z**2))
    (found,) = cross_fitted_sigma(data.residual_px, data.sigma_px, seed=9)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_factors_repair_a_wrong_scale() -> None:
    data = calibrated(np.random.default_rng(5), images=60)
    residual, sigma = data.residual_px, data.sigma_px / 2
    before = recalibration_row(None, residual, sigma)
    scopes: tuple[Scope, ...] = ("global", "keypoint", "core")
    after = cross_fitted_sigma(residual, sigma, scopes=scopes)
    rows = [recalibration_row(scope, residual, of) for scope, of in zip(scopes, after, strict=True)]
    assert (before.scope, *(row.scope for row in rows)) == (None, *scopes)
    assert before.sigma_scale == pytest.approx(2.0, rel=0.1)
    for row in rows:
        assert row.sigma_scale == pytest.approx(1.0, abs=0.04)
        assert row.mace < 0.3 * before.mace
        assert row.nll < before.nll


def test_images_without_labels_keep_their_place() -> None:
    data = calibrated(np.random.default_rng(6), images=10)
    residual = data.residual_px.copy()
    residual[3] = np.nan
    (sigma,) = cross_fitted_sigma(residual, data.sigma_px)
    assert sigma.shape == data.sigma_px.shape
    assert np.all(sigma > 0)


def test_nothing_to_fit() -> None:
    ones = np.ones((1, 3, 2))
    with pytest.raises(ValueError, match="at least 2"):
        cross_fitted_sigma(ones, ones)
    with pytest.raises(ValueError, match="no factor to fit"):
        fit_sigma_scale(np.full((2, 3, 2), np.nan), np.ones((2, 3, 2)))
    with pytest.raises(ValueError, match="residuals are 0"):
        fit_sigma_scale(0 * ones, ones)
    scale = fit_sigma_scale(ones, ones)
    with pytest.raises(ValueError, match="must be"):
        apply_sigma_scale(np.ones((1, 4, 2)), scale, "keypoint")


def nll_change(residual: FloatArray, before: FloatArray, after: FloatArray) -> Change:
    """The change to one other σ."""
    (change,) = nll_changes(residual, before, after)
    return change


def naive_nll(residual: float, sigma: float) -> float:
    return float(0.5 * np.log(2 * np.pi) + np.log(sigma) + residual**2 / (2 * sigma**2))


def test_nll_change_by_hand() -> None:
    data = calibrated(np.random.default_rng(0), images=5, keypoints=3)
    residual, before, after = data.residual_px.copy(), data.sigma_px.copy(), 1.3 * data.sigma_px
    residual[0, 0] = np.nan
    before[1, 1] = 0.0
    expected = [
        naive_nll(residual[i, k, a], after[i, k, a]) - naive_nll(residual[i, k, a], before[i, k, a])
        for i in range(5) for k in range(3) for a in range(2)
        if (i, k) not in ((0, 0), (1, 1))
    ]  # fmt: skip
    assert nll_change(residual, before, after).value == pytest.approx(np.mean(expected), rel=1e-12)


def test_nll_change_knows_better_from_worse() -> None:
    data = calibrated(np.random.default_rng(1))
    residual, sigma = data.residual_px, data.sigma_px
    assert nll_change(residual, sigma / 2, sigma).is_drop
    assert nll_change(residual, sigma, sigma / 2).is_rise
    none = nll_change(residual, sigma, sigma)
    assert (none.value, none.is_drop, none.is_rise) == (0.0, False, False)


def test_several_changes_are_those_of_one_at_a_time() -> None:
    data = calibrated(np.random.default_rng(11))
    residual, sigma = data.residual_px, data.sigma_px
    both = nll_changes(residual, sigma, 0.5 * sigma, 1.1 * sigma)
    alone = [nll_change(residual, sigma, factor * sigma) for factor in (0.5, 1.1)]
    for one, other in zip(both, alone, strict=True):
        assert one.value == pytest.approx(other.value, rel=1e-12)
        assert one.ci95 == pytest.approx(other.ci95, rel=1e-9)


def test_one_image_gives_no_interval_and_so_no_claim() -> None:
    data = calibrated(np.random.default_rng(2), images=1)
    change = nll_change(data.residual_px, data.sigma_px / 4, data.sigma_px)
    assert change.ci95 is None
    assert not change.is_drop
    assert not Change(3.0, None).is_rise


def test_nothing_to_compare() -> None:
    nothing = np.full((2, 3, 2), np.nan)
    with pytest.raises(ValueError, match="nothing to compare"):
        nll_change(nothing, nothing, nothing)
    with pytest.raises(ValueError, match="nothing to judge"):
        recalibration_row(None, nothing, nothing)


def test_images_of_a_patient_are_fitted_and_judged_together() -> None:
    data = calibrated(np.random.default_rng(12), images=24)
    units = np.repeat(np.arange(8), 3)
    changed = data.residual_px.copy()
    changed[4] *= 100.0
    (base,), (again,) = (
        cross_fitted_sigma(r, data.sigma_px, units=units) for r in (data.residual_px, changed)
    )
    for image in (3, 4, 5):
        np.testing.assert_array_equal(again[image], base[image])
    with pytest.raises(ValueError, match=r"1 usable patient\(s\)"):
        cross_fitted_sigma(data.residual_px, data.sigma_px, units=np.zeros(24))


def test_twice_the_images_of_every_patient_leave_the_interval_as_it_is() -> None:
    data = calibrated(np.random.default_rng(13), images=30)
    residual, sigma = (np.repeat(array, 2, axis=0) for array in (data.residual_px, data.sigma_px))
    (once,) = nll_changes(data.residual_px, data.sigma_px, 1.2 * data.sigma_px)
    (twice,) = nll_changes(residual, sigma, 1.2 * sigma, units=np.repeat(np.arange(30), 2))
    assert twice.ci95 == pytest.approx(once.ci95, rel=1e-9)


def test_the_core_factor_does_not_hear_of_the_large_errors() -> None:
    data = calibrated(np.random.default_rng(14), images=60)
    residual = data.residual_px.copy()
    residual[:, :2] *= 30.0
    scale = fit_sigma_scale(residual, data.sigma_px)
    assert scale.common > 8.0
    assert scale.core == pytest.approx(np.median(np.abs(residual / data.sigma_px)) / 0.67449, rel=1e-4)
    assert scale.core < 1.25


def test_student_t_is_fitted_on_the_others_alone() -> None:
    data = faulty("heavy tails", np.random.default_rng(15), images=60)
    row, change = cross_fitted_student(data.residual_px, data.sigma_px)
    fitted = fit_student_t(data.residual_px, data.sigma_px)
    own, _ = student_row(data.residual_px, data.sigma_px, fitted)
    assert fitted.degrees == pytest.approx(3.0, rel=0.25)
    assert fitted.scale == pytest.approx(3**-0.5, rel=0.1)
    assert own.nll < row.nll < recalibration_row(None, data.residual_px, data.sigma_px).nll
    assert change.is_drop
    assert change.value == pytest.approx(row.nll - nll(data.residual_px, data.sigma_px).mean(), abs=1e-9)
    assert (row.sigma_scale, row.sharpness_px) == (None, None)
    assert row.coverage_90 == pytest.approx(0.9, abs=0.02)


def test_harm_is_told_from_noise() -> None:
    data = calibrated(np.random.default_rng(16), images=60)
    residual, sigma = data.residual_px, data.sigma_px
    before = recalibration_row(None, residual, sigma)

    def harm(factor: float) -> tuple[str, ...]:
        after = recalibration_row("global", residual, factor * sigma)
        return harms(before, after, nll_change(residual, sigma, factor * sigma), 0.03)

    assert harm(1.01) == ()
    assert [text.split()[0] for text in harm(1.5)] == ["MACE", "NLL"]
    (only,) = harms(
        before, recalibration_row("global", residual, 1.5 * sigma), Change(-1.0, (-2.0, -0.5)), None
    )
    assert only.startswith("MACE 0.0")
