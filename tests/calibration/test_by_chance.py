"""The MACE of perfect calibration against models that are calibrated, and factors of core and tail."""

import numpy as np
import pytest
from scipy import special

from mahtdiag.calibration.by_chance import _weights, mace_by_chance
from mahtdiag.calibration.clustered import quantile_factor
from mahtdiag.calibration.scores import LEVELS, FloatArray


def shared(rng: np.random.Generator, images: int, keypoints: int, share: float) -> FloatArray:
    """|z| of a calibrated model, a share of whose variance is common to an image: [images, keypoints, 2]."""
    common = rng.normal(size=(images, 1, 2))
    own = rng.normal(size=(images, keypoints, 2))
    return np.asarray(np.abs(np.sqrt(share) * common + np.sqrt(1 - share) * own))


def naive_mace(size: FloatArray) -> float:
    limits = special.ndtri(0.5 + LEVELS / 2)
    return float(np.mean([abs(np.mean(size <= limit) - p) for limit, p in zip(limits, LEVELS, strict=True)]))


def of(size: FloatArray) -> tuple[FloatArray, np.ndarray[tuple[int], np.dtype[np.intp]]]:
    return size.reshape(-1, 2), np.repeat(np.arange(len(size)), size.shape[1])


@pytest.mark.parametrize(("images", "share"), [(20, 0.0), (20, 0.5), (60, 0.5)])
def test_calibrated_models_show_what_was_said(images: int, share: float) -> None:
    seen, said = [], []
    for seed in range(150):
        size = shared(np.random.default_rng(seed), images, 10, share)
        chance = mace_by_chance(*of(size))
        assert chance is not None
        seen.append(naive_mace(size))
        said.append((chance.mean, chance.most))
    mean, most = np.array(said).T
    assert mean.mean() == pytest.approx(np.mean(seen), rel=0.12)
    assert np.mean(np.array(seen) > most) <= 0.1


def test_independent_errors_by_formula() -> None:
    size = shared(np.random.default_rng(0), 4000, 1, 0.0)
    chance = mace_by_chance(*of(size))
    assert chance is not None
    by_formula = np.mean(np.sqrt(2 / np.pi * LEVELS * (1 - LEVELS) / 8000))
    assert chance.mean == pytest.approx(by_formula, rel=0.06)


def test_a_wrong_scale_of_sigma_changes_nothing() -> None:
    size, unit = of(shared(np.random.default_rng(1), 30, 10, 0.3))
    assert mace_by_chance(7.0 * size, unit) == mace_by_chance(size, unit)
    assert mace_by_chance(size, 100 - unit) is not None
    assert mace_by_chance(size[:90], unit[:90]) is None  # 9 images


def test_patients_with_copies_of_an_image_are_no_more_data() -> None:
    size = shared(np.random.default_rng(2), 40, 10, 0.3)
    once = mace_by_chance(*of(size))
    twice = np.repeat(size, 2, axis=0).reshape(-1, 2)
    both = mace_by_chance(twice, np.repeat(np.arange(40), 20))
    assert once is not None
    assert both is not None
    assert both.mean == pytest.approx(once.mean, rel=0.02)


def skewed(rng: np.random.Generator, images: int) -> FloatArray:
    """Skewed, heavy-tailed |z| with an effect of the image on place and size."""
    scale = np.exp(rng.normal(0, 0.5, size=(images, 1, 1)))
    shift = 0.5 * (rng.gamma(1, 1, size=(images, 1, 2)) - 1)
    return np.asarray(np.abs(scale * (shift + 0.8 * rng.standard_t(4, size=(images, 20, 2)))))


@pytest.mark.parametrize(("images", "share"), [(10, 0.5), (50, 0.5), (150, 0.95)])
def test_intervals_of_core_and_tail_hold_the_truth(images: int, share: float) -> None:
    population, unit = of(skewed(np.random.default_rng(10**6), 20000))
    truth = quantile_factor(population, unit, 20000, share).value
    missed = [0, 0]
    for seed in range(200):
        found = quantile_factor(*of(skewed(np.random.default_rng(seed), images)), images, share)
        assert found.ci95 is not None
        assert found.ci95[0] <= found.value <= found.ci95[1]
        missed[0] += truth < found.ci95[0]
        missed[1] += truth > found.ci95[1]
    assert sum(missed) <= 24, missed
    assert max(missed) <= 18, missed


def test_core_and_tail_by_hand() -> None:
    size = np.abs(np.random.default_rng(3).normal(size=(300, 2)))
    unit = np.arange(300)
    assert quantile_factor(size, unit, 300, 0.5).value == pytest.approx(np.median(size) / 0.6744897502)
    tail = quantile_factor(size, unit, 300, 0.95)
    assert tail.value == pytest.approx(np.quantile(size, 0.95) / 1.9599639845)
    assert tail.ci95 is not None
    assert quantile_factor(size[:149], unit[:149], 149, 0.95).ci95 is None
    assert quantile_factor(size[:9], unit[:9], 9, 0.5).ci95 is None


def test_what_was_asked_before_changes_nothing() -> None:
    rng = np.random.default_rng(4)
    size = np.abs(rng.normal(size=(3000, 2)))
    few, many = np.arange(3000) // 100, np.arange(3000) // 2
    first = mace_by_chance(size, few), mace_by_chance(size, many)
    again = mace_by_chance(size, many), mace_by_chance(size, few)
    assert first == again[::-1]
    assert mace_by_chance(size, few, seed=1) != first[0]


@pytest.mark.parametrize("units", [10, 999, 1000, 1001])
def test_weights_are_those_that_would_be_drawn_for_so_many_units(units: int) -> None:
    rng = np.random.default_rng(3)
    kept = np.sort(rng.permutation(units)[:1000]) if units > 1000 else np.arange(units)
    chosen, weights = _weights(units, 3)
    np.testing.assert_array_equal(np.flatnonzero(chosen), kept)
    np.testing.assert_array_equal(weights, rng.normal(size=(1000, min(units, 1000))))
