"""What errors that all predictions share point to, in a sentence."""

from mahtdiag.anatomy.bodies import Axis, BodyErrors
from mahtdiag.anatomy.systematic import Fitted, SystematicError

HALF_CELL = (0.3, 0.6)
"""Shifts in heatmap cells that a pixel-centre mismatch can make: (1 − 1/s)/2 for s pixels per cell."""

_SMALLEST_SCALE = 0.01
_SMALLEST_ROTATION_DEG = 0.5
_SMALLEST_OUTLINE = 0.03
_CORNER_OVER_SHIFT = 2.0
FEWEST_UNITS = 20
"""Patients, or images, below which nothing is said of what they share."""


def explain_systematic_error(in_px: SystematicError, in_cells: SystematicError | None) -> str | None:
    """A plain sentence on what the shared error points to, or None where there is nothing worth saying.

    In this order: exchanged axes, mirroring, scale (from 1 %), shift (from 0.3 heatmap cells), rotation
    (from 0.5°), size of outlines and bias of a corner (from 3 % of a vertebra's size); each only where its
    interval excludes that there is none, from 20 patients, or images. Scales are those in heatmap cells where
    these are known.
    """
    if in_px.units < FEWEST_UNITS:
        return None
    if in_px.axes_exchanged:
        return "Exchanging x and y of the predictions would more than halve the error: the axes are confused."
    # Among images of several sizes a shift of a cell grows with the coordinates, like a scale: in pixels the
    # two cannot be told apart.
    frame = in_cells or in_px
    scales = [(axis, e) for axis, e in (("x", frame.scale_x), ("y", frame.scale_y))]
    wrong = [
        (axis, e) for axis, e in scales if e.clearly_excludes(1.0) and abs(e.value - 1) >= _SMALLEST_SCALE
    ]
    mirrored = [axis for axis, e in wrong if e.high < 0]
    if mirrored:
        return _MIRRORED["".join(mirrored)]
    if wrong:
        factors = " and ".join(_factor(axis, e) for axis, e in wrong)
        where = "In heatmap cells places" if in_cells else "Places"
        return f"{where} of vertebrae have to be scaled by {factors}{_outlines_beside(frame)}."
    if in_cells is not None and (sentence := _explain_shift(in_px, in_cells)):
        # One corner that lies off moves the middle as well.
        return _explain_corners(in_px, beyond=_CORNER_OVER_SHIFT) or sentence
    turn = in_px.rotation_deg
    if turn.clearly_excludes(0.0) and abs(turn.value) >= _SMALLEST_ROTATION_DEG:
        return f"Predictions have to be turned by {turn.value:.1f}° ({turn.low:.1f} to {turn.high:.1f})."
    return _explain_outlines(frame) or _explain_corners(in_px)


def _outlines_beside(error: SystematicError) -> str:
    """Whether outlines share the scale of places."""
    off = [
        e
        for e in (error.outline_x, error.outline_y)
        if e.clearly_excludes(1.0) and abs(e.value - 1) >= _SMALLEST_OUTLINE
    ]
    return ", and so have their outlines" if off else "; their outlines have the right size"


def _explain_outlines(error: SystematicError) -> str | None:
    sides = (("width", error.outline_x), ("height", error.outline_y))
    wrong = [
        (side, e) for side, e in sides if e.clearly_excludes(1.0) and abs(e.value - 1) >= _SMALLEST_OUTLINE
    ]
    if not wrong:
        return None
    shown = " and ".join(
        f"{100 * abs(1 / e.value - 1):.0f} % too {_SIZES[side][e.value > 1]}" for side, e in wrong
    )
    return f"Vertebrae lie where they belong, but their outlines are {shown}."


_SIZES = {"width": ("wide", "narrow"), "height": ("tall", "short")}
_CORNER_NAMES = ("upper left", "upper right", "lower left", "lower right")
_TOWARDS = (("left", "right"), ("up", "down"))


def _explain_corners(in_px: SystematicError, beyond: float = 0.0) -> str | None:
    """Corners that lie off in the same direction, whatever the size of outlines, farthest first.

    `beyond`: only those whose offset is more than so many times the shared shift.
    """
    shifts = in_px.shift_x, in_px.shift_y
    found = [
        (abs(offset.value), f"{name} corners lie {abs(offset.value):.1f} px too far {way[offset.value > 0]}")
        for name, offsets in zip(_CORNER_NAMES, in_px.corners, strict=True)
        for offset, half, way, shift in zip(offsets, in_px.half_size, _TOWARDS, shifts, strict=True)
        if offset.clearly_excludes(0.0)
        and abs(offset.value) >= max(_SMALLEST_OUTLINE * 2 * half, beyond * abs(shift.value))
    ]
    if not found:
        return None
    words = ", ".join(text for _, text in sorted(found, reverse=True)[:2])
    return f"Corners are not placed alike: about the middle of their vertebra {words}."


_MIRRORED = {
    "x": "Predictions mirror the labels, left for right: flipped images, or corners named from behind.",
    "y": "Predictions show the labels upside down: flipped images, or rows counted from the bottom.",
    "xy": "Predictions show the labels turned by 180°: turned images, or both axes counted from their ends.",
}


def _factor(axis: str, scale: Fitted) -> str:
    """Three decimals, or as many as a small factor needs to be seen."""
    values = (f"{v:.3f}" if abs(v) >= 0.1 else f"{v:.3g}" for v in (scale.value, scale.low, scale.high))
    return "{} in {axis} ({} to {})".format(*values, axis=axis)


def _explain_shift(in_px: SystematicError, in_cells: SystematicError) -> str | None:
    cells = {"x": in_cells.shift_x, "y": in_cells.shift_y}
    pixels = {"x": in_px.shift_x, "y": in_px.shift_y}
    low, high = HALF_CELL
    shifted = [axis for axis, e in cells.items() if e.clearly_excludes(0.0) and low <= abs(e.value)]
    if not shifted:
        return None
    amounts = ", ".join(
        f"{cells[axis].value:+.2f} cells ({pixels[axis].value:+.1f} px) in {axis}" for axis in shifted
    )
    # The true shift may be as little as the nearer end of the interval.
    if all(min(abs(cells[axis].low), abs(cells[axis].high)) <= high for axis in shifted):
        return (
            f"Predictions have to be shifted by {amounts}: about half a heatmap cell, a mismatch of "
            "pixel-centre conventions (--coords)."
        )
    return f"Predictions have to be shifted by {amounts}: an offset between image and heatmap, or a crop."


LEAST_GAIN = 0.01
"""Share of the mean error from which a body scale is worth a sentence."""


def explain_bodies(bodies: BodyErrors | None, shared: str | None) -> str | None:
    """That bodies are predicted too narrow or wide, short or tall, where the data prefer other sizes.

    An axis is named where 99.5 % of its scale exclude 1, and undoing it saves error: at least 1 % of it, and
    more than nothing by the 95 % interval. None where the `shared` sentence speaks of outlines already.
    """
    if bodies is None or (shared is not None and "outlines" in shared):
        return None
    sides = (("width", bodies.width), ("height", bodies.height))
    wrong = [(side, axis) for side, axis in sides if _is_wrong(axis)]
    if not wrong:
        return None
    sizes = " and ".join(_size_in_words(side, axis.scale) for side, axis in wrong)
    gain = bodies.gain if len(wrong) > 1 else wrong[0][1].gain
    way = _inwards([axis.scale.value for _, axis in wrong])
    ends = f"{100 * gain.low:.1f} to {100 * gain.high:.1f} %"
    saved = f"{100 * gain.value:.1f} % of the error of its corners ({ends})"
    return f"Vertebrae are predicted {sizes}{way}. Dividing each by that about its middle would save {saved}."


def _is_wrong(axis: Axis) -> bool:
    return axis.clear and axis.gain.value >= LEAST_GAIN and axis.gain.low > 0


def _size_in_words(side: str, scale: Fitted) -> str:
    """`1.2 % too narrow (0.8 to 1.5 %)`."""
    off = sorted(100 * abs(end - 1) for end in (scale.low, scale.high))
    word = _SIZES[side][scale.value < 1]
    return f"{100 * abs(scale.value - 1):.1f} % too {word} ({off[0]:.1f} to {off[1]:.1f} %)"


def _inwards(scales: list[float]) -> str:
    if all(scale < 1 for scale in scales):
        return ": their corners lie inwards"
    return ": their corners lie outwards" if all(scale > 1 for scale in scales) else ""
