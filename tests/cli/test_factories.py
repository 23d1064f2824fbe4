"""`--model` and `--model-args` by the command: what a factory does reaches no standard output."""

import json

import pytest

from .builders import INPUT_OPTIONS
from .command import Desk, document_of, finish, start

OWN = """
import ctypes, os, subprocess, sys
import torch
from torch import nn
import nets

def build(shift=0.0, names=()):
    return nets.Lookup(lambda o, _: {**o, "coords": o["coords"] + shift})

def reads(path, shift=0.0):
    network = build(shift)
    network.load_state_dict(torch.load(path, weights_only=True))
    return network

def loud():
    print("from Python")
    os.write(1, b"to the descriptor\\n")
    ctypes.CDLL(None).puts(b"from C")
    subprocess.run(["echo", "from a process"])
    return build()

def ends():
    def change(outputs, numbers):
        if numbers.max() > 0:
            os._exit(0)
        return outputs
    return nets.Lookup(change)

def forks():
    os.fork()
    return build()

def forks_later():
    def change(outputs, numbers):
        if numbers.max() > 0 and not os.path.exists("forked"):
            open("forked", "w").close()
            os.fork()
        return outputs
    return nets.Lookup(change)

def moves():
    def change(outputs, numbers):
        os.chdir("/")
        return outputs
    os.chdir("/")
    return nets.Lookup(change)

class Two(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = build()
    def forward(self, images, mask):
        return self.inner(images)

def two():
    return Two()

def shut(when=0):
    def close(*streams):
        for number in 1, 2:
            os.close(number)
        for stream in streams:
            stream.close()
    def change(outputs, numbers):
        if when:
            close(sys.stdout, sys.stderr, sys.__stdout__)
        return outputs
    if not when:
        close(sys.__stdout__, sys.__stderr__)
    return nets.Lookup(change)

def away():
    sys.stdout = sys.stderr = open("kept.txt", "w")
    return build()

def raw():
    sys.stderr.detach()
    raise ValueError("said")

def meta():
    torch.set_default_device("meta")
    return build()

class Double(nn.Module):
    def __init__(self):
        super().__init__()
        torch.set_default_dtype(torch.float64)
        self.inner = build()
        self.weight = torch.nn.Parameter(torch.eye(64), requires_grad=True)
    def forward(self, images):
        found = self.inner(images)
        with torch.inference_mode(False), torch.enable_grad():
            maps = found["heatmaps"].clone().double()
            return {"heatmaps": maps @ self.weight.clone() @ torch.eye(64), "log_sigma": found["log_sigma"]}

def double(path):
    network = Double()
    network.inner.load_state_dict(torch.load(path, weights_only=True))
    return network
"""


@pytest.fixture(autouse=True)
def own(desk: Desk) -> None:
    (desk.path / "own.py").write_text(OWN)


def command(factory: str, *more: str) -> tuple[str, ...]:
    return (
        "evaluate", "lookup-ap.pt", "data", "--model", f"own:{factory}", "--trust", *INPUT_OPTIONS,
        "--overlays", "none", *more,
    )  # fmt: skip


def test_standard_output_holds_the_result_alone(desk: Desk) -> None:
    done = finish(start(desk.path, *command("loud", "--format", "json", "--out", "run")))
    assert done.status == 0, done.err
    assert json.loads(done.out) == document_of(desk.path / "run")
    for text in ("from Python", "to the descriptor", "from C", "from a process"):
        assert text in done.err


def test_keywords_are_kept_compared_and_resumed_by(desk: Desk) -> None:
    for name, shift in (("a", 0.0), ("b", 3.0)):
        done = desk.run(*command("build", "--model-args", f"shift={shift}", "--out", name))
        assert done.status == 0, done.err
    a, b = (document_of(desk.path / name) for name in "ab")
    assert (a["settings"]["args"], b["settings"]["args"]) == (["shift=0.0"], ["shift=3.0"])
    assert b["metrics"]["radial_error_px"]["mean"] > a["metrics"]["radial_error_px"]["mean"]
    compared = desk.run("compare", "a", "b")
    assert "args ['shift=0.0'] → ['shift=3.0']" in " ".join((compared.text + compared.err).split())
    again = desk.run(*command("build", "--model-args", "shift=1.0", "--out", "b", "--resume"))
    assert again.status == 2
    assert any("args" in line for line in again.errors)
    assert desk.run("init", "b").status == 0
    assert 'args = ["shift=3.0"]' in (desk.path / "mahtdiag.toml").read_text(encoding="utf-8")


def test_a_table_of_the_file_says_them_too(desk: Desk) -> None:
    (desk.path / "mahtdiag.toml").write_text("[model.args]\nshift = 3.0\n")
    assert desk.run(*command("build", "--out", "a")).status == 0
    assert document_of(desk.path / "a")["settings"]["args"] == ["shift=3.0"]
    (desk.path / "mahtdiag.toml").write_text("[model]\nargs = 3\n")
    assert desk.run(*command("build", "--out", "b")).errors == [
        "error: mahtdiag.toml: model.args = 3: expected KEY=VALUE, such as width=32, or a table"
    ]
    assert desk.run(*command("build", "--model-args", "shift", "--config", "nets.toml")).status == 2


def test_a_factory_may_read_the_file(desk: Desk) -> None:
    assert desk.run(*command("build", "--out", "a")).status == 0
    done = desk.run(*command("reads", "--out", "b"))
    assert done.status == 0, done.err
    a, b = (document_of(desk.path / name) for name in "ab")
    assert a["metrics"] == b["metrics"]
    assert a["checkpoint"] == b["checkpoint"]
    assert b["settings"]["read_by_factory"] is True
    assert "lookup-ap.pt: read by --model own:reads, which was given its path" in b["notes"]


@pytest.mark.parametrize(
    ("factory", "said"),
    [
        ("forks", "--model own:forks: started a copy of the process (os.fork); build the network without"),
        ("ends", "os._exit(0) was called"),
        ("two", "forward() missing 1 required positional argument: 'mask'; it is given the image alone"),
    ],
)
def test_what_cannot_be_run_is_one_line(desk: Desk, factory: str, said: str) -> None:
    done = finish(start(desk.path, *command(factory, "--out", "run")))
    (problem,) = done.errors
    assert done.status == 2
    assert not done.out
    assert said in problem


def test_a_copy_of_the_process_writes_nothing(desk: Desk) -> None:
    done = finish(start(desk.path, *command("forks_later", "--format", "json", "--out", "run")))
    assert done.status == 0, done.err
    assert json.loads(done.out) == document_of(desk.path / "run")


def test_the_working_folder_comes_back(desk: Desk) -> None:
    done = finish(start(desk.path, *command("moves", "--out", "run")))
    assert done.status == 0, done.err
    notes = document_of(desk.path / "run")["notes"]
    assert "--model own:moves: changed the working folder to /; it was changed back" in notes


@pytest.mark.parametrize("arguments", [("shut",), ("shut", "--model-args", "when=1"), ("away",)])
def test_streams_that_are_closed_or_replaced_come_back(desk: Desk, arguments: tuple[str, ...]) -> None:
    done = finish(start(desk.path, *command(*arguments, "--format", "json", "--out", "run")))
    assert (done.status, done.errors) == (0, []), done.err
    assert json.loads(done.out) == document_of(desk.path / "run")
    assert "evaluating: 6/6" in done.err


def test_an_error_is_told_on_a_stream_that_was_detached(desk: Desk) -> None:
    done = finish(start(desk.path, *command("raw")))
    assert (done.status, done.errors) == (2, ["error: --model own:raw: ValueError: said"])


def test_weights_without_values_are_refused(desk: Desk) -> None:
    (problem,) = finish(start(desk.path, *command("meta"))).lasting
    assert problem.startswith(
        "error: --model own:meta: its weights lie on the device meta, where they have no"
    )


def test_what_torch_makes_by_default_is_a_matter_of_the_network_alone(desk: Desk) -> None:
    """Its own type stays its own, and outputs that carry gradients are told of by nobody."""
    done = finish(start(desk.path, *command("double", "--format", "json", "--out", "a")))
    assert (done.status, done.errors) == (0, []), done.err
    assert desk.run(*command("build", "--uncertainty-as", "log_sigma", "--out", "b")).status == 0
    a, b = (document_of(desk.path / name)["metrics"] for name in "ab")
    assert a["radial_error_px"]["mean"] == pytest.approx(b["radial_error_px"]["mean"], abs=0.2)


def test_keywords_go_with_networks_alone(desk: Desk) -> None:
    done = desk.run("evaluate", "--predictions", "p.csv", "data", "--model-args", "a=1")
    assert done.errors == ["error: --predictions with --model-args: no network is run; leave it out"]
