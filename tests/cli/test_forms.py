"""The same network in every form of file gives the same predictions, by the command."""

import argparse
import pickle
import shlex
import shutil
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from mahtdiag.models.loading import load_model
from mahtdiag.models.native import read_metadata, save_checkpoint

from .builders import ROOT
from .command import Desk, columns_of, document_of, typed_in_table

SAMPLE = ROOT / "sample_data" / "mahtnet-ap.pt"
IMAGES = 3
CLOSE_PX, HALF_PX = 1e-4, 1.0
INPUT = (1, 256, 192)
READING = (
    "--normalize", "unit", "--heatmap-sigma", "1.5", "--decode", "soft-argmax", "--softargmax-beta", "25",
)  # fmt: skip
OPTIONS = ("--input-size", "256x192", "--channels", "1", *READING)
SIGMA = ("--output", "log_sigma=[1]")
FACTORY = ("--model", "forms:build")
MODULE = '''
import torch
from mahtdiag.models.mahtnet import MahtNet, MahtNetConfig

def build(width=16):
    config = MahtNetConfig("AP", 1, width=width, blocks=2, encoder_layers=2, attention_layers=2, heads=4)
    return MahtNet(config)

def reads(path):
    network = build()
    network.load_state_dict(torch.load(path, weights_only=True))
    return network

class Wrapped(torch.nn.Module):
    """As training scripts wrap networks."""

    def __init__(self, network):
        super().__init__()
        self.net = network

    def forward(self, images):
        return self.net(images)
'''


class Pair(nn.Module):
    """Heatmaps and log σ as a tuple, for formats that know no names."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """`[B, 1, H, W]` to heatmaps and log σ."""
        found = self.network(images)
        return found["heatmaps"], found["log_sigma"]


Write = Callable[[nn.Module, Path], object]


@dataclass(frozen=True)
class Form:
    """A kind of file, the options that it needs, and how far predictions may be off."""

    name: str
    write: Write
    options: tuple[str, ...] = (*OPTIONS, *FACTORY)
    most_px: float = CLOSE_PX
    said: str = ""

    def __str__(self) -> str:
        return self.name


def saved(change: Callable[[dict[str, Tensor]], Any], *, legacy: bool = False) -> Write:
    """`torch.save` of what is made of the state dict."""

    def write(network: nn.Module, path: Path) -> None:
        torch.save(change(network.state_dict()), path, _use_new_zipfile_serialization=not legacy)

    return write


def under(prefix: str) -> Callable[[dict[str, Tensor]], dict[str, Tensor]]:
    return lambda state: {f"{prefix}{name}": value for name, value in state.items()}


def others(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Weights that are not these."""
    return {name: value * 1.5 if value.is_floating_point() else value for name, value in state.items()}


def _traced(batch: int, *, half: bool = False) -> Write:
    def write(network: nn.Module, path: Path) -> None:
        pair = Pair(network).eval()
        images = torch.zeros(batch, *INPUT)
        trace: Callable[..., torch.jit.ScriptModule] = torch.jit.trace
        script = trace(pair, images)
        (script.half() if half else script).save(str(path))

    return write


def _onnx(batch: int | None) -> Write:
    def write(network: nn.Module, path: Path) -> None:
        export: Callable[..., object] = torch.onnx.export
        names = ["heatmaps", "log_sigma"]
        axes = None if batch else {name: {0: "batch"} for name in ("images", *names)}
        export(
            Pair(network).eval(), (torch.zeros(batch or 2, *INPUT),), str(path), input_names=["images"],
            output_names=names, dynamic_axes=axes, dynamo=False,
        )  # fmt: skip

    return write


def _exported(network: nn.Module, path: Path) -> None:
    program = torch.export.export(Pair(network).eval(), (torch.zeros(2, *INPUT),))
    with path.open("wb") as file:
        torch.export.save(program, file)


def _described(network: nn.Module, path: Path) -> None:
    block = torch.load(SAMPLE, weights_only=True)["mahtdiag"]
    save_checkpoint(path, network, read_metadata(block, "sample").spec)  # type: ignore[arg-type]


def _whole(network: nn.Module, path: Path) -> None:
    torch.save({"epoch": 3, "model": network}, path)


FORMS = (
    Form("native.pt", _described, ()),
    Form("native.safetensors", _described, ()),
    Form("weights.safetensors", lambda n, p: save_file(under("net.")(n.state_dict()), p), said="net"),
    Form("state_dict.pt", saved(dict)),
    Form("legacy.pt", saved(dict, legacy=True)),
    Form("bare.pkl", lambda n, p: p.write_bytes(pickle.dumps(dict(n.state_dict()), 4))),
    Form(
        "lightning.ckpt",
        saved(lambda state: {
            "state_dict": {**under("net.")(state), "loss.pos_weight": torch.ones(20)}, "epoch": 3,
            "hyper_parameters": argparse.Namespace(lr=0.1, out=Path("runs")), "optimizer_states": [],
        }),
        said="state_dict.net",
    ),
    Form(
        "model_and_ema.pt",
        saved(lambda state: {"model": others(state), "ema": state}),
        (*OPTIONS, *FACTORY, "--weights", "ema"),
        said="ema",
    ),
    Form(
        "mmengine.pth",
        saved(lambda state: {
            "meta": {"seed": 1, "best": np.float64(0.5)}, "state_dict": under("backbone.")(state),
            "message_hub": {"loss": np.arange(3.0)},
        }),
        said="state_dict.backbone",
    ),
    Form(
        "timm.pth.tar",
        saved(lambda state: {
            "arch": "unet", "state_dict": state, "state_dict_ema": others(state),
            "args": argparse.Namespace(model="unet"), "metric": np.float32(0.5),
        }),
        (*OPTIONS, *FACTORY, "--weights", "state_dict"),
        said="state_dict",
    ),
    Form("ddp_compiled.pt", saved(under("module._orig_mod."))),
    Form("swa.pt", saved(lambda state: {**under("module.")(state), "n_averaged": torch.tensor(3)})),
    Form("module.pt", _whole, said="model"),
    Form("own_path.pt", saved(dict), (*OPTIONS, "--model", "forms:reads")),
    Form("arguments.pt", saved(dict), (*OPTIONS, *FACTORY, "--model-args", "width=16")),
    Form("traced.pt", _traced(2), (*OPTIONS, *SIGMA)),
    Form("traced_half.pt", _traced(2, half=True), (*OPTIONS, *SIGMA), HALF_PX),
    Form("dynamic.onnx", _onnx(None), READING),
    Form("fixed.onnx", _onnx(2), READING),
    Form("exported.pt2", _exported, (*READING, *SIGMA)),
)  # fmt: skip


@pytest.fixture
def three(desk: Desk) -> Path:
    """A few of the sample radiographs, and the module that builds the network."""
    folder = desk.path / "three" / "AP"
    folder.mkdir(parents=True)
    tables = sorted((ROOT / "sample_data" / "AP").glob("*.csv"))[:IMAGES]
    for table in tables:
        for file in table.parent.glob(f"{table.stem}.*"):
            shutil.copy(file, folder)
    (desk.path / "forms.py").write_text(MODULE)
    return folder.parent


def predictions(desk: Desk, *arguments: str, out: str) -> "np.ndarray[Any, Any]":
    """Places and σ of every keypoint, in original pixels."""
    done = desk.run("evaluate", *arguments, "--out", out, "--overlays", "none")
    assert done.status == 0, done.err
    columns = columns_of(desk.path / out / "keypoints.parquet")
    return np.array([columns[name] for name in ("pred_x", "pred_y", "sigma_x", "sigma_y")], dtype=np.float64)


@pytest.mark.slow
def test_every_form_gives_the_same_predictions(desk: Desk, three: Path) -> None:
    expected = predictions(desk, str(SAMPLE), str(three), out="expected")
    assert expected.shape == (4, 20 * IMAGES)
    off, wrong = {}, []
    for form in FORMS:
        path = desk.path / form.name
        network = load_model(SAMPLE).network
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            form.write(network, path)
        found = predictions(desk, str(path), str(three), *form.options, *trust_of(form), out=f"run-{form}")
        off[form.name] = float(np.abs(found - expected).max())
        document = document_of(desk.path / f"run-{form}")
        if form.said and document["settings"].get("weights") != form.said:
            wrong.append((form.name, document["settings"].get("weights")))
    assert wrong == []
    too_far = {form.name: off[form.name] for form in FORMS if off[form.name] > form.most_px}
    assert too_far == {}, off


def test_every_form_of_file_is_in_the_documentation() -> None:
    """And what is to be typed, beside what no such file describes."""
    found = {}
    for form in FORMS:
        beside = next(known for known in (OPTIONS, READING, ()) if form.options[: len(known)] == known)
        words = (*(w.replace("forms:", "nets:") for w in form.options[len(beside) :]), *trust_of(form))
        found[form.name] = shlex.join(words) or "nothing"
    assert typed_in_table("files") == found


def trust_of(form: Form) -> tuple[str, ...]:
    """Whether it runs code, of its own or of a factory."""
    return () if form.name.startswith("native") or form.name.endswith(".onnx") else ("--trust",)
