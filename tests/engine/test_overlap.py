"""On CUDA a batch is launched before the one before is waited for: order, errors and memory that runs out."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from torch import Tensor

from mahtdiag.engine import inference
from mahtdiag.engine.analysis import analyse
from mahtdiag.engine.devices import DeviceClock, forward_mode
from mahtdiag.engine.inference import BatchSeconds, Launched, Runner
from mahtdiag.engine.transfer import Transfer
from mahtdiag.errors import DeviceError, ModelOutputError
from mahtdiag.schema.choices import Precision
from mahtdiag.schema.records import BatchReading, Floats, ModelOutputs

from .builders import HEATMAP, SPEC, batches, network, runner


@dataclass(frozen=True)
class Remembering(Runner):
    """Says that it is on CUDA, runs on the CPU, and writes down what happens."""

    told: list[str] = field(default_factory=list)
    fails: int | None = None
    lost: int | None = None

    def launch(self, index: int, images: Tensor, centres: Floats, cell_px: Floats | None = None) -> Launched:
        """As a runner on the CPU."""
        if index == self.fails:
            raise ModelOutputError("the network failed")
        self.told.append(f"launch {index}")
        inner = runner(self.predict, self.spec).launch(index, images, centres, cell_px)

        def reading() -> BatchReading:
            if index == self.lost:
                raise RuntimeError("CUDA error: the launch timed out\nreported later")
            self.told.append(f"wait {index}")
            return inner.reading()

        return Launched(reading, lambda: BatchSeconds(forward=1.0))


def remembering(**keywords: int) -> Remembering:
    """On a device that is not there."""
    device = torch.device("cuda")
    return Remembering(network(), SPEC, device, Precision.FP32, HEATMAP, **keywords)  # type: ignore[arg-type]


def test_one_batch_is_ahead_of_the_one_that_is_judged() -> None:
    there = remembering()
    for inferred in there.run(batches(13, 4)):
        there.told.append(f"judge {inferred.batch.index}")
        assert inferred.seconds.forward == 1.0
    assert there.told == [
        "launch 0", "launch 1", "wait 0", "judge 0", "launch 2", "wait 1", "judge 1",
        "launch 3", "wait 2", "judge 2", "wait 3", "judge 3",
    ]  # fmt: skip


def test_the_numbers_are_those_without() -> None:
    ahead, usual = ([*each.run(batches(13, 4))] for each in (remembering(), runner(network())))
    for ours, theirs in zip(ahead, usual, strict=True):
        assert ours.batch.index == theirs.batch.index
        assert ours.reading is not None
        assert theirs.reading is not None
        np.testing.assert_array_equal(ours.reading.points, theirs.reading.points)


def test_what_a_batch_raises_comes_after_the_one_before() -> None:
    seen: list[int] = []
    with pytest.raises(ModelOutputError, match="the network failed"):
        seen.extend(inferred.batch.index for inferred in remembering(fails=2).run(batches(13, 4)))
    assert seen == [0, 1]


def test_a_device_that_fails_is_one_line_with_what_to_do() -> None:
    seen: list[int] = []
    with pytest.raises(DeviceError) as raised:
        seen.extend(inferred.batch.index for inferred in remembering(lost=1).run(batches(13, 4)))
    assert seen == [0]
    assert raised.value.problems == (
        "cuda failed: CUDA error: the launch timed out; what was evaluated is kept: go on with --resume",
    )


def test_whoever_stops_leaves_nothing_waiting() -> None:
    there = remembering()
    found = there.run(batches(13, 4))
    next(iter(found))
    found.close()  # type: ignore[attr-defined]
    assert there.told == ["launch 0", "launch 1", "wait 0"]


def holding(most: int) -> Callable[[Tensor], ModelOutputs]:
    """A network on a device with room for so many images."""
    inner = network()

    def predict(images: Tensor) -> ModelOutputs:
        if len(images) > most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return inner(images)

    return predict


@pytest.mark.parametrize(
    ("room", "most", "expected"), [(1, 64, 1), (5, 64, 4), (8, 64, 8), (100, 16, 16), (9, 1, 1)]
)
def test_what_fits_is_found_by_doubling(room: int, most: int, expected: int) -> None:
    assert runner(holding(room)).fitting(most) == expected


def test_a_network_of_single_images_fits_one() -> None:
    def single(images: Tensor) -> ModelOutputs:
        if len(images) > 1:
            raise ValueError("one at a time")
        return network()(images)

    assert runner(single).fitting(64) == 1


@pytest.mark.parametrize(
    "text",
    ["CUDA out of memory", "MPS backend out of memory (MPS allocated", "CUBLAS_STATUS_ALLOC_FAILED when"],
)
def test_memory_runs_out_under_many_names(text: str) -> None:
    inner = network()

    def predict(images: Tensor) -> ModelOutputs:
        if len(images) > 2:
            raise RuntimeError(text)
        return inner(images)

    usual = [*runner(inner).run(batches(13, 13))]
    halved = [*runner(predict).run(batches(13, 13))]
    assert usual[0].reading is not None
    assert halved[0].reading is not None
    np.testing.assert_array_equal(usual[0].reading.points, halved[0].reading.points)


def test_fp32_is_no_less_on_cuda_and_leaves_no_trace() -> None:
    settings = torch.backends.cudnn, torch.backends.cuda.matmul
    before = [each.allow_tf32 for each in settings]
    with forward_mode(torch.device("cuda"), Precision.FP32):
        assert [each.allow_tf32 for each in settings] == [False, False]
    assert [each.allow_tf32 for each in settings] == before


def test_a_transfer_keeps_shapes_and_values() -> None:
    values = {
        "points": torch.rand(3, 4, 2),
        "flags": torch.arange(12).view(3, 4),
        "loss": torch.tensor([0.5, float("nan"), -1.0], dtype=torch.float64),
        "finite": torch.tensor([[True], [False], [True]]),
    }
    found = Transfer.begin(values).arrays()
    assert list(found) == list(values)
    for name, expected in values.items():
        assert found[name].dtype == np.float64
        np.testing.assert_array_equal(found[name], expected.double().numpy(), err_msg=name)


def test_a_clock_counts_between_marks() -> None:
    clock = DeviceClock(torch.device("cpu"))
    assert clock.seconds() == []
    for _ in range(3):
        clock.mark()
    assert len(clock.seconds()) == 2
    assert min(clock.seconds()) >= 0.0


@pytest.mark.parametrize("room", [1, 3, 7])
def test_by_halves_where_the_analysis_does_not_fit(monkeypatch: pytest.MonkeyPatch, room: int) -> None:
    usual = [*runner(network()).run(batches(13, 13))]

    def narrow(outputs: ModelOutputs, *rest: object, **options: object) -> Callable[[], BatchReading]:
        assert outputs.heatmaps is not None
        if len(outputs.heatmaps) > room:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return analyse(outputs, *rest, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(inference, "analyse", narrow)
    halved = [*runner(network()).run(batches(13, 13))]
    ours, theirs = halved[0].reading, usual[0].reading
    assert ours is not None
    assert theirs is not None
    assert ours.peaks is not None
    assert theirs.peaks is not None
    for name in ("points", "spread", "flags", "finite", "loss_mse", "loss_focal", "sigma"):
        np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name), err_msg=name)
    np.testing.assert_array_equal(ours.peaks.second, theirs.peaks.second)
    assert ours.heatmap_size == theirs.heatmap_size
    assert ours.between is None


def test_one_image_that_does_not_fit_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*_: object, **__: object) -> Callable[[], BatchReading]:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate\nmore")

    monkeypatch.setattr(inference, "analyse", none)
    with pytest.raises(DeviceError) as raised:
        next(iter(runner(network()).run(batches(13, 13))))
    (problem,) = raised.value.problems
    assert problem.startswith("cpu failed: CUDA out of memory. Tried to allocate;")
