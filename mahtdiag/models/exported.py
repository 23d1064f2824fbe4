"""Archives of torch.export: what they declare, read as data, and the program as a network."""

import json
import warnings
import zipfile
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Any, Final, Self

import torch
from torch import Tensor, nn

from mahtdiag.errors import CheckpointError
from mahtdiag.models.archives import opened
from mahtdiag.schema.checkpoint_file import CheckpointFacts, InputFact, WeightSetFact
from mahtdiag.schema.safe_text import brief

LARGEST_MODEL: Final = 24 << 20
MOST_SIZES: Final = 64
LARGEST_DIMENSION: Final = 1 << 48
LARGEST_COUNT: Final = 1 << 62
# What reading a damaged description provokes.
DAMAGES: Final = (
    *(KeyError, TypeError, ValueError, AttributeError),
    *(IndexError, RecursionError, OverflowError),
)
# Numbers of types in the schema of torch.export.
TYPES: Final = {6: "float16", 7: "float32", 8: "float64", 13: "bfloat16", 5: "int64", 4: "int32", 1: "uint8"}


class Exported(nn.Module):
    """The program of an archive, whose mode is fixed: it cannot be switched to training."""

    def __init__(self, program: nn.Module, nhwc: bool = False) -> None:
        super().__init__()
        self.program, self.nhwc = program, nhwc

    def forward(self, images: Tensor) -> Any:
        """As the program returns it."""
        return self.program(images.permute(0, 2, 3, 1) if self.nhwc else images)

    def train(self, mode: bool = True) -> Self:
        """Nothing changes: dropout is as it was exported."""
        return self


def load_exported(path: Path) -> Exported:
    """Run what the archive carries. Raises CheckpointError where it cannot be, or takes no images alone."""
    form = _form(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return Exported(torch.export.load(str(path)).module(), form is not None and form.nhwc)
    except Exception as error:  # torch raises whatever a damaged or other archive provokes
        first = brief(str(error).splitlines()[0], 300) if str(error) else type(error).__name__
        raise CheckpointError(
            f"{path}: damaged torch.export archive, or of another version of torch ({first}); export it again"
        ) from None


def facts_of_archive(path: Path) -> CheckpointFacts:
    """Weights and input, as the archive declares them; nothing of it is run."""
    try:
        model = _json(path, "models/model.json")
        config = _json(path, "data/weights/model_weights_config.json").get("config", {})
        sizes = {name: _sizes(entry["tensor_meta"]) for name, entry in config.items()}
        types = {TYPES.get(entry["tensor_meta"]["dtype"], "other"): 0 for entry in config.values()}
        filters = [shape for shape in sizes.values() if len(shape) == 4 and all(shape)]
        numbers = sum(prod(n or 0 for n in shape) for shape in sizes.values())
        if numbers > LARGEST_COUNT:
            raise ValueError(f"{numbers} weights")
        part = WeightSetFact("state_dict", len(sizes), numbers, tuple(types))
        return CheckpointFacts(
            sets=(part,) if sizes else (),
            first_channels=filters[0][1] if filters else None,
            last_channels=filters[-1][0] if filters else None,
            declared=_input(model),
        )
    except DAMAGES:
        return CheckpointFacts(notes=("its input and weights cannot be told without running it",))


def _form(path: Path) -> InputFact | None:
    """What the program takes, None where the archive does not tell. Raises CheckpointError."""
    try:
        inputs = _inputs(_json(path, "models/model.json"))
    except DAMAGES:
        return None
    if len(inputs) != 1:
        names = ", ".join(brief(name, 40) for name, _, _ in inputs[:5]) or "none"
        raise CheckpointError(
            f"{path}: its program has {len(inputs)} inputs ({names}); it is given the image alone: export a "
            "network that needs no more"
        )
    ((name, sizes, kind),) = inputs
    if len(sizes) != 4 or not kind.startswith(("float", "bfloat")):
        form = f"{kind} {[size or 'any' for size in sizes]}"
        raise CheckpointError(
            f"{path}: its input {brief(name, 40)} is {form}, expected float [B, C, H, W]; export a network "
            "that takes such images"
        )
    return InputFact.of_sizes(sizes, kind)


def _json(path: Path, member: str) -> Mapping[str, Any]:
    """A member as JSON. Raises ValueError, KeyError or TypeError where it is none."""
    try:
        with opened(path) as archive:
            name = next(n for n in archive.entries if n.split("/", 1)[-1] == member)
            # What is read takes many times the room of its text.
            content: Mapping[str, Any] = json.loads(archive.read(name, LARGEST_MODEL))
            return content
    except (StopIteration, zipfile.BadZipFile, OSError, RuntimeError, NotImplementedError, EOFError) as error:
        raise ValueError(str(error)) from None


def _input(model: Mapping[str, Any]) -> InputFact | None:
    """The tensor of images; None where the program takes something else."""
    inputs = _inputs(model)
    if len(inputs) != 1 or len(inputs[0][1]) != 4:
        return None
    ((_, sizes, kind),) = inputs
    return InputFact.of_sizes(sizes, kind)


def _inputs(model: Mapping[str, Any]) -> tuple[tuple[str, tuple[int | None, ...], str], ...]:
    """Name, sizes and type of what the program takes; no sizes where that is no tensor."""
    inner = model["graph_module"]
    given = [s["user_input"]["arg"] for s in inner["signature"]["input_specs"] if "user_input" in s]
    found = []
    for argument in given:
        name = argument["as_tensor"]["name"] if "as_tensor" in argument else "no tensor"
        meta = inner["graph"]["tensor_values"][name] if "as_tensor" in argument else None
        kind = "other" if meta is None else TYPES.get(meta["dtype"], "other")
        found.append((str(name), () if meta is None else _sizes(meta), kind))
    return tuple(found)


def _sizes(meta: Mapping[str, Any]) -> tuple[int | None, ...]:
    found = [size.get("as_int") for size in meta["sizes"]]
    if len(found) > MOST_SIZES:
        raise ValueError(f"{len(found)} dimensions")
    return tuple(n if isinstance(n, int) and 0 <= n <= LARGEST_DIMENSION else None for n in found)
