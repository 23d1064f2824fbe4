"""Batches through a network on its device: decoding a few ahead, forward pass, analysis, their seconds."""

import re
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mahtdiag.engine.analysis import analyse
from mahtdiag.errors import DeviceError, MahtdiagError, ModelOutputError
from mahtdiag.losses.heatmap import PUBLISHED_WEIGHT, FocalWeight
from mahtdiag.schema.choices import Precision, UncertaintyFrame, UncertaintyKind, UncertaintySource
from mahtdiag.schema.frames import FrameMap, NetworkFrames, Size
from mahtdiag.schema.model_spec import ModelSpec
from mahtdiag.schema.preprocessing import Flip
from mahtdiag.schema.records import (
    BatchReading,
    Failure,
    Floats,
    LoadedImage,
    ModelOutputs,
    Predictor,
    Sample,
)

LoadImage = Callable[[Sample], LoadedImage | Failure]
BATCHES_AHEAD = 2
LONGEST_REASON = 300
_OF_TORCHSCRIPT = "Traceback of TorchScript"
# What its trace holds is indented, or begins with the path of a file.
_BEHIND_A_TRACE = re.compile(r"^[A-Za-z_][\w.]*: ", re.MULTILINE)
DTYPES = {Precision.FP32: torch.float32, Precision.BF16: torch.bfloat16, Precision.FP16: torch.float16}


def resolve_device(name: str) -> torch.device:
    """`auto` takes CUDA, then MPS, then the CPU; DeviceError tells what there is if a named one is not."""
    known = available_devices()
    kinds = [kind for kind in ("cuda", "mps", "cpu") if any(there.startswith(kind) for there in known)]
    if name == "auto":
        return torch.device(kinds[0])
    if name not in known and name not in kinds:
        raise DeviceError(f"--device {name}: not available here; available: {', '.join(known)}")
    return torch.device(name)


def available_devices() -> list[str]:
    """Names that `--device` takes on this machine."""
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    mps = ["mps"] if torch.backends.mps.is_available() else []
    return ["auto", "cpu", *(f"cuda:{index}" for index in range(count)), *mps]


def describe_device(device: torch.device) -> str:
    """A name for people and for run.json, for example `cuda (NVIDIA H100)`."""
    if device.type == "cuda":
        return f"{device} ({torch.cuda.get_device_name(device)})"
    return str(device)


@contextmanager
def forward_mode(device: torch.device, precision: Precision) -> Iterator[None]:
    """Inference without gradients, under autocast unless the precision is fp32."""
    with torch.inference_mode():
        if precision is Precision.FP32:
            yield
            return
        with torch.autocast(device.type, DTYPES[precision]):
            yield


def synchronize(device: torch.device) -> None:
    """Wait for the device, so that a clock read afterwards tells the truth."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


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


@dataclass(frozen=True, slots=True)
class BatchSeconds:
    """Time spent so far; `decode` is summed over the decoding threads."""

    forward: float = 0.0
    decode: float = 0.0
    analyse: float = 0.0

    def __add__(self, other: "BatchSeconds") -> "BatchSeconds":
        return BatchSeconds(
            self.forward + other.forward, self.decode + other.decode, self.analyse + other.analyse
        )


@dataclass(frozen=True, slots=True)
class InferredBatch:
    """A batch after the network: what was loaded, what was read from it, and what it cost."""

    batch: LoadedBatch
    reading: BatchReading | None
    frames: tuple[FrameMap, ...]
    seconds: BatchSeconds


@dataclass(frozen=True)
class Runner:
    """A network on a device, with the specification its outputs are read by."""

    predict: Predictor
    spec: ModelSpec
    device: torch.device
    precision: Precision
    heatmap_size: Size | None
    weight: FocalWeight = PUBLISHED_WEIGHT
    expected_error: bool = False
    """Whether the expected radial error of each heatmap is computed, which costs time."""

    def run(self, batches: Iterable[LoadedBatch]) -> Iterator[InferredBatch]:
        """One result per batch, in order; a batch without a readable image passes through."""
        for batch in batches:
            if batch.tensor is None:
                yield InferredBatch(batch, None, (), BatchSeconds(decode=batch.decode_seconds))
                continue
            frames = tuple(self.frame_map(image.original) for image in batch.images)
            cell_px = np.stack([f.original_per_cell for f in frames]) if self.expected_error else None
            reading, seconds = self.read(batch.index, batch.tensor, _centres(batch.samples, frames), cell_px)
            reading = self._from_original(reading, frames)
            yield InferredBatch(batch, reading, frames, replace(seconds, decode=batch.decode_seconds))

    def _from_original(self, reading: BatchReading, frames: Sequence[FrameMap]) -> BatchReading:
        """Coordinates and σ that the network gives in original pixels, in those of its input."""
        coords, sigma, between = reading.coords, reading.sigma, reading.between
        covariance = reading.covariance
        per_px = np.stack([frame.input_per_original for frame in frames])[:, None]
        if coords is not None and self.spec.decoding.original_coords:
            coords = np.stack([f.original_to_input(c) for f, c in zip(frames, coords, strict=True)])
            between = None if between is None else between * per_px
        if self.spec.uncertainty.frame is UncertaintyFrame.ORIGINAL and sigma is not None:
            sigma = sigma * per_px
            x, y = per_px[..., 0], per_px[..., 1]
            products = np.stack([x * x, x * y, y * y], -1)
            covariance = None if covariance is None else covariance * products
        return replace(reading, coords=coords, sigma=sigma, between=between, covariance=covariance)

    def frame_map(self, original: Size) -> FrameMap:
        """The map between the frames of an image of this size."""
        return self.frames.of(original)

    @property
    def frames(self) -> NetworkFrames:
        """How images become heatmaps; without heatmaps a cell is an input pixel."""
        shown = self.spec.input
        return NetworkFrames(
            shown.size,
            self.heatmap_size or shown.size,
            shown.resize,
            shown.convention,
            self.spec.grid,
            shown.flip is not Flip.NONE,
        )

    def read(
        self, index: int, images: Tensor, centres: Floats, cell_px: Floats | None = None
    ) -> tuple[BatchReading, BatchSeconds]:
        """One forward pass and what it leaves; `index` numbers the batch, for whoever needs a seed.

        `centres` and `cell_px` as `analyse` takes them; without `cell_px` no radial error is expected.
        """
        started = time.perf_counter()
        outputs = self.forward(images)
        synchronize(self.device)
        forwarded = time.perf_counter()
        with torch.inference_mode():
            reading = analyse(
                outputs,
                self._on_device(centres),
                self.spec.decoding,
                input_size=(self.spec.input.size.height, self.spec.input.size.width),
                step=None if self.spec.grid is None else self.spec.grid.step,
                uncertainty_kind=self._head_kind(outputs),
                uncertainty_frame=self.spec.uncertainty.frame,
                weight=self.weight,
                cell_px=None if cell_px is None else self._on_device(cell_px),
            )
        analysed = time.perf_counter()
        return reading, BatchSeconds(forward=forwarded - started, analyse=analysed - forwarded)

    def heatmaps(self, image: NDArray[np.float32]) -> NDArray[np.float32] | None:
        """The heatmaps of one input image `[C, H, W]`, `[K, h, w]`; None where the network has none."""
        with torch.inference_mode():
            found = self.forward(torch.tensor(image[None])).heatmaps
        return None if found is None else np.asarray(found[0].float().cpu().numpy(), dtype=np.float32)

    def _on_device(self, values: Floats) -> Tensor:
        return torch.from_numpy(values.astype(np.float32)).to(self.device)

    def _head_kind(self, outputs: ModelOutputs) -> UncertaintyKind | None:
        """What the head emits, None where σ is not taken from it: a broken head then harms nobody."""
        if self.spec.uncertainty.source in (UncertaintySource.HEATMAP, UncertaintySource.NONE):
            return None
        return self.spec.uncertainty.kind or outputs.uncertainty_kind

    def forward(self, images: Tensor) -> ModelOutputs:
        outputs = self._outputs(images)
        if outputs is None and len(images) == 1:
            raise ModelOutputError(
                f"one image does not fit into the memory of {self.device}; use another --device or "
                "--precision bf16"
            )
        if outputs is None:
            half = len(images) // 2
            return joined(self.forward(images[:half]), self.forward(images[half:]))
        expected = self.spec.skeleton.keypoints
        if outputs.grid != self.heatmap_size or outputs.keypoints != expected:
            grids = [
                "no heatmaps" if grid is None else f"[{b}, {k}, {grid.height}, {grid.width}]"
                for b, k, grid in (
                    (len(images), outputs.keypoints, outputs.grid),
                    ("B", expected, self.heatmap_size),
                )
            ]
            raise ModelOutputError(
                f"the network returned heatmaps {grids[0]} where it had returned {grids[1]}"
                if outputs.grid and self.heatmap_size
                else f"the network returned {outputs.keypoints} keypoints, {grids[0]}, where it had returned "
                f"{expected}, {grids[1]}"
            )
        return outputs

    def _outputs(self, images: Tensor) -> ModelOutputs | None:
        """The network's outputs, None where they do not fit into memory."""
        try:
            with forward_mode(self.device, self.precision):
                return self.predict(images.to(self.device, non_blocking=True))
        except MahtdiagError:
            raise
        except (Exception, SystemExit) as error:  # whatever the user's network raises on this batch
            if not _out_of_memory(error):
                ends = isinstance(error, SystemExit)
                advice = "if it takes a single image only, use --batch-size 1"
                raise ModelOutputError(
                    f"the network failed on a batch {list(images.shape)}: {_reason(error)}; "
                    f"{'a network returns its outputs and does not exit' if ends else advice}"
                ) from error
        # Not inside the handler: the error holds the failed pass, and with it the memory that is needed now.
        return None


def _out_of_memory(error: BaseException) -> bool:
    return isinstance(error, torch.OutOfMemoryError) or "DefaultCPUAllocator" in str(error)


def _reason(error: BaseException) -> str:
    """The first line of an error, with the next where it announces that; TorchScript has a trace before."""
    if isinstance(error, SystemExit):
        return f"it ended the process ({str(error) or 'exit'})"
    text = str(error)
    behind = _BEHIND_A_TRACE.search(text) if _OF_TORCHSCRIPT in text else None
    lines = [line.strip() for line in text[behind.start() if behind else 0 :].splitlines() if line.strip()]
    first = " ".join(lines[: 2 if lines and lines[0].endswith(":") else 1]) or type(error).__name__
    return first if len(first) <= LONGEST_REASON else f"{first[:LONGEST_REASON]}…"


def probe(predict: Predictor, spec_channels: int, size: Size, device: torch.device) -> ModelOutputs:
    """Outputs for one black image: tells the number of keypoints and the size of the heatmaps.

    Raises ModelOutputError, in one line, if the network cannot be run on such an input.
    """
    try:
        with torch.inference_mode():
            return predict(torch.zeros(1, spec_channels, size.height, size.width, device=device))
    except ModelOutputError:
        raise
    except (Exception, SystemExit) as error:  # whatever the user's network raises on this input
        advice = "check --input-size and --channels"
        if isinstance(error, SystemExit):
            advice = "a network returns its outputs and does not exit"
        if isinstance(error, TypeError) and "required positional argument" in str(error):
            advice = "it is given the image alone: name a function with --model whose network needs no more"
        raise ModelOutputError(
            f"the network cannot run on an input [1, {spec_channels}, {size.height}, {size.width}]: "
            f"{_reason(error)}; {advice}"
        ) from error


def _centres(samples: tuple[Sample, ...], frames: tuple[FrameMap, ...]) -> Floats:
    return np.stack(
        [frame.original_to_heatmap(s.keypoints_px) for s, frame in zip(samples, frames, strict=True)]
    )


def joined(first: ModelOutputs, second: ModelOutputs) -> ModelOutputs:
    """The outputs of two parts of a batch as those of the whole."""

    def cat(a: Tensor | None, b: Tensor | None) -> Tensor | None:
        return None if a is None or b is None else torch.cat([a, b])

    return replace(
        first,
        heatmaps=cat(first.heatmaps, second.heatmaps),
        coords=cat(first.coords, second.coords),
        uncertainty=cat(first.uncertainty, second.uncertainty),
        scores=cat(first.scores, second.scores),
    )
