"""Batches through a network on its device: forward pass, analysis, their seconds."""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mahtdiag.engine.analysis import Later, analyse, kernels_fault
from mahtdiag.engine.devices import DeviceClock, forward_mode
from mahtdiag.engine.loader import LoadedBatch
from mahtdiag.errors import DeviceError, MahtdiagError, ModelOutputError
from mahtdiag.losses.heatmap import PUBLISHED_WEIGHT, FocalWeight
from mahtdiag.schema.choices import Precision, UncertaintyFrame, UncertaintyKind, UncertaintySource
from mahtdiag.schema.frames import FrameMap, NetworkFrames, Size
from mahtdiag.schema.model_spec import ModelSpec
from mahtdiag.schema.preprocessing import Flip
from mahtdiag.schema.records import (
    BatchReading,
    Floats,
    ModelOutputs,
    PeakPlaces,
    Predictor,
    Sample,
)

LONGEST_REASON = 300
_OF_TORCHSCRIPT = "Traceback of TorchScript"
# What its trace holds is indented, or begins with the path of a file.
_BEHIND_A_TRACE = re.compile(r"^[A-Za-z_][\w.]*: ", re.MULTILINE)
# Of the allocator of processors, MPS, ONNX Runtime and the libraries of CUDA.
_NO_MEMORY = re.compile(r"DefaultCPUAllocator|out of memory|CUBLAS_STATUS_ALLOC_FAILED", re.IGNORECASE)


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
class Launched:
    """A batch whose numbers may still be on their way: `reading` waits for them, then `seconds` are known."""

    reading: Later
    seconds: Callable[[], BatchSeconds]


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
        """One result per batch, in order; a batch without a readable image passes through.

        On CUDA a batch is launched before the numbers of the one before are waited for, so that the device
        has work while the host judges; what is wrong with a batch is raised after the one before it.
        """
        before: Callable[[], InferredBatch] | None = None
        for batch in batches:
            try:
                launched = self._launched(batch)
            except MahtdiagError:
                if before is not None:
                    yield before()
                raise
            if self.device.type != "cuda":
                yield launched()
                continue
            if before is not None:
                yield before()
            before = launched
        if before is not None:
            yield before()

    def _launched(self, batch: LoadedBatch) -> Callable[[], InferredBatch]:
        """The pass over a batch, begun; what it gives once it is waited for."""
        if batch.tensor is None:
            seconds = BatchSeconds(decode=batch.decode_seconds)
            return lambda: InferredBatch(batch, None, (), seconds)
        frames = tuple(self.frame_map(image.original) for image in batch.images)
        cell_px = np.stack([f.original_per_cell for f in frames]) if self.expected_error else None
        pending = self._fitted(batch.index, batch.tensor, _centres(batch.samples, frames), cell_px)

        def result() -> InferredBatch:
            reading = self._from_original(self._waited(pending.reading), frames)
            return InferredBatch(
                batch, reading, frames, replace(pending.seconds(), decode=batch.decode_seconds)
            )

        return result

    def _fitted(self, index: int, images: Tensor, centres: Floats, cell_px: Floats | None) -> Launched:
        """What `launch` gives, by halves where what is read of the outputs does not fit into memory."""
        try:
            return self.launch(index, images, centres, cell_px)
        except RuntimeError as error:
            if not _out_of_memory(error) or len(images) == 1:
                raise self._failed(error) from error
        half = len(images) // 2
        parts = [
            self._fitted(index, images[part], centres[part], None if cell_px is None else cell_px[part])
            for part in (slice(half), slice(half, None))
        ]
        return Launched(
            lambda: joined_readings([part.reading() for part in parts]),
            lambda: sum((part.seconds() for part in parts), BatchSeconds()),
        )

    def _waited(self, later: Later) -> BatchReading:
        try:
            return later()
        except RuntimeError as error:
            raise self._failed(error) from error

    def _failed(self, error: RuntimeError) -> DeviceError:
        return DeviceError(
            f"{self.device} failed: {_reason(error)}; what was evaluated is kept: go on with --resume"
        )

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
    def notes(self) -> list[str]:
        """What is unusual about how heatmaps are read here, a line each."""
        if self.heatmap_size is None:
            return []
        fault = kernels_fault(self.heatmap_size, self.spec.decoding, self.device)
        return [] if fault is None else [f"heatmaps are read by PyTorch, which takes longer: {fault}"]

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
        """What `launch` gives, at once."""
        launched = self.launch(index, images, centres, cell_px)
        return launched.reading(), launched.seconds()

    def launch(self, index: int, images: Tensor, centres: Floats, cell_px: Floats | None = None) -> Launched:
        """One forward pass and what it leaves; `index` numbers the batch, for whoever needs a seed.

        `centres` and `cell_px` as `analyse` takes them; without `cell_px` no radial error is expected.
        """
        clock = DeviceClock(self.device)
        clock.mark()
        outputs = self.forward(images)
        clock.mark()
        with torch.inference_mode():
            later = analyse(
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
        clock.mark()
        return Launched(later, partial(_spent, clock))

    def fitting(self, most: int) -> int:
        """How many images fit into the memory of the device at once, found by doubling up to `most`."""
        shown, count = self.spec.input, 1
        while count < most:
            images = torch.zeros(2 * count, shown.channels, shown.size.height, shown.size.width)
            try:
                fits = self._outputs(images) is not None
            except ModelOutputError:  # such as of a network that takes no batches: told once it is run
                break
            if not fits:
                break
            count *= 2
        return count

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


def _spent(clock: DeviceClock) -> BatchSeconds:
    forward, analyse = clock.seconds()
    return BatchSeconds(forward=forward, analyse=analyse)


def _out_of_memory(error: BaseException) -> bool:
    return isinstance(error, torch.OutOfMemoryError) or bool(_NO_MEMORY.search(str(error)))


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


def joined_readings(parts: Sequence[BatchReading]) -> BatchReading:
    """The readings of parts of a batch as that of the whole."""

    def cat(values: Sequence[object]) -> object:
        arrays = [value for value in values if isinstance(value, np.ndarray)]
        return np.concatenate(arrays) if arrays else values[0]

    def whole(of: Sequence[BatchReading] | Sequence[PeakPlaces]) -> dict[str, Any]:
        return {each.name: cat([getattr(part, each.name) for part in of]) for each in fields(of[0])}

    peaks = [part.peaks for part in parts if part.peaks is not None]
    found = whole(parts) | {"peaks": PeakPlaces(**whole(peaks)) if peaks else None}
    return BatchReading(**found)
