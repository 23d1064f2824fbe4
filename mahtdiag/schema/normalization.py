"""From grey values of 0 to 1 to the values that a network takes, as a user says it."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from mahtdiag.errors import UsageError


class StepKind(StrEnum):
    """What a step of normalisation does to an image."""

    CLAHE = "clahe"
    ZSCORE = "zscore"
    MINMAX = "minmax"
    PERCENTILE = "percentile"
    RAW255 = "raw255"


@dataclass(frozen=True, slots=True)
class Step:
    """A step, with two numbers for `CLAHE` (clip limit, tiles a side) and `PERCENTILE` (low, high)."""

    kind: StepKind
    first: float = 0.0
    second: float = 0.0


@dataclass(frozen=True, slots=True)
class Normalization:
    """Steps, and then per channel (value − mean)/std, of value/full scale; `name` is what users type.

    `by_colour`: mean and std are those of red, green and blue, whatever the order of the network's channels.
    """

    name: str
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    steps: tuple[Step, ...] = ()
    by_colour: bool = False

    @property
    def by_image(self) -> bool:
        """Whether the range of an image's own grey values is taken out."""
        return any(
            step.kind in (StepKind.ZSCORE, StepKind.MINMAX, StepKind.PERCENTILE) for step in self.steps
        )


UNIT = Normalization("unit")
# Channel statistics of ImageNet, as published with the torchvision model zoo.
IMAGENET = Normalization("imagenet", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), by_colour=True)
_DEFAULTS = {StepKind.CLAHE: (2.0, 8.0), StepKind.PERCENTILE: (1.0, 99.0)}
_EXPECTED = (
    "use unit, imagenet, zscore, minmax, percentile, raw255, MEAN/STD on the 0..1 scale (0.45/0.22 or "
    "0.4,0.4,0.4/0.2,0.2,0.2), or several joined by +, such as clahe+unit; clahe is the first, and imagenet "
    "or MEAN/STD the last"
)


def parse_normalization(text: str) -> Normalization:
    """One of the names, `0.45/0.22` (three values a side, with commas, for three channels), or several by +.

    Means and deviations are on the scale that the steps before leave: 0..1, or 0..255 after `raw255`. Raises
    UsageError for anything else.
    """
    named = {UNIT.name: UNIT, IMAGENET.name: IMAGENET}.get(text)
    if named is not None:
        return named
    steps: list[Step] = []
    last = UNIT
    # The sign of an exponent joins nothing.
    parts = [part.strip() for part in re.split(r"(?<![0-9][eE])\+", text)]
    for place, part in enumerate(parts):
        step = _step(part)
        if step is not None and (place == 0 or step.kind is not StepKind.CLAHE):
            steps.append(step)
        elif part == UNIT.name:
            continue
        elif place == len(parts) - 1:
            last = IMAGENET if part == IMAGENET.name else _statistics(part, text)
        else:
            raise UsageError(f"normalisation {text!r} is not known: {_EXPECTED}")
    return Normalization(text, last.mean, last.std, tuple(steps), last.by_colour)


def _step(text: str) -> Step | None:
    """A step by its name and numbers, `clahe:4,8`; None for what is none."""
    name, colon, rest = text.partition(":")
    if name not in tuple(StepKind):
        return None
    kind = StepKind(name)
    numbers: tuple[float, ...] = _DEFAULTS.get(kind, ())
    if colon:
        given = _numbers(rest)
        if not numbers or not 1 <= len(given) <= 2:
            return None
        numbers = (*given, *numbers[len(given) :])
    step = Step(kind, *numbers)
    if kind is StepKind.CLAHE and not (0 < step.first <= 1000 and step.second in range(1, 65)):
        return None
    return None if kind is StepKind.PERCENTILE and not 0 <= step.first < step.second <= 100 else step


def _numbers(text: str) -> tuple[float, ...]:
    """Finite numbers between commas; none at all where one of them is none."""
    try:
        found = tuple(float(part) for part in text.split(","))
    except ValueError:
        return ()
    return found if all(map(math.isfinite, found)) else ()


def _statistics(part: str, text: str) -> Normalization:
    sides: Sequence[tuple[float, ...]] = [_numbers(side) for side in part.split("/")]
    mean, std = sides if len(sides) == 2 else ((), ())
    if len(mean) != len(std) or len(mean) not in (1, 3) or any(value <= 0 for value in std):
        raise UsageError(f"normalisation {text!r} is not known: {_EXPECTED}")
    return Normalization(part, mean, std)
