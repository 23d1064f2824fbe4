"""The images of labels that are judged without a network: their sizes, and what their pixels are like."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

import numpy as np

from mahtdiag.data.files import is_normalised, other_size
from mahtdiag.data.images import DescribedImage, describe_image
from mahtdiag.errors import DataError
from mahtdiag.schema.records import Failure, Floats, Sample
from mahtdiag.workflows.progress import Progress

_READERS: Final = 4


@dataclass(frozen=True, slots=True)
class ReadImages:
    """Annotated images that could be read, and the others.

    `shares`: those among the failures whose keypoints seem to be shares of the image.
    """

    kept: tuple[tuple[Sample, DescribedImage], ...]
    shares: tuple[tuple[Sample, DescribedImage], ...]
    failures: tuple[Failure, ...]

    @property
    def size_px(self) -> Floats:
        """(width, height) of the images that could be read, `[N, 2]`."""
        return np.array([image.original.xy for _, image in self.kept], dtype=np.float64).reshape(-1, 2)


def read_images(samples: Sequence[Sample], progress: Progress) -> ReadImages:
    """The sizes of annotated images and what their pixels are like."""
    kept: list[tuple[Sample, DescribedImage]] = []
    shares: list[tuple[Sample, DescribedImage]] = []
    failures: list[Failure] = []
    progress.start("reading images", len(samples))
    try:
        with ThreadPoolExecutor(_READERS) as pool:
            for sample, image in zip(samples, pool.map(_described, samples), strict=True):
                progress.advance(1)
                if isinstance(image, Failure):
                    failures.append(image)
                elif reason := other_size(sample.labelled_size, image.original):
                    failures.append(
                        Failure(sample.image, reason, image.image_sha256, sample.annotation_sha256)
                    )
                elif is_normalised(sample.keypoints_px, image.original):
                    # Rules that know no size would find nothing wrong with it.
                    reason = "all keypoints lie in the first pixel: shares of the image? pixels are wanted"
                    failures.append(
                        Failure(sample.image, reason, image.image_sha256, sample.annotation_sha256)
                    )
                    shares.append((sample, image))
                else:
                    kept.append((sample, image))
    finally:
        progress.stop()
    return ReadImages(tuple(kept), tuple(shares), tuple(failures))


def _described(sample: Sample) -> DescribedImage | Failure:
    try:
        return describe_image(sample.path, sample.image, sample.dicom_window, upright=sample.upright)
    except DataError as error:
        reason = "; ".join(problem.removeprefix(f"{sample.image}: ") for problem in error.problems)
        return Failure(sample.image, reason, annotation_sha256=sample.annotation_sha256)
