"""Files that are damaged, are something else, or would run code: one clear line, and nothing is run."""

import ast
import hashlib
import io
import pickle
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import mahtdiag
from mahtdiag.errors import CheckpointError, MahtdiagError
from mahtdiag.models.checkpoint import Checkpoint
from mahtdiag.models.loading import load_model
from mahtdiag.models.native import save_checkpoint
from tests.models.networks import SPEC, mahtnet, plain, problems_of, write_torchscript


class Payload:
    """Unpickling it creates a file."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return Path.touch, (self.marker,)


def refused(path: Path) -> str:
    """The one line that every way of loading a file gives."""
    lines = set()
    for factory, trust in ((None, False), (None, True), ("nets:build", True)):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            lines |= set(
                problems_of(
                    lambda f=factory, t=trust: load_model(path, factory=f, trust=t),  # type: ignore[misc]
                    CheckpointError,
                )
            )
    (line,) = lines
    assert line.startswith(f"{path}: ")
    return line


def _zip(path: Path, content: object) -> None:
    torch.save(content, path)


def _legacy(path: Path, content: object) -> None:
    torch.save(content, path, _use_new_zipfile_serialization=False)


def _pickle(protocol: int) -> Callable[[Path, object], None]:
    def write(path: Path, content: object) -> None:
        path.write_bytes(pickle.dumps(content, protocol))

    return write


@pytest.mark.parametrize(
    "write", [_zip, _legacy, *(_pickle(protocol) for protocol in range(6))],
    ids=["zip", "legacy", *(f"pickle {protocol}" for protocol in range(6))],
)  # fmt: skip
@pytest.mark.parametrize(
    "wrap",
    [
        lambda payload: payload,
        lambda payload: {"state_dict": payload},
        lambda payload: {"mahtdiag": payload, "state_dict": {}},
        lambda payload: {"state_dict": plain().state_dict(), "args": payload},
    ],
    ids=["alone", "as state dict", "as metadata", "beside weights"],
)
def test_a_pickle_that_would_run_code_does_not(
    tmp_path: Path, write: Callable[[Path, object], None], wrap: Callable[[Payload], Any]
) -> None:
    marker, path = tmp_path / "ran", tmp_path / "a.pt"
    pickle.loads(pickle.dumps(wrap(Payload(marker))))
    assert marker.exists(), "the payload is harmless, so this test shows nothing"
    marker.unlink()
    write(path, wrap(Payload(marker)))
    for factory in (None, "nowhere:build"):
        with pytest.raises(MahtdiagError):
            load_model(path, factory=factory, trust=True)
    assert not marker.exists()


def test_code_in_a_torchscript_archive_needs_trust(tmp_path: Path) -> None:
    """A pickle in an archive that merely looks like TorchScript is not unpickled by Python either."""
    marker, path = tmp_path / "ran", tmp_path / "a.pt"
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("data.pkl", "constants.pkl", "code/__torch__.py"):
            archive.writestr(f"a/{name}", pickle.dumps(Payload(marker), 2))
    for trust in (False, True):
        with pytest.raises(mahtdiag.errors.MahtdiagError) as caught:
            load_model(path, trust=trust)
        assert str(path) in caught.value.problems[0]
    assert not marker.exists()


def _contents() -> dict[str, bytes]:
    rng = np.random.default_rng(0)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("holiday.txt", "sun")
    return {
        "random": rng.bytes(4000),
        "text": b"hello world\n" * 50,
        "nulls": bytes(2000),
        "one byte": b"\x80",
        "picture": b"\x89PNG\r\n\x1a\n" + rng.bytes(500),
        "other zip": buffer.getvalue(),
        "empty zip": b"PK\x05\x06" + bytes(18),
        "html": b"<!doctype html><html><body>404</body></html>",
    }


@pytest.mark.parametrize(("name", "content"), _contents().items(), ids=_contents().keys())
def test_other_files(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / f"{name}.pt"
    path.write_bytes(content)
    assert "not a PyTorch checkpoint, or damaged or truncated" in refused(path)


def test_a_git_lfs_pointer_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    path.write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 3\n")
    assert refused(path) == f"{path}: a Git LFS pointer, not the file itself; fetch it with git lfs pull"


@pytest.mark.parametrize("seed", range(12))
def test_random_bytes(tmp_path: Path, seed: int) -> None:
    (tmp_path / "a.pt").write_bytes(np.random.default_rng(seed).bytes(10 + 100 * seed))
    assert "not a PyTorch checkpoint, or damaged or truncated" in refused(tmp_path / "a.pt")


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5, 0.95, 0.999])
@pytest.mark.parametrize("kind", ["native", "bare", "legacy", "torchscript"])
def test_truncated(tmp_path: Path, kind: str, share: float) -> None:
    path = tmp_path / "a.pt"
    match kind:
        case "native":
            save_checkpoint(path, mahtnet(), SPEC)
        case "torchscript":
            write_torchscript(path)
        case _:
            write = _zip if kind == "bare" else _legacy
            write(path, plain().state_dict())
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    line = refused(path)
    assert "damaged or truncated" in line


@pytest.mark.parametrize("kind", ["native", "bare"])
def test_a_damaged_table_of_contents(tmp_path: Path, kind: str) -> None:
    """Every byte of the zip directory in turn: an error in words or, where it does not matter, a network."""
    path = tmp_path / "a.pt"
    if kind == "native":
        save_checkpoint(path, mahtnet(), SPEC)
    else:
        torch.save({"a": [1]}, path)
    whole = path.read_bytes()
    start = whole.rindex(b"PK\x01\x02")
    lines = []
    for place in range(start, len(whole), 7):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        try:
            load_model(path)
        except CheckpointError as error:
            lines += list(error.problems)
    assert lines
    assert all(line.startswith(f"{path}: ") and "\n" not in line for line in lines)


def test_empty_missing_and_a_folder(tmp_path: Path) -> None:
    (tmp_path / "a.pt").write_bytes(b"")
    assert refused(tmp_path / "a.pt") == f"{tmp_path / 'a.pt'}: the checkpoint is empty"
    assert refused(tmp_path / "b.pt") == f"{tmp_path / 'b.pt'}: no such checkpoint"
    assert refused(tmp_path).startswith(f"{tmp_path}: cannot be read (a folder, not a file)")
    (tmp_path / "file").write_bytes(b"1")
    assert "cannot be read" in refused(tmp_path / "file" / "a.pt")


def test_a_damaged_torch_export_archive_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.pt2"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a/archive_format", "pt2")
        archive.writestr("a/models/model.json", "{}")
    (problem,) = problems_of(lambda: load_model(path, trust=True), CheckpointError)
    assert problem.startswith(f"{path}: damaged torch.export archive")


@pytest.mark.parametrize("size", [1, 1 << 20, (1 << 20) + 1, 3_000_000])
def test_sha256_is_that_of_hashlib(tmp_path: Path, size: int) -> None:
    content = np.random.default_rng(size).bytes(size)
    (tmp_path / "a").write_bytes(content)
    assert Checkpoint(tmp_path / "a").sha256 == hashlib.sha256(content).hexdigest()


def test_sha256_of_a_loaded_checkpoint(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "a.pt", mahtnet(), SPEC)
    digest = hashlib.sha256((tmp_path / "a.pt").read_bytes()).hexdigest()
    assert load_model(tmp_path / "a.pt").sha256 == digest


def test_nothing_in_the_product_unpickles() -> None:
    """Every `torch.load` says `weights_only=True`; nobody loads pickles in another way."""
    loads = 0
    for path in Path(str(mahtdiag.__file__)).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            called = ast.unparse(node.func)
            given = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
            if called == "torch.load":
                loads += 1
                assert given.get("weights_only") == "True", path
            assert called not in ("pickle.load", "pickle.loads", "pickle.Unpickler", "eval", "exec"), path
            assert given.get("allow_pickle") != "True", path
    assert loads


@pytest.mark.parametrize("legacy", [True, False])
@pytest.mark.parametrize("end", [b"", b"\n"])
def test_a_name_without_an_end_is_not_searched_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: bytes, legacy: bool
) -> None:
    """torch looks for the name of a class in all that follows, for minutes."""
    path = tmp_path / "a.pt"
    torch.save({"w": torch.ones(3)}, path, _use_new_zipfile_serialization=not legacy)
    assert Checkpoint(path).content["w"].tolist() == [1, 1, 1]
    broken(path, lambda content: content[: content.index(b"ctorch._utils")] + b"c" + b"x" * 100_000 + end)
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("torch was asked"))
    (problem,) = problems_of(lambda: Checkpoint(path).content, CheckpointError)
    assert "damaged or truncated" in problem


@pytest.mark.parametrize("legacy", [True, False])
def test_weights_beside_an_endless_word_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, legacy: bool
) -> None:
    path = tmp_path / "a.pt"
    saved = {"w": torch.arange(3), "note": "x" * 100_000}
    torch.save(saved, path, _use_new_zipfile_serialization=not legacy)
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("torch was asked"))
    content = Checkpoint(path).content
    assert content["w"].tolist() == [0, 1, 2]
    assert content["note"] == saved["note"]


def broken(path: Path, change: Callable[[bytes], bytes]) -> None:
    """The file with its pickle changed, behind a right checksum in an archive."""
    if not zipfile.is_zipfile(path):
        path.write_bytes(change(path.read_bytes()))
        return
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, member in members.items():
            archive.writestr(name, change(member) if name.endswith("data.pkl") else member)
