"""Weights in a file and weights in a network: which of the file's are meant, and whether they fit.

A file is read as one list of names: `{"ema": {"conv.weight": …}}` holds `ema.conv.weight`. Whatever stands
before the names that the network knows is a prefix, be it a wrapper of the file, of `DataParallel`, of
Lightning or of `torch.compile`; prefixes are found by matching and stand on no list.
"""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from mahtdiag.errors import CheckpointError, UsageError
from mahtdiag.schema.safe_text import brief, brief_name

ITSELF: Final = "."
"""The key of weights that lie in the file without a wrapper."""
COMPILED: Final = "_orig_mod."
MOST_ENTRIES: Final = 200_000
MOST_LETTERS: Final = 20_000_000
MOST_DOTS: Final = 64
DEEPEST: Final = 16
MOST_PREFIXES: Final = 200
SHOWN: Final = 5
LONGEST_REASON: Final = 300
TRAINING_WORDS: Final = ("loss", "criterion", "metric")
_COUNTER = "num_batches_tracked"


@dataclass(frozen=True, slots=True)
class WeightSet:
    """The tensors that lie directly in one mapping of a file; `key` is the way there, joined by dots."""

    key: str
    tensors: dict[str, Tensor]

    @property
    def numbers(self) -> int:
        """How many numbers it holds."""
        return sum(tensor.numel() for tensor in self.tensors.values())


@dataclass(frozen=True, slots=True)
class Selection:
    """The weights of a file that are a network's, by the network's names, and those that are left.

    `borrowed`: the names of buffers that are those of another set, `lender`, since this one has none.
    """

    key: str
    weights: dict[str, Tensor]
    unexpected: tuple[str, ...]
    leftovers: tuple[str, ...]
    borrowed: tuple[str, ...] = ()
    lender: str = ""

    def notes(self, path: Path) -> tuple[str, ...]:
        """What of the file was not read, and what was taken from another set, a line each."""
        lines = []
        if self.borrowed:
            lines.append(
                f"{path}: {self.key} has no {listed(self.borrowed)}: those of {self.lender} are read"
            )
        if self.leftovers:
            count = f"{len(self.leftovers)} tensor{'' if len(self.leftovers) == 1 else 's'}"
            lines.append(f"{path}: {count} that the network has no place for: {listed(self.leftovers)}")
        kinds = [str(tensor.dtype).removeprefix("torch.") for tensor in self.weights.values()]
        coarse = sorted({kind for kind in kinds if kind.startswith("float8")})
        if coarse:
            lines.append(f"{path}: its weights are {' and '.join(coarse)}, read as they are, without scales")
        return tuple(lines)


def weight_sets(content: Any, path: Path) -> tuple[WeightSet, ...]:
    """Every mapping of a file that holds tensors, in the order of the file, without optimisers' states.

    Raises CheckpointError where there is none.
    """
    if not isinstance(content, Mapping):
        what = brief_name(content) if isinstance(content, str) else f"a {type(content).__name__}"
        raise CheckpointError(f"{path}: holds {what}, not a state dict")
    seen = _Seen(path)
    found = tuple(seen.walk(content, ()))
    if found:
        return found
    if seen.optimisers:
        raise CheckpointError(f"{path}: an optimiser's state, not a network's; give the model checkpoint")
    keys = listed([str(key) for key in islice(content, MOST_ENTRIES)]) or "nothing"
    raise CheckpointError(
        f"{path}: no network weights in it (it holds {keys}); expected a state dict, bare or in a wrapper "
        "such as state_dict or model"
    )


class _Seen:
    """What a walk has met so far: shared mappings can make a small file endless."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.entries = self.letters = 0
        self.optimisers: list[str] = []
        self.way: list[int] = []

    def walk(self, mapping: Mapping[Any, Any], way: tuple[str, ...]) -> Iterator[WeightSet]:
        key = ".".join(way)
        if "param_groups" in mapping and "state" in mapping:
            self.optimisers.append(key)
            return
        self.entries += len(mapping)
        self.letters += len(mapping) * (len(key) + 1)
        if self.entries > MOST_ENTRIES or self.letters > MOST_LETTERS or len(way) > DEEPEST:
            raise CheckpointError(f"{self.path}: too many or too deeply nested entries for a checkpoint")
        tensors = tensors_of(mapping)
        self.letters += sum(map(len, tensors))
        if tensors:
            yield WeightSet(key or ITSELF, tensors)
        self.way.append(id(mapping))
        for name, inner in mapping.items():
            # Objects of a configuration know the one that they lie in.
            if isinstance(inner, Mapping) and id(inner) not in self.way:
                yield from self.walk(inner, (*way, str(name)))
        self.way.pop()


def tensors_of(content: Mapping[Any, Any]) -> dict[str, Tensor]:
    """The tensors of a mapping by their names; what else there is, epochs for example, is left out."""
    return {str(name): value for name, value in content.items() if isinstance(value, Tensor)}


def all_weights(sets: Sequence[WeightSet], path: Path) -> dict[str, Tensor]:
    """The tensors of all sets by the way to each. Raises CheckpointError where two are called alike."""
    found: dict[str, Tensor] = {}
    for part in sets:
        front = "" if part.key == ITSELF else f"{part.key}."
        for name, tensor in part.tensors.items():
            if front + name in found:
                raise CheckpointError(f"{path}: two weights are called {brief_name(front + name)}")
            found[front + name] = tensor
    return found


def select(
    weights: Mapping[str, Tensor],
    own: Mapping[str, Tensor],
    path: Path,
    asked: str | None = None,
    buffers: Collection[str] = (),
) -> Selection:
    """The weights that are a network's, whose own are `own`; of several that fit, the one `asked` for.

    An average of the weights has often no `buffers`, such as running means: those of the set beside it are
    its own. Raises UsageError where several fit and differ, or where nothing is called as asked.
    """
    weights, wanted = _uncompiled(weights), {_without_compiled(name): value for name, value in own.items()}
    real = {_without_compiled(name): name for name in own}
    every = list(_candidates(weights, wanted, {_without_compiled(name) for name in buffers}))
    candidates = every if asked is None else _called(every, asked, path)
    complete = [c for c in every if c.fits == c.needed]
    whole = [c for c in candidates if c.fits == c.needed]
    without_buffers = [c for c in candidates if c.is_learned_part] if complete else []
    different: list[_Candidate] = []
    # Asked for by its name, a set that is whole needs no other.
    for candidate in whole if asked is not None and whole else (*whole, *without_buffers):
        if not any(candidate.equals(other) for other in different):
            different.append(candidate)
    if len(different) > 1:
        sizes = listed([f"{c.key} ({len(c.found)} weights, {c.numbers:,} numbers)" for c in different])
        raise UsageError(f"{path}: weight sets that differ: {sizes}; choose one with --weights KEY")
    best = (
        different[0] if different else max(candidates, key=lambda c: (c.fits, len(c.found), -len(c.prefix)))
    )
    if best.is_learned_part and complete:
        return best.completed(real, complete)
    return best.selection(real)


@dataclass(frozen=True, slots=True)
class _Candidate:
    """The weights whose names begin with a prefix, by what follows it, in front of which `added` is put."""

    prefix: str
    added: str
    weights: Mapping[str, Tensor]
    wanted: Mapping[str, Tensor]
    found: Mapping[str, Tensor]
    fits: int
    needed: int
    lacks: tuple[str, ...]

    @property
    def is_learned_part(self) -> bool:
        """Whether all that it lacks is buffers, and it lacks some."""
        return bool(self.lacks) and self.fits + len(self.lacks) == self.needed

    @property
    def key(self) -> str:
        return self.prefix.removesuffix(".") or ITSELF

    @property
    def numbers(self) -> int:
        return sum(tensor.numel() for tensor in self.found.values())

    def equals(self, other: "_Candidate") -> bool:
        """Whether both hold the same values; one that lacks buffers says nothing of these."""
        of_both = self.found.keys() & other.found.keys()
        partial = self.is_learned_part or other.is_learned_part
        return (partial or self.found.keys() == other.found.keys()) and all(
            _same(self.found[name], other.found[name]) for name in of_both
        )

    def completed(self, real: Mapping[str, str], complete: "Sequence[_Candidate]") -> Selection:
        """With the buffers of a set that has them, where all that have them hold the same ones."""
        first, *others = complete
        alike = all(_same(first.found[name], other.found[name]) for other in others for name in self.lacks)
        found = self.selection(real)
        if not alike:
            return found
        taken = {real[name]: first.found[name] for name in self.lacks}
        lent = {f"{first.prefix}{name.removeprefix(first.added)}" for name in self.lacks}
        left = tuple(name for name in found.leftovers if name not in lent)
        return replace(
            found, weights={**found.weights, **taken}, leftovers=left, borrowed=tuple(taken), lender=first.key
        )

    def selection(self, real: Mapping[str, str]) -> Selection:
        """With the names that the network has, compiled or not."""
        under = {name for name in self.weights if name.startswith(self.prefix)}
        own = {f"{self.prefix}{name.removeprefix(self.added)}" for name in self.found}
        inner = sorted(name for name in under - own if self._is_of_the_network(name))
        left = tuple(name for name in self.weights if name not in own and name not in set(inner))
        chosen = {real[name]: tensor for name, tensor in self.found.items()}
        return Selection(self.key, chosen, tuple(n.removeprefix(self.prefix) for n in inner), left)

    def _is_of_the_network(self, name: str) -> bool:
        """Not what training alone needs, counters, or another set that lies deeper."""
        rest = name.removeprefix(self.prefix)
        first = rest.split(".")[0].lower()
        if any(word in first for word in TRAINING_WORDS):
            return False
        tensor = self.weights[name]
        return tensor.is_floating_point() or tensor.is_complex() or tensor.ndim > 0


def _candidates(
    weights: Mapping[str, Tensor], wanted: Mapping[str, Tensor], buffers: Collection[str]
) -> Iterator[_Candidate]:
    needed = {name for name in wanted if not name.endswith(_COUNTER)}
    for added in _common_fronts(wanted):
        inner = {name.removeprefix(added) for name in wanted}
        counts = Counter(prefix for name in weights for prefix, rest in splits(name) if rest in inner)
        # What is to be added to every name of the file is tried where nothing else fits.
        often = [prefix for prefix, _ in counts.most_common(MOST_PREFIXES)]
        prefixes = dict.fromkeys(often if added else ["", *often])
        for prefix in prefixes:
            found = {added + name: weights[prefix + name] for name in inner if prefix + name in weights}
            fits = sum(name in found and _fits(found[name], wanted[name]) for name in needed)
            lacks = tuple(name for name in wanted if name in needed & {*buffers} and name not in found)
            yield _Candidate(prefix, added, weights, wanted, found, fits, len(needed), lacks)


def splits(name: str) -> Iterator[tuple[str, str]]:
    """`a.b.c` as ("", "a.b.c"), ("a.", "b.c"), ("a.b.", "c"); no more of them than names of networks have."""
    yield "", name
    place = name.find(".")
    for _ in range(MOST_DOTS):
        if place < 0:
            return
        yield name[: place + 1], name[place + 1 :]
        place = name.find(".", place + 1)


def known_names(own: Mapping[str, Tensor]) -> frozenset[str]:
    """A network's names, also without what all of them begin with."""
    names = {_without_compiled(name): value for name, value in own.items()}
    return frozenset(name.removeprefix(front) for front in _common_fronts(names) for name in names)


def common_front(names: Mapping[str, Tensor]) -> str:
    """What all names begin with, up to a dot."""
    return _common_fronts(names)[-1]


def _common_fronts(names: Mapping[str, Tensor]) -> list[str]:
    """What all names begin with, from nothing to the longest: a factory may wrap the saved network."""
    fronts, first = [""], next(iter(names), "")
    for front, _ in list(splits(first))[1:]:
        if not all(name.startswith(front) for name in names):
            break
        fronts.append(front)
    return fronts


def _called(candidates: Sequence[_Candidate], asked: str, path: Path) -> list[_Candidate]:
    asked = asked.strip().removesuffix(".") or ITSELF
    front = "" if asked == ITSELF else f"{asked}."
    exact = [c for c in candidates if c.key == asked]
    found = exact if any(c.found for c in exact) else [c for c in candidates if c.prefix.startswith(front)]
    if not any(c.found for c in found):
        keys = listed([c.key for c in sorted(candidates, key=lambda c: -len(c.found)) if c.found]) or "none"
        raise UsageError(
            f"{path}: --weights {brief_name(asked)}: no weights of the network there; "
            f"sets that it fits: {keys}"
        )
    return found


def _uncompiled(weights: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """Without what `torch.compile` puts into names, unless two would be called alike."""
    found = {_without_compiled(name): value for name, value in weights.items()}
    return found if len(found) == len(weights) else weights


def _without_compiled(name: str) -> str:
    return name.replace(COMPILED, "")


def _fits(tensor: Tensor, own: Tensor) -> bool:
    return is_lazy(own) or tensor.shape == own.shape


def _same(a: Tensor, b: Tensor) -> bool:
    if a is b:
        return True
    if a.shape != b.shape or a.dtype != b.dtype or a.layout != b.layout or a.is_meta or b.is_meta:
        return False
    if a.layout is not torch.strided:
        return False
    return bool(torch.equal(a, b)) or bool(((a == b) | ((a != a) & (b != b))).all())


def check_weights(network: nn.Module, found: Selection, path: Path) -> None:
    """Raise CheckpointError with a line each for missing, unexpected and wrongly shaped weights.

    Whole numbers in the place of others are quantised: without their scale they say nothing.
    """
    wanted, weights = network.state_dict(), found.weights
    # A counter that older checkpoints lack and that evaluation never reads.
    missing = [n for n in wanted if n not in weights and not n.endswith(_COUNTER)]
    shapes = [
        f"{brief_name(name)} is {list(weights[name].shape)}, the network has {list(own.shape)}"
        for name, own in wanted.items()
        if name in weights and not _fits(weights[name], own)
    ]
    types = [
        f"{brief_name(name)} is {str(weights[name].dtype).removeprefix('torch.')}, the network has floats"
        for name, own in wanted.items()
        if name in weights and own.is_floating_point() and not weights[name].is_floating_point()
    ]
    kinds = (
        ("missing", missing),
        ("unexpected", found.unexpected),
        ("wrongly shaped", shapes),
        ("quantised or complex", types),
    )
    problems = [f"{path}: {kind} weights: {listed(names)}" for kind, names in kinds if names]
    if problems:
        raise CheckpointError(*problems)


def put_weights(
    weights: Mapping[str, Tensor], network: nn.Module, path: Path, asked: str | None = None
) -> Selection:
    """Put those weights of a file that are a network's into it, and tell which they are.

    Raises CheckpointError where they are not its own, UsageError where it is not clear which are meant.
    """
    buffers = [name for name, _ in network.named_buffers()]
    found = select(weights, network.state_dict(), path, asked, buffers)
    check_weights(network, found, path)
    try:
        network.load_state_dict(found.weights, strict=False)
    except RuntimeError as error:  # sparse tensors, tensors without content
        reason = brief(str(error).splitlines()[-1], LONGEST_REASON)
        raise CheckpointError(f"{path}: the network does not take these weights: {reason}") from None
    return found


def listed(names: Sequence[str]) -> str:
    """The first names and how many more there are."""
    shown = ", ".join(map(brief_name, names[:SHOWN]))
    return shown if len(names) <= SHOWN else f"{shown} and {len(names) - SHOWN} more ({len(names)} in all)"
