"""safetensors: what is saved is what is loaded, alone or in shards, and hostile headers are one line each."""

import json
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from mahtdiag.errors import CheckpointError, MahtdiagError, UsageError
from mahtdiag.models.loading import LoadedModel, load_model
from mahtdiag.models.native import metadata_of, save_checkpoint
from tests.models.networks import SPEC, mahtnet, plain, problems_of

FACTORY = "tests.models.networks:Plain"
ENTRY = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


def written(path: Path, header: object, data: bytes = bytes(8), length: int | None = None) -> Path:
    """A file with this header, whatever it says."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text) if length is None else length) + text + data)
    return path


def with_factory(path: Path, weights: str | None = None) -> LoadedModel:
    return load_model(path, factory=FACTORY, trust=True, weights=weights)


def same(found: dict[str, Tensor], expected: dict[str, Tensor]) -> bool:
    return found.keys() == expected.keys() and all(torch.equal(found[name], expected[name]) for name in found)


def test_a_file_with_metadata_describes_itself(tmp_path: Path) -> None:
    network = mahtnet()
    for name in ("a.safetensors", "a.pt"):
        save_checkpoint(tmp_path / name, network, SPEC)
    loaded = load_model(tmp_path / "a.safetensors")
    assert loaded.format.name == "mahtdiag-safetensors"
    assert loaded.spec == SPEC == load_model(tmp_path / "a.pt").spec
    assert same(loaded.network.state_dict(), network.state_dict())
    # By what it is, not by what it is called.
    (tmp_path / "a.safetensors").rename(tmp_path / "a.bin")
    assert load_model(tmp_path / "a.bin").spec == SPEC


def test_weights_alone_need_a_factory(tmp_path: Path) -> None:
    path, network = tmp_path / "a.safetensors", plain()
    save_file({f"model.{name}": value for name, value in network.state_dict().items()}, path)
    (problem,) = problems_of(lambda: load_model(path), UsageError)
    assert problem.startswith(f"{path}: a safetensors file without metadata; name the function")
    loaded = with_factory(path)
    assert loaded.format.name == "safetensors"
    assert loaded.weights == "model"
    assert same(loaded.network.state_dict(), network.state_dict())


def test_of_several_sets_one_is_chosen(tmp_path: Path) -> None:
    path, networks = tmp_path / "a.safetensors", {"model": plain(1), "ema": plain(2)}
    sets = {f"{key}.{name}": v for key, net in networks.items() for name, v in net.state_dict().items()}
    save_file(sets, path)
    (problem,) = problems_of(lambda: with_factory(path), UsageError)
    assert "weight sets that differ" in problem
    assert same(with_factory(path, "ema").network.state_dict(), networks["ema"].state_dict())


def sharded(folder: Path, **more: str) -> tuple[Path, dict[str, Tensor]]:
    """The weights of `Plain` in a shard each, and their index; `more`: entries that there are beside."""
    state = plain().state_dict()
    listed = {name: f"model-{number}-of-{len(state)}.safetensors" for number, name in enumerate(state, 1)}
    for name, file in listed.items():
        save_file({name: state[name]}, folder / file)
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {"total_size": 8}, "weight_map": {**listed, **more}}))
    return index, state


def test_shards_are_read_by_their_index(tmp_path: Path) -> None:
    index, state = sharded(tmp_path)
    loaded = with_factory(index)
    assert loaded.format.name == "safetensors"
    assert same(loaded.network.state_dict(), state)
    # The digest covers what the shards hold.
    save_file({"scale": state["scale"] + 1}, tmp_path / "model-1-of-3.safetensors")
    assert with_factory(index).sha256 != loaded.sha256


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (
            {"x": "../other.safetensors"},
            "lists '../other.safetensors', expected .safetensors files beside it",
        ),
        ({"x": "/etc/passwd"}, "lists '/etc/passwd', expected"),
        ({"x": "..\\a.safetensors"}, "expected .safetensors files beside it"),
        ({"x": "pytorch_model.bin"}, "lists 'pytorch_model.bin', expected .safetensors files beside it"),
        ({"x": "x" * 300 + ".safetensors"}, f"lists {'x' * 79}…, which is not beside it"),
        ({"x": "gone.safetensors"}, "lists gone.safetensors, which is not beside it; copy all shards"),
        ({"x": "model-1-of-3.safetensors"}, "lists x, which its shard does not hold"),
    ],
)
def test_an_index_that_leads_elsewhere(tmp_path: Path, more: dict[str, str], said: str) -> None:
    index, _ = sharded(tmp_path, **more)
    (problem,) = problems_of(lambda: with_factory(index), CheckpointError)
    assert problem.startswith(f"{index}: ")
    assert said in problem


@pytest.mark.parametrize(
    "content",
    [b"{", b"[]", b"null", b'{"weight_map": {}}', b'{"weight_map": {"a": 3}}', b"[" * 10**5, b"\xff"],
)
def test_an_index_that_is_none(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.index.json"
    path.write_bytes(content)
    (problem,) = problems_of(lambda: with_factory(path), CheckpointError)
    assert problem.startswith(f"{path}: not an index of shards: ")


def _huge(path: Path) -> None:
    written(path, {"a": ENTRY}, length=2**60)


HOSTILE: dict[str, Callable[[Path], object]] = {
    "huge length": _huge,
    "length beyond the file": lambda p: written(p, {"a": ENTRY}, length=10_000),
    "empty header": lambda p: written(p, b""),
    "a few bytes": lambda p: p.write_bytes(b"abc"),
    "truncated": lambda p: written(p, {"a": ENTRY}, bytes(3)),
    "a gap": lambda p: written(p, {"a": ENTRY}, bytes(90)),
    "out of range": lambda p: written(p, {"a": {**ENTRY, "data_offsets": [0, 2**63]}}),
    "negative": lambda p: written(p, {"a": {**ENTRY, "data_offsets": [-8, 0]}}),
    "backwards": lambda p: written(p, {"a": {**ENTRY, "data_offsets": [8, 0]}}),
    "overlapping": lambda p: written(p, {"a": ENTRY, "b": ENTRY}),
    "wrong type": lambda p: written(p, {"a": {**ENTRY, "dtype": "X9"}}),
    "other shape": lambda p: written(p, {"a": {**ENTRY, "shape": [3]}}),
    "endless shape": lambda p: written(p, {"a": {**ENTRY, "shape": [2**40, 2**40]}}),
    "not UTF-8": lambda p: written(p, b'{"a\xff": 1}'),
    "not JSON": lambda p: written(p, b'{"a": '),
    "a list": lambda p: written(p, b"[1, 2]"),
    "deep": lambda p: written(p, b'{"a":' * 20_000),
    "metadata of numbers": lambda p: written(p, {"__metadata__": {"a": 3}, "a": ENTRY}),
    "lines in a name": lambda p: written(p, {"a\nb\x1b[31m": {**ENTRY, "shape": [3]}}),
}


@pytest.mark.parametrize("kind", HOSTILE)
@pytest.mark.parametrize("factory", [None, FACTORY])
def test_hostile_headers(tmp_path: Path, kind: str, factory: str | None) -> None:
    path = tmp_path / "a.safetensors"
    HOSTILE[kind](path)
    (problem,) = problems_of(lambda: load_model(path, factory=factory, trust=True), CheckpointError)
    assert problem.startswith(f"{path}: damaged or truncated safetensors file (")
    assert problem.isprintable()
    assert len(problem) < 400 + len(str(path))


@pytest.mark.parametrize(
    "block",
    ["", "{", "[" * 10**5, "null", "3", '{"format": 2}', json.dumps({f"k{n}": 1 for n in range(999)})],
)
def test_metadata_that_describe_nothing(tmp_path: Path, block: str) -> None:
    path = tmp_path / "a.safetensors"
    save_file(mahtnet().state_dict(), path, {"mahtdiag": block})
    problems = problems_of(lambda: load_model(path), CheckpointError)
    assert len(problems) <= 25
    assert all(problem.startswith(f"{path}: ") for problem in problems)


def test_metadata_of_another_network(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_file(plain().state_dict(), path, {"mahtdiag": metadata_of(mahtnet(), SPEC).model_dump_json()})
    problems = problems_of(lambda: load_model(path), CheckpointError)
    assert "missing weights" in problems[0]
    assert all(len(problem) < 700 for problem in problems)


def test_another_file_under_that_name_is_what_it_is(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    torch.save(plain().state_dict(), path)
    assert with_factory(path).format.name == "state-dict"
    path.write_bytes(b"")
    with pytest.raises(MahtdiagError, match="empty"):
        with_factory(path)
