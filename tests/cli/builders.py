"""A tiny annotated set with its networks, and ways to run the command on it."""

import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from mahtdiag.data.buu_lspine import format_annotation
from mahtdiag.models.mahtnet import MahtNet, MahtNetConfig
from mahtdiag.models.native import save_checkpoint
from mahtdiag.schema.frames import FrameMap, Size
from mahtdiag.schema.model_spec import Decoding, ModelInput, ModelSpec, UncertaintyKind, UncertaintySpec
from mahtdiag.schema.views import View
from training.radiographs import draw_radiograph

from . import networks

ROOT = Path(__file__).parents[2]
INPUT = Size(networks.SIDE, networks.SIDE)
# What a bare state dict does not say of its network.
INPUT_OPTIONS = ("--input-size", "64x64", "--channels", "1", "--normalize", "unit", "--heatmap-sigma", "1.5")
FLIPPED = {View.AP: "0", View.LA: "1"}


@dataclass(frozen=True, slots=True)
class Truth:
    """One image of the set: its stem, its size, its annotated keypoints."""

    stem: str
    size: Size
    keypoints_px: NDArray[np.float64]


def grey_of(number: int) -> int:
    """The grey value by which the networks know an image."""
    return 20 + 15 * number


def write_set(folder: Path, view: View, count: int = 6) -> list[Truth]:
    """Draw radiographs, stamp their numbers on them, and write them with their annotations."""
    folder.mkdir(parents=True, exist_ok=True)
    found = []
    for number in range(count):
        drawn = draw_radiograph(view.value, seed=number, height=160)
        image = drawn.image.copy()
        image[:20, :20] = grey_of(number)
        stem = f"{number + 1:04d}-{drawn.sex}-{drawn.age:03d}Y{FLIPPED[view]}"
        Image.fromarray(image).save(folder / f"{stem}.png")
        text = format_annotation(drawn.keypoints_px, drawn.listhesis)
        (folder / f"{stem}.csv").write_text(text, encoding="utf-8")
        rounded = np.round(drawn.keypoints_px, 2)
        found.append(Truth(stem, Size(*image.shape), rounded))
    return found


def write_lookup(path: Path, truths: list[Truth], view: View) -> None:
    """A state dict by which image number i is off by (3i, 4i) original pixels, so by 5i; σ is 2 input pixels."""
    points = np.zeros((networks.IMAGES, view.keypoints, 2))
    for number, truth in enumerate(truths):
        frame = FrameMap(truth.size, INPUT, INPUT)
        points[number] = frame.original_to_input(truth.keypoints_px + np.array([3.0, 4.0]) * number)
    log_sigma = torch.full((networks.IMAGES, view.keypoints, 2), float(np.log(2.0)))
    torch.save({"points": torch.from_numpy(points).float(), "log_sigma": log_sigma}, path)


def write_native(path: Path, view: View) -> None:
    """The smallest built-in network with seeded random weights."""
    torch.manual_seed(7)
    config = MahtNetConfig(str(view), 1, width=8, encoder_layers=1, attention_layers=1, heads=4)
    network = MahtNet(config).eval()
    spec = ModelSpec(
        view, ModelInput(INPUT, 1), Decoding(1.5), UncertaintySpec(kind=UncertaintyKind.LOG_SIGMA)
    )
    save_checkpoint(path, network, spec)


@dataclass(frozen=True, slots=True)
class Bench:
    """A folder with `AP/` and `LA/` sets, checkpoints `ap.pt` and `la.pt`, and `lookup.pt` for `nets.py`."""

    path: Path
    ap: list[Truth]
    la: list[Truth]


def build_bench(path: Path) -> Bench:
    """Everything that a test may evaluate."""
    ap, la = write_set(path / "data" / "AP", View.AP), write_set(path / "data" / "LA", View.LA)
    for view, truths in ((View.AP, ap), (View.LA, la)):
        write_native(path / f"{view.lower()}.pt", view)
        write_lookup(path / f"lookup-{view.lower()}.pt", truths, view)
    shutil.copy(networks.__file__, path / "nets.py")
    return Bench(path, ap, la)
