"""Bare and wrapped state dicts: weights for a network that a function of the user builds."""

from typing import TYPE_CHECKING

from mahtdiag.models.checkpoint import Checkpoint, CheckpointFormat
from mahtdiag.schema.checkpoint_file import CheckpointFacts

if TYPE_CHECKING:
    from torch import nn


class StateDict(CheckpointFormat):
    """The format (see `CheckpointFormat`)."""

    name = "state-dict"
    title = "state dict"
    needs_factory = True

    def recognises(self, checkpoint: Checkpoint) -> bool:
        """Whatever other formats leave: what is wrong with it, `load` says."""
        return True

    def inspect(self, checkpoint: Checkpoint) -> None:
        """It says nothing of its network."""

    def facts(self, checkpoint: Checkpoint) -> CheckpointFacts:
        """Of its weights and what lies beside them."""
        from mahtdiag.models.facts import facts_or_none

        content = checkpoint.content
        return facts_or_none(content, checkpoint.path, checkpoint.told.classes)

    def load(self, checkpoint: Checkpoint) -> "nn.Module":
        """The network of the user's factory with these weights."""
        from mahtdiag.models.factories import network_with

        return network_with(checkpoint.content, checkpoint, "state dict")
