"""Checkpoints of every kind: valid files, how they are mutated, and how they are read without being run."""

import argparse
import io
import json
import pickle
import random
import struct
import tempfile
import warnings
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final, cast

import numpy as np
import torch
from safetensors.torch import save
from torch import nn

from fuzz.answers import refused, require_line
from fuzz.hostile_files import onnx, outside
from fuzz.mutations import Change, Folder, Link, mutate
from mahtdiag.errors import MahtdiagError
from mahtdiag.models.checkpoint import Checkpoint
from mahtdiag.models.formats import format_of
from mahtdiag.models.loading import load_model
from mahtdiag.models.mahtnet import MahtNet, MahtNetConfig
from mahtdiag.models.native import save_checkpoint
from mahtdiag.schema.frames import Size
from mahtdiag.schema.model_spec import Decoding, ModelInput, ModelSpec, UncertaintySpec
from mahtdiag.schema.skeleton import AP

Rng = random.Random
FACTORY: Final = "fuzz.checkpoints:network"
_NAMES: Final = (
    "../x",
    "/etc/passwd",
    "data.pkl",
    "a/../../x",
    "archive/data/0",
    "x" * 300,
    "",
    "version",
    "\\x",
)


def network() -> nn.Module:
    """Two layers, always with the same weights."""
    torch.manual_seed(0)
    return nn.Sequential(OrderedDict(conv=nn.Conv2d(1, 4, 3), norm=nn.BatchNorm2d(4)))


def _torch(content: object, *, legacy: bool = False) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer, _use_new_zipfile_serialization=not legacy)
    return buffer.getvalue()


def _training() -> dict[str, object]:
    """What training scripts keep beside the weights."""
    return {
        "state_dict": {f"model.{name}": value for name, value in network().state_dict().items()},
        "args": argparse.Namespace(lr=0.1, out=Path("runs")),
        "best": np.float64(1.5),
        "losses": np.arange(6.0).reshape(2, 3),
        "optimizer": torch.optim.Adam(network().parameters()).state_dict(),
    }


def _described(suffix: str) -> bytes:
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / f"a{suffix}"
        config = MahtNetConfig("AP", 1, width=4, blocks=1, encoder_layers=1, attention_layers=1, heads=2)
        spec = ModelSpec(AP, ModelInput(Size(32, 32), 1), Decoding(1.0), UncertaintySpec())
        save_checkpoint(path, MahtNet(config), spec)
        return path.read_bytes()


def _scripted() -> bytes:
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "a.pt"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            trace: Callable[..., torch.jit.ScriptModule] = torch.jit.trace
            trace(network().eval(), torch.zeros(1, 1, 8, 8)).save(str(path))
        return path.read_bytes()


def _graph() -> bytes:
    with tempfile.TemporaryDirectory() as place, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path, export = Path(place) / "a.onnx", cast("Callable[..., object]", torch.onnx.export)
        export(network().eval(), (torch.zeros(1, 1, 8, 8),), str(path), dynamo=False)
        return path.read_bytes()


def _program() -> bytes:
    with tempfile.TemporaryDirectory() as place, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = Path(place) / "a.pt2"
        torch.export.save(torch.export.export(network().eval(), (torch.zeros(1, 1, 8, 8),)), path)
        return path.read_bytes()


CHECKPOINTS: Final[Mapping[str, Callable[[], bytes]]] = {
    "torch-zip": lambda: _torch(network().state_dict()),
    "torch-legacy": lambda: _torch(network().state_dict(), legacy=True),
    "torch-foreign": lambda: _torch(_training()),
    "torch-foreign-legacy": lambda: _torch(_training(), legacy=True),
    "torch-module": lambda: _torch(network()),
    "torch-pickle": lambda: pickle.dumps({"ema": network().state_dict(), "module": network()}, 4),
    "torch-own": lambda: _described(".pt"),
    "torchscript": _scripted,
    "safetensors": lambda: save(network().state_dict(), {"format": "pt"}),
    "safetensors-own": lambda: _described(".safetensors"),
    "onnx": _graph,
    "torch-export": _program,
}


@dataclass(frozen=True)
class CheckpointTarget:
    """A file that is recognised, told about, and loaded unless it is a program or a graph."""

    name: str
    files: Mapping[str, bytes]
    is_silent: bool = True

    def changes(self, rng: Rng) -> dict[str, Change]:
        """One mutated file."""
        if len(self.files) == 1:
            return {name: _mutated(content, rng) for name, content in self.files.items()}
        name = rng.choice([*self.files, self.first, self.first])
        content, change = self.files[name], rng.random()
        if change < 0.1:
            return {name: rng.choice((None, b"", Folder(), Link("nowhere"), Link("/dev/zero"), Link(name)))}
        if name.endswith(".json"):
            return {name: mutate(content, rng, is_text=True) if change < 0.6 else _renamed(content, rng)}
        return {name: _mutated(content, rng)}

    @property
    def first(self) -> str:
        """The file that names the others."""
        return next(iter(self.files))

    def read(self, folder: Path, rng: Rng) -> str:
        """Everything that is done with a file before its network would run."""
        answers = []
        path, factory = folder / self.first, rng.choice((None, FACTORY))
        for action in (told, _loaded):
            try:
                action(path, factory)
                answers.append("read")
            except MahtdiagError as error:
                answers.append(refused(error))
        return answers[-1]


def told(path: Path, factory: str | None) -> None:
    """All that a format says of a file."""
    checkpoint = Checkpoint(path, factory)
    checkpoint.require_readable()
    kind = format_of(checkpoint)
    facts, _files = kind.facts(checkpoint), kind.files(checkpoint)
    kind.inspect(checkpoint)
    kind.declared(checkpoint)
    for line in (*facts.notes, *facts.metadata.values(), *(part.key for part in facts.sets)):
        require_line(line or "-")


def _loaded(path: Path, factory: str | None) -> None:
    checkpoint = Checkpoint(path, factory)
    checkpoint.require_readable()
    if not format_of(checkpoint).is_whole:
        for note in load_model(path, factory=factory, trust=True).notes:
            require_line(note)


def _mutated(content: bytes, rng: Rng) -> bytes:
    """Bytes anywhere, or behind the checksums of an archive, or in the header of a safetensors file."""
    if rng.random() < 0.3:
        return mutate(content, rng, is_text=False)
    if content.startswith(b"PK"):
        return repacked(content, rng)
    if content[8:9] == b"{":
        length = struct.unpack("<Q", content[:8])[0]
        header = mutate(content[8 : 8 + length], rng, is_text=True)
        said = len(header) if rng.random() < 0.9 else rng.choice((0, 1, 2**31, 2**63, 99_999_999))
        return struct.pack("<Q", said) + header + content[8 + length :]
    return mutate(content, rng, is_text=rng.random() < 0.2)


def repacked(content: bytes, rng: Rng) -> bytes:
    """The archive with members changed, renamed, left out, put twice, or blown up, and right checksums."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = [(name, archive.read(name)) for name in archive.namelist()]
    at = next((n for n, (name, _) in enumerate(members) if name.endswith("data.pkl")), 0)
    at = at if rng.random() < 0.6 else rng.randrange(len(members))
    name, inner = members[at]
    change = rng.random()
    if change < 0.7:
        members[at] = (name, mutate(inner, rng, is_text=rng.random() < 0.2))
    elif change < 0.8:
        members[at] = (rng.choice(_NAMES), inner)
    elif change < 0.85:
        del members[at]
    elif change < 0.9:
        members.append((name.rpartition("/")[0] + "/" + rng.choice(_NAMES), inner))
    else:
        members[at] = (name, inner * rng.choice((2, 100)) + bytes(rng.choice((0, 10**6, 30 * 10**6))))
    buffer = io.BytesIO()
    packing = zipfile.ZIP_DEFLATED if change > 0.9 or rng.random() < 0.1 else zipfile.ZIP_STORED
    with zipfile.ZipFile(buffer, "w", packing) as archive:
        seen = set()
        for member, data in members:
            if member not in seen:  # two of a name are a warning of the library that writes
                archive.writestr(member or "empty", data)
            seen.add(member)
    return buffer.getvalue()


def _renamed(index: bytes, rng: Rng) -> bytes:
    """An index that names other files."""
    content = json.loads(index)
    names = ("x" * 300 + ".safetensors", "../a.safetensors", "/etc/a.safetensors", "\ud800.safetensors")
    others: tuple[object, ...] = (
        *names,
        "a\0.safetensors",
        "a\nb.safetensors",
        ".safetensors",
        "",
        "b.pt",
        None,
        1,
        [],
        {},
    )
    key = rng.choice([*content["weight_map"]])
    content["weight_map"][rng.choice((key, key, "x" * 3000, "\x1b[31m"))] = rng.choice(others)
    return json.dumps(content).encode()


def _sharded() -> dict[str, bytes]:
    """An index, and the two files that it names."""
    weights = network().state_dict()
    names = [f"model-0000{number}-of-00002.safetensors" for number in (1, 2)]
    listed = {key: names[at % 2] for at, key in enumerate(weights)}
    index = {"metadata": {"total_size": 100}, "weight_map": listed}
    shards = {
        name: save({key: weights[key] for key in weights if listed[key] == name}, {"format": "pt"})
        for name in names
    }
    return {"model.safetensors.index.json": json.dumps(index).encode(), **shards}


def _outside() -> dict[str, bytes]:
    """A graph whose weights are in a file beside it."""
    return {"a.onnx": onnx(outside(b"w.bin"), outside(b"v.bin")), "w.bin": bytes(16), "v.bin": bytes(16)}


SEVERAL: Final[Mapping[str, Callable[[], dict[str, bytes]]]] = {
    "safetensors-shards": _sharded,
    "onnx-outside": _outside,
}
"""Checkpoints of more than one file, the first of which names the others."""


@cache
def checkpoint_target(name: str) -> CheckpointTarget:
    """The target of this name."""
    if name in SEVERAL:
        return CheckpointTarget(name, SEVERAL[name]())
    suffix = {"safetensors": ".safetensors", "onnx": ".onnx"}.get(name.partition("-")[0], ".pt")
    return CheckpointTarget(name, {f"a{suffix}": CHECKPOINTS[name]()})
