"""One pass over 20 heatmaps of 512×512 an image: losses, peaks, sub-pixel places and spread, on one thread.

Against the same numbers computed the direct way, and against reading the heatmaps once. A batch has four
images, as `evaluate` takes them at this size; one image alone pays for every call by itself. All take turns
in one run and the median counts, per image. The clock is the processor time of the thread, which other
programs on the machine hardly change.
"""

import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

import numpy as np
import torch
from rich.table import Table
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from benchmarks.direct import read_directly
from benchmarks.figures import Figure, at_least, at_most, milliseconds, table
from mahtdiag.engine.analysis import analyse
from mahtdiag.heatmaps.decoding import gaussian_targets
from mahtdiag.schema.choices import DecodeMethod, UncertaintyFrame
from mahtdiag.schema.model_spec import Decoding
from mahtdiag.schema.records import BatchReading, ModelOutputs

IMAGES, KEYPOINTS, SIDE = 4, 20, 512
SIGMAS = (2.0, 3.0, 4.0)
METHODS = (DecodeMethod.LOCAL, DecodeMethod.DARK)
ROUNDS = 9
# The quick ones are timed so many times in each round.
REPEATS = 5


@dataclass(frozen=True, slots=True)
class Case:
    """Heatmaps with noise and a wider blob about where the label is, and how they are to be read."""

    heatmaps: Tensor
    centres: Tensor
    decoding: Decoding

    @staticmethod
    def of(sigma: float, method: DecodeMethod) -> "Case":
        """Seeded; blobs lie far enough from the border for the plain formulas to hold."""
        generator = torch.Generator().manual_seed(round(10 * sigma))
        centres = 60 + (SIDE - 120) * torch.rand(IMAGES, KEYPOINTS, 2, generator=generator)
        shifted = centres + torch.randn(IMAGES, KEYPOINTS, 2, generator=generator)
        noise = 0.005 * torch.randn(IMAGES, KEYPOINTS, SIDE, SIDE, generator=generator)
        heatmaps = gaussian_targets(shifted, 1.1 * sigma, SIDE, SIDE) + noise
        return Case(heatmaps, centres, Decoding(sigma, method))

    def alone(self) -> "Case":
        """The first image by itself."""
        return replace(self, heatmaps=self.heatmaps[:1], centres=self.centres[:1])

    def by_product(self) -> BatchReading:
        """What `evaluate` calls for every batch."""
        return analyse(
            ModelOutputs(self.heatmaps),
            self.centres,
            self.decoding,
            input_size=(SIDE, SIDE),
            uncertainty_kind=None,
            uncertainty_frame=UncertaintyFrame.INPUT,
        )()


def _seconds(work: Callable[[], object]) -> float:
    started = time.thread_time()
    work()
    return time.thread_time() - started


def _measure(case: Case) -> list[Figure]:
    def directly() -> object:
        return read_directly(one.heatmaps, one.centres, case.decoding.heatmap_sigma, case.decoding.method)

    one = case.alone()
    product, read, direct, single = [], [], [], []
    case.by_product()
    for _ in range(ROUNDS):
        direct.append(_seconds(directly))
        for _ in range(REPEATS):
            product.append(_seconds(case.by_product) / IMAGES)
            read.append(_seconds(case.heatmaps.sum) / IMAGES)
            single.append(_seconds(one.by_product))
    ours = median(product)
    extra = 100 * peak_extra_bytes(case.by_product) / case.heatmaps.nbytes
    return [
        milliseconds("this pass", ours),
        milliseconds("one image alone", median(single)),
        milliseconds("the direct way", median(direct)),
        milliseconds("reading once", median(read)),
        at_least("the direct way over this", median(direct) / ours, 40, "×"),
        at_most("this over reading once", ours / median(read), 6, "×"),
        at_most("extra memory beside them", extra, 5, "%"),
        _agreement(case),
    ]


def _agreement(case: Case) -> Figure:
    """The largest difference from the direct way: a fast wrong number is worth nothing."""
    ours = case.by_product()
    other = read_directly(case.heatmaps, case.centres, case.decoding.heatmap_sigma, case.decoding.method)
    pairs = (
        (ours.loss_mse, other.mse),
        (ours.loss_focal, other.focal),
    )
    losses = max(float(np.abs(mine / theirs.numpy() - 1).max()) for mine, theirs in pairs)
    cells = np.abs(ours.points - other.points.numpy()).max()
    return Figure(
        "differs from it by",
        f"{losses:.0e}, {cells:.0e} cells",
        "≤ 1e-05, 1e-03 cells",
        bool(losses <= 1e-5 and cells <= 1e-3),
    )


def peak_extra_bytes(work: Callable[[], object]) -> int:
    """The most that `work` holds at a time in tensors of its own, as the profiler counts every allocation."""
    with tempfile.TemporaryDirectory() as folder, _quiet():
        trace = Path(folder) / "trace.json"
        with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
            work()
        profiler.export_chrome_trace(str(trace))
        events = json.loads(trace.read_text(encoding="utf-8"))["traceEvents"]
    memory = sorted((e for e in events if e.get("name") == "[memory]"), key=lambda e: float(e["ts"]))
    return int(np.cumsum([int(e["args"]["Bytes"]) for e in memory]).max())


@contextmanager
def _quiet() -> Iterator[None]:
    """The profiler logs its start and end to the process's stderr, past Python's."""
    stderr = os.dup(2)
    nothing = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nothing, 2)
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        os.close(nothing)


def run() -> Iterator[Table]:
    """One table per heatmap σ and decoding method."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.inference_mode():
            for sigma in SIGMAS:
                for method in METHODS:
                    what = f"{IMAGES} images of {KEYPOINTS} heatmaps {SIDE}×{SIDE}"
                    title = f"Hot path: {what}, σ = {sigma:g} cells, {method}"
                    yield table(title, _measure(Case.of(sigma, method)))
    finally:
        torch.set_num_threads(threads)
