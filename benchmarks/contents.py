"""What a heatmap holds must not decide how long its analysis takes: sharp, two-peaked, noise and others.

One pass over 16 images of 20×128×128, as `evaluate` takes them, on one thread; the kinds take turns and the
median counts. The clock is the processor time of the thread.
"""

import time
from collections.abc import Iterator
from statistics import median

import torch
from rich.table import Table
from torch import Tensor

from benchmarks.figures import Figure, at_most, milliseconds, table
from mahtdiag.engine.analysis import analyse
from mahtdiag.heatmaps.decoding import gaussian_targets
from mahtdiag.schema.choices import DecodeMethod, UncertaintyFrame
from mahtdiag.schema.model_spec import Decoding
from mahtdiag.schema.records import ModelOutputs

IMAGES, KEYPOINTS, SIDE, SIGMA, BETA = 16, 20, 128, 2.0, 30.0
METHODS = (DecodeMethod.LOCAL, DecodeMethod.SOFT_ARGMAX)
ROUNDS = 9
MOST = 1.5


def contents(images: int = IMAGES, side: int = SIDE) -> tuple[Tensor, dict[str, Tensor]]:
    """Labels `[B, K, 2]` in cells and heatmaps `[B, K, H, W]` of every kind, the sharp ones first."""
    generator = torch.Generator().manual_seed(0)
    shape = (images, KEYPOINTS)

    def places() -> Tensor:
        return 12 + (side - 24) * torch.rand(*shape, 2, generator=generator)

    def noise(sides: int) -> Tensor:
        return torch.randn(*shape, sides, sides, generator=generator)

    labels = places()
    sharp = gaussian_targets(labels, SIGMA, side, side) + 0.005 * noise(side)
    # The last layer of a network before its first step: smooth logits about 0.
    logits = torch.nn.functional.interpolate(0.3 * noise(side // 4), scale_factor=4.0, mode="bilinear")
    return labels, {
        "sharp": sharp,
        "two-peaked": sharp + 0.8 * gaussian_targets(places(), SIGMA, side, side),
        "twice as wide": gaussian_targets(labels, 2 * SIGMA, side, side) + 0.005 * noise(side),
        "peaks in noise": sharp + 0.1 * noise(side),
        "peaks on a background": 0.3 + 0.7 * sharp,
        "constant": torch.full((*shape, side, side), 0.5),
        "noise": noise(side),
        "untrained, sigmoid": logits.sigmoid(),
    }


def seconds_by_content(
    method: DecodeMethod, rounds: int, images: int = IMAGES, side: int = SIDE
) -> dict[str, float]:
    """Median time of the analysis of one image of each kind."""
    labels, kinds = contents(images, side)
    decoding = Decoding(SIGMA, method, BETA)
    taken: dict[str, list[float]] = {kind: [] for kind in kinds}
    for _ in range(rounds + 1):
        for kind, heatmaps in kinds.items():
            started = time.thread_time()
            analyse(
                ModelOutputs(heatmaps),
                labels,
                decoding,
                input_size=(side, side),
                uncertainty_kind=None,
                uncertainty_frame=UncertaintyFrame.INPUT,
            )()
            taken[kind].append((time.thread_time() - started) / images)
    return {kind: median(times[1:]) for kind, times in taken.items()}


def _figures(method: DecodeMethod) -> list[Figure]:
    seconds = seconds_by_content(method, ROUNDS)
    sharp = seconds.pop("sharp")
    ratios = [at_most(f"{kind} over sharp", value / sharp, MOST, "×") for kind, value in seconds.items()]
    return [milliseconds("sharp", sharp), *ratios]


def run() -> Iterator[Table]:
    """One table per decoding method."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.inference_mode():
            for method in METHODS:
                what = f"{IMAGES} images of {KEYPOINTS} heatmaps {SIDE}×{SIDE}"
                yield table(f"What a heatmap holds: {what}, {method}", _figures(method))
    finally:
        torch.set_num_threads(threads)
