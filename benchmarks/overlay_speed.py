"""Processor time of one overlay, of sample images and of large ones, beside the forward pass of its image.

The images take turns and the fastest round of each counts. Their numbers change from round to round, because
texts that have been set before cost less.
"""

import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import astuple, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from benchmarks.end_to_end import SAMPLES, bare_seconds, sample_settings
from benchmarks.figures import Figure, at_most, milliseconds, table
from mahtdiag.anatomy.rules import RULES
from mahtdiag.config.settings import Settings
from mahtdiag.data.images import decode_image
from mahtdiag.data.images.network_input import Image
from mahtdiag.reports.overlay.draw import draw_overlay, png_bytes
from mahtdiag.schema.records import ImageLosses, ImageRecord
from mahtdiag.schema.skeleton import View
from mahtdiag.workflows.evaluate.job import EvaluateRequest, evaluate
from mahtdiag.workflows.evaluate.preparation import Prepared, prepare
from mahtdiag.workflows.pictures import second_peaks_of
from mahtdiag.workflows.progress import NoProgress

ROUNDS: Final = 5
LARGE: Final = (2500, 3000)
LARGE_IMAGES: Final = 6
TITLES: Final = {rule.code: rule.title for rule in RULES}


@dataclass(frozen=True, slots=True)
class Subject:
    """One evaluated image."""

    image: Image
    record: ImageRecord

    def draw(self, view: View, number: int = 0) -> bytes:
        """As `evaluate` draws it; with other numbers in its texts for another `number`."""
        other = 1 + number / 50
        keypoints = self.record.keypoints
        record = replace(
            self.record,
            losses=ImageLosses(*(other * loss for loss in astuple(self.record.losses))),
            keypoints=replace(
                keypoints, error_px=other * keypoints.error_px, sigma_px=other * keypoints.sigma_px
            ),
        )
        peaks = second_peaks_of(record)
        return draw_overlay(self.image, record, view.skeleton, rule_titles=TITLES, second_peaks=peaks)


def subjects_of(prepared: Prepared, settings: Settings, out: Path) -> list[Subject]:
    """All images of a sample set with what a run found out about them."""
    request = EvaluateRequest(settings, out, resume=False, trust=False, cwd=out.parent)
    run = evaluate(request, NoProgress()).run
    paths = {sample.image: Path(sample.path) for sample in prepared.dataset.samples}
    subjects = []
    for row in range(len(run.table())):
        record = run.table().record(row)
        subjects.append(Subject(decode_image(paths[record.image].read_bytes(), record.image), record))
    return subjects


def enlarged(subject: Subject) -> Subject:
    """The same radiograph as a detector of LARGE pixels would give it, with noise in each of them."""
    width, height = LARGE
    record, keypoints = subject.record, subject.record.keypoints
    factor = np.array([width, height]) / record.size.xy
    noise = np.random.default_rng(0).normal(scale=4.0, size=(height, width))
    image = np.clip(cv2.resize(subject.image, LARGE, interpolation=cv2.INTER_CUBIC) + noise, 0, 255)
    keypoints = replace(
        keypoints,
        gt_px=keypoints.gt_px * factor,
        pred_px=keypoints.pred_px * factor,
        sigma_px=keypoints.sigma_px * factor,
    )
    return Subject(
        image.astype(np.uint8), replace(record, width=width, height=height, keypoints=keypoints, findings=())
    )


def mean_seconds(tasks: list[Callable[[int], object]]) -> float:
    """Processor time of a task, which is told the round: the mean over all of the fastest round of each."""
    seconds = np.full((ROUNDS, len(tasks)), np.inf)
    for number, round_seconds in enumerate(seconds):
        for n, task in enumerate(tasks):
            started = time.process_time()
            task(number)
            round_seconds[n] = time.process_time() - started
    return float(seconds.min(axis=0).mean())


def drawn(subjects: list[Subject], view: View) -> tuple[float, float, int]:
    """Seconds for an overlay, seconds of these for the PNG, and its bytes; means."""
    files = [subject.draw(view) for subject in subjects]
    pictures = [_opaque(png) for png in files]
    drawing = mean_seconds([partial(subject.draw, view) for subject in subjects])
    writing = mean_seconds([partial(_write, picture) for picture in pictures])
    return drawing, writing, int(np.mean([len(png) for png in files]))


def _write(picture: NDArray[np.uint8], _number: int) -> None:
    png_bytes(picture)


def _opaque(png: bytes) -> NDArray[np.uint8]:
    decoded = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)
    if decoded is None:
        raise RuntimeError("OpenCV cannot read an overlay")
    return np.asarray(cv2.cvtColor(decoded, cv2.COLOR_BGR2RGBA), dtype=np.uint8)


def measure(view: View) -> Table:
    """The table of one view."""
    checkpoint, data = SAMPLES / f"mahtnet-{view.lower()}.pt", SAMPLES / view.value
    settings = sample_settings(checkpoint, data, overlays="none")
    prepared = prepare(settings, trust=False)
    with tempfile.TemporaryDirectory() as folder:
        samples = subjects_of(prepared, settings, Path(folder) / "run")
    forward = mean_seconds([lambda _: bare_seconds(prepared)]) / len(samples)
    rows = [milliseconds("decoding and forward pass, per image", forward)]
    large = [enlarged(subject) for subject in samples[:LARGE_IMAGES]]
    for name, subjects, limit_ms in (
        ("sample image", samples, 70.0),
        (f"{LARGE[0]} × {LARGE[1]} px", large, 90.0),
    ):
        seconds, writing, size = drawn(subjects, view)
        rows += [
            at_most(f"overlay of a {name}", 1000 * seconds, limit_ms, "ms"),
            milliseconds("   of that, its PNG", writing),
            Figure("   beside decoding and forward pass", f"{seconds / forward:.2f} ×"),
            Figure("   size of its file", f"{size / 2**20:.2f} MiB"),
        ]
    return table(f"Overlays, {view}: processor time", rows)


def run() -> Iterator[Table]:
    """One table per view."""
    for view in View:
        yield measure(view)
