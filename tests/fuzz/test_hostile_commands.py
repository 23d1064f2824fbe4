"""Hostile checkpoints through `evaluate`, a few of them; `python -m fuzz.hostile_commands` takes them all."""

from dataclasses import replace
from pathlib import Path

import pytest

from fuzz.hostile_commands import Ended, faults_between, faults_of

FEW = (
    "archive that unpacks to 1 GB.pt",
    "shared mappings.pt",
    "tensors over one storage.pt",
    "native, image of 8192.pt",
    "header of 90 MB.safetensors",
    "weights in /etc/passwd.onnx",
)
GOOD = Ended(0, "mean radial error", 4.0, 500.0)
LINE = replace(GOOD, status=2, said="note: x\nerror: a.pt: refused: why; what to do\n")


@pytest.mark.slow
@pytest.mark.parametrize("name", FEW)
def test_evaluate_refuses_them_at_once(name: str, tmp_path: Path) -> None:
    assert [*faults_of(name, tmp_path, ["evaluate"])] == []


@pytest.mark.parametrize(
    ("ended", "said"),
    [
        (GOOD, []),
        (LINE, []),
        (replace(LINE, said="a table\ncannot be run: a.pt: why"), []),
        (replace(GOOD, status=1), ["exit status 1"]),
        (replace(GOOD, status=-9), ["exit status -9"]),
        (replace(LINE, said="Traceback (most recent call last):\nerror: x"), ["an inner error"]),
        (replace(LINE, said=""), ["not one short line"]),
        (replace(LINE, said="error: " + "x" * 5000), ["not one short line"]),
        (replace(GOOD, seconds=9.5), ["9.5 s, usual 4.0 s"]),
        (replace(GOOD, mb=1600.0), ["1600 MB, usual 500 MB"]),
    ],
)
def test_faults_are_found(ended: Ended, said: list[str]) -> None:
    found = [*faults_between(GOOD, ended, 10.0)]
    assert len(found) == len(said)
    assert all(fault.startswith(start) for fault, start in zip(found, said, strict=True))
