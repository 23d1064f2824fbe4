"""How the settings of a run say what a network was shown, and where its heatmaps lie."""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from pydantic import JsonValue

from mahtdiag.schema.choices import CoordinateConvention
from mahtdiag.schema.frames import HeatmapGrid, NetworkFrames, Size
from mahtdiag.schema.model_spec import ModelSpec
from mahtdiag.schema.preprocessing import HeatmapOrigin, OriginKind, Resize, Stride

SINCE: Final[Mapping[str, JsonValue]] = MappingProxyType(
    {
        "interpolation": "area",
        "channel_order": "rgb",
        "full_scale": "auto",
        "invert": False,
        "flip": "none",
        "exif": "ignore",
        "stride": "fill",
        "heatmap_origin": "by coords",
    }
)
"""Settings that a run says only where they are not these: earlier versions knew nothing else."""


def other_than_usual(of_network: ModelSpec) -> dict[str, JsonValue]:
    """What `SINCE` leaves unsaid, where it is something else."""
    spec, grid = of_network.input, of_network.grid
    found: dict[str, JsonValue] = {
        "interpolation": str(spec.interpolation),
        "channel_order": str(spec.channel_order),
        "full_scale": "auto" if spec.full_scale is None else spec.full_scale,
        "invert": spec.invert,
        "flip": str(spec.flip),
    }
    if grid is not None:
        found["stride"] = str(Stride(*grid.step[::-1]))
        found["heatmap_origin"] = str(HeatmapOrigin(OriginKind.GIVEN, *grid.origin))
    return {name: value for name, value in found.items() if value != SINCE[name]}


def input_frames_of(stored: Mapping[str, JsonValue]) -> NetworkFrames | None:
    """How images became network input; the heatmap counts as large as it where the run has none."""
    network_input, heatmap = (size_in(stored.get(name)) for name in ("input_size", "heatmap_size"))
    if network_input is None:
        return None
    try:
        resize, convention = Resize.parse(stored["resize"]), CoordinateConvention(str(stored["coords"]))
        grid = _grid_in(stored)
    except (KeyError, ValueError):
        return None
    mirrored = stored.get("flip", SINCE["flip"]) != SINCE["flip"]
    return NetworkFrames(network_input, heatmap or network_input, resize, convention, grid, mirrored)


def _grid_in(stored: Mapping[str, JsonValue]) -> HeatmapGrid | None:
    """Where heatmap cells lie, where it is not as usual. Raises ValueError for what says nothing."""
    if "stride" not in stored or "heatmap_origin" not in stored:
        return None
    step, origin = Stride.parse(stored["stride"]), HeatmapOrigin.parse(stored["heatmap_origin"])
    return HeatmapGrid((step.x, step.y), (origin.x, origin.y))


def size_in(value: object) -> Size | None:
    """`256x128` as a size; None for anything else."""
    found = re.fullmatch(r"([1-9]\d*)x([1-9]\d*)", str(value))
    return Size(int(found[1]), int(found[2])) if found else None
