"""Sizes of predicted vertebrae and bias of their corners, as a table and as JSON."""

from mahtdiag.anatomy.bodies import BodyErrors
from mahtdiag.anatomy.systematic import Fitted
from mahtdiag.reports.rendering import Json
from mahtdiag.reports.tables.measurements import known_interval, known_value
from mahtdiag.reports.tables.table import Cells, Style, Table, table
from mahtdiag.reports.text import counted, in_unit, interval

CORNERS = ("UL", "UR", "LL", "LR")
NOTHING = "No size of vertebrae whose repair would save error for certain."


def bodies_table(bodies: BodyErrors, sentence: str | None) -> Table:
    """Predicted over labelled size, what undoing it saves, and the mean error of every corner."""
    rows: list[Cells | None] = [
        (f"{name}, predicted/labelled", *_cells(axis.scale, ""), *_cells(axis.gain, "share"))
        for name, axis in (("width", bodies.width), ("height", bodies.height))
    ]
    rows += [("both undone", "", "", *_cells(bodies.gain, "share")), None]
    rows += [
        (f"{name} {way}, % of width", *_cells(value, "%"), "", "")
        for name, corner in zip(CORNERS, bodies.corners, strict=True)
        for way, value in zip(("right", "down"), corner, strict=True)
    ]
    of = f"{counted(bodies.vertebrae, 'body').replace('bodys', 'bodies')}"
    return table(
        f"Sizes of vertebrae and bias of corners ({of})",
        ("", "value", "95 % interval", "saves, %", "95 % interval"),
        rows,
        note=sentence or NOTHING,
        note_style=Style.STRONG if sentence else Style.PLAIN,
    )


def _cells(value: Fitted, unit: str) -> tuple[str, str]:
    ends = interval((value.low, value.high), 100.0 if unit == "share" else 1.0)
    return in_unit(value.value, unit), ends


def bodies_content(bodies: BodyErrors | None, sentence: str | None) -> Json:
    """As `anatomy --format json` holds it."""
    if bodies is None:
        return None
    return {
        **{
            name: {"scale": _estimate(axis.scale), "gain": _estimate(axis.gain)}
            for name, axis in (("width", bodies.width), ("height", bodies.height))
        },
        "gain": _estimate(bodies.gain),
        "corners_percent_of_width": {
            name: {"x": _estimate(x), "y": _estimate(y)}
            for name, (x, y) in zip(CORNERS, bodies.corners, strict=True)
        },
        "vertebrae": bodies.vertebrae,
        "units": bodies.units,
        "sentence": sentence,
    }


def _estimate(estimate: Fitted) -> Json:
    return {"value": known_value(estimate.value), "ci95": known_interval((estimate.low, estimate.high))}
