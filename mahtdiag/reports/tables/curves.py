"""Scoliotic curves of labels and predictions: how many are found, and to which side."""

from collections.abc import Iterator
from dataclasses import asdict, astuple, dataclass

import numpy as np

from mahtdiag.anatomy.coronal import SMALLEST_CURVE_DEG
from mahtdiag.diagnosis.measured import Measured
from mahtdiag.diagnosis.metrics.metric import Estimate
from mahtdiag.reports.rendering import Json
from mahtdiag.reports.tables.table import Part, table
from mahtdiag.reports.text import counted, interval, number


@dataclass(frozen=True, slots=True)
class CurveCounts:
    """In how many images a region has a labelled curve; in how many of these the prediction has one to the
    same side; and in how many it has one where the label has none.
    """

    labelled: int
    found: int
    only_predicted: int


def curve_counts(measured: Measured) -> dict[str, CurveCounts]:
    """By region, over images of which all curves are known; empty where curves are not measured."""
    midline = next((pair for pair in measured.pairs if pair.name == "midline_cobb_deg"), None)
    if midline is None:
        return {}
    known = np.isfinite(midline.labelled) & np.isfinite(midline.predicted)
    found = {}
    for pair in measured.pairs:
        if pair.name == "curve_deg":
            ours, theirs = np.isfinite(pair.labelled), np.isfinite(pair.predicted)
            counts = (int((known & rows).sum()) for rows in (ours, ours & theirs, ~ours & theirs))
            found[pair.level] = CurveCounts(*counts)
    return found


def curve_parts(measured: Measured, smape: Estimate | None) -> Iterator[Part]:
    """The table of curves by region, where there are any."""
    counts = curve_counts(measured)
    if counts:
        yield table(
            f"Curves of {SMALLEST_CURVE_DEG:g}° and more: images",
            ("apex", "labelled", "found", "only predicted"),
            ((region, *map(str, astuple(of))) for region, of in counts.items()),
            note="Found: a predicted curve of 10° and more to the same side. "
            + ("" if smape is None else _smape_sentence(smape)),
        )


def _smape_sentence(smape: Estimate) -> str:
    ends = "" if smape.ci95 is None else f" ({interval(smape.ci95)})"
    told = f"{number(smape.value)} %{ends}, {counted(smape.count, 'image')}"
    return f"SMAPE of the three AASCE angles: {told}. More: mahtdiag explain SMAPE."


def curve_content(measured: Measured, smape: Estimate | None) -> dict[str, Json]:
    """The same as plain values; nothing where curves are not measured."""
    counts = curve_counts(measured)
    if not counts:
        return {}
    curves: list[Json] = [{"region": region, **asdict(of)} for region, of in counts.items()]
    return {
        "curves": curves,
        "smape_percent": None if smape is None else smape.value,
        "smape_percent_ci95": None if smape is None or smape.ci95 is None else [*smape.ci95],
    }
