"""The check of what the network's own coordinates count."""

from collections.abc import Mapping
from typing import Final

import numpy as np

from mahtdiag.diagnosis.setup.check import Facts, Outcome, fine, not_checked
from mahtdiag.schema.choices import DecodeMethod
from mahtdiag.schema.setup import SetupStatus

_COORDS_APART_CELLS = 3.0
_COORDS_ADVICE: Final[Mapping[str, str]] = {
    "heatmap cells": "--coords-frame cells",
    "shares of the input, 0 to 1": "--coords-frame unit",
    "shares of the input, -1 to 1": "--coords-frame signed-unit",
    "pixels of the input, y before x": "--output coords=PATH,axes=yx",
    "heatmap cells, y before x": "--output coords=PATH,frame=cells,axes=yx",
    "shares of the input, y before x": "--output coords=PATH,frame=unit,axes=yx",
}


def judge_coordinates(facts: Facts) -> Outcome | None:
    """The network's own coordinates beside its heatmap peaks: which frame makes them agree."""
    look, spec = facts.inspection, facts.spec
    if look is None or spec is None or look.coords is None:
        return None
    frames = facts.table.conditions.frames
    if frames is None:
        return None
    # Without heatmaps the labels tell, where the input's pixels are the cells.
    there = look.places.get(str(DecodeMethod.ARGMAX))
    peaks = look.labels_cells[: len(look.coords)] if there is None else there
    beside, per_cell = (
        "labels" if there is None else "heatmaps' peaks",
        frames.input_per_cell,
    )
    size, cells = frames.network_input.xy, frames.heatmap.xy
    candidates = {
        "pixels of the input": look.coords / per_cell,
        "heatmap cells": look.coords,
        "shares of the input, 0 to 1": look.coords * cells,
        "shares of the input, -1 to 1": (look.coords + 1) / 2 * cells,
        "percent of the input": look.coords / 100 * cells,
        "pixels of the input, y before x": look.coords[..., ::-1] / per_cell,
        "heatmap cells, y before x": look.coords[..., ::-1],
        "shares of the input, y before x": look.coords[..., ::-1] * cells,
    }
    if not np.isfinite(look.coords + peaks).all(-1).any():
        return not_checked(f"no keypoint has coordinates and a {'label' if there is None else 'peak'}")
    apart = {name: float(np.nanmedian(np.linalg.norm(c - peaks, axis=-1))) for name, c in candidates.items()}
    read = next(iter(apart))
    if not np.isfinite(apart[read]):
        return not_checked("heatmaps or coordinates are not numbers")
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
    return Outcome(SetupStatus.WARNING, f"{evidence}; no other frame fits better", "")
