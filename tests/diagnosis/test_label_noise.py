"""Two readers: distances and spreads written out naively, and what may not change them."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mahtdiag.diagnosis.label_noise import disagreement, label_noise, mean_over_units
from mahtdiag.schema.skeleton import View
from mahtdiag.statistics.spread import FEWEST_UNITS, spread_over_units
from tests.anatomy.spines import natural_spines

AP = View.AP.skeleton


def test_numbers_are_those_written_out() -> None:
    rng = np.random.default_rng(0)
    difference = rng.normal(3.0, 2.0, size=(12, 4, 2))
    difference[3, 1] = np.nan
    found = disagreement("x", difference, np.arange(12), "px")
    pairs = [difference[n, k] for n in range(12) for k in range(4) if (n, k) != (3, 1)]
    distances = sorted(math.hypot(*pair) for pair in pairs)
    assert (found.pairs, len(pairs)) == (47, 47)
    assert found.mean.value == pytest.approx(sum(distances) / 47)
    assert found.median == pytest.approx(distances[23])
    for axis in (0, 1):
        values = [pair[axis] for pair in pairs]
        mean = sum(values) / 47
        sd = math.sqrt(sum((value - mean) ** 2 for value in values) / 46)
        assert [found.bias[axis], found.sd[axis]] == pytest.approx([mean, sd])
        assert found.sem[axis] == pytest.approx(sd / math.sqrt(2))


def test_jackknife_is_the_one_that_leaves_out_unit_by_unit() -> None:
    rng = np.random.default_rng(1)
    values, units = rng.normal(size=40), np.repeat(np.arange(20), 2)
    values[7] = np.nan
    found = spread_over_units(values, units, 2.0)
    inverse = [1 / np.nanstd(values[units != unit], ddof=1) for unit in range(20)]
    error = math.sqrt(19 / 20 * sum((each - np.mean(inverse)) ** 2 for each in inverse))
    centre, quantile = 1 / np.nanstd(values, ddof=1), 2.093024054
    assert found.value == pytest.approx(2 / centre)
    assert found.low == pytest.approx(2 / (centre + quantile * error))
    assert found.high == pytest.approx(2 / (centre - quantile * error))


@given(st.integers(0, 10_000), st.floats(0.1, 50))
def test_unit_of_length_and_order_of_images_change_nothing(seed: int, scale: float) -> None:
    rng = np.random.default_rng(seed)
    values, units = rng.lognormal(size=(15, 3)), rng.permutation(15)
    order = rng.permutation(15)
    found, other = mean_over_units(values, units), mean_over_units(scale * values[order], units[order])
    assert [other.value, other.low, other.high] == pytest.approx(
        [scale * found.value, scale * found.low, scale * found.high]
    )
    assert found.low < found.value < found.high


def test_an_image_twice_of_one_patient_says_no_more_than_once() -> None:
    values = np.random.default_rng(2).lognormal(size=(20, 1))
    once = mean_over_units(values, np.arange(20))
    twice = mean_over_units(np.concatenate([values, values]), np.tile(np.arange(20), 2))
    assert [twice.low, twice.high] == pytest.approx([once.low, once.high])


def test_too_few_units_have_no_interval() -> None:
    values = np.random.default_rng(3).normal(size=100)
    few = np.arange(100) % (FEWEST_UNITS - 1)
    assert math.isnan(spread_over_units(values, few, 1.0).low)
    assert math.isnan(mean_over_units(np.abs(values), few).low)
    assert math.isnan(mean_over_units(np.full(20, np.nan), np.arange(20)).value)
    assert spread_over_units(np.zeros(20), np.arange(20), 1.0).value == 0


def test_thresholds_below_the_distance_of_readers_are_noise() -> None:
    first = natural_spines(View.AP, 12)
    second = first + np.array([3.0, 4.0])
    spacing_mm = np.full((12, 2), 0.5)
    noise = label_noise("b", first, second, AP, np.arange(12), spacing_mm)
    assert [noise.floor("px"), noise.floor("mm")] == pytest.approx([5, 2.5])
    assert list(noise.below()) == [("px", 2.0), ("px", 4.0), ("mm", 2.0)]
    # A shift of all points changes no angle.
    cobb = next(each for each in noise.measurements if each.name == "cobb_deg")
    assert [cobb.bias, cobb.mdc.value] == pytest.approx([0, 0], abs=1e-9)
    unknown = label_noise("b", first, second, AP, np.arange(12), np.full((12, 2), np.nan))
    assert unknown.floor("mm") is None


def test_minimal_detectable_change_is_that_of_the_differences() -> None:
    rng = np.random.default_rng(4)
    first = natural_spines(View.AP, 40)
    second = first + rng.normal(scale=2.0, size=first.shape)
    noise = label_noise("b", first, second, AP, np.arange(40), np.full((40, 2), np.nan))
    for each in noise.measurements:
        assert each.mdc.value == pytest.approx(1.96 * math.sqrt(2) * each.sem.value, rel=1e-4)
        assert each.sem.low < each.sem.value < each.sem.high
