"""The tables that `evaluate` prints: results in, one printable group out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rich import box
from rich.table import Table
from rich.text import Text

from mahtdiag.diagnosis.summary import ErrorStatistics, ErrorSummary, Estimate, GroupError
from mahtdiag.reports.numbers import ABSENT, counted, interval, number, percent, pixels, shorten
from mahtdiag.schema.samples import Failure
from mahtdiag.schema.skeleton import View

Floats = NDArray[np.float64]
# A file name of the BUU-LSPINE set; wider terminals show more.
NAME_WIDTH = 16
# Room for four violation codes.
CODES_WIDTH = 20
# Titles and captions below this width would wrap too often.
LEAST_WIDTH = 66
PARTS = ("heatmap", "coord", "anatomical", "uncertainty")
SHORT_PART = {"heatmap": "heatmap", "coord": "coord", "anatomical": "anatom.", "uncertainty": "uncert."}


@dataclass(frozen=True, slots=True)
class WorstImage:
    """A row of the table of the worst images; losses are unweighted, NaN where a part is absent."""

    image: str
    error_px: float
    max_error_px: float
    losses: Mapping[str, float]
    codes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AnatomyRow:
    """How often one rule fired."""

    code: str
    title: str
    images: int
    findings: int


def short_name(image: str, width: int) -> str:
    """An image's name without the folder of its view, which all images of a run share, cut in the middle."""
    for view in View:
        image = image.removeprefix(f"{view}/")
    return shorten(image, width)


def plain_table(title: str, *columns: str) -> Table:
    """A table with a bold title, its first column at the left and numbers at the right."""
    table = Table(
        title=Text(title), box=box.SIMPLE_HEAD, title_justify="left", title_style="bold", pad_edge=False,
        padding=(0, 1, 0, 0), show_edge=False, min_width=LEAST_WIDTH, caption_justify="left",
    )  # fmt: skip
    for number_of, column in enumerate(columns):
        table.add_column(column, justify="right" if number_of else "left", no_wrap=True)
    return table


def summary_table(summary: ErrorSummary, *, evaluated: int, failed: int) -> Table:
    """Radial errors and success detection rates, with 95 % intervals."""
    keypoints = summary.radial_error_px.count
    missing = f", {counted(summary.missing, 'keypoint')} not annotated" if summary.missing else ""
    table = plain_table("Radial error", "", "value", "95 % interval")
    table.caption = (
        f"{counted(evaluated, 'image')} evaluated, {failed} failed; "
        f"{counted(keypoints, 'keypoint')}{missing}. Intervals: 2,000 bootstrap resamples of images."
    )
    _error_rows(table, summary.radial_error_px, "px")
    if summary.radial_error_mm is not None:
        table.add_section()
        _error_rows(table, summary.radial_error_mm, "mm")
    table.add_section()
    for unit, rates in (("px", summary.sdr_px), ("mm", summary.sdr_mm or {})):
        for threshold, rate in rates.items():
            name = f"success detection rate, {threshold} {unit}"
            table.add_row(name, percent(rate.value), f"{interval(rate.ci95, 100)} %" if rate.ci95 else ABSENT)
    return table


def _error_rows(table: Table, statistics: ErrorStatistics, unit: str) -> None:
    table.add_row(f"mean, {unit}", pixels(statistics.mean), interval(statistics.ci95))
    for name, value in (
        ("median", statistics.median),
        ("standard deviation", statistics.std),
        ("90th percentile", statistics.p90),
        ("95th percentile", statistics.p95),
        ("largest", statistics.max),
    ):
        table.add_row(f"{name}, {unit}", pixels(value), "")


def loss_table(
    losses: Mapping[str, Estimate], weights: Mapping[str, float], keypoint_share: float | None
) -> Table:
    """Mean of each loss part, its weight, and its share of the weighted sum."""
    table = plain_table(
        "Loss (mean over images, network frame)", "part", "mean", "95 % interval", "weight", "share"
    )
    shares = _shares({name: losses[name].value for name in PARTS if name in losses}, weights)
    for name in PARTS:
        if name in losses:
            value = losses[name]
            table.add_row(
                name, number(value.value), interval(value.ci95), f"{weights[name]:g}", percent(shares[name])
            )
        if name == "anatomical":
            for term in ("order", "parallel", "ratio"):
                if term in losses:
                    table.add_row(
                        f"  {term}", number(losses[term].value), interval(losses[term].ci95), "", ""
                    )
    table.add_section()
    if "total" in losses:
        table.add_row("total", number(losses["total"].value), interval(losses["total"].ci95), "", "")
    if keypoint_share is not None:
        table.caption = (
            f"{percent(keypoint_share)} of the heatmap loss comes from keypoint pixels (target > 0.5), "
            "the rest from background."
        )
    return table


def _shares(parts: Mapping[str, float], weights: Mapping[str, float]) -> dict[str, float]:
    """Share of each weighted part; magnitudes are compared, since a likelihood can be negative."""
    weighted = {name: abs(weights[name] * value) for name, value in parts.items() if np.isfinite(value)}
    total = sum(weighted.values())
    return {name: weighted.get(name, 0.0) / total if total else 0.0 for name in parts}


def group_table(title: str, groups: Sequence[GroupError], name_width: int = NAME_WIDTH) -> Table:
    """Radial error per vertebra or per corner, with the image that holds the largest."""
    table = plain_table(title, "", "n", "mean px", "95 % interval", "median", "p95", "max")
    table.add_column("max in image", justify="left", no_wrap=True)
    for group in groups:
        table.add_row(
            group.name,
            str(group.mean.count),
            pixels(group.mean.value),
            interval(group.mean.ci95),
            pixels(group.median),
            pixels(group.p95),
            pixels(group.max),
            Text(short_name(group.worst_image, name_width)),
        )
    return table


def worst_table(
    rows: Sequence[WorstImage], weights: Mapping[str, float], total: int, name_width: int = NAME_WIDTH
) -> Table:
    """The worst images by mean radial error: errors in pixels, then every loss part and its share.

    Violation codes are added where there is room for them.
    """
    shown = [part for part in PARTS if any(np.isfinite(row.losses[part]) for row in rows)]
    title = f"Worst {len(rows)} of {total} images: radial error in px, loss and its parts with their shares"
    table = plain_table(title, "image", "mean", "max", "loss", *(SHORT_PART[part] for part in shown))
    roomy = name_width >= NAME_WIDTH + CODES_WIDTH
    if roomy:
        table.add_column("violations", justify="left", no_wrap=True)
        name_width -= CODES_WIDTH
    for row in rows:
        shares = _shares({part: row.losses[part] for part in shown}, weights)
        cells = [f"{number(row.losses[part], 2)} {100 * shares[part]:.0f}%" for part in shown]
        table.add_row(
            Text(short_name(row.image, name_width)),
            number(row.error_px),
            number(row.max_error_px),
            number(row.losses["total"]),
            *cells,
            *([" ".join(row.codes) or ABSENT] if roomy else []),
        )
    return table


def violations_table(rows: Sequence[AnatomyRow], images: int, share: float) -> Table:
    """Anatomical violations among the predictions: the rules that fired, the most frequent first."""
    title = f"Anatomical violations among the predictions: {percent(share)} of images"
    table = plain_table(title, "code", "rule", "images", "findings")
    table.columns[1].justify = "left"
    for row in sorted(rows, key=lambda row: (-row.images, row.code)):
        if row.images:
            share_of_images = percent(row.images / images, 0)
            table.add_row(row.code, row.title, f"{row.images} ({share_of_images})", str(row.findings))
    if not any(row.images for row in rows):
        table.add_row(ABSENT, "no rule fired", "0", "0")
    return table


def failures_table(failures: Sequence[Failure]) -> Table:
    """Images that could not be evaluated, by name, with the reason."""
    table = plain_table(f"Not evaluated: {len(failures)}")
    table.title_style = "bold red"
    table.add_column("image", overflow="fold", max_width=30)
    table.add_column("reason", overflow="fold")
    for failure in failures:
        table.add_row(Text(failure.image), Text(failure.reason))
    return table
