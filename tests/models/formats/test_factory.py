"""A user's function that builds a network: every way in which it can be wrong."""

import hashlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

from mahtdiag.errors import CheckpointError, UsageError
from mahtdiag.models.factories import build_from_factory
from mahtdiag.models.loading import load_model
from tests.models.networks import problems_of, write_torchscript

CODE = """
import pathlib
import torch
from torch import nn
def build(): return nn.Conv2d(1, 20, 1)
def broken(): raise ZeroDivisionError("first line\\nsecond line")
def silent(): raise KeyError
def leaving(): raise SystemExit(0)
def nothing(): return None
def a_class(): return nn.Conv2d
def needs(width, depth): return nn.Conv2d(1, width, 1)
def own(path, factor=1.0):
    network = nn.Conv2d(1, 20, 1)
    network.load_state_dict({n: factor * w for n, w in torch.load(path, weights_only=True).items()})
    return network
def last(factor, path): return own(path, float(factor))
def beyond(): raise BaseException("beyond")
def generating(): raise GeneratorExit
def text(path):
    network = nn.Conv2d(1, 20, 1)
    nn.init.constant_(network.weight, float(pathlib.Path(path).read_text()))
    return network
def sized(width=20, *, bias=True): return nn.Conv2d(1, width, 1, bias=bias)
class Net(nn.Conv2d):
    def __init__(self, channels): super().__init__(channels, 20, 1)
def ending():
    import os
    os._exit(0)
def forking():
    import os
    os.fork()
    return nn.Conv2d(1, 20, 1)
def moving():
    import os
    os.chdir("/")
    return nn.Conv2d(1, 20, 1)
def endless(): raise RuntimeError("x" * 20000)
number = 3
"""

WRAPPER = """
import torch, warnings
def load(path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.jit.load(path)
"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A working folder with a module, a package and modules that cannot be imported; forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "own_networks.py").write_text(CODE)
    (tmp_path / "own_package").mkdir()
    (tmp_path / "own_package" / "__init__.py").write_text("")
    (tmp_path / "own_package" / "unet.py").write_text(CODE)
    (tmp_path / "own_typo.py").write_text("def build(:\n")
    (tmp_path / "own_script.py").write_text("import sys\nsys.exit(0)\n")
    (tmp_path / "own_lack.py").write_text("import a_library_that_is_not_there\n")
    yield
    for name in [name for name in sys.modules if name.startswith("own_")]:
        del sys.modules[name]


@pytest.mark.parametrize("name", ["own_networks:build", "own_package.unet:build"])
def test_the_current_folder_is_importable(name: str) -> None:
    assert isinstance(build_from_factory(name), nn.Conv2d)


def test_weights_reach_the_network(tmp_path: Path) -> None:
    network = nn.Conv2d(1, 20, 1)
    torch.save({"state_dict": network.state_dict()}, tmp_path / "a.pt")
    loaded = load_model(tmp_path / "a.pt", factory="own_networks:build", trust=True)
    assert torch.equal(loaded.network.state_dict()["weight"], network.weight)


def test_without_trust_nothing_is_imported(tmp_path: Path) -> None:
    torch.save(nn.Conv2d(1, 20, 1).state_dict(), tmp_path / "a.pt")
    (problem,) = problems_of(lambda: load_model(tmp_path / "a.pt", factory="own_networks:build"), UsageError)
    assert problem == "--model own_networks:build runs code of yours: add --trust if you trust it"
    assert "own_networks" not in sys.modules


@pytest.mark.parametrize("name", ["", ":", "own_networks", "own_networks:", ":build", "own_networks.build"])
def test_malformed_names(name: str) -> None:
    (problem,) = problems_of(lambda: build_from_factory(name), UsageError)
    assert problem.startswith(f"--model {name}: expected PACKAGE.MODULE:FACTORY")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("own_missing:build", "ModuleNotFoundError: No module named 'own_missing'"),
        ("own_package.missing:build", "ModuleNotFoundError: No module named 'own_package.missing'"),
        ("own_networks.py:build", "ModuleNotFoundError"),
        (".own_networks:build", "TypeError"),
        ("own_lack:build", "ModuleNotFoundError: No module named 'a_library_that_is_not_there'"),
        ("own_typo:build", "SyntaxError"),
        ("own_script:build", "SystemExit: 0"),
        ("own_networks:missing", "AttributeError: module 'own_networks' has no attribute 'missing'"),
        ("own_networks:build:twice", "AttributeError"),
        ("own_networks:broken", "ZeroDivisionError: first line"),
        ("own_networks:silent", "KeyError"),
        ("own_networks:beyond", "BaseException: beyond"),
        ("own_networks:generating", "GeneratorExit"),
        ("own_networks:leaving", "SystemExit: 0"),
        ("own_networks:number", "TypeError: 'int' object is not callable"),
        ("own_networks:needs", "TypeError: needs() missing 2 required positional arguments: 'width' and"),
        ("own_networks:needs", "; say --model-args width=VALUE depth=VALUE"),
        ("own_networks:nothing", "returned a NoneType, expected a torch.nn.Module"),
        ("own_networks:leaving", "a factory returns its network and does not exit"),
        ("own_networks:ending", "os._exit(0) was called; a factory returns its network and does not exit"),
        ("own_networks:forking", "started a copy of the process (os.fork); build the network without other"),
        ("own_networks:endless", "RuntimeError: xxx"),
        ("own_networks:a_class", "returned a type, expected a torch.nn.Module"),
    ],
)
def test_factories_that_fail(name: str, said: str) -> None:
    (problem,) = problems_of(lambda: build_from_factory(name), CheckpointError)
    assert problem.startswith(f"--model {name}: ")
    assert said in problem
    assert len(problem) < 600


def saved(path: Path) -> nn.Conv2d:
    network = nn.Conv2d(1, 20, 1)
    torch.save(network.state_dict(), path)
    return network


def test_a_factory_that_needs_one_argument_reads_the_file_itself(tmp_path: Path) -> None:
    network, path = saved(tmp_path / "a.pt"), tmp_path / "a.pt"
    loaded = load_model(path, factory="own_networks:own", args={"factor": 2.0}, trust=True)
    assert torch.equal(loaded.network.state_dict()["weight"], 2 * network.weight)
    assert loaded.read_by_factory
    assert loaded.format.name == "state-dict"
    assert loaded.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert loaded.notes == (f"{path}: read by --model own_networks:own, which was given its path",)
    assert not load_model(path, factory="own_networks:build", trust=True).read_by_factory
    loaded = load_model(path, factory="own_networks:last", args={"factor": 3}, trust=True)
    assert torch.equal(loaded.network.state_dict()["weight"], 3 * network.weight)
    (problem,) = problems_of(
        lambda: load_model(path, factory="own_networks:own", weights="ema", trust=True), UsageError
    )
    assert "--weights ema: --model own_networks:own reads the file itself" in problem


def test_it_may_read_a_file_that_nobody_knows(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("2.5")
    loaded = load_model(tmp_path / "a.txt", factory="own_networks:text", trust=True)
    assert loaded.format.name == "factory"
    assert bool((loaded.network.state_dict()["weight"] == 2.5).all())


def test_it_may_read_a_program(tmp_path: Path) -> None:
    write_torchscript(tmp_path / "a.pt")
    (tmp_path / "own_wrapper.py").write_text(WRAPPER)
    loaded = load_model(tmp_path / "a.pt", factory="own_wrapper:load", trust=True)
    assert loaded.format.name == "torchscript"
    (problem,) = problems_of(
        lambda: load_model(tmp_path / "a.pt", factory="own_networks:build", trust=True), UsageError
    )
    assert "leave out --model, or let its function take the path" in problem


def test_another_argument_is_told_from_the_path(tmp_path: Path) -> None:
    saved(tmp_path / "a.pt")
    (problem,) = problems_of(
        lambda: load_model(tmp_path / "a.pt", factory="own_networks:Net", trust=True), CheckpointError
    )
    assert "its one required parameter, channels, was the checkpoint's path" in problem
    assert "--model-args channels=VALUE" in problem
    loaded = load_model(tmp_path / "a.pt", factory="own_networks:Net", args={"channels": 1}, trust=True)
    assert not loaded.read_by_factory


def test_keywords_reach_the_factory() -> None:
    network = build_from_factory("own_networks:sized", {"width": 22, "bias": False})
    assert isinstance(network, nn.Conv2d)
    assert (network.out_channels, network.bias) == (22, None)
    (problem,) = problems_of(lambda: build_from_factory("own_networks:sized", {"wide": 3}), CheckpointError)
    assert "unexpected keyword argument 'wide'" in problem


def test_keywords_without_a_factory(tmp_path: Path) -> None:
    saved(tmp_path / "a.pt")
    (problem,) = problems_of(lambda: load_model(tmp_path / "a.pt", args={"width": 3}, trust=True), UsageError)
    assert problem.startswith("--model-args are for the function that --model names")


def test_the_working_folder_comes_back(tmp_path: Path) -> None:
    saved(tmp_path / "a.pt")
    loaded = load_model(tmp_path / "a.pt", factory="own_networks:moving", trust=True)
    assert Path.cwd() == tmp_path
    assert loaded.notes == (
        "--model own_networks:moving: changed the working folder to /; it was changed back",
    )
