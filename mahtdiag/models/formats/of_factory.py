"""Files of any kind that a function of the user reads itself."""

from typing import TYPE_CHECKING

from mahtdiag.models.checkpoint import Checkpoint, CheckpointFormat

if TYPE_CHECKING:
    from torch import nn


class OfFactory(CheckpointFormat):
    """The format of what no other knows (see `CheckpointFormat`)."""

    name = "factory"
    title = "file that its factory reads"
    needs_factory = True

    def recognises(self, checkpoint: Checkpoint) -> bool:
        """Where the factory takes the path, and the file is none of torch."""
        return checkpoint.told.read_by_factory and not checkpoint.is_torch

    def inspect(self, checkpoint: Checkpoint) -> None:
        """Only the factory knows."""

    def load(self, checkpoint: Checkpoint) -> "nn.Module":
        """The network as the factory gives it, given the path."""
        from mahtdiag.models.factories import build_from_factory

        told = checkpoint.told
        name = str(checkpoint.factory)
        network = build_from_factory(name, checkpoint.args, path=checkpoint.path, notes=told.notes)
        told.notes.append(f"{checkpoint.path}: read by --model {name}, which was given its path")
        return network


OF_FACTORY = OfFactory()
