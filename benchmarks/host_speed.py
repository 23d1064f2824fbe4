"""What the host does for an image beside the network: judging it, and writing it to the run folder.

The network costs nothing: its heatmaps, 20 of 128×128 with peaks about the labels, are there before. Batches
of 16 pass through the analysis, which a GPU would do, through what judges them, and into a run folder. The
clock is the processor time of the one thread that does it all; the median of the rounds counts, per image.
"""

import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np
import torch
from rich.table import Table
from torch import Tensor

from benchmarks.end_to_end import SAMPLES, fill_folder
from benchmarks.figures import at_most, milliseconds, table
from mahtdiag.config.settings import DataSettings, EvaluateSettings, ModelSettings, Settings
from mahtdiag.engine.inference import Runner
from mahtdiag.engine.loader import LoadedBatch, load_batches
from mahtdiag.heatmaps.decoding import gaussian_targets
from mahtdiag.runs.folder import RunFolder
from mahtdiag.schema.frames import Size
from mahtdiag.schema.records import ModelOutputs
from mahtdiag.workflows.evaluate.network_source import Networks, image_reader
from mahtdiag.workflows.evaluate.preparation import Prepared, header, prepare

IMAGES, BATCH, SIDE, SIGMA = 512, 16, 128, 1.5
ROUNDS = 5
TARGET_MS = 0.4


@dataclass(frozen=True, slots=True)
class Spent:
    """Seconds of processor time per image."""

    analysing: float
    judging: float
    writing: float


def _outputs(runner: Runner, batches: list[LoadedBatch]) -> dict[int, ModelOutputs]:
    """Heatmaps that peak near the labels, with a little noise, by the number of the batch."""
    generator = torch.Generator().manual_seed(0)
    found = {}
    for batch in batches:
        frames = [runner.frame_map(image.original) for image in batch.images]
        labels = [f.original_to_heatmap(s.keypoints_px) for f, s in zip(frames, batch.samples, strict=True)]
        centres = torch.tensor(np.stack(labels), dtype=torch.float32)
        centres += 0.3 * torch.randn(centres.shape, generator=generator)
        heatmaps = gaussian_targets(centres, SIGMA, SIDE, SIDE)
        noise = 0.003 * torch.randn(heatmaps.shape, generator=generator)
        found[batch.index] = ModelOutputs(heatmaps=heatmaps + noise)
    return found


def _known(outputs: ModelOutputs, images: Tensor) -> ModelOutputs:
    return outputs


def _round(prepared: Prepared, runner: Runner, batches: list[LoadedBatch], out: Path) -> Spent:
    outputs = _outputs(runner, batches)
    maker, folder = prepared.maker(), RunFolder.create(out, header(prepared, datetime.now(UTC)))
    analysing = judging = writing = 0.0
    for batch in batches:
        ready = replace(runner, predict=partial(_known, outputs[batch.index]))
        started = time.thread_time()
        (inferred,) = ready.run([batch])
        analysed = time.thread_time()
        assert inferred.reading is not None
        records, failures = maker.records(batch.samples, batch.images, inferred.frames, inferred.reading)
        judged = time.thread_time()
        folder.append(batch.index, records, failures)
        analysing, judging = analysing + analysed - started, judging + judged - analysed
        writing += time.thread_time() - judged
    started = time.thread_time()
    folder.flush()
    writing += time.thread_time() - started
    return Spent(analysing / IMAGES, judging / IMAGES, writing / IMAGES)


def run() -> Iterator[Table]:
    """One table."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "data").mkdir()
        fill_folder(SAMPLES / "AP", folder / "data", IMAGES)
        settings = Settings(
            model=ModelSettings(checkpoint=str(SAMPLES / "mahtnet-ap.pt")),
            data=DataSettings(path=str(folder / "data")),
            evaluate=EvaluateSettings(batch_size=BATCH),
        )
        prepared = prepare(settings, trust=False)
        assert isinstance(prepared.source, Networks)
        runner = replace(prepared.source.runner, heatmap_size=Size(SIDE, SIDE))
        read = image_reader(runner.spec.input)
        batches = [*load_batches(prepared.dataset.samples, read, batch_size=BATCH, workers=1)]
        rounds = [_round(prepared, runner, batches, folder / f"run-{n}") for n in range(ROUNDS)]
    torch.set_num_threads(before)
    judging, writing = (median(getattr(each, part) for each in rounds) for part in ("judging", "writing"))
    figures = [
        milliseconds(
            "analysis of heatmaps on the CPU, which a GPU does itself", median(r.analysing for r in rounds)
        ),
        milliseconds("judging", judging),
        milliseconds("writing", writing),
        at_most("judging and writing", 1e3 * (judging + writing), TARGET_MS, "ms"),
    ]
    yield table(
        f"Host: {IMAGES} images, batches of {BATCH}, 20 heatmaps of {SIDE}×{SIDE}, one thread", figures
    )
