"""A table (CSV): a row per keypoint."""

import csv
import io
from dataclasses import dataclass
from itertools import chain
from math import isfinite
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mahtdiag.data.outgoing import PIXEL_DECIMALS, OutgoingImage, OutgoingSet, Points, Written

_PLACE: Final = ("image", "vertebra", "corner", "x", "y")
_OF_PREDICTIONS: Final = ("sigma_x", "sigma_y", "score")
# A σ may be small, but never 0.
_MORE_DECIMALS: Final = 8
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


def _rows(image: OutgoingImage, outgoing: OutgoingSet) -> list[list[str]]:
    points, skeleton = image.points, outgoing.skeleton
    places = points.px.round(PIXEL_DECIMALS).tolist()
    more = _more(points).round(_MORE_DECIMALS).tolist()
    rows = []
    for k in np.flatnonzero(points.known).tolist():
        x, y = places[k]
        x += _HAIR_PX * ([x, y] in _SUSPECTED)
        row = [image.link, skeleton.vertebra_of[k], skeleton.corner_of[k], repr(x), repr(y)]
        rows.append(row if outgoing.labels else row + [repr(v) if isfinite(v) else "" for v in more[k]])
    return rows


def _more(points: Points) -> NDArray[np.float64]:
    """`sigma_x`, `sigma_y` and `score` of each keypoint, `[K, 3]`; NaN where unknown."""
    found = np.full((len(points.px), 3), np.nan)
    if points.sigma_px is not None:
        found[:, :2] = points.sigma_px
    if points.score is not None:
        found[:, 2] = points.score
    return found
