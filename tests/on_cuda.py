"""What a CUDA device alone can show: the numbers of the CPU, memory that runs out, streams, half precisions.

Run by `benchmarks/gpu.sh`; skipped where there is no device.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

import mahtdiag
from mahtdiag.config.settings import DataSettings, EvaluateSettings, ModelSettings, Settings
from mahtdiag.engine.inference import Runner
from mahtdiag.engine.loader import LoadedBatch, load_batches
from mahtdiag.schema.choices import ImageChoice, Precision
from mahtdiag.schema.records import BatchReading, ModelOutputs
from mahtdiag.workflows.evaluate.network_source import Networks, image_reader
from mahtdiag.workflows.evaluate.preparation import Prepared, prepare

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")

SAMPLES = Path(__file__).parent.parent / "sample_data"
Floats = NDArray[np.float64]


def prepared(view: str, device: str, batch_size: int | None = None) -> Prepared:
    """The sample network of a view on its sample set."""
    settings = Settings(
        model=ModelSettings(checkpoint=str(SAMPLES / f"mahtnet-{view.lower()}.pt")),
        data=DataSettings(path=str(SAMPLES / view)),
        evaluate=EvaluateSettings(device=device, batch_size=batch_size, overlays=ImageChoice.parse("none")),
    )
    return prepare(settings, trust=False)


def runner_of(found: Prepared) -> Runner:
    """What runs its network."""
    assert isinstance(found.source, Networks)
    return found.source.runner


def batches(found: Prepared, size: int = 16) -> Iterator[LoadedBatch]:
    """Its images."""
    read = image_reader(runner_of(found).spec.input)
    return load_batches(found.dataset.samples, read, batch_size=size, workers=4, for_cuda=True)


def readings(runner: Runner, loaded: Iterator[LoadedBatch]) -> list[BatchReading]:
    """What a run of it gives."""
    found = [inferred.reading for inferred in runner.run(loaded)]
    assert all(reading is not None for reading in found)
    return [reading for reading in found if reading is not None]


def numbers(found: list[BatchReading], name: str) -> Floats:
    """One of its numbers for all images."""
    return np.concatenate([getattr(reading, name) for reading in found])


@pytest.mark.parametrize("view", ["AP", "LA"])
def test_fp32_gives_the_numbers_of_the_cpu(view: str) -> None:
    found = {}
    for device in ("cpu", "cuda"):
        there = prepared(view, device)
        assert runner_of(there).notes == []
        found[device] = readings(runner_of(there), batches(there))
    shown, cells = runner_of(there).spec.input.size, runner_of(there).heatmap_size
    assert cells is not None
    per_cell = np.array(shown.xy) / np.array(cells.xy)
    places = [numbers(found[device], "points") * per_cell for device in ("cpu", "cuda")]
    assert np.abs(places[0] - places[1]).max() <= 1e-4
    for name in ("loss_mse", "loss_focal", "keypoint_share", "peak", "sigma", "spread"):
        ours, theirs = (numbers(found[device], name) for device in ("cuda", "cpu"))
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-4, err_msg=name)


def test_a_whole_run_has_the_numbers_of_the_cpu(tmp_path: Path) -> None:
    runs = [
        mahtdiag.evaluate(
            SAMPLES / "mahtnet-ap.pt", SAMPLES / "AP", out=tmp_path / device, device=device, overlays="none"
        )
        for device in ("cpu", "cuda")
    ]
    ours, theirs = (run.keypoints["error_px"] for run in runs)
    assert np.nanmax(np.abs(ours - theirs)) <= 1e-3


@pytest.mark.parametrize("precision", [Precision.BF16, Precision.FP16])
def test_half_precisions_find_the_same_places(precision: Precision) -> None:
    there = prepared("AP", "cuda")
    runner = runner_of(there)
    exact = numbers(readings(runner, batches(there)), "points")
    rough = numbers(readings(replace(runner, precision=precision), batches(there)), "points")
    distance = np.linalg.norm(exact - rough, axis=-1)
    assert np.median(distance) < 0.1
    assert (distance > 0).any()


def test_again_is_the_same_to_the_bit() -> None:
    there = prepared("AP", "cuda")
    once, again = (readings(runner_of(there), batches(there)) for _ in range(2))
    for name in ("points", "spread", "loss_mse", "loss_focal"):
        np.testing.assert_array_equal(numbers(once, name), numbers(again, name), err_msg=name)


def test_another_stream_gives_the_same() -> None:
    there = prepared("AP", "cuda")
    usual = readings(runner_of(there), batches(there))
    with torch.cuda.stream(torch.cuda.Stream()):  # type: ignore[no-untyped-call]
        other = readings(runner_of(there), batches(there))
    np.testing.assert_array_equal(numbers(usual, "points"), numbers(other, "points"))


@contextmanager
def memory_of(count: int) -> Iterator[None]:
    """So many bytes beside those that are taken already, and no more."""
    torch.cuda.empty_cache()
    whole = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + count) / whole)
    try:
        yield
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)


def test_no_image_is_lost_where_memory_runs_out() -> None:
    there = prepared("AP", "cuda", 16)
    runner = runner_of(there)
    usual = readings(runner, batches(there))
    passed: list[int] = []

    def predict(images: Tensor) -> ModelOutputs:
        # As much again for each image as three of them leave room for.
        torch.empty(len(images), 2**28, dtype=torch.uint8, device="cuda")
        passed.append(len(images))
        return runner.predict(images)

    with memory_of(2**30):
        halved = readings(replace(runner, predict=predict), batches(there))
    assert max(passed) < 16
    assert sum(passed) == len(there.dataset.samples)
    difference = np.abs(numbers(usual, "points") - numbers(halved, "points"))
    assert difference.max() <= 1e-3


def test_auto_takes_what_fits() -> None:
    there = prepared("AP", "cuda", 1)
    runner = runner_of(there)

    def predict(images: Tensor) -> ModelOutputs:
        torch.empty(len(images), 2**28, dtype=torch.uint8, device="cuda")
        return runner.predict(images)

    with memory_of(2**30 + 2**28):
        assert replace(runner, predict=predict).fitting(64) == 4
    assert runner.fitting(8) == 8


def test_a_device_that_fails_is_told_in_one_line() -> None:
    there = prepared("AP", "cuda", 16)
    runner = runner_of(there)

    def predict(images: Tensor) -> ModelOutputs:
        raise RuntimeError("CUDA error: unspecified launch failure\nCompile with TORCH_USE_CUDA_DSA")

    with pytest.raises(mahtdiag.errors.MahtdiagError) as raised:
        readings(replace(runner, predict=predict), batches(there))
    assert "\n" not in str(raised.value)
    assert "unspecified launch failure" in str(raised.value)
