"""How programs take images: half precision, and batches that they were traced with."""

import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from mahtdiag.models.formats import FORMATS
from mahtdiag.models.loading import LoadedModel, load_model
from mahtdiag.models.taking import Taking, in_channels_last, own_type, tried
from tests.models.networks import plain

IMAGES = torch.rand(5, 1, 16, 8, generator=torch.Generator().manual_seed(2))


class OfBatch(nn.Module):
    """A network whose batch becomes a number when it is traced."""

    def __init__(self, batch: int) -> None:
        super().__init__()
        self.plain, self.batch = plain(), batch

    def forward(self, images: Tensor) -> Tensor:
        """As `Plain`."""
        heatmaps: Tensor = self.plain(images).reshape(self.batch, 20, 16, 8)
        return heatmaps


class HalfInside(nn.Module):
    """Casts by itself, so that nothing else goes through it."""

    def __init__(self) -> None:
        super().__init__()
        self.plain = plain().half()

    def forward(self, images: Tensor) -> Tensor:
        """As `Plain`."""
        heatmaps: Tensor = self.plain(images.half())
        return heatmaps


def traced(network: nn.Module, path: Path, images: Tensor) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trace: Callable[..., torch.jit.ScriptModule] = torch.jit.trace
        trace(network, images).save(str(path))
    return path


@pytest.mark.parametrize("batch", [1, 2, 3, 8, 32])
def test_a_traced_batch_is_found_and_filled_up(tmp_path: Path, batch: int) -> None:
    path = traced(OfBatch(batch), tmp_path / "a.pt", torch.zeros(batch, 1, 16, 8))
    model = load_model(path, trust=True).settled(torch.zeros(1, 1, 16, 8))
    assert model.taking == Taking(batch=batch)
    assert f"takes {batch} image" in model.notes[-1]
    with torch.inference_mode():
        assert torch.allclose(model.predict(IMAGES).maps, plain()(IMAGES), atol=1e-5)


def test_any_batch_needs_no_note(tmp_path: Path) -> None:
    path = traced(plain(), tmp_path / "a.pt", torch.zeros(1, 1, 16, 8))
    model = load_model(path, trust=True).settled(torch.zeros(1, 1, 16, 8))
    assert model.taking == Taking()
    assert model.notes == ()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_becomes_float32(tmp_path: Path, dtype: torch.dtype) -> None:
    path = traced(plain().to(dtype), tmp_path / "a.pt", torch.zeros(1, 1, 16, 8, dtype=dtype))
    model = load_model(path, trust=True).settled(torch.zeros(1, 1, 16, 8))
    assert own_type(model.network) is torch.float32
    assert model.notes[-1].endswith(f"its weights are {str(dtype)[6:]}, it runs in float32")
    with torch.inference_mode():
        expected = plain().to(dtype).float()(IMAGES)
        assert torch.allclose(model.predict(IMAGES).maps, expected, atol=1e-6)


def test_what_casts_by_itself_stays_as_it_is(tmp_path: Path) -> None:
    path = traced(HalfInside(), tmp_path / "a.pt", torch.zeros(1, 1, 16, 8))
    model = load_model(path, trust=True).settled(torch.zeros(1, 1, 16, 8))
    with torch.inference_mode():
        assert torch.allclose(model.predict(IMAGES).maps.float(), plain()(IMAGES), atol=0.05)


def test_double_precision_is_kept(tmp_path: Path) -> None:
    path = traced(plain().double(), tmp_path / "a.pt", torch.zeros(1, 1, 16, 8, dtype=torch.float64))
    model = load_model(path, trust=True).settled(torch.zeros(1, 1, 16, 8))
    assert model.taking == Taking(torch.float64)
    with torch.inference_mode():
        assert torch.allclose(model.predict(IMAGES).maps.float(), plain()(IMAGES), atol=1e-5)


def test_what_never_runs_is_left_to_the_probe() -> None:
    assert tried(nn.Linear(3, 3), torch.zeros(1, 1, 16, 8)) == Taking()


def test_a_network_that_changes_its_input_changes_no_other_pass() -> None:
    class InPlace(nn.Module):
        """As some normalise."""

        def forward(self, images: Tensor) -> Tensor:
            return images.sub_(0.5).mul_(2.0).repeat(1, 20, 1, 1)

    images = torch.rand(2, 1, 8, 8)
    before = images.clone()
    model = LoadedModel(InPlace(), FORMATS[0], "", None)
    assert torch.equal(model.predict(images).maps, model.predict(images).maps)
    assert torch.equal(images, before)


class Viewing(nn.Module):
    """Looks at its numbers as they lie in memory, with channels first."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1))
        self.second = nn.Conv2d(4, 20, 3, padding=1)

    def forward(self, images: Tensor) -> Tensor:
        """The maximum over all cells of an image taken away, by a view."""
        found = self.first(images)
        highest = found.view(len(images), -1).amax(-1)
        heatmaps: Tensor = self.second(found - highest[:, None, None, None])
        return heatmaps


def layout_of(network: nn.Module) -> set[bool]:
    """Whether the weights of its convolutions lie with channels last."""
    return {
        p.is_contiguous(memory_format=torch.channels_last) and not p.is_contiguous()
        for p in network.parameters()
        if p.ndim == 4 and min(p.shape[1], p.shape[2]) > 1
    }


def test_channels_last_changes_no_number() -> None:
    network = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 20, 3, padding=1))
    before = network(IMAGES)
    assert in_channels_last(network, IMAGES)
    assert layout_of(network) == {True}
    torch.testing.assert_close(network(IMAGES), before)


def test_a_network_that_needs_channels_first_keeps_them() -> None:
    network = Viewing()
    before = network(IMAGES)
    assert not in_channels_last(network, IMAGES)
    assert layout_of(network) == {False}
    torch.testing.assert_close(network(IMAGES), before)
