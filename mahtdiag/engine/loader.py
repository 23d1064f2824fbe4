"""Images decoded by threads a few batches ahead, and put together to batches."""

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, wait
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
LONGEST_SECONDS = 300.0
"""What one image may take; decoders of damaged files may go round in circles."""
_LOOK_SECONDS = 1.0


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
        self._started: list[float | None] = [None] * len(samples)
        self._left, self._seconds = len(samples), 0.0
        self._lock = Lock()

    def decode(self, number: int) -> bool:
        """One image of it, in a thread of the pool; whether anybody still waited for it at the end."""
        start = time.perf_counter()
        with self._lock:
            self._started[number] = start
        found: LoadedImage | Failure | BaseException
        try:
            found = self._load(self._samples[number])
        except BaseException as error:  # raised where the batch is taken
            found = error
        return self._put(number, found)

    def give_up(self, longest_seconds: float) -> int:
        """Record what has been decoded for longer as failed; how many threads are lost with that."""
        now = time.perf_counter()
        with self._lock:
            stuck = [
                number
                for number, start in enumerate(self._started)
                if start is not None and self._results[number] is None and now - start > longest_seconds
            ]
        reason = f"not decoded within {longest_seconds:g} seconds: save it again"
        lost = 0
        for number in stuck:
            sample = self._samples[number]
            lost += self._put(number, Failure(sample.image, reason, None, sample.annotation_sha256))
        return lost

    def _put(self, number: int, found: LoadedImage | Failure | BaseException) -> bool:
        """Whether it is the first that is known of this image; the last of a batch completes that."""
        with self._lock:
            if self._results[number] is not None:
                return False
            self._results[number] = found
            self._seconds += time.perf_counter() - (self._started[number] or 0.0)
            self._left -= 1
            last = not self._left
        if last:
            try:
                self.whole.set_result(self._together())
            except BaseException as error:  # raised where the batch is taken
                self.whole.set_exception(error)
        return True

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
    longest_seconds: float = LONGEST_SECONDS,
) -> Iterator[LoadedBatch]:
    """Batches of consecutive samples, decoded by `workers` threads; batches in `done` are skipped.

    A batch is always the same range of samples, so that a resumed run computes exactly what an uninterrupted
    one does. Memory is bounded by the batches in flight. `for_cuda`: in memory that it copies from by itself.
    An image that takes more than `longest_seconds` is a failure, and its thread is left behind.
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
            while not wait([flying[0].whole], _LOOK_SECONDS).done:
                pool.replace(sum(batch.give_up(longest_seconds) for batch in flying))
            yield flying.popleft().whole.result()
    finally:
        pool.close()


class _Pool:
    """Threads that the end of the process does not wait for, as it does for those of an executor."""

    def __init__(self, workers: int) -> None:
        self._tasks: SimpleQueue[Callable[[], bool] | None] = SimpleQueue()
        self._workers = workers
        self._closed = False
        self.replace(workers)

    def submit(self, task: Callable[[], bool]) -> None:
        """Done by a thread; one whose task answers False has been replaced, and ends."""
        self._tasks.put(task)

    def replace(self, lost: int) -> None:
        """So many more threads, for those that are stuck."""
        for _ in range(lost):
            Thread(target=self._work, name="decode", daemon=True).start()

    def close(self) -> None:
        """What has not begun is left; what has is not waited for."""
        self._closed = True
        for _ in range(self._workers):
            self._tasks.put(None)

    def _work(self) -> None:
        while True:
            task = self._tasks.get()
            if task is None or self._closed or not task():
                return
