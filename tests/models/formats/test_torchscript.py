"""TorchScript archives: only with trust, and damage is told."""

from pathlib import Path

import pytest
import torch

from mahtdiag.errors import CheckpointError, UsageError
from mahtdiag.models.loading import load_model
from tests.models.networks import problems_of, write_torchscript


def test_with_trust_it_gives_what_the_network_gives(tmp_path: Path) -> None:
    network = write_torchscript(tmp_path / "net.pt")
    loaded = load_model(tmp_path / "net.pt", trust=True)
    assert loaded.format.name == "torchscript"
    assert loaded.spec is None
    assert not loaded.network.training
    images = torch.rand(3, 1, 8, 6)
    with torch.inference_mode():
        torch.testing.assert_close(loaded.predict(images).heatmaps, network(images))


def test_without_trust_it_is_not_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_torchscript(tmp_path / "net.pt")
    opened: list[object] = []
    monkeypatch.setattr(torch.jit, "load", lambda *a, **k: opened.append(a))
    (problem,) = problems_of(lambda: load_model(tmp_path / "net.pt"), UsageError)
    expected = "a TorchScript archive runs code of its own: add --trust if you trust it"
    assert problem == f"{tmp_path / 'net.pt'}: {expected}"
    assert opened == []


def test_a_factory_makes_no_sense(tmp_path: Path) -> None:
    write_torchscript(tmp_path / "net.pt")
    (problem,) = problems_of(
        lambda: load_model(tmp_path / "net.pt", factory="nets:build", trust=True), UsageError
    )
    assert "carries its own network: leave out --model" in problem


def test_damage_anywhere_is_told_or_harmless(tmp_path: Path) -> None:
    """Sixty-four bytes turned over, at forty places in turn."""
    write_torchscript(tmp_path / "net.pt")
    whole = (tmp_path / "net.pt").read_bytes()
    path = tmp_path / "damaged.pt"
    lines = []
    for start in range(0, len(whole), len(whole) // 40):
        turned = bytes(byte ^ 0xFF for byte in whole[start : start + 64])
        path.write_bytes(whole[:start] + turned + whole[start + 64 :])
        try:
            load_model(path, trust=True)
        except CheckpointError as error:
            lines += list(error.problems)
    assert sum("damaged" in line for line in lines) > 3
    assert all(line.startswith(f"{path}: ") and "\n" not in line for line in lines)
    assert max(map(len, lines)) < len(str(path)) + 300


def test_an_archive_of_a_newer_torch_is_told_from_a_damaged_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object, **__: object) -> None:
        raise RuntimeError("\nUnknown builtin op: aten::_new_op.\nCould not find any similar ops\n:\n  File")

    path = tmp_path / "new.pt"
    write_torchscript(path)
    monkeypatch.setattr(torch.jit, "load", refused)
    (problem,) = problems_of(lambda: load_model(path, trust=True), CheckpointError)
    assert "needs another version of torch than" in problem
    assert "(Unknown builtin op: aten::_new_op)" in problem
