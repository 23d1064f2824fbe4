"""A user's function that builds a network: every way in which it can be wrong."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

from mahtdiag.errors import CheckpointError, UsageError
from mahtdiag.models.factories import build_from_factory
from mahtdiag.models.loading import load_model
from tests.models.networks import problems_of

CODE = """
import torch
from torch import nn
def build(): return nn.Conv2d(1, 20, 1)
def broken(): raise ZeroDivisionError("first line\\nsecond line")
def silent(): raise KeyError
def leaving(): raise SystemExit(0)
def nothing(): return None
def a_class(): return nn.Conv2d
def needs(width): return nn.Conv2d(1, width, 1)
number = 3
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
        ("own_networks:leaving", "SystemExit: 0"),
        ("own_networks:number", "TypeError: 'int' object is not callable"),
        ("own_networks:needs", "TypeError: needs() missing 1 required positional argument: 'width'"),
        ("own_networks:nothing", "returned a NoneType, expected a torch.nn.Module"),
        ("own_networks:a_class", "returned a type, expected a torch.nn.Module"),
    ],
)
def test_factories_that_fail(name: str, said: str) -> None:
    (problem,) = problems_of(lambda: build_from_factory(name), CheckpointError)
    assert problem.startswith(f"--model {name}: ")
    assert said in problem
