"""Repeated passes: the law of total variance by loops, seeds, members in any order, identical passes."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from mahtdiag.engine.inference import InferredBatch, Runner
from mahtdiag.engine.repeated import RepeatedRunner, combined, drawing_from, seed_of
from mahtdiag.schema.choices import UncertaintyFrame, UncertaintyKind, UncertaintySource
from mahtdiag.schema.frames import Size
from mahtdiag.schema.model_spec import UncertaintySpec
from mahtdiag.schema.records import BatchReading, Floats, ModelOutputs, Predictor

from .builders import INPUT, SPEC, K, batches, changed, network, runner

HEAD = UncertaintySpec(UncertaintySource.HEAD, UncertaintyKind.LOG_SIGMA, UncertaintyFrame.HEATMAP)
WITH_HEAD = replace(SPEC, uncertainty=HEAD)
MEANS = ("points", "spread", "peak", "loss_mse", "loss_focal", "keypoint_share")
CELLS = (16, 8)


def reading(seed: int, images: int = 3, coords: bool = False, head: bool = True) -> BatchReading:
    """Made-up numbers of one pass."""
    rng = np.random.default_rng(seed)
    return BatchReading(
        heatmap_size=CELLS,
        points=rng.uniform(0, 8, (images, K, 2)),
        spread=rng.random((images, K, 3)),
        peak=rng.random((images, K)),
        flags=rng.integers(0, 16, (images, K)),
        finite=rng.random((images, K)) < 0.9,
        loss_mse=rng.random(images),
        loss_focal=rng.random(images),
        keypoint_share=rng.random(images),
        coords=rng.uniform(0, 30, (images, K, 2)) if coords else None,
        sigma=rng.lognormal(size=(images, K, 2)) if head else None,
    )


@pytest.mark.parametrize("coords", [True, False])
@pytest.mark.parametrize("passes", [2, 3, 10])
def test_the_law_of_total_variance_by_loops(passes: int, coords: bool) -> None:
    readings = [reading(seed, coords=coords) for seed in range(passes)]
    found = combined(readings, INPUT)
    assert found.sigma is not None
    assert found.between is not None
    stride = (INPUT.width / CELLS[1], INPUT.height / CELLS[0])
    for b in range(3):
        for k in range(K):
            for axis in (0, 1):
                places, variances = [], []
                for one in readings:
                    assert one.sigma is not None
                    variances.append(one.sigma[b, k, axis] ** 2)
                    own = (
                        one.points[b, k, axis] * stride[axis]
                        if one.coords is None
                        else one.coords[b, k, axis]
                    )
                    places.append(own)
                mean = sum(places) / passes
                between = sum((place - mean) ** 2 for place in places) / passes
                within = sum(variances) / passes
                assert found.between[b, k, axis] == pytest.approx(math.sqrt(between), rel=1e-9)
                assert found.sigma[b, k, axis] == pytest.approx(math.sqrt(within), rel=1e-12)
                # The variance of the mixture itself: E[place² + σ²] − mean².
                second = sum(p * p + v for p, v in zip(places, variances, strict=True)) / passes
                total = found.between[b, k, axis] ** 2 + found.sigma[b, k, axis] ** 2
                assert total == pytest.approx(second - mean * mean, rel=1e-8)
            flags = 0
            for one in readings:
                flags |= int(one.flags[b, k])
            assert found.flags[b, k] == flags
            assert found.finite[b, k] == all(one.finite[b, k] for one in readings)
    for name in (*MEANS, *(["coords"] if coords else [])):
        expected = sum(getattr(one, name) for one in readings) / passes
        np.testing.assert_allclose(getattr(found, name), expected, rtol=1e-12, err_msg=name)


@given(seed=st.integers(0, 2**32), passes=st.integers(1, 7), coords=st.booleans(), head=st.booleans())
def test_identical_passes_are_one(seed: int, passes: int, coords: bool, head: bool) -> None:
    one = reading(seed, coords=coords, head=head)
    found = combined([one] * passes, INPUT)
    assert found.between is not None
    assert (found.between == 0).all()
    for name in (*MEANS, "flags", "finite", "coords", "sigma"):
        np.testing.assert_array_equal(getattr(found, name), getattr(one, name), err_msg=name)


@given(order=st.permutations(range(5)))
def test_the_order_of_passes_has_no_say(order: list[int]) -> None:
    readings = [reading(seed) for seed in range(5)]
    found, expected = combined([readings[n] for n in order], INPUT), combined(readings, INPUT)
    for name in (*MEANS, "sigma", "between"):
        np.testing.assert_allclose(getattr(found, name), getattr(expected, name), rtol=1e-9, err_msg=name)


@given(shift=st.floats(-50, 50), scale=st.floats(0.1, 10))
def test_moving_all_places_moves_only_the_mean(shift: float, scale: float) -> None:
    readings = [reading(seed) for seed in range(4)]
    expected = combined(readings, INPUT)
    found = combined([replace(one, points=scale * one.points + shift) for one in readings], INPUT)
    assert found.between is not None
    assert expected.between is not None
    np.testing.assert_allclose(found.points, scale * expected.points + shift, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(found.between, scale * expected.between, rtol=1e-6, atol=1e-9)


def test_impossible_sigma_stays_impossible() -> None:
    values = {"negative": (-1.0, 2.0), "zero": (0.0, 0.0), "endless": (np.inf, 1.0), "huge": (1e200, 1e200)}
    found = {}
    for name, pair in values.items():
        passes = [replace(reading(0), sigma=np.full((3, K, 2), value)) for value in pair]
        sigma = combined(passes, INPUT).sigma
        assert sigma is not None
        found[name] = float(sigma[0, 0, 0])
    assert math.isnan(found.pop("negative"))
    assert found == {"zero": 0.0, "endless": np.inf, "huge": 1e200}


def test_passes_that_are_no_numbers_are_not_finite_and_warn_nobody() -> None:
    broken = reading(1)
    broken.points[0, 0], broken.finite[0, 0] = np.nan, False
    broken.points[1, 1], broken.finite[1, 1] = np.inf, False
    found = combined([reading(0), broken], INPUT)
    assert not found.finite[0, 0]
    assert not found.finite[1, 1]


def test_without_head_or_without_sigma_there_is_none() -> None:
    readings = [reading(seed, head=False) for seed in range(2)]
    assert combined(readings, INPUT).sigma is None
    assert combined(readings, INPUT, with_sigma=False).between is None


def noisy(predict: Predictor, seen: list[int] | None = None) -> Predictor:
    """A network with random numbers of its own, as one with dropout."""

    def change(outputs: ModelOutputs) -> ModelOutputs:
        if seen is not None:
            seen.append(torch.initial_seed())
        return replace(outputs, heatmaps=outputs.maps * torch.empty_like(outputs.maps).uniform_(0.5, 1))

    return changed(predict, change)


def arrays_of(inferred: list[InferredBatch]) -> dict[int, tuple[Floats, Floats, Floats]]:
    """What is read, by batch."""
    found = {}
    for item in inferred:
        if item.reading is not None:
            assert item.reading.between is not None
            assert item.reading.sigma is not None
            found[item.batch.index] = (item.reading.points, item.reading.between, item.reading.sigma)
    return found


def dropout_run(passes: int, done: frozenset[int] = frozenset()) -> dict[int, tuple[Floats, Floats, Floats]]:
    repeated = RepeatedRunner.of([runner(noisy(network()), WITH_HEAD)], dropout_passes=passes)
    return arrays_of(list(repeated.run(batches(9, 2, done))))


def test_two_runs_and_a_resumed_one_are_the_same_to_the_last_bit() -> None:
    whole, again = dropout_run(3), dropout_run(3)
    torch.rand(17)
    rest = dropout_run(3, frozenset({0, 2, 3}))
    assert set(rest) == {1, 4}
    assert set(whole) == {0, 1, 2, 3, 4}
    for found in (again, rest):
        for index, arrays in found.items():
            for ours, theirs in zip(arrays, whole[index], strict=True):
                np.testing.assert_array_equal(ours, theirs)
    assert all((arrays[1] > 0).any() for arrays in whole.values())


def test_every_pass_of_every_batch_has_its_own_seed_and_nobody_else_notices() -> None:
    seen: list[int] = []
    before = torch.random.get_rng_state()
    repeated = RepeatedRunner.of([runner(noisy(network(), seen), WITH_HEAD)], dropout_passes=4)
    list(repeated.run(batches(6, 2)))
    assert seen == [seed_of(index, number) for index in range(3) for number in range(4)]
    assert len(set(seen)) == 12
    assert torch.equal(torch.random.get_rng_state(), before)


def test_random_numbers_begin_at_a_seed() -> None:
    drawn = []
    for seed in (5, 5, 6):
        with drawing_from(seed, torch.device("cpu")):
            drawn.append(torch.rand(3))
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


def test_an_ensemble_is_the_combination_of_its_members_whatever_the_batches() -> None:
    members = [runner(network(seed), WITH_HEAD) for seed in (1, 2, 3)]
    singles = [list(member.run(batches(7, 7))) for member in members]
    found = list(RepeatedRunner.of(members).run(batches(7, 7)))
    readings = [item.reading for (item,) in singles if item.reading is not None]
    expected = combined(readings, INPUT)
    for size in (1, 3, 7):
        found = list(RepeatedRunner.of(members).run(batches(7, size)))
        for name in (*MEANS, "sigma", "between"):
            parts = [getattr(item.reading, name) for item in found if item.reading is not None]
            np.testing.assert_array_equal(np.concatenate(parts), getattr(expected, name), err_msg=name)
    assert expected.between is not None
    assert (expected.between > 0).all()


def test_members_are_run_once_per_batch_and_time_adds_up() -> None:
    calls: list[int] = []

    def counted(number: int) -> Predictor:
        def predict(images: Tensor) -> ModelOutputs:
            calls.append(number)
            return network(number)(images)

        return predict

    members = [runner(counted(number), WITH_HEAD) for number in (0, 1)]
    (item,) = RepeatedRunner.of(members).run(batches(2, 2))
    assert calls == [0, 1]
    assert item.seconds.forward > 0
    assert item.frames == tuple(members[0].frame_map(image.original) for image in item.batch.images)
    calls.clear()
    list(RepeatedRunner.of(members, dropout_passes=3).run(batches(2, 2)))
    assert calls == [0, 0, 0, 1, 1, 1]


def test_each_head_is_read_in_its_own_way() -> None:
    """Log variance in cells and σ in input pixels meet only after both have become σ in input pixels."""

    def saying(value: float) -> Predictor:
        return changed(network(), lambda o: replace(o, uncertainty=torch.full((len(o.maps), K), value)))

    cells = replace(HEAD, kind=UncertaintyKind.LOG_VAR)
    inputs = UncertaintySpec(UncertaintySource.HEAD, UncertaintyKind.SIGMA)
    members: list[Runner] = [
        runner(saying(math.log(4.0)), replace(SPEC, uncertainty=cells)),
        runner(saying(2.0), replace(SPEC, uncertainty=inputs)),
    ]
    (item,) = RepeatedRunner.of(members).run(batches(1, 1))
    assert item.reading is not None
    assert item.reading.sigma is not None
    expected = [math.sqrt(((2.0 * stride) ** 2 + 4.0) / 2) for stride in (3.0, 2.0)]
    np.testing.assert_allclose(item.reading.sigma[0, 0], expected, rtol=1e-6)


def test_the_size_of_the_input_is_the_unit_of_what_lies_between() -> None:
    readings = [reading(seed) for seed in range(3)]
    small, large = (combined(readings, Size(32 * n, 24 * n)).between for n in (1, 4))
    assert small is not None
    assert large is not None
    np.testing.assert_allclose(large, 4 * small, rtol=1e-12)


def test_places_of_a_stated_stride_lie_apart_by_it() -> None:
    readings = [reading(seed) for seed in range(4)]
    even, stated = combined(readings, INPUT), combined(readings, INPUT, step=(7.0, 5.0))
    assert even.between is not None
    assert stated.between is not None
    first = readings[0].heatmap_size
    assert first is not None
    per_cell = INPUT.xy / np.array(first[::-1])
    np.testing.assert_allclose(stated.between, even.between / per_cell * [7.0, 5.0], rtol=1e-9)
