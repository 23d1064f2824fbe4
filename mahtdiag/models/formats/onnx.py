"""ONNX: a network as a graph, which onnxruntime runs (the extra `onnx`)."""

from typing import TYPE_CHECKING

from mahtdiag.models.checkpoint import Checkpoint, CheckpointFormat
from mahtdiag.schema.checkpoint_file import CheckpointFacts, InputFact

if TYPE_CHECKING:
    from pathlib import Path

    from torch import nn


class Onnx(CheckpointFormat):
    """The format (see `CheckpointFormat`)."""

    name = "onnx"
    title = "ONNX model"
    is_whole = True
    dropout_advice = "give its weights and --model"

    def recognises(self, checkpoint: Checkpoint) -> bool:
        """By its name, or by how it begins."""
        from mahtdiag.models.onnx_files import is_onnx

        return is_onnx(checkpoint.path)

    def files(self, checkpoint: Checkpoint) -> "tuple[Path, ...]":
        """Those with its weights."""
        from mahtdiag.models.onnx_files import files_of

        return files_of(checkpoint.path, checkpoint.graph)

    def inspect(self, checkpoint: Checkpoint) -> None:
        """Of its network it says the input alone, see `declared`."""

    def declared(self, checkpoint: Checkpoint) -> InputFact:
        """The input of the graph."""
        from mahtdiag.models.onnx_files import input_of

        return input_of(checkpoint.path, checkpoint.graph)[1]

    def facts(self, checkpoint: Checkpoint) -> CheckpointFacts:
        """What the graph declares; the library is not needed for it."""
        from mahtdiag.models.onnx_files import facts_of_graph

        return facts_of_graph(checkpoint.path, checkpoint.graph)

    def load(self, checkpoint: Checkpoint) -> "nn.Module":
        """The graph as a network."""
        from mahtdiag.models.onnx_network import OnnxNetwork

        return OnnxNetwork(checkpoint.path)
