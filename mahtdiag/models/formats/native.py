"""The product's own checkpoints: weights beside a block of plain data that says how to run them."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from mahtdiag.models.checkpoint import Checkpoint, CheckpointFormat
from mahtdiag.schema.checkpoint_file import CheckpointFacts
from mahtdiag.schema.model_spec import ModelSpec

if TYPE_CHECKING:
    from torch import nn

METADATA_KEY = "mahtdiag"
STATE_KEY = "state_dict"


class Native(CheckpointFormat):
    """The format (see `CheckpointFormat`)."""

    name = "mahtdiag"
    title = "mahtdiag checkpoint"
    describes_itself = True

    def recognises(self, checkpoint: Checkpoint) -> bool:
        """By its block of metadata; with a factory it is a state dict like any other."""
        if checkpoint.factory is not None:
            return False
        return isinstance(checkpoint.content, Mapping) and METADATA_KEY in checkpoint.content

    def inspect(self, checkpoint: Checkpoint) -> ModelSpec:
        """What the metadata say."""
        from mahtdiag.models.native import read_metadata

        return read_metadata(checkpoint.content[METADATA_KEY], str(checkpoint.path)).spec

    def facts(self, checkpoint: Checkpoint) -> CheckpointFacts:
        """Of its weights and what lies beside them."""
        from mahtdiag.models.facts import facts_or_none

        content = checkpoint.content
        return facts_or_none(content, checkpoint.path, checkpoint.told.classes)

    def load(self, checkpoint: Checkpoint) -> "nn.Module":
        """The built-in network that the metadata describe."""
        from mahtdiag.models.native import network_of

        content = checkpoint.content
        return network_of(content[METADATA_KEY], content.get(STATE_KEY), checkpoint)
