"""Images decoded by threads a few batches ahead, and put together to batches."""

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from queue import SimpleQueue
from threading import Lock, Thread

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mahtdiag.engine.devices import pinned
from mahtdiag.schema.records import Failure, LoadedImage, Sample

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


class _Flying:
    """A batch that is being decoded; the thread that is done last puts it together."""

    def __init__(self, index: int, samples: Sequence[Sample], load: LoadImage, *, for_cuda: bool) -> None:
        self.whole: Future[LoadedBatch] = Future()
        self._index, self._samples, self._load, self._for_cuda = index, samples, load, for_cuda
        self._results: list[LoadedImage | Failure | BaseException | None] = [None] * len(samples)
        self._left, self._seconds = len(samples), 0.0
        self._lock = Lock()

    def decode(self, number: int) -> None:
        """One image of it, in a thread of the pool."""
        start = time.perf_counter()
        try:
            self._results[number] = self._load(self._samples[number])
        except BaseException as error:  # raised where the batch is taken
            self._results[number] = error
        with self._lock:
            self._seconds += time.perf_counter() - start
            self._left -= 1
            last = not self._left
        if last:
            try:
                self.whole.set_result(self._together())
            except BaseException as error:  # raised where the batch is taken
                self.whole.set_exception(error)

    def _together(self) -> LoadedBatch:
        wrong = next((found for found in self._results if isinstance(found, BaseException)), None)
        if wrong is not None:
            raise wrong
        pairs = [
            (s, r) for s, r in zip(self._samples, self._results, strict=True) if isinstance(r, LoadedImage)
        ]
        images = tuple(image for _, image in pairs)
        return LoadedBatch(
            index=self._index,
            samples=tuple(sample for sample, _ in pairs),
            images=images,
            tensor=_stacked([image.tensor for image in images], self._for_cuda) if images else None,
            failures=tuple(result for result in self._results if isinstance(result, Failure)),
            decode_seconds=self._seconds,
        )


def _stacked(images: Sequence[NDArray[np.float32]], for_cuda: bool) -> Tensor:
    """`[B, C, H, W]`, where CUDA takes it in memory that it copies from by itself."""
    batch = pinned((len(images), *images[0].shape), torch.float32) if for_cuda else None
    if batch is None:
        return torch.from_numpy(np.stack(images))
    np.stack(images, out=batch.numpy())
    return batch


def load_batches(
    samples: Sequence[Sample],
    load: LoadImage,
    *,
    batch_size: int,
    workers: int,
    done: frozenset[int] = frozenset(),
    for_cuda: bool = False,
) -> Iterator[LoadedBatch]:
    """Batches of consecutive samples, decoded by `workers` threads; batches in `done` are skipped.

    A batch is always the same range of samples, so that a resumed run computes exactly what an uninterrupted
    one does. Memory is bounded by the batches in flight. `for_cuda`: in memory that it copies from by itself.
    """
    count = -(-len(samples) // batch_size)
    todo = deque(index for index in range(count) if index not in done)
    pool = _Pool(workers)
    flying: deque[_Flying] = deque()
    try:
        while todo or flying:
            while todo and len(flying) <= BATCHES_AHEAD:
                index = todo.popleft()
                part = samples[index * batch_size : (index + 1) * batch_size]
                flying.append(_Flying(index, part, load, for_cuda=for_cuda))
                for number in range(len(part)):
                    pool.submit(partial(flying[-1].decode, number))
            yield flying.popleft().whole.result()
    finally:
        pool.close()


class _Pool:
    """Threads that the end of the process does not wait for, as it does for those of an executor."""

    def __init__(self, workers: int) -> None:
        self._tasks: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._workers = workers
        self._closed = False
        for _ in range(workers):
            Thread(target=self._work, name="decode", daemon=True).start()

    def submit(self, task: Callable[[], None]) -> None:
        """Done by a thread."""
        self._tasks.put(task)

    def close(self) -> None:
        """What has not begun is left; what has is not waited for."""
        self._closed = True
        for _ in range(self._workers):
            self._tasks.put(None)

    def _work(self) -> None:
        while True:
            task = self._tasks.get()
            if task is None or self._closed:
                return
            task()
