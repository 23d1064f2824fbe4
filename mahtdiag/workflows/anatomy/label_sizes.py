"""The sizes of annotated images, without decoding them."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from mahtdiag.data.files import is_normalised
from mahtdiag.data.images import read_image_size
from mahtdiag.errors import DataError
from mahtdiag.schema.frames import Size
from mahtdiag.schema.records import Failure, Floats, Sample
from mahtdiag.workflows.progress import Progress

READERS = 4


def with_sizes(
    samples: Sequence[Sample], progress: Progress
) -> tuple[list[Sample], Floats, tuple[Failure, ...]]:
    """The samples whose image can be read, their sizes `[N, 2]` (width, height), and the others.

    Among these are images whose keypoints seem to be shares of the image.
    """
    kept: list[Sample] = []
    sizes: list[tuple[int, int]] = []
    failures: list[Failure] = []
    progress.start("reading image sizes", len(samples))
    try:
        with ThreadPoolExecutor(READERS) as pool:
            for sample, size in zip(samples, pool.map(_size_of, samples), strict=True):
                progress.advance(1)
                if isinstance(size, Failure):
                    failures.append(size)
                else:
                    kept.append(sample)
                    sizes.append((size.width, size.height))
    finally:
        progress.stop()
    return kept, np.array(sizes, dtype=np.float64).reshape(-1, 2), tuple(failures)


def _size_of(sample: Sample) -> Size | Failure:
    try:
        size = read_image_size(sample.path, sample.image)
    except DataError as error:
        reason = "; ".join(problem.removeprefix(f"{sample.image}: ") for problem in error.problems)
        return Failure(sample.image, reason, annotation_sha256=sample.annotation_sha256)
    if is_normalised(sample.keypoints_px, size):
        # Rules that know no size would find nothing wrong with it.
        reason = "all keypoints lie in the first pixel: shares of the image? pixels are wanted"
        return Failure(sample.image, reason, annotation_sha256=sample.annotation_sha256)
    return size
