"""Where Triton's kernels cannot run, PyTorch reads the heatmaps, and the run says why."""

import sys
from dataclasses import replace
from types import ModuleType, SimpleNamespace
from typing import Any, NoReturn

import pytest
import torch

from mahtdiag.engine import analysis
from mahtdiag.engine.analysis import kernels_fault
from mahtdiag.losses.heatmap import PUBLISHED_WEIGHT
from mahtdiag.schema.frames import Size
from mahtdiag.schema.model_spec import Decoding

from .builders import network, runner

ON_CUDA: Any = SimpleNamespace(device=torch.device("cuda"))


@pytest.fixture(autouse=True)
def nothing_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(analysis, "_unusable", [])


def kernels(monkeypatch: pytest.MonkeyPatch, found: ModuleType | None) -> None:
    """This module, or none, as `heatmaps.fused`."""
    monkeypatch.setitem(sys.modules, "mahtdiag.heatmaps.fused", found)
    monkeypatch.delattr("mahtdiag.heatmaps.fused", raising=False)


def read() -> object:
    """What the kernels give for heatmaps on CUDA."""
    return analysis._by_kernels(ON_CUDA, ON_CUDA, Decoding(2.0), PUBLISHED_WEIGHT)


def test_without_triton(monkeypatch: pytest.MonkeyPatch) -> None:
    kernels(monkeypatch, None)
    assert read() is None
    assert analysis._unusable == ["Triton is not installed"]


def test_a_compiler_that_is_not_there_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def can_read(*_: object) -> NoReturn:
        asked.append(1)
        raise RuntimeError("Failed to find C compiler.\nPlease specify via CC")

    module = ModuleType("fused")
    module.can_read = can_read  # type: ignore[attr-defined]
    kernels(monkeypatch, module)
    assert (read(), read()) == (None, None)
    (told,) = analysis._unusable
    assert told == (
        "Triton cannot compile its kernels (RuntimeError: Failed to find C compiler. Please specify via CC)"
    )
    assert len(asked) == 1


def test_memory_that_runs_out_is_no_fault_of_the_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    def can_read(*_: object) -> NoReturn:
        raise torch.OutOfMemoryError("CUDA out of memory")

    module = ModuleType("fused")
    module.can_read = can_read  # type: ignore[attr-defined]
    kernels(monkeypatch, module)
    with pytest.raises(torch.OutOfMemoryError):
        read()
    assert analysis._unusable == []


def test_a_run_on_cuda_notes_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mahtdiag.engine.inference.kernels_fault", lambda *_: "Triton is not installed")
    there = replace(runner(network()), device=torch.device("cuda"))
    assert there.notes == ["heatmaps are read by PyTorch, which takes longer: Triton is not installed"]
    assert replace(there, heatmap_size=None).notes == []


def test_elsewhere_there_is_nothing_to_say() -> None:
    assert kernels_fault(Size(16, 8), Decoding(2.0), torch.device("cpu")) is None
    assert runner(network()).notes == []
