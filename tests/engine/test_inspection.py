"""The closer look at the first images, with small networks whose habits are known."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from mahtdiag.engine.inference import Runner
from mahtdiag.engine.inspection import BETAS, DECODED, PASSED, inspect
from mahtdiag.engine.loader import LoadedBatch
from mahtdiag.engine.repeated import RepeatedRunner
from mahtdiag.heatmaps.decoding import read_heatmaps, soft_argmax
from mahtdiag.models.outputs import read_outputs
from mahtdiag.schema.choices import DecodeMethod, Precision
from mahtdiag.schema.frames import Size
from mahtdiag.schema.model_spec import Decoding
from mahtdiag.schema.records import LoadedImage, ModelOutputs
from tests.engine.builders import HEATMAP, INPUT, SPEC, K, sample

Change = Callable[[Tensor], Tensor]


def batch(count: int, seed: int = 0) -> LoadedBatch:
    """So many images that differ in brightness."""
    generator = torch.Generator().manual_seed(seed)
    brightness = torch.linspace(0.2, 0.8, max(count, 2))[:count, None, None, None]
    tensor = 0.1 * torch.rand(count, 1, INPUT.height, INPUT.width, generator=generator) + brightness
    samples = tuple(sample(number + 1) for number in range(count))
    images = tuple(LoadedImage(Size(80 + n, 60), tensor[n].numpy(), f"{n:064d}") for n in range(count))
    return LoadedBatch(0, samples, images, tensor if count else None, (), 0.0)


class Peaks(nn.Module):
    """A Gaussian for every keypoint, at a place that follows the brightness of the image."""

    def __init__(self, habit: Change | None = None, inner: nn.Module | None = None) -> None:
        super().__init__()
        self.habit = habit or (lambda heatmaps: heatmaps)
        self.inner = inner or nn.Identity()

    def places(self, images: Tensor) -> Tensor:
        """`[B, K, 2]` in cells."""
        level = self.inner(images).mean((1, 2, 3))
        k = torch.arange(K) / K
        return torch.stack([1 + 5 * k + level[:, None], 2 + 11 * k + 1.5 * level[:, None]], -1)

    def forward(self, images: Tensor) -> object:
        """The heatmaps, changed."""
        x, y = self.places(images).unbind(-1)
        columns = torch.exp(-((torch.arange(HEATMAP.width) - x[..., None]) ** 2) / 4.5)
        rows = torch.exp(-((torch.arange(HEATMAP.height) - y[..., None]) ** 2) / 4.5)
        return self.habit(rows[..., :, None] * columns[..., None, :])


def runner(network: nn.Module, precision: Precision = Precision.FP32) -> Runner:
    """As an evaluation makes it."""

    def predict(images: Tensor) -> ModelOutputs:
        return read_outputs(network(images), len(images))

    return Runner(predict, SPEC, torch.device("cpu"), precision, HEATMAP)


def test_what_is_seen_of_plain_heatmaps() -> None:
    found, network = inspect(runner(Peaks()), batch(5)), Peaks()
    with torch.inference_mode():
        heatmaps = network(batch(5).tensor)
    assert isinstance(heatmaps, Tensor)
    assert (found.images, found.problem, found.intended, found.unread) == (4, "", False, ())
    heatmaps = heatmaps[:PASSED]
    np.testing.assert_allclose(found.peak, heatmaps.amax((2, 3)), rtol=1e-6)
    np.testing.assert_allclose(found.lowest, heatmaps.amin((2, 3)), atol=1e-7)
    np.testing.assert_allclose(found.total, heatmaps.sum((2, 3)), rtol=1e-5)
    median = np.sort(heatmaps.flatten(2).numpy(), axis=-1)[..., (HEATMAP.height * HEATMAP.width - 1) // 2]
    np.testing.assert_allclose(found.background, median, atol=1e-7)
    assert (found.coords, found.head) == (None, None)


def test_places_by_every_decoder_are_those_of_the_decoders() -> None:
    plain = runner(Peaks())
    decoding = replace(SPEC.decoding, method=DecodeMethod.SOFT_ARGMAX, softargmax_beta=5.0)
    found = inspect(replace(plain, spec=replace(SPEC, decoding=decoding)), batch(3))
    with torch.inference_mode():
        heatmaps = Peaks()(batch(3).tensor)
    assert isinstance(heatmaps, Tensor)
    for method in (DecodeMethod.ARGMAX, DecodeMethod.LOCAL, DecodeMethod.DARK):
        expected = read_heatmaps(heatmaps, Decoding(SPEC.decoding.heatmap_sigma, method)).points
        np.testing.assert_allclose(found.places[str(method)], expected, atol=1e-5)
    for beta in (*BETAS, 5.0):
        expected = soft_argmax(heatmaps[:DECODED], beta)
        np.testing.assert_allclose(found.places[f"soft-argmax {beta:g}"], expected, atol=1e-5)
    assert len(found.places) == 3 + len(BETAS) + 1
    assert list(inspect(plain, batch(3)).places) == ["argmax", "local", "dark"]


def test_labels_come_in_heatmap_cells() -> None:
    images = batch(3)
    found = inspect(runner(Peaks()), images)
    for row, (item, image) in enumerate(zip(images.samples, images.images, strict=True)):
        expected = runner(Peaks()).frame_map(image.original).original_to_heatmap(item.keypoints_px)
        np.testing.assert_allclose(found.labels_cells[row], expected)


# ---- whether it repeats itself ----


def test_a_network_that_repeats_itself() -> None:
    found = inspect(runner(Peaks().eval()), batch(8))
    assert found.repeat_cells == 0.0
    assert found.batch_cells == pytest.approx(0.0, abs=1e-5)


def test_active_dropout_moves_places() -> None:
    torch.manual_seed(0)
    found = inspect(runner(Peaks(lambda h: nn.functional.dropout(h, 0.4, training=True))), batch(8))
    assert found.repeat_cells is not None
    assert found.repeat_cells > 0.1


def test_batch_statistics_move_places_in_another_batch_only() -> None:
    norm = nn.BatchNorm2d(1, track_running_stats=False)
    found = inspect(runner(Peaks(inner=norm).train()), batch(8))
    assert found.repeat_cells == 0.0
    assert found.batch_cells is not None
    assert found.batch_cells > 0.1
    settled = inspect(runner(Peaks(inner=nn.BatchNorm2d(1)).eval()), batch(8))
    assert settled.batch_cells == pytest.approx(0.0, abs=1e-5)


class Counting(Peaks):
    """Fails at one of the passes."""

    def __init__(self, at: int) -> None:
        super().__init__()
        self.at, self.passes = at, 0

    def forward(self, images: Tensor) -> object:
        """As long as it lasts."""
        self.passes += 1
        if self.passes == self.at:
            raise RuntimeError("worn out\nafter so many passes")
        return super().forward(images)


@pytest.mark.parametrize("at", [2, 3])
def test_a_second_pass_that_fails_is_told(at: int) -> None:
    found = inspect(runner(Counting(at)), batch(8))
    assert (found.images, found.repeat_cells, found.batch_cells) == (PASSED, None, None)
    assert found.problem.startswith("the network failed on a second pass: ")
    assert ": worn out; " in found.problem  # the first line alone


@pytest.mark.parametrize("count", [1, 2])
def test_one_or_two_images_are_no_other_batch(count: int) -> None:
    found = inspect(runner(Peaks()), batch(count))
    assert (found.images, found.repeat_cells, found.batch_cells) == (count, 0.0, None)
    assert found.problem == f"{count} image{'' if count == 1 else 's'}"


class Talkative(Peaks):
    """Returns more than heatmaps."""

    def forward(self, images: Tensor) -> object:
        """Everything by name."""
        heatmaps = super().forward(images)
        places = self.places(images)
        return {
            "heatmaps": heatmaps,
            "coords": 2 * places,
            "log_sigma": places - 4,
            "logits": places,
            "aux": 1,
        }


class Narrow(Talkative):
    """Takes so many images at a time and no more."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.most = most

    def forward(self, images: Tensor) -> object:
        """As other networks."""
        assert len(images) <= self.most
        return super().forward(images)


@pytest.mark.parametrize("most", [1, 2, 3, 8, 100])
def test_no_more_images_pass_together_than_in_the_evaluation(most: int) -> None:
    found = inspect(runner(Narrow(most)), batch(8), most)
    plain = inspect(runner(Talkative()), batch(8))
    for name in ("peak", "total", "coords", "head"):
        np.testing.assert_allclose(getattr(found, name), getattr(plain, name), rtol=1e-5)
    assert [name.partition(" ")[0] for name in found.unread] == ["logits", "aux"]
    assert found.repeat_cells == 0.0
    assert (found.batch_cells is None) is (most == 1)
    assert found.problem == ("1 image a batch" if most == 1 else "")


def test_no_image_at_all() -> None:
    found = inspect(runner(Peaks()), batch(0))
    assert (found.images, found.problem) == (0, "no image could be read")
    assert found.peak.shape == (0, K)


def test_passes_that_differ_on_purpose_are_not_repeated() -> None:
    network = Counting(2)
    members = (runner(network),)
    spec = members[0].spec
    repeated = RepeatedRunner(
        members[0].predict, spec, torch.device("cpu"), Precision.FP32, HEATMAP, members=members, seeded=True
    )
    found = inspect(repeated, batch(8))
    assert (found.intended, found.repeat_cells, found.problem, network.passes) == (True, None, "", 1)


# ---- odd heatmaps ----


def test_heatmaps_that_are_not_numbers() -> None:
    found = inspect(runner(Peaks(lambda h: h * float("nan"))), batch(4))
    assert np.isnan(found.peak).all()
    assert np.isnan(found.total).all()
    assert (found.repeat_cells, found.batch_cells, found.problem) == (None, None, "heatmaps are not numbers")
    some = inspect(runner(Peaks(lambda h: torch.cat([h[:, :1] * float("nan"), h[:, 1:]], 1))), batch(4))
    assert np.isnan(some.peak).any(axis=0).tolist() == [True, *[False] * (K - 1)]
    assert some.repeat_cells == 0.0


@pytest.mark.parametrize("value", [0.0, 0.25, -3.0])
def test_flat_heatmaps(value: float) -> None:
    found = inspect(runner(Peaks(lambda h: torch.full_like(h, value))), batch(4))
    for seen in (found.peak, found.background, found.lowest):
        np.testing.assert_array_equal(seen, value)
    assert (found.repeat_cells, found.batch_cells) == (0.0, 0.0)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_are_seen_alike(dtype: torch.dtype) -> None:
    found = inspect(runner(Peaks(lambda h: h.to(dtype))), batch(6))
    plain = inspect(runner(Peaks()), batch(6))
    assert found.peak.dtype == np.float64
    np.testing.assert_allclose(found.peak, plain.peak, rtol=0.01)
    np.testing.assert_allclose(found.places["dark"], plain.places["dark"], atol=0.1)
    assert found.repeat_cells == 0.0
    assert found.batch_cells == pytest.approx(0.0, abs=0.02)


# ---- other outputs ----


def test_other_outputs_come_as_the_network_gives_them() -> None:
    images = batch(3)
    assert images.tensor is not None
    found = inspect(runner(Talkative()), images)
    places = Talkative().places(images.tensor).numpy()
    assert found.coords is not None
    assert found.head is not None
    np.testing.assert_allclose(found.coords, 2 * places, rtol=1e-6)
    np.testing.assert_allclose(found.head, places - 4, rtol=1e-5)
    assert found.head_kind is SPEC.uncertainty.kind
    assert found.unread == (f"logits (tensor [3, {K}, 2])", "aux (int)")
