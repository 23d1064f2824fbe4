"""Functions of a user that build a network, and the weights that are put into it."""

import importlib
import sys
from pathlib import Path
from typing import Any

from torch import nn

from mahtdiag.errors import CheckpointError, UsageError
from mahtdiag.models.checkpoint import Checkpoint
from mahtdiag.models.weights import ITSELF, all_weights, put_weights, weight_sets


def network_with(content: Any, checkpoint: Checkpoint, kind: str) -> nn.Module:
    """The network of the user's factory with the weights in what a file holds; `kind`: what it is called.

    Raises CheckpointError or UsageError, and tells the checkpoint which weights they are.
    """
    path = checkpoint.path
    weights = all_weights(weight_sets(content, path), path)
    if checkpoint.factory is None:
        raise UsageError(
            f"{path}: a {kind} without metadata; name the function that builds its network with "
            "--model PACKAGE.MODULE:FACTORY --trust"
        )
    network = build_from_factory(checkpoint.factory)
    read = put_weights(weights, network, path, checkpoint.weights)
    checkpoint.told.weights = None if read.key == ITSELF else read.key
    checkpoint.told.notes += read.notes(path)
    return network


def build_from_factory(name: str) -> nn.Module:
    """Import and call a user's function, `package.module:factory`; the current folder is importable.

    Raises UsageError for a malformed name, CheckpointError if it cannot be imported, fails, or returns
    something other than a `torch.nn.Module`.
    """
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
