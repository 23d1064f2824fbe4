"""Small networks and checkpoints of every kind."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest
import torch
from torch import Tensor, nn

from mahtdiag.errors import MahtdiagError
from mahtdiag.models.mahtnet import MahtNet, MahtNetConfig
from mahtdiag.schema.choices import DecodeMethod, UncertaintyFrame, UncertaintyKind
from mahtdiag.schema.frames import CoordinateConvention, Size
from mahtdiag.schema.model_spec import Decoding, ModelInput, ModelSpec, UncertaintySpec
from mahtdiag.schema.normalization import IMAGENET
from mahtdiag.schema.preprocessing import Resize
from mahtdiag.schema.skeleton import View

Network = TypeVar("Network", bound=nn.Module)
SPEC = ModelSpec(
    skeleton=View.LA.skeleton,
    input=ModelInput(Size(64, 32), 3, Resize.LETTERBOX, IMAGENET, CoordinateConvention.SCALE),
    decoding=Decoding(1.75, DecodeMethod.SOFT_ARGMAX, 12.5),
    uncertainty=UncertaintySpec(kind=UncertaintyKind.LOG_SIGMA, frame=UncertaintyFrame.HEATMAP),
)


def mahtnet(view: View = View.LA, in_channels: int = 3) -> MahtNet:
    """The smallest built-in network, always with the same weights."""
    torch.manual_seed(0)
    config = MahtNetConfig(str(view), in_channels, width=4, encoder_layers=1, attention_layers=1, heads=2)
    return MahtNet(config).eval()


class Plain(nn.Module):
    """One convolution to 20 heatmaps and a scale."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 20, 3, padding=1)
        self.scale = nn.Parameter(torch.ones(20, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        """`[B, 1, H, W]` -> `[B, 20, H, W]`."""
        heatmaps: Tensor = self.conv(images) * self.scale
        return heatmaps


class Wrapped(nn.Module):
    """A network whose own attribute is called `model`, as the prefix that is removed."""

    def __init__(self) -> None:
        super().__init__()
        self.model = Plain()

    def forward(self, images: Tensor) -> Tensor:
        """As `Plain`."""
        heatmaps: Tensor = self.model(images)
        return heatmaps


class Twice(nn.Module):
    """A network with `conv` and `model.conv`: removing one prefix leads from known names to known names."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(20, 20, 1)
        self.model = nn.ModuleDict({"conv": nn.Conv2d(1, 20, 1)})

    def forward(self, images: Tensor) -> Tensor:
        """`[B, 1, H, W]` -> `[B, 20, H, W]`."""
        heatmaps: Tensor = self.conv(self.model["conv"](images))
        return heatmaps


def plain(seed: int = 1) -> Plain:
    """A `Plain` with weights that differ from those of a new one."""
    torch.manual_seed(seed)
    return randomized(Plain())


def randomized(network: Network) -> Network:
    """The same network with every weight drawn anew, in evaluation mode."""
    with torch.no_grad():
        for weight in network.parameters():
            weight.normal_()
    return network.eval()


def write_torchscript(path: Path) -> nn.Module:
    """Save a scripted `Plain` and return the network."""
    network = plain()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        save: Callable[[str], None] = torch.jit.script(network).save
        save(str(path))
    return network


def write_onnx(network: nn.Module, path: Path, *, batch: int | None = None, half: bool = False) -> None:
    """Export a network for images `[B, 1, 64, 32]`; `batch`: fixed to so many."""
    images = torch.zeros(batch or 2, 1, 64, 32, dtype=torch.float16 if half else torch.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network.half() if half else network,
            (images,),
            str(path),
            input_names=["images"],
            dynamic_axes={"images": {0: "batch"}} if batch is None else None,
            dynamo=False,
        )


def write_exported(network: nn.Module, path: Path, *, batch: int | None = None) -> None:
    """Export a network by `torch.export` for images `[B, 1, 64, 32]`; `batch`: fixed to so many."""
    images = torch.zeros(batch or 2, 1, 64, 32)
    shapes = ({0: torch.export.Dim.AUTO},) if batch is None else None
    with warnings.catch_warnings(), path.open("wb") as file:
        warnings.simplefilter("ignore")
        torch.export.save(torch.export.export(network, (images,), dynamic_shapes=shapes), file)


def problems_of(action: Callable[[], object], kind: type[MahtdiagError]) -> tuple[str, ...]:
    """The problems that an action raises; each of them is one line."""
    with pytest.raises(kind) as caught:
        action()
    assert caught.type is kind
    problems = caught.value.problems
    assert problems
    assert all(problem and "\n" not in problem for problem in problems)
    return problems
