"""Checkpoints with objects beside the weights: the same weights as by the usual reader, nothing imported."""

import argparse
import collections
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from mahtdiag.errors import UsageError
from mahtdiag.models.foreign import read_foreign
from mahtdiag.models.loading import load_model
from mahtdiag.models.pickled import PickleError
from tests.models.networks import Plain, plain, problems_of

Write = Callable[[Path, object], None]


class Config(dict[str, object]):
    """A mapping of a framework's own."""


class Trainer:
    """An object with a state, and the network in it."""

    def __init__(self, network: nn.Module) -> None:
        self.network = network
        self.epoch = 3


def network() -> nn.Module:
    """Parameters, buffers, a shared weight, a buffer that is not saved, and another memory layout."""
    torch.manual_seed(0)
    last = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    last[1].weight = last[0].weight
    found = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), last)
    found[1].register_buffer("unsaved", torch.zeros(3), persistent=False)
    turned = found[0].get_parameter("weight")
    turned.data = turned.data.contiguous(memory_format=torch.channels_last)
    return found.eval()


def _zip(path: Path, content: object) -> None:
    torch.save(content, path)


def _legacy(path: Path, content: object) -> None:
    torch.save(content, path, _use_new_zipfile_serialization=False)


def _bare(protocol: int) -> Write:
    def write(path: Path, content: object) -> None:
        path.write_bytes(pickle.dumps(content, protocol))

    return write


WRITERS = {"zip": _zip, "legacy": _legacy, **{f"pickle {n}": _bare(n) for n in range(6)}}


def assert_same(found: Any, expected: dict[str, Tensor]) -> None:
    """Names, values, types, shapes and memory layout."""
    assert list(found) == list(expected)
    for name, tensor in expected.items():
        assert torch.equal(found[name], tensor), name
        assert (found[name].dtype, found[name].stride()) == (tensor.dtype, tensor.stride()), name


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
def test_weights_are_those_of_the_usual_reader(tmp_path: Path, write: Write) -> None:
    net, path = network(), tmp_path / "a.pt"
    adam = torch.optim.Adam(net.parameters())
    extra = {
        "half": torch.ones(3).half()[1:],
        "brain": torch.ones(2, dtype=torch.bfloat16),
        "truth": torch.tensor([True, False]),
        "scalar": torch.tensor(3.0),
        "empty": torch.empty(0, 5),
        "expanded": torch.ones(1).expand(4, 4),
        "turned": torch.arange(6.0).reshape(2, 3).T,
        "parameter": nn.Parameter(torch.ones(2)).detach(),
    }
    content = {
        "state_dict": net.state_dict(),
        "hyper_parameters": argparse.Namespace(lr=0.1, path=Path("/x/y"), config=Config(a=1)),
        "trainer": Trainer(net),
        "score": np.float64(3.5),
        "array": np.arange(6.0).reshape(2, 3),
        "by_column": np.asfortranarray(np.arange(6, dtype=np.int32).reshape(2, 3)),
        "counts": collections.defaultdict(list, {1: [2]}),
        "set": {1},
        "bytes": b"abc\xff",
        "optimizer": adam.state_dict(),
        **extra,
    }
    write(path, content)
    found = read_foreign(path)
    assert_same(found.content["state_dict"], net.state_dict())
    assert_same({name: found.content[name] for name in extra}, extra)
    assert_same(found.content["trainer"]["network"], net.state_dict())
    assert found.content["trainer"]["epoch"] == 3
    assert found.content["score"] == 3.5
    assert found.content["hyper_parameters"]["config"] == {"a": 1}
    assert found.content["hyper_parameters"]["lr"] == 0.1
    assert torch.equal(found.content["array"], torch.arange(6.0, dtype=torch.float64).reshape(2, 3))
    assert torch.equal(found.content["by_column"], torch.arange(6, dtype=torch.int32).reshape(2, 3))
    assert (found.content["counts"], found.content["set"]) == ({1: [2]}, [1])
    assert found.content["bytes"] == b"abc\xff"
    assert {"argparse.Namespace", f"{Config.__module__}.Config"} <= set(found.classes)
    write(path, net)
    assert_same(read_foreign(path).content, net.state_dict())


@pytest.mark.parametrize("write", [_zip, _legacy], ids=["zip", "legacy"])
def test_a_whole_network_gives_its_weights_to_the_one_that_is_built(
    tmp_path: Path, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    net, path = plain(), tmp_path / "a.pt"
    monkeypatch.setattr("mahtdiag.models.factories.build_from_factory", lambda *_, **__: Plain())
    write(path, {"model": nn.DataParallel(net), "args": argparse.Namespace(lr=1)})
    loaded = load_model(path, factory="nets:build", trust=True)
    for name, value in net.state_dict().items():
        assert torch.equal(loaded.network.state_dict()[name], value)
    assert loaded.weights == "model.module"
    assert loaded.notes[0].startswith(f"{path}: read as data, without running it: objects of ")
    assert "argparse.Namespace" in loaded.notes[0]
    (problem,) = problems_of(lambda: load_model(path), UsageError)
    assert "name the function that builds its network" in problem


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
def test_damage_anywhere_is_told_or_harmless(tmp_path: Path, write: Write) -> None:
    path, rng = tmp_path / "a.pt", np.random.default_rng(0)
    write(path, {"model": plain().state_dict(), "args": argparse.Namespace(lr=1), "path": Path("a")})
    whole, told = path.read_bytes(), 0
    for _ in range(150):
        place = int(rng.integers(len(whole)))
        path.write_bytes(whole[:place] + rng.bytes(3) + whole[place + 3 :])
        try:
            read_foreign(path)
        except PickleError:
            told += 1
    assert told
