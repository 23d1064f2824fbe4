"""Conformal regions: what they hold of a model whose σ is wrong, by the size of the fitted set."""

from functools import cache
from typing import Final

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from numpy.typing import NDArray

from handbook.pictures.picture import Picture, panels
from mahtdiag.calibration.conformal import conformal_limit
from mahtdiag.calibration.scores import ellipse_limit
from mahtdiag.reports.figures.style import BLUE, MUTED, VERMILLION

Floats = NDArray[np.float64]

KEYPOINTS: Final = 20
SIZES: Final = (9, 19, 50, 200)
SETS: Final = 300
PROMISED: Final = 0.9


def distances(rng: np.random.Generator, images: int) -> Floats:
    """Errors in σ `[images, 20]`: twice as large as σ says, shared in part, and larger in some images."""
    shared, own = rng.normal(size=(images, 1, 2)), rng.normal(size=(images, KEYPOINTS, 2))
    z = 2.0 * (np.sqrt(0.4) * shared + np.sqrt(0.6) * own)
    factor = np.sqrt(1.0 / rng.gamma(4.0, 0.25, (images, 1)))
    return np.asarray(factor * np.linalg.norm(z, axis=-1))


@cache
def population() -> Floats:
    """Distances of many other images, ascending."""
    return np.sort(distances(np.random.default_rng(71), 20_000).ravel())


def held(limit: float) -> float:
    """The share of other keypoints within so many σ."""
    return float(np.searchsorted(population(), limit, side="right") / population().size)


@cache
def held_by_ellipse() -> float:
    """What the ellipse of σ itself holds that promises 90 %."""
    return held(float(np.sqrt(ellipse_limit(PROMISED))))


@cache
def held_by_conformal(images: int) -> Floats:
    """What the limits hold that were fitted on sets of so many images, ascending."""
    rng = np.random.default_rng(72)
    units = np.arange(images)[:, np.newaxis]
    limits = [conformal_limit(distances(rng, images), PROMISED, units) for _ in range(SETS)]
    return np.sort([held(limit) for limit in limits])


def _conformal() -> Figure:
    figure, (axes,) = panels(1, 2.5)
    for row, images in enumerate(SIZES):
        shares = held_by_conformal(images)
        low, high = np.quantile(shares, [0.05, 0.95])
        axes.plot([low, high], [-row, -row], color=BLUE, linewidth=2.0)
        axes.plot(shares.mean(), -row, "o", color=BLUE, markersize=6)
    axes.axvline(PROMISED, color=MUTED, linewidth=1.0)
    axes.axvline(held_by_ellipse(), color=VERMILLION, linewidth=1.2, linestyle="--")
    axes.text(held_by_ellipse() + 0.006, 0.2, "90 % ellipse of σ", color=VERMILLION)
    axes.text(PROMISED - 0.006, 0.45, "promised", color=MUTED, ha="right")
    axes.set_yticks([-row for row in range(len(SIZES))], [f"{images} images" for images in SIZES])
    axes.set(xlabel="share of other keypoints inside", xlim=(0.4, 1.0), ylim=(-3.6, 0.8))
    axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    return figure


PICTURES: Final = (Picture("conformal", _conformal),)
