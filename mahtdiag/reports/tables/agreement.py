"""Tables of what predictions share, and of how well clinical measurements agree."""

from collections.abc import Sequence
from itertools import groupby

import numpy as np
from numpy.typing import NDArray
from rich.table import Table
from rich.text import Text

from mahtdiag.anatomy.systematic import Estimate, SystematicError
from mahtdiag.diagnosis.measured import Measured, MeasuredPair
from mahtdiag.reports.numbers import ABSENT, number
from mahtdiag.reports.tables.evaluation import plain_table

ROMAN = ("I", "II", "III", "IV", "V")
LARGE = 1e4
NOTHING_SHARED = "No shared shift, scale or rotation that means anything."


def systematic_table(in_px: SystematicError, in_cells: SystematicError | None, sentence: str | None) -> Table:
    """The transformation that best brings predictions onto labels, in pixels and in heatmap cells."""
    columns = ["", "px", "95 % interval", *(["cells", "95 % interval"] if in_cells else [])]
    table = plain_table(f"Shared by all predictions ({in_px.images} images): prediction to label", *columns)
    for title, name in (
        ("shift in x", "shift_x"),
        ("shift in y", "shift_y"),
        ("scale in x", "scale_x"),
        ("scale in y", "scale_y"),
        ("rotation, °", "rotation_deg"),
    ):
        digits = 4 if "scale" in name else 3
        row = _estimate(getattr(in_px, name), digits)
        # An angle has no meaning where cells are longer along one axis than along the other.
        if in_cells and name != "rotation_deg":
            row += _estimate(getattr(in_cells, name), digits)
        table.add_row(title, *row)
    table.caption = Text(sentence or NOTHING_SHARED, style="bold" if sentence else "")
    table.caption_justify = "left"
    return table


def _estimate(estimate: Estimate, digits: int = 3) -> list[str]:
    low, high = number(estimate.low, digits), number(estimate.high, digits)
    return [number(estimate.value, digits), f"{low} to {high}"]


def agreement_table(measured: Measured) -> Table:
    """Each measurement of each level on predictions against labels."""
    table = plain_table(
        "Measurements: prediction − label",
        "", "n", "bias", "95 % limits", "mean |d|", "ICC", "95 % interval",
    )  # fmt: skip
    table.padding = (0, 0)
    for _, group in groupby(measured.pairs, key=lambda pair: pair.name):
        pairs = list(group)
        heading = f"{pairs[0].title}{', ' if pairs[0].unit else ''}{pairs[0].unit}"
        if len(pairs) == 1:
            table.add_row(heading, *_agreement(pairs[0]))
            continue
        table.add_row(heading)
        for pair in pairs:
            table.add_row(f"  {pair.level}", *_agreement(pair))
    table.caption = _caption(measured)
    table.caption_justify = "left"
    return table


def _agreement(pair: MeasuredPair) -> list[str]:
    difference, icc = pair.difference, pair.icc
    decimals = 1 if pair.unit else 3
    return [
        str(difference.n),
        _fixed(difference.bias, max(decimals, 2)),
        _between(difference.lower, difference.upper, decimals),
        _fixed(difference.mean_absolute, max(decimals, 2)),
        _fixed(icc.value, 2),
        _between(icc.low, icc.high, 2),
    ]


def _fixed(value: float, decimals: int) -> str:
    """So many decimals, so that a column can be compared; three digits where the number is huge."""
    return f"{value:.{decimals}f}" if abs(value) < LARGE else number(value)


def _between(low: float, high: float, decimals: int) -> str:
    if not np.isfinite([low, high]).all():
        return ABSENT
    return f"{_fixed(low, decimals)} to {_fixed(high, decimals)}"


def _caption(measured: Measured) -> str:
    text = "95 % limits of agreement (Bland and Altman); ICC(A,1); – where too few images tell."
    if measured.facing_unknown:
        images = "image" if measured.facing_unknown == 1 else "images"
        text += f" {measured.facing_unknown} {images} of unknown facing: sizes without sign."
    return text


def meyerding_table(counts: NDArray[np.int64]) -> Table:
    """Meyerding grades of all levels: those of the labels against those of the predictions."""
    agree, total = int(np.trace(counts)), int(counts.sum())
    title = f"Meyerding grade of the slips: {agree} of {total} levels agree"
    table = plain_table(title, "label \\ prediction", *ROMAN)
    for grade, row in zip(ROMAN, counts, strict=True):
        table.add_row(grade, *_row(row))
    table.caption = "I below 25 % (no slip included), II below 50, III below 75, IV to 100, V above."
    table.caption_justify = "left"
    return table


def _row(counts: Sequence[int] | NDArray[np.int64]) -> list[str]:
    return [str(int(count)) if count else "·" for count in counts]
