"""A table (CSV): a row per keypoint."""

import csv
import io
from dataclasses import dataclass
from itertools import chain
from typing import Final

import numpy as np

from mahtdiag.data.outgoing import PIXEL_DECIMALS, OutgoingImage, OutgoingSet, Written

_PLACE: Final = ("image", "vertebra", "corner", "x", "y")
_OF_PREDICTIONS: Final = ("sigma_x", "sigma_y", "score")
_SCORE_DECIMALS: Final = 6
# Where readers of tables suspect a point that was not marked; ours are, and lie a hair beside it.
_SUSPECTED: Final = ([0.0, 0.0], [-1.0, -1.0])
_HAIR_PX: Final = 10.0**-PIXEL_DECIMALS


@dataclass(frozen=True, slots=True)
class CsvWriter:
    """The writer (see `Writer`)."""

    name: str = "csv"
    title: str = "a table (CSV)"
    ending: str | None = ".csv"
    prefix: str | None = ""
    needs_size: bool = False
    in_mm: bool = False
    beside: bool = False
    hint: str = "images are named from {data} on, or with --image-root before that"

    def write(self, outgoing: OutgoingSet, name: str) -> Written:
        """`image,vertebra,corner,x,y`, of predictions also `sigma_x,sigma_y,score`, empty where unknown.

        A keypoint that there is not has no row. The score is the peak of its heatmap.
        """
        text = io.StringIO()
        table = csv.writer(text, lineterminator="\n")
        table.writerow(_PLACE if outgoing.labels else (*_PLACE, *_OF_PREDICTIONS))
        table.writerows(chain.from_iterable(_rows(image, outgoing) for image in outgoing.images))
        return Written({name: text.getvalue().encode()})


def _rows(image: OutgoingImage, outgoing: OutgoingSet) -> list[list[str | float]]:
    points, skeleton = image.points, outgoing.skeleton
    unknown = np.full(skeleton.keypoints, np.nan)
    sigma_px = np.stack([unknown, unknown], axis=1) if points.sigma_px is None else points.sigma_px
    score = unknown if points.score is None else points.score
    rows: list[list[str | float]] = []
    for k in np.flatnonzero(points.known).tolist():
        row = [image.link, skeleton.vertebra_of[k], skeleton.corner_of[k]]
        x, y = points.px[k].round(PIXEL_DECIMALS).tolist()
        x += _HAIR_PX * ([x, y] in _SUSPECTED)
        row += [_cell(value, PIXEL_DECIMALS) for value in (x, y)]
        if not outgoing.labels:
            row += [_cell(value, PIXEL_DECIMALS) for value in sigma_px[k].tolist()]
            row.append(_cell(float(score[k]), _SCORE_DECIMALS))
        rows.append(list(row))
    return rows


def _cell(value: float, decimals: int) -> str:
    return f"{value:.{decimals}f}".rstrip("0").rstrip(".") if np.isfinite(value) else ""
