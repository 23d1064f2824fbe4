"""Checkpoints that cannot be loaded, or must not be."""

import argparse
import pickle
import warnings
from contextlib import suppress
from pathlib import Path

import pytest
import torch

from mahtdiag.models.mahtnet import MahtNet, MahtNetConfig

from .builders import INPUT_OPTIONS
from .command import Desk, document_of

DAMAGED = "not a PyTorch checkpoint, or damaged or truncated"
NEEDS_FACTORY = (
    "a state dict without metadata; name the function that builds its network with --model "
    "PACKAGE.MODULE:FACTORY --trust"
)


class Bomb:
    """Creates a file as soon as it is unpickled by a loader that runs what it finds."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        """What the unpickler is told to call."""
        return Path.touch, (self.target,)


def script(path: Path) -> None:
    """A TorchScript archive of a network that returns 20 heatmaps."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        network = torch.nn.Conv2d(1, 20, 3, padding=1)
        torch.nn.init.constant_(network.weight, 0.1)
        traced = torch.jit.trace(network.eval(), torch.zeros(1, 1, 64, 64))  # type: ignore[no-untyped-call]
        traced.save(str(path))


def test_no_checkpoint(desk: Desk) -> None:
    desk.run("evaluate", "none.pt", "data").refused("none.pt: no such checkpoint")


def test_a_folder(desk: Desk) -> None:
    desk.run("evaluate", "data", "data").refused(
        "data: cannot be read (a folder, not a file); give a checkpoint file"
    )


def test_an_empty_file(desk: Desk) -> None:
    (desk.path / "empty.pt").touch()
    desk.run("evaluate", "empty.pt", "data").refused("empty.pt: the checkpoint is empty")


@pytest.mark.parametrize("share", [0.01, 0.5, 0.999])
def test_a_truncated_file(desk: Desk, share: float) -> None:
    content = (desk.path / "ap.pt").read_bytes()
    (desk.path / "cut.pt").write_bytes(content[: int(share * len(content))])
    result = desk.run("evaluate", "cut.pt", "data")
    assert (result.status, result.text) == (2, "")
    (line,) = result.err.splitlines()
    assert line.startswith(f"error: cut.pt: {DAMAGED}")


@pytest.mark.parametrize("content", [b"hello\n" * 100, b"\x89PNG\r\n\x1a\n" + bytes(200), b"\x80\x02}q\x00."])
def test_something_else(desk: Desk, content: bytes) -> None:
    (desk.path / "other.pt").write_bytes(content)
    result = desk.run("evaluate", "other.pt", "data")
    assert (result.status, result.text, len(result.err.splitlines())) == (2, "", 1)
    assert result.err.startswith("error: other.pt: ")


@pytest.mark.parametrize("trust", [(), ("--trust",)])
@pytest.mark.parametrize("kind", ["bare pickle", "torch.save", "among the weights"])
def test_a_pickle_that_would_run_code_does_not(desk: Desk, kind: str, trust: tuple[str, ...]) -> None:
    bomb, path = Bomb(desk.path / "exploded"), desk.path / "bomb.pt"
    if kind == "bare pickle":
        path.write_bytes(pickle.dumps(bomb))
    elif kind == "torch.save":
        torch.save(bomb, path)
    else:
        torch.save({"state_dict": {"points": torch.zeros(2), "more": bomb}}, path)
    # Protocol 2, which torch writes, looks the method up by a call.
    what = "pathlib.Path.touch" if kind == "bare pickle" else "object"
    reason = NEEDS_FACTORY if kind == "among the weights" else f"holds <{what}>, not a state dict"
    desk.run("evaluate", "bomb.pt", "data", *trust).refused(f"bomb.pt: {reason}")
    assert not (desk.path / "exploded").exists()
    with suppress(RuntimeError):
        torch.load(path, weights_only=False)
    assert (desk.path / "exploded").exists(), "the bomb of this test is a dud"


def test_a_whole_network(desk: Desk) -> None:
    torch.save(torch.nn.Conv2d(1, 20, 1), desk.path / "whole.pt")
    desk.run("evaluate", "whole.pt", "data", "--trust").refused(f"whole.pt: {NEEDS_FACTORY}")


def test_objects_beside_the_weights_are_read_as_data(desk: Desk) -> None:
    weights = torch.load(desk.path / "lookup-ap.pt", weights_only=True)
    args = argparse.Namespace(lr=0.1, data=Path("/data"))
    torch.save({"state_dict": weights, "hyper_parameters": args}, desk.path / "lookup-ap.pt")
    assert desk.lookup("exact").status == 0
    document = document_of(desk.path / "run")
    assert document["metrics"]["radial_error_px"]["max"] == pytest.approx(2.5 * 6 + 0.02 * 19, abs=1e-3)
    assert document["settings"]["weights"] == "state_dict"
    assert document["notes"] == [
        "lookup-ap.pt: read as data, without running it: objects of argparse.Namespace, pathlib.PosixPath"
    ]


def test_the_state_of_an_optimiser(desk: Desk) -> None:
    optimiser = torch.optim.Adam(torch.nn.Linear(2, 2).parameters())
    torch.save(optimiser.state_dict(), desk.path / "adam.pt")
    desk.run("evaluate", "adam.pt", "data").refused(
        "adam.pt: an optimiser's state, not a network's; give the model checkpoint"
    )


def test_another_number_of_keypoints(desk: Desk) -> None:
    desk.lookup("seven").refused(
        "the network returns 7 heatmaps; an AP network has 20 (L1–L5), an LA network 22 (L1–L5 and S1); "
        "where its maps are [B,h,w,K]: --output layout=nhwc"
    )


def test_metadata_of_another_view_than_the_weights(desk: Desk) -> None:
    content = torch.load(desk.path / "ap.pt", weights_only=True)
    content["state_dict"] = MahtNet(
        MahtNetConfig("LA", 1, width=8, encoder_layers=1, attention_layers=1, heads=4)
    ).state_dict()
    torch.save(content, desk.path / "mixed.pt")
    result = desk.run("evaluate", "mixed.pt", "data")
    assert (result.status, result.text) == (2, "")
    assert all(line.startswith("error: mixed.pt: ") for line in result.err.splitlines())
    assert "wrongly shaped weights: " in result.err


def test_metadata_of_nonsense(desk: Desk) -> None:
    content = torch.load(desk.path / "ap.pt", weights_only=True)
    content["mahtdiag"] |= {"view": "PA", "heatmap_sigma": -1.0}
    torch.save(content, desk.path / "odd.pt")
    result = desk.run("evaluate", "odd.pt", "data")
    assert (result.status, result.text) == (2, "")
    lines = result.err.splitlines()
    assert [line.split(":")[:3] for line in lines] == [
        ["error", " odd.pt", " metadata field view"],
        ["error", " odd.pt", " metadata field heatmap_sigma"],
    ]


def test_a_bare_state_dict_without_its_factory(desk: Desk) -> None:
    desk.run("evaluate", "lookup-ap.pt", "data").refused(
        "lookup-ap.pt: a state dict without metadata; name the function that builds its network with --model "
        "PACKAGE.MODULE:FACTORY --trust"
    )


def test_a_factory_without_trust_is_not_even_imported(desk: Desk) -> None:
    (desk.path / "loud.py").write_text("raise SystemExit('imported')")
    desk.run("evaluate", "lookup-ap.pt", "data", "--model", "loud:make").refused(
        "--model loud:make runs code of yours: add --trust if you trust it"
    )


@pytest.mark.parametrize(
    ("factory", "problem"),
    [
        ("nets", "expected PACKAGE.MODULE:FACTORY, for example nets.unet:build"),
        ("nowhere:make", "ModuleNotFoundError: No module named 'nowhere'"),
        ("nets:nothing_there", "AttributeError: module 'nets' has no attribute 'nothing_there'"),
        ("nets:fails", "ValueError: no such thing"),
        ("nets:no_network", "returned a str, expected a torch.nn.Module"),
        ("syntax:make", "SyntaxError: "),
        ("leaves:make", "SystemExit: 0"),
    ],
)
def test_a_factory_that_fails(desk: Desk, factory: str, problem: str) -> None:
    (desk.path / "syntax.py").write_text("def (:")
    (desk.path / "leaves.py").write_text("import sys\nsys.exit(0)")
    result = desk.run("evaluate", "lookup-ap.pt", "data", "--model", factory, "--trust")
    assert (result.status, result.text, len(result.err.splitlines())) == (2, "", 1)
    assert result.err.startswith(f"error: --model {factory}: {problem}")


def test_weights_that_do_not_fit_the_factory(desk: Desk) -> None:
    desk.lookup("exact_la").refused(
        "lookup-ap.pt: wrongly shaped weights: points is [12, 20, 2], the network has [12, 22, 2], log_sigma "
        "is [12, 20, 2], the network has [12, 22, 2]"
    )


def test_options_that_a_checkpoint_does_not_say(desk: Desk) -> None:
    script(desk.path / "script.pt")
    desk.run("evaluate", "script.pt", "data", "--trust").refused(
        "the checkpoint does not describe its network; please give --input-size HxW, --channels 1|3, "
        "--normalize unit|imagenet|MEAN/STD, --heatmap-sigma PX (σ of the training heatmaps, in cells)"
    )
    some = ("--channels", "1", "--normalize", "unit")
    desk.run("evaluate", "script.pt", "data", "--trust", *some).refused(
        "the checkpoint does not describe its network; please give --input-size HxW, --heatmap-sigma PX "
        "(σ of the training heatmaps, in cells)"
    )


def test_torchscript_needs_trust(desk: Desk) -> None:
    script(desk.path / "script.pt")
    desk.run("evaluate", "script.pt", "data", *INPUT_OPTIONS).refused(
        "script.pt: a TorchScript archive runs code of its own: add --trust if you trust it"
    )


def test_torchscript_takes_no_factory(desk: Desk) -> None:
    script(desk.path / "script.pt")
    desk.run("evaluate", "script.pt", "data", "--trust", "--model", "nets:exact").refused(
        "script.pt: a TorchScript archive carries its own network: leave out --model, or let its function "
        "take the path of the file"
    )


def test_torchscript(desk: Desk) -> None:
    script(desk.path / "script.pt")
    result = desk.run(
        "evaluate", "script.pt", "data", "--trust", *INPUT_OPTIONS, "--out", "run", "--overlays", "none"
    )
    assert (result.status, result.errors) == (0, [])
    document = document_of(desk.path / "run")
    assert document["checkpoint"]["format"] == "torchscript"
    assert document["calibration"] is None


def test_an_input_that_the_network_cannot_take(desk: Desk) -> None:
    result = desk.run("evaluate", "ap.pt", "data", "--channels", "3")
    assert (result.status, result.text, len(result.err.splitlines())) == (2, "", 1)
    assert result.err.startswith("error: the network cannot run on an input [1, 3, 64, 64]: ")
    assert result.err.endswith("; check --input-size and --channels\n")


@pytest.mark.parametrize("wrapper", ["model_state_dict", "state_dict", "model", "net"])
def test_a_wrapped_state_dict(desk: Desk, wrapper: str) -> None:
    weights = torch.load(desk.path / "lookup-ap.pt", weights_only=True)
    prefixed = {f"module.{name}": value for name, value in weights.items()}
    torch.save({wrapper: prefixed, "epoch": 3}, desk.path / "lookup-ap.pt")
    assert desk.lookup("exact").status == 0
    assert document_of(desk.path / "run")["metrics"]["radial_error_px"]["max"] == pytest.approx(
        2.5 * 6 + 0.02 * 19, abs=1e-3
    )


def test_of_several_sets_that_differ_one_is_asked_for(desk: Desk) -> None:
    weights = torch.load(desk.path / "lookup-ap.pt", weights_only=True)
    other = {f"module.{name}": value + 1 for name, value in weights.items()}
    torch.save({"model": weights, "ema": {"updates": torch.tensor(9), **other}}, desk.path / "lookup-ap.pt")
    desk.lookup("exact").refused(
        "lookup-ap.pt: weight sets that differ: model (2 weights, 960 numbers), ema.module (2 weights, 960 "
        "numbers); choose one with --weights KEY"
    )
    assert desk.lookup("exact", "--weights", "model").status == 0
    document = document_of(desk.path / "run")
    assert document["settings"]["weights"] == "model"
    assert document["settings"]["given"][0] == "weights"
    assert document["notes"] == [
        "lookup-ap.pt: 3 tensors that the network has no place for: ema.updates, ema.module.points, "
        "ema.module.log_sigma"
    ]
    assert desk.run("init", "run").status == 0
    assert 'weights = "model"' in (desk.path / "mahtdiag.toml").read_text(encoding="utf-8")
    (desk.path / "mahtdiag.toml").unlink()
    desk.run("evaluate", "ap.pt", "data", "--weights", "ema").refused(
        "ap.pt: --weights ema: a mahtdiag checkpoint has one set of weights: leave it out"
    )
