"""The checkpoint formats: one object each, found by what the file is made of.

Whoever only asks what a format is, as `init` does for a stored run, does so without importing torch.
"""

from typing import Final

from mahtdiag.models.checkpoint import Checkpoint, CheckpointFormat
from mahtdiag.models.formats.exported import TorchExport
from mahtdiag.models.formats.native import Native
from mahtdiag.models.formats.of_factory import OF_FACTORY
from mahtdiag.models.formats.onnx import Onnx
from mahtdiag.models.formats.safetensors import DescribedSafetensors, Safetensors
from mahtdiag.models.formats.state_dict import StateDict
from mahtdiag.models.formats.torchscript import TorchScript

FORMATS: Final[tuple[CheckpointFormat, ...]] = (
    DescribedSafetensors(),
    Safetensors(),
    Onnx(),
    TorchScript(),
    TorchExport(),
    OF_FACTORY,
    Native(),
    StateDict(),
)
"""Every format, in the order in which they are asked: those that know a file by its name, its first bytes or
the list of its members stand before those that read its data. The last takes whatever is left."""


def format_of(checkpoint: Checkpoint) -> CheckpointFormat:
    """The first format that recognises a file. Raises CheckpointError where it is too damaged to tell."""
    return next((known for known in FORMATS if known.recognises(checkpoint)), FORMATS[-1])


def format_named(name: str) -> CheckpointFormat | None:
    """The format that `run.json` calls so; None for one of another version."""
    return next((known for known in FORMATS if known.name == name), None)
