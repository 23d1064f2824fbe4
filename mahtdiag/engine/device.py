"""Where a network runs and in which precision."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from mahtdiag.errors import DeviceError
from mahtdiag.schema.choices import Precision

DTYPES = {Precision.FP32: torch.float32, Precision.BF16: torch.bfloat16, Precision.FP16: torch.float16}


def resolve_device(name: str) -> torch.device:
    """`auto` takes CUDA, then MPS, then the CPU; DeviceError tells what there is if a named one is not."""
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    there = name == "cpu" or (name == "mps" and torch.backends.mps.is_available())
    if cuda := re.fullmatch(r"cuda(?::([0-9]{1,4}))?", name):
        there = torch.cuda.is_available() and int(cuda[1] or 0) < torch.cuda.device_count()
    if not there:
        raise DeviceError(f"--device {name}: not available here; available: {', '.join(available_devices())}")
    return torch.device(name)


def available_devices() -> list[str]:
    """Names that `--device` takes on this machine."""
    cuda = (
        [f"cuda:{index}" for index in range(torch.cuda.device_count())] if torch.cuda.is_available() else []
    )
    mps = ["mps"] if torch.backends.mps.is_available() else []
    return ["auto", "cpu", *cuda, *mps]


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
