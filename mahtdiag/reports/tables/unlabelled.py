"""What can be told of images without labels: the predictions themselves, no error."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from mahtdiag.diagnosis.run_table import RunTable
from mahtdiag.reports.tables.table import (
    NAME_WIDTH,
    Cells,
    Line,
    Part,
    Style,
    Table,
    TableColumn,
    short_name,
    table,
)
from mahtdiag.reports.text import ABSENT, counted, images_of, number, pixels

NO_LABELS = "No labels: no error, loss, success rate or calibration can be told."
_MOST = 8


def unlabelled_parts(images: RunTable, failed: int, name_width: int = NAME_WIDTH) -> Iterator[Part]:
    """That there are no labels, σ by vertebra where there is one, and the images to look at first."""
    evaluated = images_of(len(images), images.patients)
    yield Line(f"{NO_LABELS} {evaluated} evaluated, {failed} failed.\n", Style.STRONG)
    if np.isfinite(images.sigma_px).any():
        yield sigma_table(images, name_width)
    yield look_first_table(images, name_width)


def sigma_table(images: RunTable, name_width: int = NAME_WIDTH) -> Table:
    """The predicted σ of each vertebra's keypoints, pixels along either axis, and where it is largest."""
    skeleton, sigma_px = images.skeleton, images.sigma_px
    rows: list[Cells] = []
    for vertebra in skeleton.vertebrae:
        own = sigma_px[:, skeleton.keypoints_of(vertebra)].reshape(len(images), -1)
        known = own[np.isfinite(own)]
        if not known.size:
            rows.append((vertebra, "0"))
            continue
        largest = images.image[int(np.where(np.isfinite(own), own, -1.0).max(axis=1).argmax())]
        median, p95 = np.quantile(known, [0.5, 0.95]).tolist()
        told = (median, p95, float(known.max()))
        rows.append((vertebra, str(known.size // 2), *map(pixels, told), short_name(largest, name_width)))
    columns = ("", "n", "median", "p95", "max", TableColumn("max in image"))
    return table("Predicted σ by vertebra, px along an axis (not checked against errors)", columns, rows)


def look_first_table(images: RunTable, name_width: int = NAME_WIDTH) -> Table:
    """The images whose predicted spines break most rules, then those with the largest σ."""
    severity, sigma_px = images.findings.image_severity(), mean_sigma_px(images)
    order = np.lexsort((-np.nan_to_num(sigma_px, nan=-1.0), -severity))[:_MOST]
    codes = images.findings.codes_per_image()
    rows = [
        (
            short_name(images.image[row], name_width),
            f"{severity[row]:.1f}",
            " ".join(codes[row]) or ABSENT,
            pixels(float(sigma_px[row])),
            number(float(np.nanmin(images.peak[row])) if np.isfinite(images.peak[row]).any() else np.nan),
        )
        for row in order.tolist()
    ]
    return table(
        f"To look at first: {len(rows)} of {counted(len(images), 'image')}",
        (
            "image",
            "severity",
            TableColumn("violations", wraps="words", width=24),
            "mean σ, px",
            "lowest peak",
        ),
        rows,
        note="Severity: the sum over the rules that fired of 1 + ln(excess over the limit).",
    )


def mean_sigma_px(images: RunTable) -> NDArray[np.float64]:
    """Mean σ of each image over keypoints and axes, `[N]`; NaN where none is known."""
    known = np.isfinite(images.sigma_px)
    total = np.where(known, images.sigma_px, 0.0).sum(axis=(1, 2))
    count = known.sum(axis=(1, 2))
    mean = np.full(len(images), np.nan)
    np.divide(total, count, out=mean, where=count > 0)
    return mean
