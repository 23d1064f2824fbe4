"""Functions of a user that build a network, for the weights of a file, or from its path by themselves."""

import importlib
import inspect
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from torch import nn

from mahtdiag.errors import CheckpointError, UsageError
from mahtdiag.models.checkpoint import Checkpoint
from mahtdiag.models.conduct import watched
from mahtdiag.models.taking import ON_META, without_content
from mahtdiag.models.unnamed import (
    asked_list,
    by_other_names,
    named_by_order,
    notes_of,
    require_choice,
    tensor_lists,
)
from mahtdiag.models.weights import ITSELF, all_weights, put_weights, select, weight_sets
from mahtdiag.schema.safe_text import brief

LONGEST_REASON: Final = 300
_BY_PLACE: Final = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


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
    network = build_from_factory(checkpoint.factory, checkpoint.args, notes=checkpoint.told.notes)
    lists = tensor_lists(content) | by_other_names(weights, network)
    unnamed = asked_list(lists, checkpoint.weights)
    if unnamed is not None:
        by_order = named_by_order(lists[unnamed], network, unnamed, path)
        # What has no place among them, running means for example, is that of the named weights.
        weights = {**select(weights, network.state_dict(), path).weights, **by_order}
    read = put_weights(weights, network, path, None if unnamed else checkpoint.weights)
    if checkpoint.weights is None:
        require_choice(lists, read, network, path)
    unsaid = read.key == ITSELF and checkpoint.weights is None
    checkpoint.told.weights = None if unsaid else unnamed or read.key
    checkpoint.told.notes += [*read.notes(path), *notes_of(lists, unnamed, path)]
    return network


def takes_path(name: str, args: Mapping[str, Any]) -> bool:
    """Whether a factory needs exactly one argument beside these: it is given the checkpoint's path.

    A factory that cannot be imported takes none; what is wrong with it, `build_from_factory` says.
    """
    with suppress(CheckpointError, UsageError):
        return path_parameter(_imported(name, []), args) is not None
    return False


def path_parameter(function: Callable[..., object], args: Mapping[str, Any]) -> str | None:
    """The name of the only parameter without a default that is not among `args`; None where there is none."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return None
    needed = [p for p in parameters if p.default is p.empty and p.name not in args]
    needed = [p for p in needed if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    return needed[0].name if len(needed) == 1 and needed[0].kind in _BY_PLACE else None


def _only_by_place(function: Callable[..., object], parameter: str) -> bool:
    return inspect.signature(function).parameters[parameter].kind is inspect.Parameter.POSITIONAL_ONLY


def build_from_factory(
    name: str,
    args: Mapping[str, Any] | None = None,
    *,
    path: Path | None = None,
    notes: list[str] | None = None,
) -> nn.Module:
    """Import and call a user's function, `package.module:factory`; the current folder is importable.

    `args`: keywords for it; `path`: the checkpoint, for one that reads it itself. `notes`: gets what there is
    to tell of what it did beside.

    Raises UsageError for a malformed name, CheckpointError if it cannot be imported, fails, or returns
    something other than a `torch.nn.Module`.
    """
    told = [] if notes is None else notes
    function, given = _imported(name, told), dict(args or {})
    place = [] if path is None else [str(path)]
    parameter = None if path is None else path_parameter(function, given)
    # By its name, since it may stand behind one that is given.
    by_name = parameter is not None and not _only_by_place(function, parameter)
    said = {**given, parameter: str(path)} if by_name and parameter is not None else given
    network = _run(
        name, lambda: function(*([] if by_name else place), **said), told, _advice(function, given, path)
    )
    if not isinstance(network, nn.Module):
        returned = f"--model {name}: returned a {type(network).__name__}, expected a torch.nn.Module"
        raise CheckpointError(returned + ("" if network is not None else "; does it end with return?"))
    if without_content(network):
        raise CheckpointError(f"--model {name}: {ON_META}")
    return network


def _imported(name: str, told: list[str]) -> Callable[..., object]:
    module_name, separator, attribute = name.partition(":")
    if not (module_name and separator and attribute):
        raise UsageError(f"--model {name}: expected PACKAGE.MODULE:FACTORY, for example nets.unet:build")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)

    def look_up() -> Any:
        return getattr(importlib.import_module(module_name), attribute)

    function: Callable[..., object] = _run(name, look_up, told, "")
    return function


def _run(name: str, action: Callable[[], object], told: list[str], advice: str) -> Any:
    """What the user's code returns; whatever it raises is one line."""
    what = f"--model {name}"
    try:
        with watched() as conduct:
            found = action()
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # whatever the user's code raises
        first = brief(str(error).splitlines()[0], LONGEST_REASON) if str(error) else ""
        ends = "; a factory returns its network and does not exit" if isinstance(error, SystemExit) else ""
        raise CheckpointError(f"{what}: {type(error).__name__}: {first}{ends}{advice}") from error
    if conduct.forked:
        raise CheckpointError(
            f"{what}: started a copy of the process (os.fork); build the network without other processes"
        )
    if conduct.went_to is not None:
        told.append(f"{what}: changed the working folder to {conduct.went_to}; it was changed back")
    return found


def _advice(function: Callable[..., object], given: Mapping[str, Any], path: Path | None) -> str:
    """What to type where a call fails, after what it needs."""
    if path is not None:
        parameter = path_parameter(function, given)
        return (
            f" (its one required parameter, {parameter}, was the checkpoint's path; if it is something "
            f"else, say --model-args {parameter}=VALUE)"
        )
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return ""
    names = [p.name for p in parameters if p.default is p.empty and p.kind in (*_BY_PLACE, p.KEYWORD_ONLY)]
    missing = [parameter for parameter in names if parameter not in given]
    if missing:
        return f"; say --model-args {' '.join(f'{parameter}=VALUE' for parameter in missing[:3])}"
    return ""
