"""Predictions from a file in the place of a network: matched with the images of the set, judged alike."""

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mahtdiag.config.settings import ModelSettings
from mahtdiag.data.files import Dataset, counted, other_size, outside_image
from mahtdiag.data.images import describe_image
from mahtdiag.data.predictions import PredictionSet
from mahtdiag.diagnosis.records import nothing_found
from mahtdiag.engine.inference import BatchSeconds
from mahtdiag.errors import DataError
from mahtdiag.reports.overlay.heat import Heat
from mahtdiag.runs.document import CheckpointSource
from mahtdiag.runs.settings import RunSettings
from mahtdiag.schema.choices import CoordinateConvention, Precision
from mahtdiag.schema.frames import FrameMap, Size
from mahtdiag.schema.model_spec import ModelInput
from mahtdiag.schema.preprocessing import Resize
from mahtdiag.schema.records import Failure, Sample
from mahtdiag.schema.setup import ImagePixels
from mahtdiag.schema.skeleton import Skeleton
from mahtdiag.workflows.evaluate.source import Judged, Work

Floats = NDArray[np.float64]
BATCH_SIZE = 256
"""Images that are written at once: nothing is computed on pixels."""
_ANY = Size(1, 1)


@dataclass(frozen=True, slots=True)
class Seen:
    """An image whose pixels no network sees; all None where it is not there and nothing tells its size."""

    original: Size | None
    image_sha256: str | None
    pixels: ImagePixels | None


@dataclass(frozen=True)
class PredictionFile:
    """Predictions of the images of a set; `frame`: the input of the network that made them, if known."""

    predictions: PredictionSet
    skeleton: Skeleton
    frame: ModelInput | None

    spec = None
    device = ("cpu", "cpu")
    precision = Precision.FP32

    @property
    def name(self) -> str:
        """That of the file."""
        return self.predictions.file.stem

    @property
    def checkpoint(self) -> CheckpointSource:
        """The file, in the place of a checkpoint."""
        found = self.predictions
        return CheckpointSource(path=str(found.file), sha256=found.sha256, format=found.format)

    def settings(self, asked: ModelSettings) -> RunSettings:
        """That there was no network, and the frame of losses."""
        has_sigma = any(each.sigma_px is not None for each in self.predictions.by_image.values())
        return RunSettings.of_file(self.skeleton, self.frame, self.predictions.format, has_sigma)

    def heat(self, sample: Sample) -> Heat | None:
        """Nothing: predictions of a file have no heatmaps."""
        return None

    def judged(self, work: Work) -> Iterator[Judged]:
        """Looks at each image, if it is there, and at what was predicted for it."""
        count = -(-len(work.samples) // work.batch_size)
        for index in range(count):
            if index in work.done:
                continue
            started = time.perf_counter()
            samples = work.samples[index * work.batch_size : (index + 1) * work.batch_size]
            with ThreadPoolExecutor(work.workers) as pool:
                pairs = list(zip(samples, pool.map(self._seen, samples), strict=True))
            seen = time.perf_counter()
            failures = [found for _, found in pairs if isinstance(found, Failure)]
            kept = [(sample, found) for sample, found in pairs if isinstance(found, Seen)]
            records = []
            if kept:
                predicted = [self.predictions.by_image[sample.image] for sample, _ in kept]
                shape = (self.skeleton.keypoints, 2)
                records = work.maker.of_predictions(
                    [sample for sample, _ in kept],
                    [found for _, found in kept],
                    [self._frame(found.original) for _, found in kept],
                    np.stack([each.points_px for each in predicted]),
                    _stacked([each.sigma_px for each in predicted], shape),
                    _stacked([each.score for each in predicted], shape[:1]),
                )
            spent = BatchSeconds(decode=seen - started, analyse=time.perf_counter() - seen)
            yield Judged(index, records, failures, spent)

    def _seen(self, sample: Sample) -> Seen | Failure:
        """The image of a sample whose prediction can be judged, or why it cannot."""
        found = Seen(sample.labelled_size, None, None)
        if sample.path:
            try:
                described = describe_image(
                    sample.path, sample.image, sample.dicom_window, upright=sample.upright
                )
            except DataError as error:
                reason = "; ".join(problem.removeprefix(f"{sample.image}: ") for problem in error.problems)
                return Failure(sample.image, reason, annotation_sha256=sample.annotation_sha256)
            found = Seen(described.original, described.image_sha256, described.pixels)
        problem = self._problem(sample, found)
        if problem is None:
            return found
        return Failure(sample.image, problem, found.image_sha256, sample.annotation_sha256)

    def _problem(self, sample: Sample, seen: Seen) -> str | None:
        if sample.path and seen.original is not None:
            resized = other_size(sample.labelled_size, seen.original)
            if resized:
                return resized
        if seen.original is not None:
            outside = outside_image(sample.keypoints_px, seen.original, sample.skeleton)
            if outside:
                return "; ".join(outside)
        problem = self.predictions.problems.get(sample.image)
        if problem is not None:
            return f"prediction: {problem}"
        predicted = self.predictions.by_image.get(sample.image)
        if predicted is None:
            return f"no prediction for it in {self.predictions.file.name}"
        nothing = nothing_found(predicted.points_px, sample.keypoints_px)
        if nothing is not None:
            return nothing
        if self.frame is not None and seen.original is None:
            return "no image and no size of it in the annotations, so --input-size cannot be applied"
        return None

    def _frame(self, original: Size | None) -> FrameMap:
        """The network frame of an image; that of the image itself where no network is known."""
        if self.frame is None or original is None:
            size = original or _ANY
            return FrameMap(size, size, size)
        return FrameMap(original, self.frame.size, self.frame.size, self.frame.resize, self.frame.convention)


def frame_of(asked: ModelSettings) -> ModelInput | None:
    """The input of the network that made the predictions, as far as losses need it; None where not told."""
    if asked.input_size is None:
        return None
    return ModelInput(
        size=asked.input_size,
        channels=1,
        resize=asked.resize or Resize.STRETCH,
        convention=asked.coords or CoordinateConvention.HALF_PIXEL,
    )


NO_HEATMAPS = "no heatmaps: no heatmap loss, no total loss, no ambiguous heatmaps"


def with_notes(dataset: Dataset, predictions: PredictionSet, frame: ModelInput | None) -> Dataset:
    """The set with what there is to know of its predictions, and of images that are not there."""
    absent = sum(not sample.path for sample in dataset.samples)
    notes = [*predictions.notes, NO_HEATMAPS]
    if frame is None:
        notes.append("losses are in original pixels; --input-size HxW gives those in the network's frame")
    if absent:
        notes.append(f"{counted(absent, 'image')} not there: no overlay and no check of their pixels")
    return replace(dataset, notes=(*dataset.notes, *notes))


def _stacked(values: Sequence[Floats | None], shape: tuple[int, ...]) -> Floats | None:
    """Values of several images, NaN for those that have none; None where none has."""
    if all(value is None for value in values):
        return None
    unknown = np.full(shape, np.nan)
    return np.stack([unknown if value is None else value for value in values])
