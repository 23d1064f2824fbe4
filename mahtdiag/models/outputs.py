"""What a network returns as named and checked outputs: by its own names, or where a user says they are."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Final

import torch
from torch import Tensor

from mahtdiag.errors import ModelOutputError
from mahtdiag.models.tree import tensors_in
from mahtdiag.schema.choices import UncertaintyKind
from mahtdiag.schema.output_spec import (
    ITSELF,
    NOTHING,
    UNCERTAINTIES,
    Activation,
    Axes,
    Layout,
    OutputSpec,
    steps_of,
)
from mahtdiag.schema.records import ModelOutputs

ACCEPTED: Final = (
    "accepted are a tensor [B,K,h,w], or a dict, dataclass or named tuple with heatmaps or coords "
    "(keypoints) [B,K,2], and optionally one of log_sigma, sigma, uncertainty, log_var [B,K] or [B,K,2]; "
    "--output NAME=PATH says where others are"
)
_USUAL: Final = "--output heatmaps=[-1] or coords=."
_COORDS_NAMES: Final = ("coords", "keypoints")
_UNCERTAINTY_NAMES: Final = {**UNCERTAINTIES, "uncertainty": UncertaintyKind.SIGMA}
BY_NAMES: Final = NOTHING
"""Nothing is said: outputs are read by their own names."""
PLACES: Final = ("heatmaps", "coords", "simcc_x", "centres")
"""What tells where keypoints are: one of these must be there."""
_MOST_LISTED = 8
_DEEPEST, _LONGEST = 5, 800


def describe(output: object, depth: int = 0) -> str:
    """The form of an output in words: nested types and shapes, the first of many."""
    if isinstance(output, Tensor):
        kind = "" if output.is_floating_point() else f" of {str(output.dtype).removeprefix('torch.')}"
        return f"tensor {list(output.shape)}{kind}"
    named = _by_name(output)
    kind = "dict" if isinstance(output, Mapping) else type(output).__name__
    if named is not None:
        inner = [(f"{name}: ", value) for name, value in named.items()]
    elif isinstance(output, (tuple, list)):
        inner = [("", value) for value in output]
    else:
        return kind
    if depth == _DEEPEST:
        return f"{kind} …"
    shown = [f"{name}{describe(value, depth + 1)}" for name, value in inner[:_MOST_LISTED]]
    shown += [f"and {len(inner) - _MOST_LISTED} more"] if len(inner) > _MOST_LISTED else []
    return f"{kind} ({', '.join(shown)})" if named is None else f"{kind} {{{', '.join(shown)}}}"


def read_outputs(output: object, batch: int, spec: OutputSpec = BY_NAMES) -> ModelOutputs:
    """Name and check the outputs of a batch of `batch` images.

    Of an unnamed tuple or list the only tensor of four dimensions is the heatmaps; a second one is as often a
    score as a log σ, so that nothing else is read but what `spec` says, and the rest is listed.

    Raises ModelOutputError that prints what was returned and what is accepted.
    """
    found = _found(output, spec)
    usual = _of_each_image(output) or (f"{ACCEPTED}, as in {' '.join(_candidates(output, batch)) or _USUAL}")
    problem = found if isinstance(found, str) else usual
    if isinstance(found, ModelOutputs):
        wrong = _misfit(found, batch)
        if wrong is None:
            return found
        problem = wrong or usual
    form = describe(output)
    form = form if len(form) <= _LONGEST else f"{form[:_LONGEST]}…"
    raise ModelOutputError(f"the network returned {form} for {batch} image(s); {problem}")


def _of_each_image(output: object) -> str | None:
    """What to do with a list of dicts, one for each image, as detectors return it; None for anything else."""
    if not isinstance(output, list) or not output or not all(isinstance(each, Mapping) for each in output):
        return None
    name = next((name for name in ("keypoints", "coords", "heatmaps") if name in output[0]), None)
    one = f'd["{name or "NAME"}"]' + ("[0, :, :2]" if name == "keypoints" else "")
    return (
        "this is a dict for each image, as detectors return them: name a --model factory whose network "
        f"returns torch.stack([{one} for d in found]), NaN where it finds nothing"
    )


def _candidates(output: object, batch: int) -> Iterator[str]:
    """What may be typed for the last tensor that has the shape of heatmaps, or the first of places."""
    tensors = [(path, tuple(t.shape)) for path, t in tensors_in(output) if t.shape[:1] == (batch,)]
    maps = [path for path, shape in tensors if len(shape) == 4]
    if maps:
        yield f"--output heatmaps={maps[-1]}"
        return
    for path, shape in tensors:
        front = "" if path == ITSELF else path
        match len(shape), shape[-1]:
            case 5, _:
                yield f"--output 'heatmaps={front}[:, -1]'"
            case 3, 2:
                yield f"--output coords={path}"
            case 3, 3:
                yield f"--output 'coords={front}[..., :2]'"
            case 2, count if count % 2 == 0:
                yield f"--output coords={path},axes=xy"
            case _:
                continue
        return


def _found(output: object, spec: OutputSpec) -> ModelOutputs | str | None:
    """The outputs, or why they cannot be found; None where they are of no form that is accepted."""
    by_name = _by_name(output)
    said = _said(output, spec)
    if isinstance(said, str):
        return said
    places, read = said
    if "heatmaps" not in places:
        heatmaps = _only_heatmaps(output, by_name, read)
        if isinstance(heatmaps, str):
            return heatmaps
        if heatmaps is not None and "centres" not in places:
            places["heatmaps"] = heatmaps
            read.append(heatmaps)
    if by_name is not None:
        taken = _by_known_names(by_name, spec)
        if taken is None:
            return None
        places = {**taken, **places}
        read += taken.values()
    if not places.keys() & {*PLACES}:
        return "offsets need heatmaps [B,K,h,w]" if "offsets" in places else None
    return _named(places, tuple(_unread(output, by_name, read)), spec)


def _said(output: object, spec: OutputSpec) -> tuple[dict[str, Tensor], list[object]] | str:
    """What lies where it is said to be, and what is read of the whole by that; or what is not there."""
    places: dict[str, Tensor] = {}
    read: list[object] = []
    for name, path in spec.paths.items():
        try:
            value, whole = _at(output, path)
        except (IndexError, TypeError) as error:
            return f"--output {name}={path}: {str(error).splitlines()[0]}"
        if name == "heatmaps" and spec.stack is not None:
            value, whole = _stack(value, spec.stack)
        if not isinstance(value, Tensor):
            there = "nothing" if value is None else describe(value)
            return f"--output {name}={path}: there is {there}, a tensor is wanted"
        places[name] = value
        read.append(whole)
    return places, read


def _only_heatmaps(
    output: object, by_name: Mapping[str, object] | None, read: Sequence[object]
) -> Tensor | str | None:
    """What has their name, or the only tensor of four dimensions that is not read as something else."""
    named = (by_name or {}).get("heatmaps")
    if isinstance(named, Tensor) or (by_name is not None and not isinstance(output, Sequence)):
        return named if isinstance(named, Tensor) else None
    parts = output if isinstance(output, Sequence) else [output]
    maps = [
        part
        for part in parts
        if isinstance(part, Tensor) and part.ndim == 4 and not any(part is known for known in read)
    ]
    if len(maps) > 1:
        return f"which are the heatmaps? say --output heatmaps=[0] to [{len(parts) - 1}]"
    return maps[0] if maps else None


def _by_known_names(by_name: Mapping[str, object], spec: OutputSpec) -> dict[str, Tensor] | None:
    """What has a known name and is not said elsewhere; None where it is no tensor or two are of a kind."""
    said = spec.paths
    wanted: list[str] = []
    if not said.keys() & {"coords", "offsets", "simcc_x", "centres"}:
        wanted += [name for name in _COORDS_NAMES if name in by_name]
    if len(wanted) > 1:
        return None
    if spec.uncertainty is None:
        sigma = [name for name in _UNCERTAINTY_NAMES if name in by_name]
        if len(sigma) > 1:
            return None
        wanted += sigma
    found = {name: value for name in wanted if isinstance(value := by_name[name], Tensor)}
    if len(found) < len(wanted):
        return None
    return {"coords" if name in _COORDS_NAMES else name: value for name, value in found.items()}


def _named(found: Mapping[str, Tensor], unread: tuple[str, ...], spec: OutputSpec) -> ModelOutputs | None:
    tensors = {name: value.detach() if value.requires_grad else value for name, value in found.items()}
    heatmaps = tensors.get("heatmaps")
    if heatmaps is not None:
        if heatmaps.ndim != 4:
            return None
        heatmaps = _activated(_channels_first(heatmaps, spec), spec)
    kinds = [name for name in _UNCERTAINTY_NAMES if name in tensors]
    kind = spec.uncertainty_kind or (_UNCERTAINTY_NAMES[kinds[0]] if kinds else None)
    coords, scores = tensors.get("coords"), tensors.get("scores")
    if scores is not None and scores.ndim == 3 and scores.shape[-1] == 1:
        scores = scores[..., 0]
    maps = ("offsets", "centres", "centre_offsets", "corner_offsets")
    return ModelOutputs(
        heatmaps,
        None if coords is None else _as_pairs(coords, spec.coords_axes),
        tensors[kinds[0]] if kinds else None,
        kind if kinds else None,
        unread,
        scores,
        {name: _channels_first(tensors[name], spec) for name in maps if name in tensors}
        | {name: tensors[name] for name in ("simcc_x", "simcc_y") if name in tensors},
    )


def _channels_first(maps: Tensor, spec: OutputSpec) -> Tensor:
    return maps.movedim(-1, 1) if spec.layout is Layout.NHWC and maps.ndim >= 4 else maps


def _as_pairs(values: Tensor, axes: Axes | None) -> Tensor:
    """(x, y) of each keypoint `[B, K, 2]`, where their order says what a flat `[B, 2·K]` holds."""
    if values.ndim == 2 and axes is not None and values.shape[1] % 2 == 0:
        together = axes in (Axes.XY, Axes.YX)
        values = values.reshape(len(values), *((-1, 2) if together else (2, -1)))
        values = values if together else values.transpose(1, 2)
    elif values.ndim == 3 and axes in (Axes.ALL_XY, Axes.ALL_YX) and values.shape[1] == 2:
        values = values.transpose(1, 2)
    return values.flip(-1) if axes in (Axes.YX, Axes.ALL_YX) else values


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


def _stack(value: object, stack: int) -> tuple[object, object]:
    """One of several heatmaps, and what is read of the whole."""
    if isinstance(value, Tensor) and value.ndim == 5 and -value.shape[1] <= stack < value.shape[1]:
        return value[:, stack], value
    if isinstance(value, Sequence) and -len(value) <= stack < len(value):
        return value[stack], value[stack]
    return None, value


def _at(output: object, path: str) -> tuple[object, object]:
    """What lies at a path, and the same before it is cut; None where nothing does.

    Raises IndexError or TypeError for a cut that its tensor cannot take.
    """
    whole: object = None
    for step in steps_of(path):
        if isinstance(output, Tensor) and not isinstance(step, str):
            whole = output if whole is None else whole
            output = output[step]
        elif isinstance(step, int) and isinstance(output, Sequence):
            output = output[step] if -len(output) <= step < len(output) else None
        else:
            output = (_by_name(output) or {}).get(str(step))
    return output, output if whole is None else whole


def _unread(output: object, by_name: Mapping[str, object] | None, read: Sequence[object]) -> Iterator[str]:
    """What was returned and is not read, by name or place, with its form."""
    if by_name is not None:
        parts = [*by_name.items()]
    elif isinstance(output, Sequence):
        parts = [(f"[{place}]", part) for place, part in enumerate(output)]
    else:
        parts = []
    left = [(name, part) for name, part in parts if part is not None and not _holds(part, read)]
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


def _misfit(outputs: ModelOutputs, batch: int) -> str | None:
    """What is wrong with the shapes, empty where nothing more can be said than what is accepted."""
    heatmaps, coords, parts = outputs.heatmaps, outputs.coords, outputs.parts
    for name, tensor in (("heatmaps", heatmaps), ("coords", coords), ("uncertainty", outputs.uncertainty)):
        if tensor is not None and (tensor.is_meta or tensor.layout is not torch.strided):
            return f"{name} are sparse or without content; return a dense tensor"
        if tensor is not None and not tensor.is_floating_point():
            kind = str(tensor.dtype).removeprefix("torch.")
            return (
                f"{name} are {kind}; return floating-point numbers (a --model factory that wraps the network)"
            )
    if heatmaps is not None and (len(heatmaps) != batch or 0 in heatmaps.shape):
        return ""
    if coords is not None and coords.ndim == 2 and len(coords) == batch:
        return "say how x and y are ordered: --output coords=PATH,axes=xy (x1,y1,x2,…) or axes=xxyy"
    if "centres" in parts:
        return _misfit_of_centres(parts, batch)
    points = (batch, outputs.keypoints, 2)
    if coords is not None and coords.shape != points:
        return ""
    if outputs.scores is not None and outputs.scores.shape != points[:2]:
        return f"scores are [B,{points[1]}]"
    forms = (points, points[:2], (*points, 2), (*points[:2], 3))
    if outputs.uncertainty is not None and tuple(outputs.uncertainty.shape) not in forms:
        return ""
    return _misfit_of_parts(parts, points, heatmaps)


def _misfit_of_parts(
    parts: Mapping[str, Tensor], points: tuple[int, int, int], heatmaps: Tensor | None
) -> str | None:
    batch, k, _ = points
    if "offsets" in parts:
        grid = None if heatmaps is None else tuple(heatmaps.shape[2:])
        shapes = [(batch, 2 * k, *grid), (batch, k, 2, *grid)] if grid else []
        if tuple(parts["offsets"].shape) not in shapes:
            return f"offsets need heatmaps [B,K,h,w] and are [B,{2 * k},h,w] or [B,{k},2,h,w]"
    pair = [parts[name] for name in ("simcc_x", "simcc_y") if name in parts]
    if any(bins.ndim != 3 or bins.shape[:2] != points[:2] for bins in pair):
        return f"simcc_x and simcc_y are [B,{k},bins]"
    return None


def _misfit_of_centres(parts: Mapping[str, Tensor], batch: int) -> str | None:
    grid = tuple(parts["centres"].shape[2:])
    channels = {"centres": 1, "centre_offsets": 2, "corner_offsets": 8}
    for name, count in channels.items():
        if name in parts and tuple(parts[name].shape) != (batch, count, *grid):
            return f"{name} are [B,{count},h,w]"
    return None
