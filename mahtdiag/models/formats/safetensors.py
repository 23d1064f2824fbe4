"""safetensors: the product's own metadata in the header, or weights for a network that a user builds."""

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from mahtdiag.errors import CheckpointError
from mahtdiag.models.checkpoint import Checkpoint, CheckpointFormat
from mahtdiag.models.formats.native import METADATA_KEY
from mahtdiag.schema.checkpoint_file import CheckpointFacts
from mahtdiag.schema.model_spec import ModelSpec

if TYPE_CHECKING:
    from pathlib import Path

    from torch import nn


class DescribedSafetensors(CheckpointFormat):
    """A file that describes itself (see `CheckpointFormat`)."""

    name = "mahtdiag-safetensors"
    title = "mahtdiag checkpoint in safetensors"
    describes_itself = True

    def recognises(self, checkpoint: Checkpoint) -> bool:
        """By its block of metadata; with a factory it is weights like any other."""
        from mahtdiag.models.tensor_files import is_tensor_file, metadata_of

        if checkpoint.factory is not None or not is_tensor_file(checkpoint.path):
            return False
        return METADATA_KEY in metadata_of(checkpoint.path)

    def inspect(self, checkpoint: Checkpoint) -> ModelSpec:
        """What the metadata say."""
        from mahtdiag.models.native import read_metadata

        return read_metadata(_block(checkpoint), str(checkpoint.path)).spec

    def facts(self, checkpoint: Checkpoint) -> CheckpointFacts:
        """Of its weights and what lies beside them."""
        from mahtdiag.models.facts import facts_or_none, short_metadata
        from mahtdiag.models.tensor_files import metadata_of, tensors_in

        facts = facts_or_none(tensors_in(checkpoint.path), checkpoint.path)
        return replace(facts, metadata=short_metadata(metadata_of(checkpoint.path)))

    def load(self, checkpoint: Checkpoint) -> "nn.Module":
        """The built-in network that the metadata describe."""
        from mahtdiag.models.native import network_of
        from mahtdiag.models.tensor_files import tensors_in

        return network_of(_block(checkpoint), tensors_in(checkpoint.path), checkpoint)


class Safetensors(CheckpointFormat):
    """Weights alone, in one file or in shards that an index lists (see `CheckpointFormat`)."""

    name = "safetensors"
    title = "safetensors file"
    needs_factory = True

    def recognises(self, checkpoint: Checkpoint) -> bool:
        """By how it begins, or by its name."""
        from mahtdiag.models.tensor_files import is_index, is_tensor_file

        return is_index(checkpoint.path) or is_tensor_file(checkpoint.path)

    def files(self, checkpoint: Checkpoint) -> "tuple[Path, ...]":
        """The shards of an index."""
        from mahtdiag.models.tensor_files import is_index, shards_of

        return shards_of(checkpoint.path) if is_index(checkpoint.path) else ()

    def inspect(self, checkpoint: Checkpoint) -> None:
        """It says nothing of its network."""

    def facts(self, checkpoint: Checkpoint) -> CheckpointFacts:
        """Of its weights and what lies beside them."""
        from mahtdiag.models.facts import facts_or_none, short_metadata
        from mahtdiag.models.tensor_files import metadata_of, tensors_in

        facts = facts_or_none(tensors_in(checkpoint.path), checkpoint.path)
        return replace(facts, metadata=short_metadata(metadata_of(checkpoint.path)))

    def load(self, checkpoint: Checkpoint) -> "nn.Module":
        """The network of the user's factory with these weights."""
        from mahtdiag.models.factories import network_with
        from mahtdiag.models.tensor_files import tensors_in

        return network_with(tensors_in(checkpoint.path), checkpoint, self.title)


def _block(checkpoint: Checkpoint) -> Any:
    """The metadata, which the header holds as a text of JSON."""
    from mahtdiag.models.tensor_files import metadata_of

    try:
        return json.loads(metadata_of(checkpoint.path)[METADATA_KEY])
    except (ValueError, RecursionError):
        raise CheckpointError(f"{checkpoint.path}: metadata {METADATA_KEY}: not valid JSON") from None
