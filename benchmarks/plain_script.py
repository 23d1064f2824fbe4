"""`evaluate` against an evaluation script of the usual kind, on the same images and network.

The script is what is written beside a training: a `DataLoader` with workers that draws targets by NumPy,
losses by PyTorch over whole maps, decoding by NumPy and OpenCV map by map (highest cell, DARK), errors in
original pixels. It judges nothing else and writes nothing; the loop of `evaluate` does all of its work. What
`evaluate` does once, whatever the number of images, has a row of its own. Both share the processor's cores.
"""

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from rich.table import Table
from torch import nn
from torch.utils.data import DataLoader, Dataset

from benchmarks.end_to_end import LOOP, SAMPLES, fill_folder, product_seconds, sample_settings
from benchmarks.figures import Figure, at_least, milliseconds, table
from mahtdiag.config.settings import Settings
from mahtdiag.schema.choices import DecodeMethod
from mahtdiag.schema.frames import Size
from mahtdiag.schema.records import Sample
from mahtdiag.workflows.evaluate.network_source import Networks
from mahtdiag.workflows.evaluate.preparation import Prepared, prepare

IMAGES, SIDE, BATCH, WORKERS, SIGMA, ROUNDS = 48, 512, 8, 2, 1.5, 3
CELLS = SIDE // 4
Floats = NDArray[np.float32]


class Images(Dataset[tuple[Floats, Floats, Floats, Floats]]):
    """Image, targets, labels in cells, original pixels per cell."""

    def __init__(self, samples: tuple[Sample, ...]) -> None:
        self.samples = samples

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, number: int) -> tuple[Floats, Floats, Floats, Floats]:
        sample = self.samples[number]
        image = cv2.imread(sample.path, cv2.IMREAD_GRAYSCALE)
        assert image is not None
        height, width = image.shape
        shown: Floats = cv2.resize(image, (SIDE, SIDE)).astype(np.float32)[None] / np.float32(255)
        scale = np.array([width / CELLS, height / CELLS], dtype=np.float32)
        cells = (sample.keypoints_px / scale).astype(np.float32)
        y, x = np.mgrid[:CELLS, :CELLS].astype(np.float32)
        targets = np.stack([np.exp(-((x - u) ** 2 + (y - v) ** 2) / (2 * SIGMA**2)) for u, v in cells])
        return shown, targets.astype(np.float32), cells, scale


def dark(heatmap: Floats) -> Floats:
    """Highest cell and one step of Newton on the logarithm of the smoothed map."""
    row, column = np.unravel_index(heatmap.argmax(), heatmap.shape)
    smooth = np.log(np.maximum(cv2.GaussianBlur(heatmap, (5, 5), 0), 1e-10))
    place = np.array([column, row], dtype=np.float32)
    if 2 <= column < CELLS - 2 and 2 <= row < CELLS - 2:
        dx = 0.5 * (smooth[row, column + 1] - smooth[row, column - 1])
        dy = 0.5 * (smooth[row + 1, column] - smooth[row - 1, column])
        dxx = 0.25 * (smooth[row, column + 2] - 2 * smooth[row, column] + smooth[row, column - 2])
        dyy = 0.25 * (smooth[row + 2, column] - 2 * smooth[row, column] + smooth[row - 2, column])
        dxy = 0.25 * (
            smooth[row + 1, column + 1]
            - smooth[row - 1, column + 1]
            - smooth[row + 1, column - 1]
            + smooth[row - 1, column - 1]
        )
        hessian = np.array([[dxx, dxy], [dxy, dyy]])
        if abs(np.linalg.det(hessian)) > 1e-12:
            place -= np.linalg.solve(hessian, np.array([dx, dy])).astype(np.float32)
    return place


def script_seconds(network: nn.Module, samples: tuple[Sample, ...]) -> tuple[float, float]:
    """How long it takes, and the mean radial error that it finds."""
    started = time.perf_counter()
    errors, losses = [], []
    loader = DataLoader(Images(samples), BATCH, num_workers=WORKERS)
    with torch.inference_mode():
        for images, targets, cells, scale in loader:
            heatmaps = network(images)["heatmaps"]
            squared = (heatmaps - targets) ** 2
            weight = (1 - targets) ** 2
            losses.append((squared.mean().item(), (weight * squared).mean().item()))
            places = np.stack([[dark(m) for m in maps] for maps in heatmaps.numpy()])
            moved = (places - cells.numpy()) * scale.numpy()[:, None]
            errors.append(np.linalg.norm(moved, axis=-1))
    return time.perf_counter() - started, float(np.concatenate(errors).mean())


def _forward_seconds(network: nn.Module) -> float:
    images = torch.rand(BATCH, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    started = time.perf_counter()
    with torch.inference_mode():
        for _ in range(IMAGES // BATCH):
            network(images)
    return time.perf_counter() - started


def _settings(checkpoint: Path, data: Path) -> Settings:
    settings = sample_settings(checkpoint, data, overlays="none")
    model = settings.model.model_copy(update={"input_size": Size(SIDE, SIDE), "decode": DecodeMethod.DARK})
    evaluate = settings.evaluate.model_copy(update={"batch_size": BATCH, "workers": WORKERS})
    return settings.model_copy(update={"model": model, "evaluate": evaluate})


def _network(prepared: Prepared) -> nn.Module:
    assert isinstance(prepared.source, Networks)
    return prepared.source.members[0].model.network


def run() -> Iterator[Table]:
    """One table."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "data").mkdir()
        fill_folder(SAMPLES / "AP", folder / "data", IMAGES)
        settings = _settings(SAMPLES / "mahtnet-ap.pt", folder / "data")
        prepared = prepare(settings, trust=False)
        network, samples = _network(prepared), tuple(prepared.dataset.samples)
        forward, loop, once, script = [], [], [], []
        for number in range(ROUNDS):
            forward.append(_forward_seconds(network))
            spent, error_px = script_seconds(network, samples)
            script.append(spent)
            tasks = product_seconds(settings, folder / "runs" / str(number))
            loop.append(tasks.pop(LOOP))
            once.append(sum(tasks.values()))
    most = median(script) / median(forward)
    yield table(
        f"Against a plain script: built-in network at {SIDE}×{SIDE}, {IMAGES} images, batches of {BATCH}",
        [
            milliseconds("forward passes alone, per image", median(forward) / IMAGES),
            milliseconds("the script, per image", median(script) / IMAGES),
            milliseconds("the loop of evaluate, per image", median(loop) / IMAGES),
            Figure("what evaluate does once", f"{median(once):.1f} s"),
            Figure("mean radial error by the script", f"{error_px:.2f} px"),
            at_least("the script over the loop", median(script) / median(loop), 4, "×"),
            Figure("the most that any loop can reach: the script over forward passes", f"{most:.1f} ×"),
        ],
    )
