"""How to find a network's outputs in what it returns, as a user says it: never guessed from shapes."""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from types import EllipsisType
from typing import Any, Final

from mahtdiag.schema.choices import UncertaintyKind

UNCERTAINTIES: Final = {
    "log_sigma": UncertaintyKind.LOG_SIGMA,
    "sigma": UncertaintyKind.SIGMA,
    "log_var": UncertaintyKind.LOG_VAR,
}
OUTPUT_NAMES: Final = (
    *("heatmaps", "coords", *UNCERTAINTIES, "scores", "offsets", "simcc_x", "simcc_y"),
    *("centres", "centre_offsets", "corner_offsets"),
)
"""What can be named in what a network returns."""
ITSELF: Final = "."
"""The path of what a network returns as a whole."""


class Activation(StrEnum):
    """What is applied to heatmaps before they are read; `softmax` runs over the cells of each."""

    NONE = "none"
    SIGMOID = "sigmoid"
    SOFTMAX = "softmax"
    EXP = "exp"


class Layout(StrEnum):
    """The order of the dimensions of maps."""

    NCHW = "nchw"
    NHWC = "nhwc"


class Axes(StrEnum):
    """The order of coordinates: (x, y) or (y, x) of each keypoint, or all x before all y, or the reverse."""

    XY = "xy"
    YX = "yx"
    ALL_XY = "xxyy"
    ALL_YX = "yyxx"


class CoordsFrame(StrEnum):
    """What a network's own coordinates count: pixels of its input, heatmap cells, shares of the input.

    `unit` runs from 0 to 1 and `signed-unit` from −1 to 1 between the outer edges of the first and the last
    pixel (between their centres with `--coords scale`, where pixel 0 is 0 and the last one is W, H).
    `original`: pixels of each image as it lies in its file.
    """

    INPUT = "input"
    CELLS = "cells"
    UNIT = "unit"
    SIGNED_UNIT = "signed-unit"
    ORIGINAL = "original"


@dataclass(frozen=True, slots=True)
class OutputSpec:
    """Where outputs are, and how they are to be read.

    `paths`: by the name of an output, such as `bodypart.heatmap` or `[1]`; those that are not said have their
    own names. At most one of `log_sigma`, `sigma` and `log_var` is said. `sigma_as`: what that one is;
    `coords_frame`, `coords_axes`: what the coordinates count, and their order or that of offsets, None where
    not said;
    `offset_scale`: what an offset of 1 is, in heatmap cells, or in input pixels with `offset_frame` input;
    `stack`: which of several heatmaps in a list, or along the second dimension of `[B, S, K, h, w]`.
    """

    paths: Mapping[str, str] = field(default_factory=dict)
    activation: Activation = Activation.NONE
    layout: Layout = Layout.NCHW
    sigma_as: UncertaintyKind | None = None
    coords_frame: CoordsFrame | None = None
    coords_axes: Axes | None = None
    offset_scale: float = 1.0
    offset_frame: CoordsFrame = CoordsFrame.CELLS
    stack: int | None = None

    @property
    def uncertainty(self) -> str | None:
        """The name under which an uncertainty is said."""
        return next((name for name in UNCERTAINTIES if name in self.paths), None)

    @property
    def uncertainty_kind(self) -> UncertaintyKind | None:
        """What the uncertainty that is said is."""
        return self.sigma_as or (None if self.uncertainty is None else UNCERTAINTIES[self.uncertainty])

    def over(self, base: "OutputSpec") -> "OutputSpec":
        """The same on top of another: what is said here counts."""
        changed: dict[str, Any] = {
            name: value for name in ATTRIBUTES if (value := getattr(self, name)) != getattr(NOTHING, name)
        }
        uncertain = self.uncertainty is not None
        kept = {n: p for n, p in base.paths.items() if not (uncertain and n in UNCERTAINTIES)}
        merged = replace(base, sigma_as=None) if uncertain else base
        return replace(merged, paths=kept | dict(self.paths), **changed)

    def as_texts(self) -> tuple[str, ...]:
        """The same as it is typed, `NAME=SPEC` each; see `parse_outputs`."""
        texts = [f"{name}={path}" + "".join(self._details(name)) for name, path in self.paths.items()]
        texts += [f"activation={self.activation}"] if self.activation is not Activation.NONE else []
        texts += [f"layout={self.layout}"] if self.layout is not Layout.NCHW else []
        return tuple(texts)

    def _details(self, name: str) -> Iterator[str]:
        for key, attribute in DETAILS.get(name, {}).items():
            value = getattr(self, attribute)
            if value != getattr(NOTHING, attribute) and attribute not in _OF_ALL:
                yield f",{key}={value:g}" if isinstance(value, float) else f",{key}={value}"


DETAILS: Final[Mapping[str, Mapping[str, str]]] = {
    "coords": {"frame": "coords_frame", "axes": "coords_axes"},
    "sigma": {"as": "sigma_as"},
    "offsets": {"scale": "offset_scale", "frame": "offset_frame", "axes": "coords_axes"},
    "heatmaps": {"activation": "activation", "layout": "layout", "stack": "stack"},
}
"""What can be said of an output beside where it is, and the field of `OutputSpec` that holds it."""
NOTHING: Final = OutputSpec()
_CHOICES: Final[Mapping[str, type[StrEnum]]] = {
    "activation": Activation, "layout": Layout, "coords_frame": CoordsFrame, "coords_axes": Axes,
    "sigma_as": UncertaintyKind, "offset_frame": CoordsFrame,
}  # fmt: skip
ATTRIBUTES: Final = (*_CHOICES, "offset_scale", "stack")
_OF_ALL: Final = ("activation", "layout")


_INDEX: Final = re.compile(r"-?\d{1,6}")


def parse_outputs(said: object) -> OutputSpec:
    """What `--output NAME=SPEC` (several) or the table `[model.outputs]` says. Raises ValueError.

    A SPEC is a path, or a path and more: `coords=[1],frame=unit`, in a table `{from = "[1]", frame = …}`.
    """
    if isinstance(said, OutputSpec):
        return said
    if isinstance(said, Sequence) and not isinstance(said, str):
        pairs = [
            (name.strip(), spec.strip()) for name, _, spec in (str(text).partition("=") for text in said)
        ]
        if len(dict(pairs)) < len(pairs):
            raise ValueError("an output is said twice")
        said = dict(pairs)
    if not isinstance(said, dict):
        raise ValueError("say outputs as NAME=PATH, such as heatmaps=[-1]")
    paths: dict[str, str] = {}
    found: dict[str, Any] = {}
    for name, spec in said.items():
        if name in _OF_ALL:
            found[name] = _detail(name, name, spec)
            continue
        if name not in OUTPUT_NAMES:
            raise ValueError(f"{name} is no output: one of {', '.join((*OUTPUT_NAMES, *_OF_ALL))}")
        paths[name], details = _path_and_details(name, spec)
        for key, value in details.items():
            if key not in DETAILS.get(name, {}):
                known = ", ".join(DETAILS.get(name, {})) or "nothing"
                raise ValueError(f"{name}: {key} means nothing here; beside its path one says {known}")
            attribute = DETAILS[name][key]
            found[attribute] = _detail(f"{name},{key}", attribute, value)
    return _checked(OutputSpec(paths, **found))


def _checked(spec: OutputSpec) -> OutputSpec:
    paths = spec.paths
    for path in paths.values():
        steps_of(path)
    if len(paths.keys() & UNCERTAINTIES.keys()) > 1:
        raise ValueError("one of log_sigma, sigma and log_var is the uncertainty")
    if ("simcc_x" in paths) != ("simcc_y" in paths):
        raise ValueError("simcc_x and simcc_y are a pair: say both")
    places = [name for name in ("coords", "offsets", "simcc_x", "centres") if name in paths]
    if len(places) > 1:
        raise ValueError(f"{' and '.join(places)} both say where keypoints are: leave one out")
    if "centres" in paths and "corner_offsets" not in paths:
        raise ValueError("centres need corner_offsets, which tell where corners lie from a centre")
    if "centres" not in paths and paths.keys() & {"centre_offsets", "corner_offsets"}:
        raise ValueError("centre_offsets and corner_offsets need centres")
    if spec.offset_frame not in (CoordsFrame.CELLS, CoordsFrame.INPUT):
        raise ValueError("offsets,frame is cells or input")
    return spec


def _path_and_details(name: str, spec: object) -> tuple[str, dict[str, object]]:
    """`[1],frame=unit`, or the same as a table, as its path and the rest."""
    if isinstance(spec, str):
        path, *rest = (part.strip() for part in re.split(r",(?![^\[]{0,500}\])", spec))
        details: dict[str, object] = {}
        for part in rest:
            key, equals, value = part.partition("=")
            if not equals or key.strip() in details:
                raise ValueError(f"{name}={spec}: after the path say KEY=VALUE, each once")
            details[key.strip()] = value.strip()
        return path, details
    if not isinstance(spec, Mapping) or not isinstance(spec.get("from"), str):
        raise ValueError(f"{name}: say its path, or {{from = PATH, …}}")
    return spec["from"], {key: value for key, value in spec.items() if key != "from"}


def _detail(where: str, attribute: str, value: object) -> object:
    if attribute in _CHOICES:
        try:
            return _CHOICES[attribute](str(value))
        except ValueError:
            raise ValueError(f"{where} is one of {', '.join(_CHOICES[attribute])}, not {value}") from None
    if attribute == "stack":
        if isinstance(value, bool) or not _INDEX.fullmatch(str(value)):
            raise ValueError(f"{where} is a place such as -1, the last, not {value}")
        return int(str(value))
    try:
        scale = float(str(value))
    except ValueError:
        scale = math.nan
    if not math.isfinite(scale) or scale == 0 or isinstance(value, bool):
        raise ValueError(f"{where} is a number that is not 0, not {value}")
    return scale


Slices = tuple[int | slice | EllipsisType, ...]
_STEP: Final = re.compile(r"\.?([^.\[\]]+)|\[([^\[\]]+)\]")


def steps_of(path: str) -> tuple[str | int | Slices, ...]:
    """`bodypart.heatmap[-1]` as `("bodypart", "heatmap", -1)`; `.` is what was returned as a whole.

    `[..., :2]` cuts a tensor, as in numpy. Raises ValueError for anything else.
    """
    if path == ITSELF:
        return ()
    steps: list[str | int | Slices] = []
    at = 0
    while at < len(path):
        found = _STEP.match(path, at)
        if found is None:
            raise ValueError(f"'{path}' is not a path such as heatmaps, [1], out.maps[-1] or [..., :2]")
        name, index = found.group(1), found.group(2)
        if index is not None and _INDEX.fullmatch(index.strip()):
            steps.append(int(index))
        elif index is not None and re.fullmatch(r"[-\d:,.\s]+", index):
            steps.append(_slices(index, path))
        else:
            steps.append((index or name).strip("'\""))
        at = found.end()
    if not steps:
        raise ValueError("an empty path names no output")
    return tuple(steps)


def _slices(index: str, path: str) -> Slices:
    found: list[int | slice | EllipsisType] = []
    for text in (part.strip() for part in index.split(",")):
        bounds = text.split(":")
        if text == "...":
            found.append(...)
        elif len(bounds) == 1 and _INDEX.fullmatch(text):
            found.append(int(text))
        elif 2 <= len(bounds) <= 3 and all(not b or _INDEX.fullmatch(b) for b in bounds):
            start, stop, *step = (int(b) if b else None for b in bounds)
            if step and (step[0] or 0) < 0:
                raise ValueError(f"'{path}': a step is above 0")
            found.append(slice(start, stop, step[0] if step else None))
        else:
            raise ValueError(f"'{path}': {text} is no index or slice, such as -1, :2 or ...")
    return tuple(found)
