"""Bare and wrapped state dicts: weights for a network that a function of the user builds."""

import importlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from mahtdiag.errors import CheckpointError, UsageError
from mahtdiag.models.checkpoint import Checkpoint, CheckpointFormat

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

    def load(self, checkpoint: Checkpoint) -> "nn.Module":
        """The network of the user's factory with these weights."""
        from mahtdiag.models.weights import ITSELF, all_weights, put_weights, weight_sets

        path = checkpoint.path
        weights = all_weights(weight_sets(checkpoint.content, path), path)
        if checkpoint.factory is None:
            raise UsageError(
                f"{path}: a state dict without metadata; name the function that builds its "
                "network with --model PACKAGE.MODULE:FACTORY --trust"
            )
        network = build_from_factory(checkpoint.factory)
        read = put_weights(weights, network, path, checkpoint.weights)
        checkpoint.told.weights = None if read.key == ITSELF else read.key
        checkpoint.told.notes += read.notes(path)
        return network


def build_from_factory(name: str) -> "nn.Module":
    """Import and call a user's function, `package.module:factory`; the current folder is importable.

    Raises UsageError for a malformed name, CheckpointError if it cannot be imported, fails, or returns
    something other than a `torch.nn.Module`.
    """
    from torch import nn

    module_name, separator, attribute = name.partition(":")
    if not (module_name and separator and attribute):
        raise UsageError(f"--model {name}: expected PACKAGE.MODULE:FACTORY, for example nets.unet:build")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        factory = getattr(importlib.import_module(module_name), attribute)
        network = factory()
    except (Exception, SystemExit) as error:  # whatever the user's code raises, in one line
        first = str(error).splitlines()[0] if str(error) else ""
        raise CheckpointError(f"--model {name}: {type(error).__name__}: {first}") from error
    if not isinstance(network, nn.Module):
        raise CheckpointError(
            f"--model {name}: returned a {type(network).__name__}, expected a torch.nn.Module"
        )
    return network
