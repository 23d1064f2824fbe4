"""Tables of what predictions share, of how well measurements agree, and of heatmaps with two peaks."""

from collections.abc import Iterator, Sequence
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from mahtdiag.anatomy.systematic import Fitted, SystematicError
from mahtdiag.diagnosis.ambiguity import Ambiguity, AmbiguousGroup
from mahtdiag.diagnosis.anatomy import Measured, MeasuredPair
from mahtdiag.diagnosis.metrics.metric import Estimate
from mahtdiag.reports.numbers import ABSENT, counted, interval, number
from mahtdiag.reports.tables.table import INDENT, Cells, Line, Part, Style, Table, table

ROMAN = ("I", "II", "III", "IV", "V")
LARGE = 1e4
NOTHING_SHARED = "No shared shift, scale or rotation that means anything."


def systematic_table(in_px: SystematicError, in_cells: SystematicError | None, sentence: str | None) -> Table:
    """The transformation that best brings predictions onto labels, in pixels and in heatmap cells."""
    rows: list[Cells] = []
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
        rows.append((title, *row))
    return table(
        f"Shared by all predictions ({in_px.images} images): prediction to label",
        ("", "px", "95 % interval", *(["cells", "95 % interval"] if in_cells else [])),
        rows,
        note=sentence or NOTHING_SHARED,
        note_style=Style.STRONG if sentence else Style.PLAIN,
    )


def _estimate(estimate: Fitted, digits: int = 3) -> list[str]:
    low, high = number(estimate.low, digits), number(estimate.high, digits)
    return [number(estimate.value, digits), f"{low} to {high}"]


def agreement_table(measured: Measured) -> Table:
    """Each measurement of each level on predictions against labels."""
    columns = ("", "n", "bias", "95 % limits", "mean |d|", "ICC", "95 % interval")
    rows: list[Cells] = []
    for _, group in groupby(measured.pairs, key=lambda pair: pair.name):
        pairs = list(group)
        heading = f"{pairs[0].title}{', ' if pairs[0].unit else ''}{pairs[0].unit}"
        if len(pairs) == 1:
            rows.append((heading, *_agreement(pairs[0])))
        else:
            rows += [(heading,), *((f"{INDENT}{pair.level}", *_agreement(pair)) for pair in pairs)]
    return table("Measurements: prediction − label", columns, rows, note=_caption(measured), dense=True)


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
    return table(
        f"Meyerding grade of the slips: {agree} of {total} levels agree",
        ("label \\ prediction", *ROMAN),
        ((grade, *_counts(row)) for grade, row in zip(ROMAN, counts, strict=True)),
        note="I below 25 % (no slip included), II below 50, III below 75, IV to 100, V above.",
    )


def _counts(row: Sequence[int] | NDArray[np.int64]) -> list[str]:
    return [str(int(count)) if count else "·" for count in row]


def ambiguity_parts(ambiguity: Ambiguity | None) -> Iterator[Part]:
    """A row per vertebra with ambiguous heatmaps and the sentences; nothing where there are none."""
    if ambiguity is None or not (ambiguity.total.two_peaks or ambiguity.total.disagree):
        return
    total = ambiguity.total
    methods = [str(change.method) for change in total.changes]
    # There is room for one interval.
    changes = [*methods[:1], "95 % interval", *methods[1:]]
    groups = [group for group in (*ambiguity.by_vertebra, total) if group.two_peaks or group.disagree]
    yield table(
        f"Ambiguous heatmaps: {counted(total.two_peaks, 'keypoint')} with two peaks in "
        f"{total.images} of {counted(ambiguity.images, 'image')}",
        ("", "images", "points", "between", "apart", *changes),
        map(_ambiguous, groups),
        note="Two peaks: the second at least half the first, over 3 σ away. Between: decoded over σ from "
        "either; apart: over σ from the highest cell. "
        f"{' and '.join(methods)}: change of the mean error, px, by that --decode.",
    )
    for sentence in ambiguity.sentences:
        yield Line(f"{sentence}\n", Style.STRONG)


def _ambiguous(group: AmbiguousGroup) -> list[str]:
    changes = [_change(change.everywhere) for change in group.changes]
    first = group.changes[0].everywhere if group.changes else None
    changes.insert(1, interval(first.ci95 if first else None))
    counts = (group.images, group.two_peaks, group.between, group.disagree)
    return [group.name, *(str(count) for count in counts), *changes]


def _change(estimate: Estimate | None) -> str:
    return ABSENT if estimate is None else f"{estimate.value:+.2f}"
