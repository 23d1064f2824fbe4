"""What a checkpoint of tensors and plain data says of itself, without a network and without running it."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from mahtdiag.errors import CheckpointError
from mahtdiag.models.weights import ITSELF, WeightSet, all_weights, common_front, weight_sets
from mahtdiag.schema.checkpoint_file import CheckpointFacts, WeightSetFact
from mahtdiag.schema.safe_text import brief_name

MOST_METADATA: Final = 40
MOST_LOOKED_AT: Final = 100_000
MOST_SETS: Final = 60
MOST_FRONTS: Final = 6
DEEPEST: Final = 4
_ITEMS_SHOWN: Final = 6
_CONVOLUTION: Final = 4
_FEWEST_OF_A_SET: Final = 8
"""Layers of a network have fewer tensors."""
_PLACE_OF_SCRIPTS: Final = "__torch__."


def facts_of(content: Any, path: Path, classes: Sequence[str] = ()) -> CheckpointFacts:
    """Sets of weights, metadata and first and last convolution of what a file holds.

    Raises CheckpointError where no weights are in it.
    """
    found = weight_sets(content, path)
    every = [part for whole in found for part in _parted(whole)]
    sets = every[:MOST_SETS]
    largest = max(found, key=lambda part: part.numbers)
    shapes = [tensor.shape for tensor in largest.tensors.values() if tensor.ndim == _CONVOLUTION]
    shown, notes = _metadata_shown(content)
    if len(every) > MOST_SETS:
        notes = (*notes, f"{len(every) - MOST_SETS:,} more sets of weights")
    return CheckpointFacts(
        sets=tuple(_set_facts(sets)),
        classes=tuple(classes),
        metadata=shown,
        first_channels=int(shapes[0][1]) if shapes else None,
        last_channels=int(shapes[-1][0]) if shapes else None,
        notes=notes,
    )


def _metadata_shown(content: Any) -> tuple[dict[str, str], tuple[str, ...]]:
    """The first entries of metadata, and how many more there are; entries may hold each other endlessly."""
    steps = iter(range(MOST_LOOKED_AT))
    metadata = dict(_metadata(content, (), steps))
    left = len(metadata) - MOST_METADATA
    least = "" if next(steps, None) is not None else "at least "
    notes = (f"{least}{left:,} more entries of metadata",) if left > 0 else ()
    return dict(islice(metadata.items(), MOST_METADATA)), notes


def _parted(part: WeightSet) -> Sequence[WeightSet]:
    """Sets beside each other in one mapping, such as `model.…` and `ema.…`; else the set as it is."""
    groups: dict[str, dict[str, Tensor]] = {}
    for name, tensor in part.tensors.items():
        first, dot, rest = name.partition(".")
        groups.setdefault(first if dot else "", {})[rest or name] = tensor
    kinds = Counter(
        frozenset((name, tensor.shape) for name, tensor in group.items()) for group in groups.values()
    )
    kind, count = kinds.most_common(1)[0]
    # Sets that lie beside each other make up most of the file; layers that are alike do not.
    if (
        "" in groups
        or count == 1
        or len(kind) < _FEWEST_OF_A_SET
        or 2 * len(kind) * count < len(part.tensors)
    ):
        return (part,)
    front = "" if part.key == ITSELF else f"{part.key}."
    return tuple(WeightSet(front + first, group) for first, group in groups.items())


def _set_facts(sets: Sequence[WeightSet]) -> Iterator[WeightSetFact]:
    """Each set, held against the earlier ones of the same names and shapes."""
    bare = [_bare(part) for part in sets]
    for number, part in enumerate(sets):
        alike = [other for other in range(number) if _alike(bare[number], bare[other])]
        same = next((o for o in alike if _equal(bare[number], bare[o])), None)
        other = alike[0] if alike and same is None else None
        yield WeightSetFact(
            key=brief_name(part.key),
            tensors=len(part.tensors),
            parameters=part.numbers,
            types=tuple(dict.fromkeys(str(t.dtype).removeprefix("torch.") for t in part.tensors.values())),
            fronts=tuple(_fronts(part)),
            same_as=None if same is None else brief_name(sets[same].key),
            differs_from=None if other is None else brief_name(sets[other].key),
        )


def _bare(part: WeightSet) -> dict[str, Tensor]:
    """The tensors without what all names begin with."""
    front = common_front(part.tensors)
    return {name.removeprefix(front): tensor for name, tensor in part.tensors.items()}


def _fronts(part: WeightSet) -> Iterator[str]:
    front = common_front(part.tensors)
    if front:
        yield f"{brief_name(front)} (all)"
    firsts = Counter(name.removeprefix(front).split(".")[0] for name in part.tensors)
    for first, count in list(firsts.items())[:MOST_FRONTS]:
        yield f"{brief_name(first)} ({count})"
    if len(firsts) > MOST_FRONTS:
        yield f"{len(firsts) - MOST_FRONTS} more"


def _alike(a: Mapping[str, Tensor], b: Mapping[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(a[name].shape == b[name].shape for name in a)


def _equal(a: Mapping[str, Tensor], b: Mapping[str, Tensor]) -> bool:
    try:
        return all(torch.equal(a[name], b[name]) for name in a)
    except RuntimeError:  # sparse tensors, tensors without content
        return False


def _metadata(content: Any, way: tuple[str, ...], steps: Iterator[int]) -> Iterator[tuple[str, str]]:
    """What stands beside the tensors, by the way to it, shortened; optimisers' states are only counted.

    No more is looked at than there are steps.
    """
    if not isinstance(content, Mapping) or len(way) > DEEPEST:
        return
    for key, value in content.items():
        if next(steps, None) is None:
            return
        if isinstance(value, Tensor):
            if value.numel() == 1 and not way and "." not in str(key) and not value.is_meta:
                yield brief_name(str(key)), brief_name(str(value.item()))
            continue
        place = (*way, brief_name(str(key)))
        if isinstance(value, Mapping) and "param_groups" in value and "state" in value:
            yield ".".join(place), f"an optimiser's state of {len(_sized(value['state']))} entries"
        elif isinstance(value, Mapping):
            yield from _metadata(value, place, steps)
        else:
            yield ".".join(place), _shown(value)


def _sized(value: object) -> Sequence[object] | Mapping[Any, object]:
    return value if isinstance(value, Mapping | list | tuple) else ()


def _shown(value: object) -> str:
    """A value in short."""
    if isinstance(value, bytes):
        return f"{len(value)} bytes"
    if not isinstance(value, list | tuple | set):
        return brief_name(" ".join(str(value)[:1000].split())) or "''"
    items = list(value)
    tensors = [item for item in items if isinstance(item, Tensor)]
    if tensors and len(tensors) == len(items):
        numbers = sum(tensor.numel() for tensor in tensors)
        return f"a list of {len(items)} tensors without names ({numbers:,} numbers)"
    if any(isinstance(item, Mapping | list | tuple | set | Tensor) for item in items):
        return f"a list of {len(items)}"
    said = ", ".join(brief_name(str(item)[:200]) for item in items[:_ITEMS_SHOWN])
    return brief_name(f"[{said}{', …' if len(items) > _ITEMS_SHOWN else ''}]")


def facts_or_none(content: Any, path: Path, classes: Sequence[str] = ()) -> CheckpointFacts:
    """The same, without sets where there are no weights in it, and why."""
    try:
        return facts_of(content, path, classes)
    except CheckpointError as error:
        metadata, _ = _metadata_shown(content)
        reasons = tuple(problem.removeprefix(f"{path}: ") for problem in error.problems)
        return CheckpointFacts(classes=tuple(classes), metadata=metadata, notes=reasons)


def short_metadata(metadata: Mapping[str, str]) -> dict[str, str]:
    """Texts of a header, shortened."""
    return {
        brief_name(name): brief_name(" ".join(text[:1000].split()))
        for name, text in list(metadata.items())[:MOST_METADATA]
    }


def facts_of_script(content: Any, path: Path, classes: Sequence[str]) -> CheckpointFacts:
    """Those of a network that was saved as objects of its program: one set, its classes, its own numbers."""
    try:
        weights: Mapping[str, Tensor] = all_weights(weight_sets(content, path), path)
    except CheckpointError:
        weights = {}
    names = [re.sub(r"___torch_mangle_\d+\.", "", name) for name in classes]
    own = [name.removeprefix(_PLACE_OF_SCRIPTS) for name in names if name.startswith(_PLACE_OF_SCRIPTS)]
    kept = dict.fromkeys(name for name in own if not name.startswith("torch.nn."))
    plain = content.items() if isinstance(content, Mapping) else ()
    numbers = {str(k): v for k, v in plain if isinstance(v, int | float | str) and k != "training"}
    return replace(facts_or_none(dict(weights), path, tuple(kept)), metadata=_metadata_shown(numbers)[0])
