"""What a network returns as named and checked outputs: by its own names, or where a user says they are."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Final

import torch
from torch import Tensor

from mahtdiag.errors import ModelOutputError
from mahtdiag.schema.choices import CoordinateConvention, UncertaintyKind
from mahtdiag.schema.output_spec import Activation, CoordsFrame, Layout, OutputSpec, steps_of
from mahtdiag.schema.records import ModelOutputs, Predictor

ACCEPTED: Final = (
    "accepted are a tensor [B,K,h,w], or a dict, dataclass or named tuple with heatmaps and optionally "
    "coords or keypoints [B,K,2] and one of log_sigma, sigma, uncertainty, log_var [B,K] or [B,K,2]; "
    "--output NAME=PATH says where others are, as in --output heatmaps=[-1]"
)
_COORDS_NAMES: Final = ("coords", "keypoints")
_UNCERTAINTY_NAMES: Final = {
    "log_sigma": UncertaintyKind.LOG_SIGMA,
    "sigma": UncertaintyKind.SIGMA,
    "uncertainty": UncertaintyKind.SIGMA,
    "log_var": UncertaintyKind.LOG_VAR,
}
_KNOWN: Final = ("heatmaps", *_COORDS_NAMES, *_UNCERTAINTY_NAMES)
BY_NAMES: Final = OutputSpec()
"""Nothing is said: outputs are read by their own names."""
_MOST_LISTED = 8


def describe(output: object) -> str:
    """The form of an output in words: nested types and shapes."""
    if isinstance(output, Tensor):
        kind = "" if output.is_floating_point() else f" of {str(output.dtype).removeprefix('torch.')}"
        return f"tensor {list(output.shape)}{kind}"
    named = _by_name(output)
    if named is not None:
        kind = "dict" if isinstance(output, Mapping) else type(output).__name__
        return f"{kind} {{" + ", ".join(f"{name}: {describe(value)}" for name, value in named.items()) + "}"
    if isinstance(output, (tuple, list)):
        return f"{type(output).__name__} ({', '.join(map(describe, output))})"
    return type(output).__name__


def read_outputs(output: object, batch: int, spec: OutputSpec = BY_NAMES) -> ModelOutputs:
    """Name and check the outputs of a batch of `batch` images.

    Of an unnamed tuple or list the only tensor of four dimensions is the heatmaps; a second one is as often a
    score as a log σ, so that nothing else is read but what `spec` says, and the rest is listed.

    Raises ModelOutputError that prints what was returned and what is accepted.
    """
    found = _found(output, spec)
    if isinstance(found, ModelOutputs) and _fits(found, batch):
        return found
    problem = found if isinstance(found, str) else ACCEPTED
    raise ModelOutputError(f"the network returned {describe(output)} for {batch} image(s); {problem}")


def _found(output: object, spec: OutputSpec) -> ModelOutputs | str | None:
    """The outputs, or why they cannot be found; None where they are of no form that is accepted."""
    by_name = _by_name(output)
    places: dict[str, object] = {}
    for name, path in spec.paths.items():
        value = _at(output, path)
        if not isinstance(value, Tensor):
            there = "nothing" if value is None else describe(value)
            return f"--output {name}={path}: there is {there}, a tensor is wanted"
        places[name] = value
    read = [*places.values()]
    if "heatmaps" not in places:
        heatmaps = output if isinstance(output, Tensor) else (by_name or {}).get("heatmaps")
        if heatmaps is None and isinstance(output, Sequence):
            maps = [part for part in output if isinstance(part, Tensor) and part.ndim == 4]
            if len(maps) > 1:
                return f"which are the heatmaps? say --output heatmaps=[0] to [{len(output) - 1}]"
            heatmaps = maps[0] if maps else None
        if not isinstance(heatmaps, Tensor):
            return None
        places["heatmaps"] = heatmaps
        read.append(heatmaps)
    if by_name is not None:
        taken = _by_known_names(by_name, spec)
        if taken is None:
            return None
        places = {**taken, **places}
        read += taken.values()
    return _named(places, tuple(_unread(output, by_name, read)), spec)


def _by_known_names(by_name: Mapping[str, object], spec: OutputSpec) -> dict[str, Tensor] | None:
    """What has a known name and is not said elsewhere; None where it is no tensor or two are of a kind."""
    said = spec.paths
    wanted: list[str] = []
    if "coords" not in said:
        wanted += [name for name in _COORDS_NAMES if name in by_name]
    if len(wanted) > 1:
        return None
    if not said.keys() & {"log_sigma", "sigma", "log_var"}:
        sigma = [name for name in _UNCERTAINTY_NAMES if name in by_name]
        if len(sigma) > 1:
            return None
        wanted += sigma
    found = {name: value for name in wanted if isinstance(value := by_name[name], Tensor)}
    if len(found) < len(wanted):
        return None
    return {"coords" if name in _COORDS_NAMES else name: value for name, value in found.items()}


def _named(places: Mapping[str, object], unread: tuple[str, ...], spec: OutputSpec) -> ModelOutputs | None:
    tensors = {name: value for name, value in places.items() if isinstance(value, Tensor)}
    heatmaps = tensors["heatmaps"]
    if heatmaps.ndim != 4:
        return None
    if spec.layout is Layout.NHWC:
        heatmaps = heatmaps.permute(0, 3, 1, 2)
    kinds = [name for name in _UNCERTAINTY_NAMES if name in tensors]
    uncertainty = tensors[kinds[0]] if kinds else None
    kind = _UNCERTAINTY_NAMES[kinds[0]] if kinds else None
    return ModelOutputs(_activated(heatmaps, spec), tensors.get("coords"), uncertainty, kind, unread)


def _activated(heatmaps: Tensor, spec: OutputSpec) -> Tensor:
    match spec.activation:
        case Activation.SIGMOID:
            return heatmaps.sigmoid()
        case Activation.SOFTMAX:
            return heatmaps.flatten(2).softmax(-1).reshape(heatmaps.shape)
        case Activation.EXP:
            return heatmaps.exp()
    return heatmaps


def _by_name(output: object) -> Mapping[str, object] | None:
    """What has names of its own: a mapping, a named tuple, a dataclass; None for anything else."""
    if isinstance(output, Mapping):
        return {str(name): value for name, value in output.items()}
    if isinstance(output, tuple) and hasattr(output, "_fields"):
        return dict(zip(output._fields, output, strict=True))
    if is_dataclass(output) and not isinstance(output, type):
        return {field.name: getattr(output, field.name) for field in fields(output)}
    return None


def _at(output: object, path: str) -> object:
    """What lies at a path; None where nothing does."""
    for step in steps_of(path):
        if isinstance(step, int) and isinstance(output, Sequence):
            output = output[step] if -len(output) <= step < len(output) else None
        else:
            output = (_by_name(output) or {}).get(str(step))
    return output


def _unread(output: object, by_name: Mapping[str, object] | None, read: Sequence[object]) -> Iterator[str]:
    """What was returned and is not read, by name or place, with its form."""
    if by_name is not None:
        parts = [*by_name.items()]
    elif isinstance(output, Sequence):
        parts = [(f"[{place}]", part) for place, part in enumerate(output)]
    else:
        parts = []
    left = [(name, part) for name, part in parts if not _holds(part, read)]
    for name, part in left[:_MOST_LISTED]:
        yield f"{name} ({describe(part)})"
    if len(left) > _MOST_LISTED:
        yield f"and {len(left) - _MOST_LISTED} more"


def _holds(part: object, read: Sequence[object]) -> bool:
    """Whether what is read is this, or lies somewhere in it."""
    if any(part is value for value in read):
        return True
    inner = _by_name(part)
    if inner is None and isinstance(part, (tuple, list)):
        inner = {str(place): value for place, value in enumerate(part)}
    return inner is not None and any(_holds(value, read) for value in inner.values())


def _fits(outputs: ModelOutputs, batch: int) -> bool:
    heatmaps, coords, uncertainty = outputs.heatmaps, outputs.coords, outputs.uncertainty
    if heatmaps.ndim != 4 or heatmaps.shape[0] != batch or 0 in heatmaps.shape:
        return False
    points = (batch, heatmaps.shape[1], 2)
    if not torch.is_floating_point(heatmaps) or (coords is not None and coords.shape != points):
        return False
    return uncertainty is None or uncertainty.shape in (points, points[:2])


@dataclass(frozen=True)
class Arranged:
    """A network whose outputs are brought to the keypoints of a skeleton and to pixels of its input.

    `order`: the channel of each keypoint, None where they are in the skeleton's order; `frame`: what the
    network's own coordinates count.
    """

    predict: Predictor
    order: tuple[int, ...] | None
    frame: CoordsFrame
    convention: CoordinateConvention

    def __call__(self, images: Tensor) -> ModelOutputs:
        """The outputs for `[B, C, H, W]`."""
        found = self.predict(images)
        coords = found.coords
        if coords is not None and self.frame is not CoordsFrame.INPUT:
            coords = self._in_input_pixels(coords, images, found.heatmaps)
        order = None if self.order is None else list(self.order)
        heatmaps, coords, uncertainty = (
            values if values is None or order is None else values[:, order]
            for values in (found.heatmaps, coords, found.uncertainty)
        )
        assert heatmaps is not None
        return ModelOutputs(heatmaps, coords, uncertainty, found.uncertainty_kind, found.unread)

    def _in_input_pixels(self, coords: Tensor, images: Tensor, heatmaps: Tensor) -> Tensor:
        """`[B, K, 2]` in pixels of the input, by the convention of where pixel centres lie."""
        coords = coords.float()
        size = coords.new_tensor([images.shape[-1], images.shape[-2]])
        half = 0.5 if self.convention is CoordinateConvention.HALF_PIXEL else 0.0
        if self.frame is CoordsFrame.CELLS:
            cells = coords.new_tensor([heatmaps.shape[-1], heatmaps.shape[-2]])
            return (coords + half) * (size / cells) - half
        shares = coords if self.frame is CoordsFrame.UNIT else (coords + 1) / 2
        return shares * size - half
