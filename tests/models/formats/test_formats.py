"""The formats, and in which order a file is shown to them."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from mahtdiag.errors import CheckpointError, UsageError
from mahtdiag.models import formats
from mahtdiag.models.checkpoint import Checkpoint, CheckpointFormat
from mahtdiag.models.formats import FORMATS, format_named, format_of
from mahtdiag.models.formats.of_factory import OF_FACTORY
from mahtdiag.models.loading import load_model
from mahtdiag.models.native import save_checkpoint
from tests.models.networks import (
    SPEC,
    mahtnet,
    plain,
    problems_of,
    write_exported,
    write_onnx,
    write_torchscript,
)


class Programs(CheckpointFormat):
    """Files that begin with a word, and are programs."""

    name = "programs"
    title = "program"
    carries_code = True
    is_whole = True

    def recognises(self, checkpoint: Checkpoint) -> bool:
        return checkpoint.path.read_bytes().startswith(b"program")

    def inspect(self, checkpoint: Checkpoint) -> None:
        """It tells nothing."""

    def load(self, checkpoint: Checkpoint) -> nn.Module:
        return plain()


def test_each_file_is_of_one_format(tmp_path: Path) -> None:
    write_torchscript(tmp_path / "torchscript")
    save_checkpoint(tmp_path / "mahtdiag", mahtnet(), SPEC)
    torch.save(plain().state_dict(), tmp_path / "state-dict")
    save_file(plain().state_dict(), tmp_path / "safetensors")
    save_checkpoint(tmp_path / "own.safetensors", mahtnet(), SPEC)
    (tmp_path / "own.safetensors").rename(tmp_path / "mahtdiag-safetensors")
    write_onnx(plain(), tmp_path / "onnx")
    write_exported(plain(), tmp_path / "torch-export")
    for known in [known for known in FORMATS if known is not OF_FACTORY]:
        assert format_of(Checkpoint(tmp_path / known.name)).name == known.name
        assert format_named(known.name) is known
    assert format_named("of tomorrow") is None
    # A function of the user takes the weights alone.
    assert format_of(Checkpoint(tmp_path / "mahtdiag", "nets:build")).name == "state-dict"


def test_what_runs_code_is_known_of_every_format() -> None:
    runs_code = {known.name: known.carries_code or known.needs_factory for known in FORMATS}
    assert runs_code == {
        "onnx": False,
        "torch-export": True,
        "torchscript": True,
        "mahtdiag": False,
        "mahtdiag-safetensors": False,
        "safetensors": True,
        "factory": True,
        "state-dict": True,
    }
    own = [known.name for known in FORMATS if known.describes_itself]
    assert own == ["mahtdiag-safetensors", "mahtdiag"]


def test_a_format_that_carries_code_is_opened_with_trust_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"program")
    problems_of(lambda: load_model(path, trust=True), CheckpointError)
    monkeypatch.setattr(formats, "FORMATS", (Programs(), *FORMATS))
    assert problems_of(lambda: load_model(path), UsageError) == (
        f"{path}: a program runs code of its own: add --trust if you trust it",
    )
    assert problems_of(lambda: load_model(path, factory="nets:build", trust=True), UsageError) == (
        f"{path}: a program carries its own network: leave out --model, or let its function take the path of "
        "the file",
    )
    assert load_model(path, trust=True).format.name == "programs"


def test_asking_a_format_what_it_is_needs_no_torch() -> None:
    code = (
        "import sys\n"
        "from mahtdiag.models.formats import format_named\n"
        "assert format_named('torchscript').carries_code\n"
        "print('torch' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
