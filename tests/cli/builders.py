"""A tiny annotated set with networks whose every output is known."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from mahtdiag.models.mahtnet import MahtNet, MahtNetConfig
from mahtdiag.models.native import save_checkpoint
from mahtdiag.schema.choices import UncertaintyKind
from mahtdiag.schema.frames import FrameMap, Size
from mahtdiag.schema.model_spec import Decoding, ModelInput, ModelSpec, UncertaintySpec
from mahtdiag.schema.skeleton import View
from training.annotations import format_annotation
from training.radiographs import draw_radiograph

from . import networks

ROOT = Path(__file__).parents[2]
COUNT = 6
INPUT = Size(networks.SIDE, networks.SIDE)
# What a bare state dict does not say of its network.
INPUT_OPTIONS = ("--input-size", "64x64", "--channels", "1", "--normalize", "unit", "--heatmap-sigma", "1.5")
FILE_NAME_DIGIT = {View.AP: "0", View.LA: "1"}


@dataclass(frozen=True, slots=True)
class Truth:
    """One image of a set: its stem, its size, its annotated keypoints."""

    stem: str
    size: Size
    keypoints_px: NDArray[np.float64]


def error_px(number: int, view: View) -> NDArray[np.float64]:
    """How far the lookup network is off, per keypoint: 2.5 px for the first image, 5 for the second, …"""
    index = np.arange(view.skeleton.keypoints, dtype=np.float64)
    radius: NDArray[np.float64] = 2.5 * (number + 1) + 0.02 * index
    return radius


def write_image(path: Path, image: NDArray[np.uint8], number: int) -> None:
    """Write an image with the grey square by which the networks know it."""
    stamped = image.copy()
    stamped[:20, :20] = 20 + 15 * number
    Image.fromarray(stamped).save(path)


def write_set(folder: Path, view: View, count: int = COUNT) -> list[Truth]:
    """Draw radiographs of 160 rows and write them with their annotations."""
    folder.mkdir(parents=True, exist_ok=True)
    found = []
    for number in range(count):
        drawn = draw_radiograph(view.value, seed=number, height=160)
        stem = f"{number + 1:04d}-{drawn.sex}-{drawn.age:03d}Y{FILE_NAME_DIGIT[view]}"
        write_image(folder / f"{stem}.png", drawn.image, number)
        text = format_annotation(drawn.keypoints_px, drawn.listhesis)
        (folder / f"{stem}.csv").write_text(text, encoding="utf-8")
        found.append(Truth(stem, Size(*drawn.image.shape), np.round(drawn.keypoints_px, 2)))
    return found


def write_lookup(path: Path, truths: list[Truth], view: View) -> None:
    """A state dict by which every keypoint is off by `error_px`, to the right and down; σ is half of that."""
    points = np.zeros((networks.IMAGES, view.skeleton.keypoints, 2))
    log_sigma = np.zeros_like(points)
    for number, truth in enumerate(truths):
        frame = FrameMap(truth.size, INPUT, INPUT)
        radius = error_px(number, view)[:, None]
        points[number] = frame.original_to_input(truth.keypoints_px + radius * np.array([0.6, 0.8]))
        log_sigma[number] = np.log(0.5 * radius * frame.input_per_original)
    weights = {"points": points, "log_sigma": log_sigma}
    torch.save({name: torch.from_numpy(value).float() for name, value in weights.items()}, path)


def write_native(path: Path, view: View) -> None:
    """The smallest built-in network with seeded random weights."""
    torch.manual_seed(7)
    config = MahtNetConfig(str(view), 1, width=8, encoder_layers=1, attention_layers=1, heads=4)
    uncertainty = UncertaintySpec(kind=UncertaintyKind.LOG_SIGMA)
    spec = ModelSpec(view.skeleton, ModelInput(INPUT, 1), Decoding(1.5), uncertainty)
    save_checkpoint(path, MahtNet(config).eval(), spec)


@dataclass(frozen=True, slots=True)
class Bench:
    """A folder with `data/AP`, `data/LA`, checkpoints `ap.pt` and `la.pt`, `lookup-….pt` and `nets.py`."""

    path: Path
    ap: tuple[Truth, ...]
    la: tuple[Truth, ...]


def build_bench(path: Path, count: int = COUNT) -> Bench:
    """Everything that a test may evaluate, `count` images of either view."""
    found = {}
    for view in View:
        found[view] = tuple(write_set(path / "data" / view, view, count))
        write_native(path / f"{view.lower()}.pt", view)
        write_lookup(path / f"lookup-{view.lower()}.pt", list(found[view]), view)
    shutil.copy(networks.__file__, path / "nets.py")
    return Bench(path, found[View.AP], found[View.LA])
