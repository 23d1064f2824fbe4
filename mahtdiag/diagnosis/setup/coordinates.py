"""The check of what the network's own coordinates count."""

from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mahtdiag.diagnosis.setup.check import Facts, Outcome, fine, not_checked
from mahtdiag.schema.choices import DecodeMethod
from mahtdiag.schema.frames import NetworkFrames
from mahtdiag.schema.output_spec import CoordsFrame
from mahtdiag.schema.setup import Inspection, SetupStatus

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

_COORDS_APART_CELLS = 3.0
_COORDS_ADVICE: Final[Mapping[str, str]] = {
    "pixels of the input": "--coords-frame input",
    "heatmap cells": "--coords-frame cells",
    "shares of the input, 0 to 1": "--coords-frame unit",
    "shares of the input, -1 to 1": "--coords-frame signed-unit",
    "pixels of the input, y before x": "--output coords=PATH,axes=yx",
    "heatmap cells, y before x": "--output coords=PATH,frame=cells,axes=yx",
    "shares of the input, y before x": "--output coords=PATH,frame=unit,axes=yx",
}
_SAID_AS: Final[Mapping[CoordsFrame | None, str]] = {
    CoordsFrame.CELLS: "heatmap cells",
    CoordsFrame.UNIT: "shares of the input, 0 to 1",
    CoordsFrame.SIGNED_UNIT: "shares of the input, -1 to 1",
}
_DECODED_SAID: Final = ("offsets", "coords", "simcc_x", "centres")
# What networks and their post-processing write for a keypoint that is not there, in pixels of the input.
_NOWHERE: Final = (0.0, -1.0, -0.5)
_EXACT_PX = 1e-3
_LEAST_CORRELATION, _LEAST_SCALE, _MOST_SCALE = 0.8, 0.67, 1.5
_FEWEST_OFFSETS = 10


def judge_coordinates(facts: Facts) -> Outcome | None:
    """The network's own coordinates: what they count, where they are none, and how offsets are read."""
    look, spec = facts.inspection, facts.spec
    if look is None or spec is None or look.coords is None:
        return None
    frames = facts.table.conditions.frames
    if frames is None:
        return None
    found = _judge_frame(facts, look, look.coords, frames)
    if found.status is not SetupStatus.FINE:
        return found
    said = [name for name in _DECODED_SAID if name in facts.outputs.paths]
    if said and not spec.decoding.own_coords:
        return Outcome(
            SetupStatus.WARNING,
            f"--output {said[0]} is not read: --decode {spec.decoding.method} takes places from the heatmaps "
            f"alone; {found.evidence}",
            "leave out --decode where they are meant",
        )
    nowhere = _nowhere(facts) if spec.decoding.own_coords else None
    return nowhere or _judge_offsets(facts, look, look.coords, frames) or found


def _judge_frame(facts: Facts, look: Inspection, coords: Floats, frames: NetworkFrames) -> Outcome:
    """Coordinates beside the heatmaps' peaks, or labels without any: which frame makes them agree."""
    # Without heatmaps the labels tell, where the input's pixels are the cells.
    there = look.places.get(str(DecodeMethod.ARGMAX))
    peaks = look.labels_cells[: len(coords)] if there is None else there
    beside = "labels" if there is None else "heatmaps' peaks"
    per_cell, size = frames.input_per_cell, frames.network_input.xy
    apart = {
        name: float(np.nanmedian(np.linalg.norm(read - peaks, axis=-1)))
        for name, read in _readings(facts, coords, frames).items()
        if np.isfinite(read + peaks).all(-1).any()
    }
    if not np.isfinite(coords + peaks).all(-1).any():
        return not_checked(f"no keypoint has coordinates and a {'label' if there is None else 'peak'}")
    read = next(iter(apart))
    if there is None:
        apart = {name: distance for name, distance in apart.items() if "cells" not in name}
    best = min(apart, key=apart.__getitem__)
    unit = "input pixels" if there is None else "cells"
    evidence = f"own coordinates lie {apart[read]:.3g} {unit} from the {beside} (median)"
    if apart[read] <= _COORDS_APART_CELLS or apart[read] <= 0.05 * float(size.max() / per_cell.max()):
        return fine(evidence)
    if apart[best] < 0.2 * apart[read]:
        return Outcome(
            SetupStatus.WRONG,
            f"{evidence}; read as {best} they lie {apart[best]:.3g} {unit} from them",
            _COORDS_ADVICE.get(best, "return coordinates in pixels of the network's input"),
        )
    if there is None:
        # They may be off as any prediction is.
        return fine(evidence)
    advice = "--output offsets=PATH,axes=xxyy where all x stand before all y"
    return Outcome(
        SetupStatus.WARNING,
        f"{evidence}; no other frame fits better",
        advice if "offsets" in facts.outputs.paths else "",
    )


def _readings(facts: Facts, coords: Floats, frames: NetworkFrames) -> dict[str, Floats]:
    """Coordinates in heatmap cells by what they may count, as they are read first."""
    per_cell, size, cells = frames.input_per_cell, frames.network_input.xy, frames.heatmap.xy
    said = _SAID_AS.get(facts.outputs.coords_frame, "pixels of the input")
    returned = {
        "heatmap cells": coords / per_cell,
        "shares of the input, 0 to 1": coords / size,
        "shares of the input, -1 to 1": 2 * coords / size - 1,
    }.get(said, coords)
    found = {
        "pixels of the input": returned / per_cell,
        "heatmap cells": returned,
        "shares of the input, 0 to 1": returned * cells,
        "shares of the input, -1 to 1": (returned + 1) / 2 * cells,
        "percent of the input": returned / 100 * cells,
        "pixels of the input, y before x": returned[..., ::-1] / per_cell,
        "heatmap cells, y before x": returned[..., ::-1],
        "shares of the input, y before x": returned[..., ::-1] * cells,
    }
    return {said: found.pop(said), **found}


def _nowhere(facts: Facts) -> Outcome | None:
    """Places that stand for none, in whatever image: the first pixel, or NaN of a keypoint in every image."""
    table = facts.table
    if not len(table):
        return None
    names = facts.table.skeleton.keypoint_names
    shown = np.full_like(table.pred_px, np.nan)
    for frame, rows in table.frames():
        shown[rows] = frame.original_to_input(table.pred_px[rows])
    exact = np.logical_or.reduce([(np.abs(shown - value) < _EXACT_PX).all(-1) for value in _NOWHERE])
    if exact.any():
        return Outcome(
            SetupStatus.WRONG,
            f"{int(exact.sum())} coordinates in {int(exact.any(axis=1).sum())} of {len(table)} images are "
            f"exactly 0,0 or -1,-1 ({_first(names, exact)}): keypoints that the network did not find, judged "
            "as places?",
            "return NaN for what is not found (a --model factory that wraps the network)",
        )
    never = np.isnan(table.pred_px).any(-1).min(axis=0, keepdims=True)
    if never.any():
        return Outcome(
            SetupStatus.WRONG,
            f"no coordinates of {_first(names, never)} in any image (NaN): missed, and in no mean",
            "look at that output of the network",
        )
    return None


def _first(names: tuple[str, ...], which: Bools) -> str:
    """Some of the keypoints `[N, K]` that are meant."""
    found = [names[k] for k in np.flatnonzero(which.any(axis=0)).tolist()]
    return ", ".join(found[:3]) + (f" and {len(found) - 3} more" if len(found) > 3 else "")


def _judge_offsets(facts: Facts, look: Inspection, coords: Floats, frames: NetworkFrames) -> Outcome | None:
    """Offsets beside what the shape of a peak says of its place between cells; None where that says nothing.

    Both are steps from the highest cell; a factor or an order by which they agree is what was meant.
    """
    highest, between = (look.places.get(str(way)) for way in (DecodeMethod.ARGMAX, DecodeMethod.DARK))
    if "offsets" not in facts.outputs.paths or highest is None or between is None:
        return None
    steps, wanted = coords / frames.input_per_cell - highest, between - highest
    known = np.isfinite(steps + wanted).all(-1)
    if known.sum() < _FEWEST_OFFSETS:
        return None
    steps, wanted = (values[known] - values[known].mean(0) for values in (steps, wanted))
    as_read, turned = (_agreement(values, wanted) for values in (steps, steps[:, ::-1]))
    if abs(turned[0]) >= _LEAST_CORRELATION > abs(as_read[0]):
        return Outcome(
            SetupStatus.WRONG,
            f"offsets point where peaks lie between cells if y stands before x (correlation {turned[0]:.2f}, "
            f"{as_read[0]:.2f} as they are read)",
            "--output offsets=PATH,axes=yx",
        )
    correlation, factor = as_read
    if abs(correlation) < _LEAST_CORRELATION or _LEAST_SCALE <= factor <= _MOST_SCALE:
        return None
    return Outcome(
        SetupStatus.WRONG,
        f"offsets are {1 / factor:.2g} times as long as peaks lie between cells (correlation "
        f"{correlation:.2f}): is their scale {facts.outputs.offset_scale * factor:.2g}?",
        f"--output offsets=PATH,scale={facts.outputs.offset_scale * factor:.2g}",
    )


def _agreement(steps: Floats, wanted: Floats) -> tuple[float, float]:
    """Correlation of two sets of steps, and the factor by which the first fits the second best."""
    both, own, other = (steps * wanted).sum(), (steps**2).sum(), (wanted**2).sum()
    return (float(both / np.sqrt(own * other)), float(both / own)) if own > 0 and other > 0 else (0.0, 1.0)
