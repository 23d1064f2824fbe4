"""Devices by name, how a network runs on them, and what they spend between moments."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from mahtdiag.errors import DeviceError
from mahtdiag.schema.choices import Precision

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
    """Inference without gradients, under autocast unless the precision is fp32, which is then no less."""
    with torch.inference_mode():
        if precision is not Precision.FP32:
            with torch.autocast(device.type, DTYPES[precision]):
                yield
        elif device.type == "cuda":
            with _whole_float32():
                yield
        else:
            yield


@contextmanager
def _whole_float32() -> Iterator[None]:
    """Without TF32, to which CUDA shortens the numbers of a convolution unless it is told not to."""
    convolutions, matrices = torch.backends.cudnn, torch.backends.cuda.matmul
    before = convolutions.allow_tf32, matrices.allow_tf32
    convolutions.allow_tf32 = matrices.allow_tf32 = False
    try:
        yield
    finally:
        convolutions.allow_tf32, matrices.allow_tf32 = before


def new_event(*, timing: bool = False) -> torch.cuda.Event:
    """A moment of CUDA."""
    return torch.cuda.Event(enable_timing=timing)  # type: ignore[no-untyped-call]


def pinned(shape: Sequence[int], dtype: torch.dtype) -> Tensor | None:
    """Memory of the host that the system does not move, so that CUDA copies from and to it by itself.

    None where there is none left, or no CUDA.
    """
    try:
        return torch.empty(tuple(shape), dtype=dtype, pin_memory=True)
    except RuntimeError:
        return None


class DeviceClock:
    """Seconds between marks: by CUDA's own events where they are, else by the host's clock.

    On MPS a mark waits for the device, which has no events that can be told apart.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._events: list[torch.cuda.Event] = []
        self._times: list[float] = []

    def mark(self) -> None:
        """A moment."""
        if self._device.type == "cuda":
            event = new_event(timing=True)
            event.record(torch.cuda.current_stream(self._device))
            self._events.append(event)
            return
        if self._device.type == "mps":
            torch.mps.synchronize()
        self._times.append(time.perf_counter())

    def seconds(self) -> list[float]:
        """Between one mark and the next; waits for the last of them."""
        if self._events:
            self._events[-1].synchronize()
            pairs = zip(self._events, self._events[1:], strict=False)
            return [before.elapsed_time(after) / 1000 for before, after in pairs]
        return [after - before for before, after in zip(self._times, self._times[1:], strict=False)]
