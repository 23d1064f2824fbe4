"""A user's function that builds a network: `package.module:factory`."""

import importlib
import sys
from pathlib import Path

from torch import nn

from mahtdiag.errors import CheckpointError, UsageError


def build_from_factory(name: str) -> nn.Module:
    """Import and call the factory; the current folder is importable.

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
