"""What can be said of a checkpoint file: by reading it alone, and by running its network once."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

_CHANNELS: Final = (1, 3)


@dataclass(frozen=True, slots=True)
class WeightSetFact:
    """Tensors that lie together: where, how many, of which types, and how their names begin.

    `parameters` counts numbers. `fronts`: what all names begin with, then the first parts with counts.
    `same_as`, `differs_from`: an earlier set of the same names and shapes.
    """

    key: str
    tensors: int
    parameters: int
    types: tuple[str, ...]
    fronts: tuple[str, ...] = ()
    same_as: str | None = None
    differs_from: str | None = None


@dataclass(frozen=True, slots=True)
class InputFact:
    """The tensor of images that a file declares, None for what it leaves open; `nhwc`: channels are last."""

    batch: int | None = None
    channels: int | None = None
    height: int | None = None
    width: int | None = None
    type: str = "float32"
    nhwc: bool = False

    @staticmethod
    def of_sizes(sizes: Sequence[int | None], kind: str) -> "InputFact":
        """Of the four sizes of a tensor of images; channels come last where only the last can be channels."""
        batch, *rest = sizes
        nhwc = rest[2] in _CHANNELS and rest[0] not in _CHANNELS
        channels, height, width = (rest[2], rest[0], rest[1]) if nhwc else rest
        return InputFact(batch, channels, height, width, kind, nhwc)


@dataclass(frozen=True, slots=True)
class CheckpointFacts:
    """What a file says of itself, of which nothing is run.

    `classes`: those that a pickle or a program names; `first_channels`, `last_channels`: of the first and the
    last convolution of the largest set; `declared`: input, and the outputs by name, of a graph.
    """

    sets: tuple[WeightSetFact, ...] = ()
    classes: tuple[str, ...] = ()
    metadata: dict[str, str] = field(default_factory=dict)
    first_channels: int | None = None
    last_channels: int | None = None
    declared: InputFact | None = None
    outputs: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TensorFact:
    """A tensor that a network takes or returns, and its range; `path`: as `--output` names it."""

    path: str
    shape: tuple[int, ...]
    type: str
    low: float | None
    high: float | None
    read_as: str = ""


@dataclass(frozen=True, slots=True)
class CheckpointInspection:
    """Everything that `inspect` tells.

    `tree`: the input and the outputs of one pass, empty where the network was not run; `problems`: why not,
    where it was to be; `missing`: options that are needed, with what they are for; `command`: what to type.
    """

    path: str
    size_bytes: int
    sha256: str
    format: str
    title: str
    needs_trust: bool
    facts: CheckpointFacts
    described: dict[str, str]
    given: TensorFact | None
    tree: tuple[TensorFact, ...]
    notes: tuple[str, ...]
    problems: tuple[str, ...]
    missing: dict[str, str]
    command: str
