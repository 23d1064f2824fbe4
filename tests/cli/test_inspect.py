"""`inspect`: what a checkpoint is, without running it, and the command that it ends with works."""

import argparse
import json
import shlex
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tests.models.networks import Plain, plain, write_torchscript

from .builders import ROOT
from .command import Desk, document_of

SAMPLE = ROOT / "sample_data" / "mahtnet-ap.pt"


def told(desk: Desk, *arguments: str, status: int = 0) -> dict[str, Any]:
    done = desk.run("inspect", *arguments, "--format", "json")
    assert done.status == status, done.err
    content: dict[str, Any] = json.loads(done.text)
    return content


def test_a_checkpoint_that_describes_itself(desk: Desk) -> None:
    found = told(desk, str(SAMPLE))
    assert (found["format"], found["needs_trust"], found["missing"]) == ("mahtdiag", False, {})
    assert found["described"]["--input-size"] == "256x192"
    assert [(part["key"], part["tensors"]) for part in found["facts"]["sets"]] == [("state_dict", 231)]
    assert {fact["path"]: fact["read_as"] for fact in found["tree"]} == {
        "heatmaps": "heatmaps",
        "log_sigma": "σ",
    }
    assert found["command"] == f"mahtdiag evaluate {SAMPLE} DATA"
    text = desk.run("inspect", str(SAMPLE)).text
    for said in ("1,130,064", "backbone (126)", "[1, 20, 64, 48]", "no, no code of it runs"):
        assert said in text


def test_sets_classes_and_hyper_parameters(desk: Desk) -> None:
    a, b = plain(1).state_dict(), plain(2).state_dict()
    training = {
        "model": {f"module.{name}": value for name, value in a.items()},
        "ema": b,
        "best": dict(a),
        "hyper_parameters": argparse.Namespace(width=32, out=Path("runs")),
        "losses": [0.1] * 100,
        "shadow_params": [*a.values()],
        "optimizer": {"state": {0: {}, 1: {}}, "param_groups": []},
    }
    torch.save(training, desk.path / "t.pt")
    found = told(desk, "t.pt")
    sets = {part["key"]: part for part in found["facts"]["sets"]}
    assert sets["model"]["fronts"][0] == "module. (all)"
    assert sets["ema"]["differs_from"] == "model"
    assert sets["best"]["same_as"] == "model"
    assert "argparse.Namespace" in found["facts"]["classes"]
    metadata = found["facts"]["metadata"]
    assert metadata["hyper_parameters.width"] == "32"
    assert metadata["losses"] == "[0.1, 0.1, 0.1, 0.1, 0.1, 0.1, …]"
    assert metadata["optimizer"] == "an optimiser's state of 2 entries"
    assert metadata["shadow_params"] == "a list of 3 tensors without names (220 numbers)"
    assert [*found["missing"]] == [
        "--trust", "--model", "--weights", "--input-size", "--channels", "--normalize", "--heatmap-sigma",
    ]  # fmt: skip
    assert "sets that differ: model, ema" in found["missing"]["--weights"]


def test_sets_in_one_mapping_are_told_apart(desk: Desk) -> None:
    network = nn.Sequential(*(nn.Conv2d(1, 1, 1) for _ in range(5)))
    state = network.state_dict()
    content = {
        f"{front}.{name}": value + n
        for n, front in enumerate(("net", "ema"))
        for name, value in state.items()
    }
    torch.save({"state_dict": content}, desk.path / "t.ckpt")
    sets = told(desk, "t.ckpt")["facts"]["sets"]
    assert [(part["key"], part["differs_from"]) for part in sets] == [
        ("state_dict.net", None), ("state_dict.ema", "state_dict.net"),
    ]  # fmt: skip


def test_nothing_runs_without_trust(desk: Desk) -> None:
    write_torchscript(desk.path / "t.pt")
    (desk.path / "own.py").write_text("raise SystemExit('ran')")
    found = told(desk, "t.pt", "--input-size", "64x64", "--channels", "1")
    assert found["tree"] == []
    assert "--trust" in found["missing"]
    assert found["facts"]["sets"][0]["tensors"] == 3
    assert found["facts"]["classes"] == ["tests.models.networks.Plain"]
    found = told(desk, "lookup-ap.pt", "--model", "own:build", "--input-size", "64x64", "--channels", "1")
    assert found["tree"] == []


def test_the_command_that_it_prints_evaluates(desk: Desk) -> None:
    options = (
        "--model", "nets:exact", "--trust", "--input-size", "64x64", "--channels", "1", "--normalize", "unit",
        "--heatmap-sigma", "1.5",
    )  # fmt: skip
    found = told(desk, "lookup-ap.pt", *options)
    assert found["missing"] == {}
    assert [fact["path"] for fact in found["tree"]] == ["heatmaps", "coords", "log_sigma"]
    words = shlex.split(found["command"].replace("DATA", "data"))
    done = desk.run(*words[1:], "--out", "run", "--overlays", "none")
    assert done.status == 0, done.err
    assert document_of(desk.path / "run")["checkpoint"]["sha256"] == found["sha256"]


def test_an_image_in_the_place_of_black(desk: Desk) -> None:
    image = next(path for path in sorted((desk.path / "data").rglob("*.png")))
    black = told(desk, str(SAMPLE))
    seen = told(desk, str(SAMPLE), "--image", str(image))
    assert (black["given"]["low"], black["given"]["high"]) == (0.0, 0.0)
    assert seen["given"]["high"] > 0.0
    assert seen["tree"] != black["tree"]
    done = desk.run("inspect", str(SAMPLE), "--image", "gone.png")
    assert done.status == 2
    assert "gone.png" in done.err + done.text


def test_what_cannot_be_run_is_told_after_the_file(desk: Desk) -> None:
    found = told(
        desk,
        "lookup-ap.pt",
        "--model",
        "nets:fails",
        "--trust",
        "--input-size",
        "64x64",
        "--channels",
        "1",
        status=2,
    )
    assert found["problems"] == ["--model nets:fails: ValueError: no such thing"]
    assert found["facts"]["sets"]
    text = desk.run("inspect", "lookup-ap.pt", "--model", "nets:nothing", "--trust", "--input-size", "64x64",
                    "--channels", "1")  # fmt: skip
    assert text.status == 2
    assert "cannot be run: " in text.text


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "the checkpoint is empty"),
        (b"hello", "not a PyTorch checkpoint, or damaged or truncated"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer"),
    ],
)
def test_files_that_are_none(desk: Desk, content: bytes, said: str) -> None:
    (desk.path / "a.pt").write_bytes(content)
    done = desk.run("inspect", "a.pt")
    (problem,) = done.errors
    assert done.status == 2
    assert said in problem
    assert desk.run("inspect", "gone.pt").errors == ["error: gone.pt: no such checkpoint"]
    assert desk.run("inspect", "a.pt,b.pt").status == 2


def test_names_that_harm_no_terminal(desk: Desk) -> None:
    state = {f"a\x1b[31m\n{name}": value for name, value in Plain().state_dict().items()}
    torch.save({"state\n\x1b[0m": state, "note\r": "x\x1b[2J" * 500}, desk.path / "a.pt")
    text = desk.run("inspect", "a.pt").text
    assert "\x1b" not in text
    assert len(text) < 6000
