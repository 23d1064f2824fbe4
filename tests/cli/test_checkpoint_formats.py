"""A checkpoint format that is registered is loaded by `evaluate`, with no other edit."""

import numpy as np
import pytest
import torch
from torch import nn

from mahtdiag.models import formats
from mahtdiag.models.checkpoint import Checkpoint, CheckpointFormat
from mahtdiag.schema.choices import UncertaintyKind
from mahtdiag.schema.model_spec import Decoding, ModelInput, ModelSpec, UncertaintySpec
from mahtdiag.schema.skeleton import AP

from . import networks
from .builders import INPUT
from .command import Desk, document_of


class NumpyArrays(CheckpointFormat):
    """The weights of the lookup network as `.npz`."""

    name = "numpy"
    title = "NumPy archive"
    describes_itself = True

    def recognises(self, checkpoint: Checkpoint) -> bool:
        return {"points.npy", "log_sigma.npy"} <= set(checkpoint.members)

    def inspect(self, checkpoint: Checkpoint) -> ModelSpec:
        uncertainty = UncertaintySpec(kind=UncertaintyKind.LOG_SIGMA)
        return ModelSpec(AP, ModelInput(INPUT, 1), Decoding(1.5), uncertainty)

    def load(self, checkpoint: Checkpoint) -> nn.Module:
        network = networks.exact()
        with np.load(checkpoint.path, allow_pickle=False) as arrays:
            network.load_state_dict({name: torch.from_numpy(arrays[name]) for name in arrays.files})
        return network


def test_evaluate_and_init_know_the_format(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = torch.load(desk.path / "lookup-ap.pt", weights_only=True)
    with (desk.path / "net.pt").open("wb") as file:
        np.savez(file, **{name: value.numpy() for name, value in weights.items()})
    arguments = ("evaluate", "net.pt", "data", "--out", "run", "--overlays", "none")
    assert desk.run(*arguments).errors[-1].startswith("error: net.pt: not a PyTorch checkpoint")
    monkeypatch.setattr(formats, "FORMATS", (NumpyArrays(), *formats.FORMATS))
    done = desk.run(*arguments)
    assert done.status == 0, done.err
    assert desk.lookup("exact", "--decode", "dark", "--out", "dict").status == 0
    found, expected = document_of(desk.path / "run"), document_of(desk.path / "dict")
    assert found["checkpoint"]["format"] == "numpy"
    assert found["metrics"] == expected["metrics"]
    assert desk.run("init", "run").status == 0
    written = (desk.path / "mahtdiag.toml").read_text(encoding="utf-8")
    assert "The checkpoint says the rest itself" in written
    assert "--trust" not in written.splitlines()[1]
