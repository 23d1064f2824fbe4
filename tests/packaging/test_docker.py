"""The Dockerfiles copy what is there, install what is stated and run as nobody special."""

import json
import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from tests.packaging.oldest import ROOT, extras

FILES = ("cpu", "cuda")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
INDEXES = {"cpu": "https://download.pytorch.org/whl/cpu", "cuda": "https://pypi.org/simple"}


def instructions(name: str) -> list[tuple[str, str]]:
    """Instruction and what it is told, comments left out, continued lines put together."""
    text = (ROOT / "docker" / f"{name}.Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line.strip() for line in text.splitlines()]
    parted = [line.partition(" ") for line in lines if line and not line.startswith("#")]
    return [(word, rest) for word, _, rest in parted]


def told(name: str, instruction: str) -> list[str]:
    """What each instruction of a kind is told."""
    return [rest for word, rest in instructions(name) if word == instruction]


def arguments(name: str) -> dict[str, str]:
    """Build arguments with their defaults."""
    return dict(rest.split("=", 1) for rest in told(name, "ARG"))


@pytest.mark.parametrize("name", FILES)
def test_what_is_copied_is_there_and_let_through(name: str) -> None:
    copied = {source for rest in told(name, "COPY") for source in rest.split()[:-1]}
    assert {source for source in copied if not (ROOT / source).exists()} == set()
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    patterns = [line for line in ignored if line and not line.startswith("#")]
    assert patterns == ["*", *(f"!{source}" for source in sorted(copied)), "**/__pycache__"]
    # All that the wheel is built from is among them.
    build = {"pyproject.toml", PROJECT["readme"], *PROJECT["license-files"], "mahtdiag"}
    assert build < copied


@pytest.mark.parametrize("name", FILES)
def test_the_python_is_one_that_is_supported(name: str) -> None:
    base = re.fullmatch(r"python:(3\.\d+)-slim-bookworm", arguments(name)["BASE"])
    assert base is not None
    assert told(name, "FROM") == ["${BASE}"]
    assert Requirement(f"python{PROJECT['requires-python']}").specifier.contains(base[1])


@pytest.mark.parametrize("name", FILES)
def test_what_is_installed_is_what_the_tests_saw(name: str) -> None:
    installed = [rest for rest in told(name, "RUN") if "pip install" in rest]
    assert all("-c /src/constraints.txt" in rest for rest in installed)
    assert set(arguments(name)["EXTRAS"].split(",")) <= set(extras())
    assert arguments(name)["TORCH_INDEX"] == INDEXES[name]
    urls = re.findall(r"https?://\S+", (ROOT / "docker" / f"{name}.Dockerfile").read_text(encoding="utf-8"))
    assert urls == [INDEXES[name]]


def test_the_versions_that_the_tests_saw_are_within_those_that_are_stated() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = dict(line.split("==") for line in lines if line and not line.startswith("#"))
    versions = {name.lower().replace("_", "-"): Version(version) for name, version in pinned.items()}
    optional = PROJECT["optional-dependencies"]
    stated = [*PROJECT["dependencies"], *(each for name in extras() for each in optional[name])]
    outside = [
        requirement
        for requirement in map(Requirement, stated)
        if versions[requirement.name.lower()] not in requirement.specifier
    ]
    assert outside == []


@pytest.mark.parametrize("name", FILES)
def test_it_runs_as_nobody_special(name: str) -> None:
    words = [word for word, _ in instructions(name)]
    assert told(name, "USER") == ["1000:1000"]
    assert "RUN" not in words[words.index("USER") :]
    environment = dict(pair.split("=", 1) for rest in told(name, "ENV") for pair in rest.split())
    writable = next(rest for rest in told(name, "RUN") if "mkdir -m 1777" in rest).split()
    assert environment["HOME"] in writable
    assert Path(environment["MPLCONFIGDIR"]).is_relative_to(environment["HOME"])
    assert told(name, "WORKDIR") == ["/work"]
    assert {"/work", *json.loads(told(name, "VOLUME")[0])} < set(writable)
    assert [json.loads(rest) for rest in told(name, "ENTRYPOINT") + told(name, "CMD")] == [
        ["mahtdiag"],
        ["--help"],
    ]


def test_the_two_differ_in_torch_and_the_gpu_alone() -> None:
    cpu, cuda = instructions("cpu"), instructions("cuda")
    assert [one for one in cpu if one not in cuda] == [("ARG", f"TORCH_INDEX={INDEXES['cpu']}")]
    assert [one for one in cuda if one not in cpu] == [
        ("ARG", f"TORCH_INDEX={INDEXES['cuda']}"),
        ("ENV", "NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility"),
    ]
