"""Which σ are at or beyond the bounds that the emitted log σ is clamped to."""

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from mahtdiag.calibration.scores import BoolArray, FloatArray, Points
from mahtdiag.calibration.verdict import HeadUnits

_ON_BOUND = 1e-3


Shares = tuple[float | None, float | None]
"""Of the lower and of the upper bound; None where it is not known."""


def bound_shares(
    points: Points, at_min: ArrayLike | None, at_max: ArrayLike | None, units: HeadUnits | None
) -> tuple[Shares, Shares]:
    """Shares of the usable σ, axes counted apart, that are at or beyond a bound, and that sit on it.

    Without `units` all of them sit on it.
    """
    low, high = (_usable(points, mask) for mask in (at_min, at_max))
    beyond = _share(low), _share(high)
    if units is None:
        return beyond, beyond
    on_min, on_max = _on_bounds(points, (low, high), units)
    return beyond, (_share(on_min), _share(on_max))


def _usable(points: Points, mask: ArrayLike | None) -> BoolArray | None:
    return None if mask is None else np.asarray(points.pick_axes(mask, "at_min/at_max"), dtype=np.bool_)


def _on_bounds(
    points: Points, at_bounds: tuple[BoolArray | None, BoolArray | None], units: HeadUnits
) -> tuple[BoolArray | None, BoolArray | None]:
    """Of the σ at or beyond a bound those that sit on it: a head that is not clamped goes past it freely."""
    in_unit = np.asarray(points.pick_axes(units.px_per_unit, "px_per_unit"), dtype=np.float64)
    np.divide(points.sigma_px, in_unit, out=in_unit)
    low, high = at_bounds
    return (
        None if low is None else low & (in_unit >= _extreme(in_unit, low, np.max) * (1 - _ON_BOUND)),
        None if high is None else high & (in_unit <= _extreme(in_unit, high, np.min) * (1 + _ON_BOUND)),
    )


def _extreme(values: FloatArray, mask: BoolArray, nearest: Callable[[FloatArray], float]) -> FloatArray:
    """Per axis, of the values at or beyond a bound the one nearest to it; NaN where there is none."""
    return np.array([nearest(v[m]) if m.any() else np.nan for v, m in zip(values.T, mask.T, strict=True)])


def _share(mask: BoolArray | None) -> float | None:
    return None if mask is None or mask.size == 0 else float(mask.mean())
