"""Batches: in order, bounded ahead, the same after a resume; failures and exceptions."""

import threading
from collections.abc import Iterator, Sequence

import numpy as np
import pytest
import torch

from mahtdiag.engine.loader import BATCHES_AHEAD, LoadedBatch, load_batches
from mahtdiag.schema.records import Failure, LoadedImage, Sample

from .builders import batches, load, sample


def decoders() -> list[threading.Thread]:
    """The decoding threads that are alive."""
    return [thread for thread in threading.enumerate() if thread.name.startswith("decode")]


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    """Whatever happens in a test, its threads end."""
    # A test elsewhere that ended early may have left threads that are about to end.
    _join()
    yield
    _join()


def _join() -> None:
    for thread in decoders():
        thread.join(20)
    assert not decoders()


def equal(a: LoadedBatch, b: LoadedBatch) -> bool:
    """Whether two batches hold the same, but for the time they took."""
    tensors = (a.tensor is None and b.tensor is None) or (
        a.tensor is not None and b.tensor is not None and torch.equal(a.tensor, b.tensor)
    )
    names = [[sample.image for sample in batch.samples] for batch in (a, b)]
    digests = [[image.image_sha256 for image in batch.images] for batch in (a, b)]
    same = names[0] == names[1] and digests[0] == digests[1] and a.failures == b.failures
    return tensors and same and a.index == b.index


@pytest.mark.parametrize("workers", [1, 3, 16])
@pytest.mark.parametrize("size", [1, 4, 7, 23, 50])
def test_every_image_once_and_in_order(size: int, workers: int) -> None:
    samples = [sample(number) for number in range(23)]
    found = list(load_batches(samples, load, batch_size=size, workers=workers))
    assert [batch.index for batch in found] == list(range(-(-23 // size)))
    for batch in found:
        part = samples[batch.index * size : (batch.index + 1) * size]
        good = [item for item in part if not item.image.endswith("7.png")]
        assert [item.image for item in batch.samples] == [item.image for item in good]
        assert [f.image for f in batch.failures] == [item.image for item in part if item not in good]
        assert len(batch.images) == len(good)
        if good:
            assert batch.tensor is not None
            expected = [image.tensor for image in map(load, good) if isinstance(image, LoadedImage)]
            np.testing.assert_array_equal(batch.tensor.numpy(), np.stack(expected))
        else:
            assert batch.tensor is None
        assert batch.decode_seconds >= 0.0


def test_order_does_not_depend_on_which_image_is_read_first() -> None:
    first_waits = threading.Event()

    def slow_first(item: Sample) -> LoadedImage | Failure:
        if item.image == "000.png":
            assert first_waits.wait(20)
        if item.image == "003.png":
            first_waits.set()
        return load(item)

    samples = [sample(number) for number in range(6)]
    found = list(load_batches(samples, slow_first, batch_size=2, workers=2))
    names = [item.image for batch in found for item in batch.samples]
    assert names == [item.image for item in samples]


@pytest.mark.parametrize("done", [{0}, {5}, {1, 3}, {0, 1, 2, 3, 4, 5}, {2, 99}])
def test_skipping_leaves_the_other_batches_as_they_are(done: set[int]) -> None:
    whole = {batch.index: batch for batch in batches(23, 4)}
    rest = batches(23, 4, frozenset(done))
    assert [batch.index for batch in rest] == [index for index in whole if index not in done]
    assert all(equal(batch, whole[batch.index]) for batch in rest)


def test_what_is_skipped_is_not_read() -> None:
    seen: list[str] = []

    def remember(item: Sample) -> LoadedImage | Failure:
        seen.append(item.image)
        return load(item)

    samples = [sample(number) for number in range(6)]
    list(load_batches(samples, remember, batch_size=2, workers=1, done=frozenset({1})))
    assert seen == ["000.png", "001.png", "004.png", "005.png"]


def test_the_look_ahead_is_bounded() -> None:
    size, read = 3, 0
    lock = threading.Condition()

    def count(item: Sample) -> LoadedImage | Failure:
        nonlocal read
        with lock:
            read += 1
            lock.notify_all()
        return load(item)

    samples: Sequence[Sample] = [sample(number) for number in range(60)]
    generator = load_batches(samples, count, batch_size=size, workers=8)
    for taken in range(1, 5):
        next(generator)
        most = (taken + BATCHES_AHEAD) * size
        with lock:
            # The network is busy with this batch: the threads go on to the next ones, and then stop.
            assert lock.wait_for(lambda bound=most: read >= bound, 20)  # type: ignore[misc]
            assert not lock.wait_for(lambda bound=most: read > bound, 0.05)  # type: ignore[misc]
    assert isinstance(generator, Iterator)
    generator.close()  # type: ignore[attr-defined]
    assert read < len(samples)


def test_no_image_of_a_batch_can_be_read() -> None:
    samples = [sample(number) for number in (7, 17, 27, 1)]
    first, second = load_batches(samples, load, batch_size=3, workers=2)
    assert first.tensor is None
    assert not first.samples
    assert not first.images
    assert [failure.image for failure in first.failures] == ["007.png", "017.png", "027.png"]
    assert first.failures[0].reason == "truncated"
    assert second.tensor is not None


def test_no_samples() -> None:
    assert list(load_batches([], load, batch_size=4, workers=2)) == []


@pytest.mark.parametrize("error", [ValueError("boom"), KeyboardInterrupt()])
def test_an_exception_ends_everything(error: BaseException) -> None:
    read: list[str] = []

    def fail(item: Sample) -> LoadedImage | Failure:
        read.append(item.image)
        if item.image == "005.png":
            raise error
        return load(item)

    samples = [sample(number) for number in range(60)]
    found: list[LoadedBatch] = []
    with pytest.raises(type(error)):
        found.extend(load_batches(samples, fail, batch_size=2, workers=2))
    for thread in decoders():
        thread.join(20)
    assert len(read) <= (2 + 1 + BATCHES_AHEAD) * 2


def test_leaving_early_stops_the_threads() -> None:
    read: list[str] = []
    samples = [sample(number) for number in range(60)]

    def remember(item: Sample) -> LoadedImage | Failure:
        read.append(item.image)
        return load(item)

    generator = load_batches(samples, remember, batch_size=2, workers=2)
    for batch in generator:
        if batch.index == 3:
            break
    generator.close()  # type: ignore[attr-defined]
    for thread in decoders():
        thread.join(20)
    assert len(read) <= (4 + BATCHES_AHEAD) * 2


def test_without_cuda_batches_for_it_are_as_usual() -> None:
    samples = [sample(number) for number in range(6)]
    found = list(load_batches(samples, load, batch_size=4, workers=2, for_cuda=True))
    assert all(equal(ours, theirs) for ours, theirs in zip(found, batches(6, 4), strict=True))
