"""A network run over batches: what it sees, what is read from it, and what happens when it fails."""

import weakref
from collections.abc import Callable
from dataclasses import replace
from typing import NoReturn

import numpy as np
import pytest
import torch
from torch import Tensor

from mahtdiag.engine.devices import DTYPES
from mahtdiag.engine.inference import InferredBatch, Runner, probe
from mahtdiag.errors import MahtdiagError, ModelOutputError
from mahtdiag.heatmaps.decoding import gaussian_targets
from mahtdiag.losses.heatmap import FocalHeatmapLoss, HeatmapMSELoss
from mahtdiag.models.outputs import read_outputs
from mahtdiag.schema.choices import Precision, UncertaintyFrame, UncertaintyKind, UncertaintySource
from mahtdiag.schema.frames import Size
from mahtdiag.schema.model_spec import UncertaintySpec
from mahtdiag.schema.records import BatchReading, LoadedImage, ModelOutputs, Predictor
from mahtdiag.schema.skeleton import LUMBAR, Skeleton, View

from .builders import HEATMAP, INPUT, SIGMA, SPEC, K, batches, changed, load, network, runner

NAMES = ("points", "spread", "peak", "flags", "finite", "loss_mse", "loss_focal", "keypoint_share", "sigma")


def with_head(source: UncertaintySource, kind: UncertaintyKind | None = UncertaintyKind.LOG_SIGMA) -> Runner:
    """A runner that takes σ from somewhere."""
    return runner(network(), replace(SPEC, uncertainty=UncertaintySpec(source, kind)))


def joined(inferred: list[InferredBatch]) -> dict[str, np.ndarray]:
    """Every array of every reading, in order."""
    readings = [item.reading for item in inferred if item.reading is not None]
    return {
        name: np.concatenate([getattr(reading, name) for reading in readings])
        for name in NAMES
        if getattr(readings[0], name) is not None
    }


def message_of(action: Callable[[], object]) -> str:
    """The one line of a ModelOutputError."""
    with pytest.raises(ModelOutputError) as caught:
        action()
    (problem,) = caught.value.problems
    assert "\n" not in problem
    return problem


@pytest.mark.parametrize("size", [1, 3, 20])
def test_losses_against_labels_drawn_in_the_frame_of_each_image(size: int) -> None:
    inferred = list(with_head(UncertaintySource.AUTO).run(batches(13, size)))
    assert [item.batch.index for item in inferred] == list(range(-(-13 // size)))
    found = joined(inferred)
    images = [s for item in inferred for s in item.batch.samples]
    expected = []
    for item in images:
        image = load(item)
        assert isinstance(image, LoadedImage)
        maps = network()(torch.from_numpy(image.tensor)[None]).maps.double()
        original = image.original
        # Letterbox, written out: one factor for both axes, bars on both sides, then 24x32 -> 8x16 cells.
        factor = min(INPUT.height / original.height, INPUT.width / original.width)
        inner = Size(round(original.height * factor), round(original.width * factor))
        x = (item.keypoints_px[:, 0] + 0.5) * inner.width / original.width + (INPUT.width - inner.width) // 2
        y = (item.keypoints_px[:, 1] + 0.5) * inner.height / original.height
        y += (INPUT.height - inner.height) // 2
        cells = np.stack([x / 3 - 0.5, y / 2 - 0.5], -1)
        target = gaussian_targets(torch.from_numpy(cells)[None], SIGMA, HEATMAP.height, HEATMAP.width)
        mse = HeatmapMSELoss(reduction="none")(maps, target).item()
        expected.append((mse, FocalHeatmapLoss(reduction="none")(maps, target).item()))
    np.testing.assert_allclose(np.stack([found["loss_mse"], found["loss_focal"]], 1), expected, rtol=1e-5)
    assert len(images) == 12


def test_batch_size_has_no_say() -> None:
    one, many = (joined(list(with_head(UncertaintySource.AUTO).run(batches(13, n)))) for n in (1, 6))
    for name, expected in many.items():
        np.testing.assert_array_equal(one[name], expected, err_msg=name)


def test_frames_belong_to_the_images_that_could_be_read() -> None:
    (inferred,) = runner(network()).run(batches(13, 13))
    assert [frame.original for frame in inferred.frames] == [i.original for i in inferred.batch.images]
    assert all(frame.heatmap == HEATMAP and frame.network_input == INPUT for frame in inferred.frames)
    assert inferred.frames[3].resize is SPEC.input.resize
    assert [failure.image for failure in inferred.batch.failures] == ["007.png"]


def test_a_network_for_any_skeleton_runs() -> None:
    whole = Skeleton("AP", View.AP, (*(f"T{n}" for n in range(1, 13)), *LUMBAR))
    seventeen = runner(
        lambda images: ModelOutputs(torch.rand(len(images), 68, 16, 8)), replace(SPEC, skeleton=whole)
    )
    reading, _ = seventeen.read(0, torch.zeros(3, 1, 32, 24), np.full((3, 68, 2), 4.0))
    assert (reading.points.shape, reading.spread.shape) == ((3, 68, 2), (3, 68, 3))
    assert reading.finite.all()
    with pytest.raises(ModelOutputError, match=r"returned \[B, 68, 16, 8\]"):
        runner(network(), seventeen.spec).read(0, torch.zeros(3, 1, 32, 24), np.full((3, 68, 2), 4.0))


def test_a_batch_without_an_image_passes_through() -> None:
    called: list[int] = []

    def predict(images: Tensor) -> ModelOutputs:
        called.append(len(images))
        return network()(images)

    inferred = list(runner(predict).run(batches(9, 1)))
    assert inferred[7].reading is None
    assert inferred[7].frames == ()
    assert [item.batch.index for item in inferred] == list(range(9))
    assert called == [1] * 8
    assert all(item.seconds.forward >= 0 and item.seconds.decode >= 0 for item in inferred)


@pytest.mark.parametrize("precision", list(Precision))
def test_half_precision_runs_and_is_analysed_in_float32(precision: Precision) -> None:
    layer = torch.nn.Conv2d(1, K, (2, 3), stride=(2, 3))
    seen: list[torch.dtype] = []

    def predict(images: Tensor) -> ModelOutputs:
        maps = layer(images)
        seen.append(maps.dtype)
        return ModelOutputs(maps)

    results = [
        replace(runner(predict), precision=one).run(batches(6, 3)) for one in (precision, Precision.FP32)
    ]
    found, expected = (joined(list(result)) for result in results)
    assert seen[:2] == [DTYPES[precision]] * 2
    np.testing.assert_allclose(found["loss_mse"], expected["loss_mse"], rtol=0.05)
    assert all(found[name].dtype == np.float64 for name in ("points", "loss_mse", "peak"))
    assert not torch.is_grad_enabled() or torch.ones(1, requires_grad=True).requires_grad


def test_a_broken_head_harms_only_who_asks_for_it() -> None:
    def break_head(outputs: ModelOutputs) -> ModelOutputs:
        assert outputs.uncertainty is not None
        return replace(outputs, uncertainty=torch.full_like(outputs.uncertainty, torch.nan))

    predict = changed(network(), break_head)
    for source in UncertaintySource:
        base = with_head(source)
        (inferred,) = replace(base, predict=predict).run(batches(3, 3))
        assert inferred.reading is not None
        asked = source in (UncertaintySource.AUTO, UncertaintySource.HEAD)
        assert inferred.reading.finite.any() != asked, source
        assert (inferred.reading.sigma is not None) == asked


def test_what_the_output_calls_itself_counts_where_nothing_else_is_said() -> None:
    named = changed(network(), lambda outputs: replace(outputs, uncertainty_kind=UncertaintyKind.LOG_VAR))
    readings: dict[UncertaintyKind | None, BatchReading] = {}
    for kind in (None, *(k for k in UncertaintyKind if k is not UncertaintyKind.COV)):
        (inferred,) = replace(with_head(UncertaintySource.HEAD, kind), predict=named).run(batches(3, 3))
        assert inferred.reading is not None
        readings[kind] = inferred.reading
    own, log_var = readings[None].sigma, readings[UncertaintyKind.LOG_VAR].sigma
    log_sigma = readings[UncertaintyKind.LOG_SIGMA].sigma
    assert own is not None
    assert log_var is not None
    assert log_sigma is not None
    np.testing.assert_array_equal(own, log_var)
    np.testing.assert_allclose(log_sigma, log_var**2, rtol=1e-5)


def test_sigma_in_cells() -> None:
    spec = replace(SPEC, uncertainty=UncertaintySpec(UncertaintySource.HEAD, UncertaintyKind.SIGMA))
    cells = replace(spec, uncertainty=replace(spec.uncertainty, frame=UncertaintyFrame.HEATMAP))
    (pixels_of,), (cells_of,) = (runner(network(), one).run(batches(3, 3)) for one in (spec, cells))
    assert pixels_of.reading is not None
    assert cells_of.reading is not None
    assert pixels_of.reading.sigma is not None
    assert cells_of.reading.sigma is not None
    expected = pixels_of.reading.sigma * np.array([3.0, 2.0])
    np.testing.assert_allclose(cells_of.reading.sigma, expected, rtol=1e-6)


@pytest.mark.parametrize("fits", [1, 2, 3, 5])
@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (torch.OutOfMemoryError, "CUDA out of memory"),
        (RuntimeError, "DefaultCPUAllocator: not enough memory"),
    ],
)
def test_too_large_a_batch_is_halved(fits: int, kind: type[Exception], said: str) -> None:
    """And the memory of the pass that failed is free before the next one starts."""
    failed: list[weakref.ref[Tensor]] = []
    sizes: list[int] = []

    def predict(images: Tensor) -> ModelOutputs:
        assert all(held() is None for held in failed), "the failed pass is still in memory"
        sizes.append(len(images))
        activations = images * 2
        if len(images) > fits:
            failed.append(weakref.ref(activations))
            raise kind(said)
        return network()(images)

    spec = replace(SPEC, uncertainty=UncertaintySpec(UncertaintySource.HEAD, UncertaintyKind.LOG_SIGMA))
    found = joined(list(runner(predict, spec).run(batches(6, 6))))
    expected = joined(list(runner(network(), spec).run(batches(6, 6))))
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_array_equal(found[name], values, err_msg=name)
    assert sizes[0] == 6
    assert max(sizes[1:]) < 6
    assert failed


def test_a_single_image_that_does_not_fit() -> None:
    def predict(images: Tensor) -> NoReturn:
        raise torch.OutOfMemoryError("CUDA out of memory")

    said = message_of(lambda: list(runner(predict).run(batches(5, 4))))
    assert said.startswith("one image does not fit into the memory of cpu; ")


def _other_size(outputs: ModelOutputs) -> ModelOutputs:
    return replace(outputs, heatmaps=outputs.maps[..., :-1])


def _other_count(outputs: ModelOutputs) -> ModelOutputs:
    return replace(outputs, heatmaps=torch.cat([outputs.maps, outputs.maps[:, :2]], 1))


@pytest.mark.parametrize(
    ("change", "got"), [(_other_size, "[3, 20, 16, 7]"), (_other_count, "[3, 22, 16, 8]")]
)
def test_shapes_that_change_are_refused(change: Callable[[ModelOutputs], ModelOutputs], got: str) -> None:
    said = message_of(lambda: list(runner(changed(network(), change)).run(batches(3, 3))))
    assert said == f"the network returned heatmaps {got} where it had returned [B, 20, 16, 8]"


def test_a_network_that_ends_the_process() -> None:
    def leaves(images: Tensor) -> ModelOutputs:
        raise SystemExit(3)

    said = message_of(lambda: probe(leaves, 1, Size(64, 32), torch.device("cpu")))
    assert said == (
        "the network cannot run on an input [1, 1, 64, 32]: it ended the process (3); a network returns its "
        "outputs and does not exit"
    )
    failed = message_of(lambda: runner(leaves).forward(torch.zeros(2, 1, 64, 32)))
    assert failed.endswith("it ended the process (3); a network returns its outputs and does not exit")


def test_a_network_that_takes_one_image_only() -> None:
    def predict(images: Tensor) -> ModelOutputs:
        return ModelOutputs(network()(images).maps.view(1, K, HEATMAP.height, HEATMAP.width))

    assert len(list(runner(predict).run(batches(3, 1)))) == 3
    said = message_of(lambda: list(runner(predict).run(batches(3, 3))))
    assert said.startswith("the network failed on a batch [3, 1, 32, 24]: shape '[1, 20, 16, 8]' is invalid")
    assert said.endswith("use --batch-size 1")


def test_errors_of_the_product_pass_as_they_are() -> None:
    predict: Predictor = lambda images: read_outputs(images[0], len(images))  # noqa: E731
    said = message_of(lambda: list(runner(predict).run(batches(3, 3))))
    assert said.startswith("the network returned tensor [1, 32, 24] for 3 image(s)")
    assert issubclass(ModelOutputError, MahtdiagError)


def test_probe_runs_one_black_image() -> None:
    seen: list[Tensor] = []

    def predict(images: Tensor) -> ModelOutputs:
        seen.append(images)
        return ModelOutputs(images)

    outputs = probe(predict, 3, Size(5, 4), torch.device("cpu"))
    assert outputs.heatmaps is seen[0]
    assert seen[0].shape == (1, 3, 5, 4)
    assert not seen[0].any()
    assert seen[0].is_inference()


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (RuntimeError("expected input to have 3 channels"), "expected input to have 3 channels"),
        (
            RuntimeError("Traceback of TorchScript:\n  File x\n\nRuntimeError: bad size\n"),
            "RuntimeError: bad size",
        ),
        (
            RuntimeError(
                "The following operation failed in the TorchScript interpreter.\n"
                "Traceback of TorchScript (most recent call last):\n/net.py(8): forward\n"
                '  File "net.py", line 5, in forward\n    raise RuntimeError("first\\nsecond")\n'
                "    ~~~~~~~~~~ <--- HERE\n    return x\nbuiltins.RuntimeError: first\nsecond\n"
            ),
            "builtins.RuntimeError: first",
        ),
        (RuntimeError("\nbad size\n\tat a.b\n\n  (see docs)\n"), "bad size"),
        (
            RuntimeError('Error(s) in loading:\n\tMissing key(s): "c.bias".\n\tUnexpected: "a".'),
            'Error(s) in loading: Missing key(s): "c.bias".',
        ),
        (RuntimeError("x" * 20_000), "x" * 300 + "…"),
        (ValueError(), "ValueError"),
        (KeyError("a"), "'a'"),
        (torch.OutOfMemoryError("CUDA out of memory"), "CUDA out of memory"),
    ],
)
def test_probe_tells_what_is_wrong_in_one_line(error: Exception, reason: str) -> None:
    def predict(images: Tensor) -> NoReturn:
        raise error

    said = message_of(lambda: probe(predict, 3, Size(5, 4), torch.device("cpu")))
    expected = f"the network cannot run on an input [1, 3, 5, 4]: {reason}; check --input-size and --channels"
    assert said == expected


def test_probe_passes_wrong_outputs_on() -> None:
    said = message_of(lambda: probe(lambda images: read_outputs(None, 1), 1, Size(5, 4), torch.device("cpu")))
    assert said.startswith("the network returned NoneType for 1 image(s)")


def test_inference_leaves_gradients_alone() -> None:
    list(runner(network()).run(batches(3, 3)))
    assert torch.is_grad_enabled()
    assert (torch.ones(1, requires_grad=True) * 2).requires_grad
