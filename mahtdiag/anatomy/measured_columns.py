"""Measurements as columns, each with the level it belongs to."""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mahtdiag.anatomy.coronal import REGION_TITLES, REGIONS, region_of_apex
from mahtdiag.anatomy.measurements import LORDOSIS, FrontalMeasurements, LateralMeasurements
from mahtdiag.anatomy.sagittal import BENDS
from mahtdiag.schema.skeleton import Skeleton

Floats = NDArray[np.float64]

OF_WHOLE_SPINES: Final = ("midline_cobb_deg", "curve_deg", *(bend.name for bend in BENDS))
"""Measurements that the lumbar spine does not have."""

_FIRST: Final = ("cobb_deg", *OF_WHOLE_SPINES)
_UNITS: Final = {"percent": "%", "deg": "°"}


@dataclass(frozen=True, slots=True)
class MeasuredColumn:
    """One measurement of one level over all images, as tables and agreement statistics want it."""

    name: str
    level: str
    unit: str
    values: Floats


def measurement_columns(
    measured: LateralMeasurements | FrontalMeasurements, skeleton: Skeleton
) -> tuple[MeasuredColumn, ...]:
    """Every measurement as columns of length N, named with the level it belongs to; the angles of whole
    spines come first. What the skeleton has no level for has none.
    """
    columns = []
    for name in sorted((of.name for of in fields(measured)), key=lambda name: name not in _FIRST):
        values: Floats = getattr(measured, name)
        unit = _UNITS.get(name.rsplit("_", 1)[-1], "")
        of_level = values[:, None] if values.ndim == 1 else values
        columns += [MeasuredColumn(name, level, unit, of_level[:, n]) for n, level in _levels(name, skeleton)]
    return tuple(columns)


def _levels(name: str, skeleton: Skeleton) -> Iterator[tuple[int, str]]:
    """Which columns a measurement has, and the names of their levels."""
    vertebrae, bodies = skeleton.vertebrae, skeleton.bodies
    bend = next((bend for bend in BENDS if bend.name == name), None)
    if bend is not None:
        if bend.applies(skeleton):
            yield 0, f"{bend.upper.split()[0]}–{bend.lower.split()[0]}"
    elif name == "lordosis_deg":
        if set(LORDOSIS) <= set(vertebrae):
            yield 0, "–".join(LORDOSIS)
    elif name in ("cobb_deg", "midline_cobb_deg"):
        if len(bodies) > 1:
            yield 0, f"{bodies[0]}–{bodies[-1]}"
    elif name == "curve_deg":
        # An apex lies between two end vertebrae.
        reached = set(region_of_apex(skeleton)[1:-1].tolist())
        yield from ((n, REGION_TITLES[region]) for n, region in enumerate(REGIONS) if region in reached)
    elif name in ("wedging", "tilt_deg"):
        yield from enumerate(bodies)
    else:
        yield from enumerate(skeleton.places[len(vertebrae) :])
