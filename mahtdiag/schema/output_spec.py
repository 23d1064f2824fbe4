"""How to find a network's outputs in what it returns, as a user says it: never guessed from shapes."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from mahtdiag.errors import UsageError
from mahtdiag.schema.keypoint_names import place_of
from mahtdiag.schema.skeleton import CORNERS, CORNERS_PER_VERTEBRA, LA, Skeleton

OUTPUT_NAMES: Final = ("heatmaps", "coords", "log_sigma", "sigma", "log_var")
"""What can be named in what a network returns."""


class Activation(StrEnum):
    """What is applied to heatmaps before they are read; `softmax` runs over the cells of each."""

    NONE = "none"
    SIGMOID = "sigmoid"
    SOFTMAX = "softmax"
    EXP = "exp"


class Layout(StrEnum):
    """The order of the dimensions of heatmaps."""

    NCHW = "nchw"
    NHWC = "nhwc"


class CoordsFrame(StrEnum):
    """What a network's own coordinates count: pixels of its input, heatmap cells, shares of the input.

    `unit` runs from 0 to 1 and `signed-unit` from −1 to 1 between the outer edges of the first and the last
    pixel (between their centres with `--coords scale`, where pixel 0 is 0 and the last one is W, H).
    """

    INPUT = "input"
    CELLS = "cells"
    UNIT = "unit"
    SIGNED_UNIT = "signed-unit"


@dataclass(frozen=True, slots=True)
class OutputSpec:
    """Where outputs are: paths such as `bodypart.heatmap` or `[1]`, None by their own names.

    At most one of `log_sigma`, `sigma` and `log_var` is said.
    """

    heatmaps: str | None = None
    coords: str | None = None
    log_sigma: str | None = None
    sigma: str | None = None
    log_var: str | None = None
    activation: Activation = Activation.NONE
    layout: Layout = Layout.NCHW

    @property
    def paths(self) -> dict[str, str]:
        """The outputs that are said, by name."""
        return {name: path for name in OUTPUT_NAMES if (path := getattr(self, name)) is not None}

    def as_texts(self) -> tuple[str, ...]:
        """The same as it is typed, `NAME=SPEC` each; see `parse_outputs`."""
        texts = [f"{name}={path}" for name, path in self.paths.items()]
        texts += [f"activation={self.activation}"] if self.activation is not Activation.NONE else []
        texts += [f"layout={self.layout}"] if self.layout is not Layout.NCHW else []
        return tuple(texts)


def parse_outputs(said: object) -> OutputSpec:
    """What `--output NAME=SPEC` (several) or the table `[model.outputs]` says. Raises ValueError."""
    if isinstance(said, OutputSpec):
        return said
    if isinstance(said, Sequence) and not isinstance(said, str):
        pairs = [
            (name.strip(), spec.strip()) for name, _, spec in (str(text).partition("=") for text in said)
        ]
        if len(dict(pairs)) < len(pairs):
            raise ValueError("an output is said twice")
        said = dict(pairs)
    if not isinstance(said, dict) or not all(isinstance(value, str) for value in said.values()):
        raise ValueError("say outputs as NAME=PATH, such as heatmaps=[-1]")
    known = (*OUTPUT_NAMES, "activation", "layout")
    for name, spec in said.items():
        if name not in known:
            raise ValueError(f"{name} is no output: one of {', '.join(known)}")
        if name in OUTPUT_NAMES:
            steps_of(spec)
    if len(said.keys() & {"log_sigma", "sigma", "log_var"}) > 1:
        raise ValueError("one of log_sigma, sigma and log_var is the uncertainty")
    try:
        activation, layout = Activation(said.get("activation", "none")), Layout(said.get("layout", "nchw"))
    except ValueError:
        raise ValueError(
            f"activation is one of {', '.join(Activation)}, layout one of {', '.join(Layout)}"
        ) from None
    return OutputSpec(**{n: said[n] for n in OUTPUT_NAMES if n in said}, activation=activation, layout=layout)


_STEP: Final = re.compile(r"\.?([^.\[\]]+)|\[([^\[\]]+)\]")


def steps_of(path: str) -> tuple[str | int, ...]:
    """`bodypart.heatmap[-1]` as `("bodypart", "heatmap", -1)`. Raises ValueError for anything else."""
    steps: list[str | int] = []
    at = 0
    while at < len(path):
        found = _STEP.match(path, at)
        if found is None:
            raise ValueError(f"'{path}' is not a path such as heatmaps, [1] or out.maps[-1]")
        name, index = found.group(1), found.group(2)
        whole = index is not None and re.fullmatch(r"-?\d{1,6}", index)
        steps.append(int(index) if whole else (index or name).strip("'\""))
        at = found.end()
    if not steps:
        raise ValueError("an empty path names no output")
    return tuple(steps)


def channel_order(text: str, channels: int, skeleton: Skeleton) -> tuple[int, ...]:
    """The channel of each keypoint of the skeleton, in its order, `[K]`.

    `text` says how the channels are ordered: `corner:UL,UR,LR,LL` (corners within each vertebra),
    `vertebrae:L5..L1` (vertebrae one after another, also more of them than the skeleton has), both joined by
    `;`, names of all channels (`L1_UL,L1_UR,…`), or the channels themselves: `3,2,0,…`, `48:68`.

    Raises UsageError where it is none of these, or lacks a keypoint.
    """
    if re.fullmatch(r"[\d,:\s]+", text):
        return _by_index(text, channels, skeleton)
    parts = [part.strip() for part in text.split(";") if part.strip()]
    ordered = {name: value for name, _, value in (part.partition(":") for part in parts)}
    if ordered and ordered.keys() <= {"corner", "vertebrae"}:
        names = _named(ordered.get("vertebrae"), ordered.get("corner"), channels, skeleton)
    else:
        names = tuple(place_of(name) for name in text.split(","))
    if len(names) != channels:
        raise UsageError(f"--keypoints {text}: these are {len(names)}, the network returns {channels}")
    channel_of = {name: channel for channel, name in enumerate(names)}
    if len(channel_of) < len(names):
        raise UsageError(f"--keypoints {text}: a keypoint is named twice")
    wanted = zip(skeleton.vertebra_of, skeleton.corner_of, strict=True)
    missing = [f"{v} {c}" for v, c in wanted if (v, c) not in channel_of]
    if missing:
        listed = ", ".join(missing[:4]) + ", …" * (len(missing) > 4)
        raise UsageError(f"--keypoints {text}: {listed} of {skeleton} not among them")
    return tuple(channel_of[place] for place in zip(skeleton.vertebra_of, skeleton.corner_of, strict=True))


def _by_index(text: str, channels: int, skeleton: Skeleton) -> tuple[int, ...]:
    found: list[int] = []
    try:
        for part in text.split(","):
            first, colon, end = part.strip().partition(":")
            found += range(int(first or 0), int(end or channels)) if colon else [int(first)]
    except ValueError:
        raise UsageError(f"--keypoints {text}: not a list of channels such as 0,1,3,2 or 48:68") from None
    if len(found) != skeleton.keypoints:
        raise UsageError(f"--keypoints {text}: {len(found)} channels, {skeleton} has {skeleton.keypoints}")
    if len(set(found)) < len(found) or max(found) >= channels:
        raise UsageError(f"--keypoints {text}: channels are 0 to {channels - 1}, each at most once")
    return tuple(found)


def _named(
    vertebrae: str | None, corners: str | None, channels: int, skeleton: Skeleton
) -> tuple[tuple[str | None, str | None], ...]:
    """Vertebra and corner of each channel; S1 has its upper two corners alone."""
    order = CORNERS if corners is None else tuple(corner.strip().upper() for corner in corners.split(","))
    if sorted(order) != sorted(CORNERS):
        raise UsageError(f"--keypoints corner:{corners}: name each of {', '.join(CORNERS)} once")
    levels = skeleton.vertebrae if vertebrae is None else _levels(vertebrae)
    return tuple(
        (level, corner)
        for level in levels
        for corner in order
        if level != LA.last_endplate or corner.startswith("U")
    )


_SPINE: Final = (
    *(f"C{n}" for n in range(2, 8)), *(f"T{n}" for n in range(1, 13)), *(f"L{n}" for n in range(1, 6)), "S1",
)  # fmt: skip


def _levels(text: str) -> tuple[str, ...]:
    """`L5..L1` or `T1..L5` or `L1,L2,…` as levels. Raises UsageError for names that are none."""
    levels: list[str] = []
    for part in text.split(","):
        first, dots, last = (word.strip().upper() for word in part.partition(".."))
        if first not in _SPINE or (dots and last not in _SPINE):
            raise UsageError(f"--keypoints vertebrae:{text}: levels are C2 to S1, as in L5..L1")
        a, b = _SPINE.index(first), _SPINE.index(last if dots else first)
        levels += _SPINE[a : b + 1] if a <= b else _SPINE[b : a + 1][::-1]
    return tuple(levels)


def order_option(order: Sequence[int], skeleton: Skeleton) -> str:
    """What to type after `--keypoints` where channel c is keypoint `order[c]` of the skeleton."""
    natural = list(range(skeleton.keypoints))
    for text in _short_forms(order, skeleton):
        if list(channel_order(text, len(natural), skeleton)) == [list(order).index(k) for k in natural]:
            return text
    return ",".join(str(list(order).index(k)) for k in natural)


def _short_forms(order: Sequence[int], skeleton: Skeleton) -> list[str]:
    """Corners as they stand in the first vertebra, and vertebrae from below."""
    first, bodies = order[0] // CORNERS_PER_VERTEBRA * CORNERS_PER_VERTEBRA, skeleton.vertebrae
    corners = [k - first for k in order[:CORNERS_PER_VERTEBRA]]
    forms = [f"vertebrae:{bodies[-1]}..{bodies[0]}"]
    if sorted(corners) == list(range(CORNERS_PER_VERTEBRA)):
        corner = "corner:" + ",".join(CORNERS[c] for c in corners)
        forms = [corner, *forms, f"{forms[0]};{corner}"]
    return forms
