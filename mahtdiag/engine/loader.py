"""Decoding images in parallel, in order, a few batches ahead of the network."""

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mahtdiag.schema.samples import Failure, LoadedImage, Sample

LoadImage = Callable[[Sample], LoadedImage | Failure]
BATCHES_AHEAD = 2


@dataclass(frozen=True)
class LoadedBatch:
    """The images of one batch that could be read, `[B, C, H, W]` or None if there is none, and the failures.

    `index` numbers the batch in the whole set, whatever was skipped or failed before it.
    """

    index: int
    samples: tuple[Sample, ...]
    images: tuple[LoadedImage, ...]
    tensor: Tensor | None
    failures: tuple[Failure, ...]
    decode_seconds: float


def _timed(load: LoadImage, sample: Sample) -> tuple[LoadedImage | Failure, float]:
    start = time.perf_counter()
    return load(sample), time.perf_counter() - start


def _collect(
    index: int, samples: Sequence[Sample], futures: Sequence[Future[tuple[LoadedImage | Failure, float]]]
) -> LoadedBatch:
    results = [future.result() for future in futures]
    pairs = [(s, r) for s, (r, _) in zip(samples, results, strict=True) if isinstance(r, LoadedImage)]
    images = tuple(image for _, image in pairs)
    tensor = torch.from_numpy(np.stack([image.tensor for image in images])) if images else None
    return LoadedBatch(
        index=index,
        samples=tuple(sample for sample, _ in pairs),
        images=images,
        tensor=tensor,
        failures=tuple(result for result, _ in results if isinstance(result, Failure)),
        decode_seconds=sum(seconds for _, seconds in results),
    )


def load_batches(
    samples: Sequence[Sample],
    load: LoadImage,
    *,
    batch_size: int,
    workers: int,
    done: frozenset[int] = frozenset(),
) -> Iterator[LoadedBatch]:
    """Batches of consecutive samples, decoded by `workers` threads; batches in `done` are skipped.

    A batch is always the same range of samples, so that a resumed run computes exactly what an uninterrupted
    one does. Memory is bounded by the batches in flight.
    """
    count = -(-len(samples) // batch_size)
    todo = deque(index for index in range(count) if index not in done)
    pool = ThreadPoolExecutor(workers, thread_name_prefix="decode")
    flying: deque[tuple[int, Sequence[Sample], list[Future[tuple[LoadedImage | Failure, float]]]]] = deque()
    try:
        while todo or flying:
            while todo and len(flying) <= BATCHES_AHEAD:
                index = todo.popleft()
                part = samples[index * batch_size : (index + 1) * batch_size]
                flying.append((index, part, [pool.submit(_timed, load, sample) for sample in part]))
            yield _collect(*flying.popleft())
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
