"""What kind of file a checkpoint is, and its state dict, without running anything it carries."""

import hashlib
import pickle
import warnings
import zipfile
from collections.abc import Collection, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.parameter import is_lazy

from mahtdiag.errors import CheckpointError

WRAPPERS = ("model_state_dict", "state_dict", "model", "net")
PREFIXES = ("module.", "model.")
_READ_BYTES = 1 << 20


class CheckpointFormat(StrEnum):
    """How a checkpoint is stored."""

    NATIVE = "mahtdiag"
    TORCHSCRIPT = "torchscript"
    STATE_DICT = "state-dict"


def sha256_of(path: Path) -> str:
    """SHA-256 of a file; CheckpointError if it cannot be read or is empty."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while block := file.read(_READ_BYTES):
                digest.update(block)
            if not file.tell():
                raise CheckpointError(f"{path}: the checkpoint is empty")
    except FileNotFoundError:
        raise CheckpointError(f"{path}: no such checkpoint") from None
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror}); give a checkpoint file") from None
    return digest.hexdigest()


def is_torchscript(path: Path) -> bool:
    """Whether the file is a TorchScript archive; CheckpointError for other archives that carry code."""
    try:
        if not zipfile.is_zipfile(path):
            return False
        with zipfile.ZipFile(path) as archive:
            names = [name.split("/", 1)[-1] for name in archive.namelist()]
    except Exception:  # zipfile raises UnicodeDecodeError and others for a damaged directory
        raise CheckpointError(f"{path}: damaged or truncated; copy or save it again") from None
    if any(name.startswith("models/") or name == "archive_format" for name in names):
        raise CheckpointError(f"{path}: a torch.export archive; save a state dict or TorchScript instead")
    return "constants.pkl" in names and any(name.startswith("code/") for name in names)


def read_plain_data(path: Path) -> Any:
    """Tensors and plain data of a checkpoint, read with `weights_only=True` and no fallback."""
    try:
        with warnings.catch_warnings():
            # torch warns about pickles that it refuses in the next moment.
            warnings.simplefilter("ignore", UserWarning)
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        # Bytes that are no pickle at all are refused as unknown operands.
        if "weights_only" in str(error) and "Unsupported operand" not in str(error):
            raise CheckpointError(
                f"{path}: holds more than tensors and plain data, and a pickle can run code, so it was not "
                "loaded; save model.state_dict() instead"
            ) from None
        raise CheckpointError(f"{path}: not a PyTorch checkpoint, or damaged or truncated") from None
    except Exception as error:  # torch.load raises whatever a damaged file provokes
        kind = type(error).__name__
        raise CheckpointError(f"{path}: not a PyTorch checkpoint, or damaged or truncated ({kind})") from None


def find_state_dict(content: Any, path: Path) -> dict[str, Tensor]:
    """The weights inside a bare or wrapped state dict."""
    if not isinstance(content, Mapping):
        raise CheckpointError(f"{path}: holds a {type(content).__name__}, not a state dict")
    wrapped = [content[name] for name in WRAPPERS if isinstance(content.get(name), Mapping)]
    inner = next((part for part in wrapped if _tensors(part)), wrapped[0] if wrapped else content)
    if "param_groups" in inner and "state" in inner:
        raise CheckpointError(f"{path}: an optimiser's state, not a network's; give the model checkpoint")
    weights = _tensors(inner)
    if not weights:
        keys = ", ".join(map(str, list(inner)[:5])) or "nothing"
        raise CheckpointError(
            f"{path}: no network weights in it (it holds {keys}); expected a state dict, bare or under "
            + ", ".join(WRAPPERS)
        )
    return weights


def _tensors(content: Mapping[Any, Any]) -> dict[str, Tensor]:
    return {str(name): value for name, value in content.items() if isinstance(value, Tensor)}


def without_prefixes(weights: dict[str, Tensor], wanted: Collection[str]) -> dict[str, Tensor]:
    """Remove `module.` and `model.` that a wrapper put before every name, unless the network has them too.

    As many are removed as give the most names that the network knows, and no more.
    """
    best, stripped = weights, weights
    while stripped:
        prefix = next((p for p in PREFIXES if all(name.startswith(p) for name in stripped)), None)
        if prefix is None:
            break
        stripped = {name.removeprefix(prefix): value for name, value in stripped.items()}
        if len(stripped.keys() & set(wanted)) > len(best.keys() & set(wanted)):
            best = stripped
    return best


def check_weights(network: torch.nn.Module, weights: Mapping[str, Tensor], path: Path) -> None:
    """Raise CheckpointError that lists every missing, unexpected or wrongly shaped weight."""
    wanted = network.state_dict()
    # A counter that older checkpoints lack and that evaluation never reads.
    missing = [n for n in wanted if n not in weights and not n.endswith("num_batches_tracked")]
    unexpected = [name for name in weights if name not in wanted]
    shapes = [
        f"{name} is {list(weights[name].shape)}, the network has {list(own.shape)}"
        for name, own in wanted.items()
        if name in weights and not is_lazy(own) and weights[name].shape != own.shape
    ]
    problems = [
        f"{path}: {kind} weights: {', '.join(names)}"
        for kind, names in (("missing", missing), ("unexpected", unexpected), ("wrongly shaped", shapes))
        if names
    ]
    if problems:
        raise CheckpointError(*problems)
