"""Devices by name, and what is said when one is not there."""

import pytest
import torch

from mahtdiag.engine.devices import DTYPES, available_devices, describe_device, forward_mode, resolve_device
from mahtdiag.errors import DeviceError
from mahtdiag.schema.choices import Precision


def there(monkeypatch: pytest.MonkeyPatch, *, cuda: int = 0, mps: bool = False) -> None:
    """A machine with so many CUDA devices, with or without MPS."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: cuda)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: f"Test {device.index}")
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)


@pytest.mark.parametrize(
    ("cuda", "mps", "expected"), [(2, True, "cuda"), (1, False, "cuda"), (0, True, "mps"), (0, False, "cpu")]
)
def test_auto_takes_the_best(monkeypatch: pytest.MonkeyPatch, cuda: int, mps: bool, expected: str) -> None:
    there(monkeypatch, cuda=cuda, mps=mps)
    assert resolve_device("auto") == torch.device(expected)


@pytest.mark.parametrize("name", ["cpu", "cuda", "cuda:0", "cuda:1", "mps"])
def test_what_is_there_is_taken(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    there(monkeypatch, cuda=2, mps=True)
    assert resolve_device(name) == torch.device(name)


@pytest.mark.parametrize("cuda", [0, 2])
@pytest.mark.parametrize(
    "name",
    ["cuda:2", "cuda:99", "cuda:99999999999", "cuda:", "cuda:-1", "cuda:²", "cuda:1:0", "cpu:", "cpu:0",
     "mps:0", "mps", "", " cpu", "CPU", "gpu", "tpu", "meta", "xla", "0"],
)  # fmt: skip
def test_what_is_not_there_is_an_error(monkeypatch: pytest.MonkeyPatch, name: str, cuda: int) -> None:
    there(monkeypatch, cuda=cuda)
    with pytest.raises(DeviceError) as caught:
        resolve_device(name)
    available = "auto, cpu" + "".join(f", cuda:{index}" for index in range(cuda))
    assert caught.value.problems == (f"--device {name}: not available here; available: {available}",)


def test_cuda_is_an_error_where_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    there(monkeypatch, mps=True)
    with pytest.raises(DeviceError, match="--device cuda: not available here; available: auto, cpu, mps"):
        resolve_device("cuda")


def test_every_available_device_resolves(monkeypatch: pytest.MonkeyPatch) -> None:
    there(monkeypatch, cuda=3, mps=True)
    assert available_devices() == ["auto", "cpu", "cuda:0", "cuda:1", "cuda:2", "mps"]
    for name in available_devices():
        resolve_device(name)


def test_descriptions(monkeypatch: pytest.MonkeyPatch) -> None:
    there(monkeypatch, cuda=2)
    assert describe_device(torch.device("cpu")) == "cpu"
    assert describe_device(torch.device("cuda:1")) == "cuda:1 (Test 1)"


@pytest.mark.parametrize(
    ("precision", "expected"),
    [(Precision.FP32, torch.float32), (Precision.BF16, torch.bfloat16), (Precision.FP16, torch.float16)],
)
def test_forward_mode(precision: Precision, expected: torch.dtype) -> None:
    layer = torch.nn.Linear(4, 4)
    with forward_mode(torch.device("cpu"), precision):
        result = layer(torch.ones(1, 4))
    assert result.dtype is expected
    assert DTYPES[precision] is expected
    assert not result.requires_grad
    assert layer(torch.ones(1, 4)).dtype is torch.float32
