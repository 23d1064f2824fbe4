"""Radial errors: what a mean hides, and what a perfect network scores against imperfect labels."""

from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from numpy.typing import NDArray

from handbook.pictures.picture import Picture, panels
from mahtdiag.diagnosis.error_curve import ErrorCurve, error_curve
from mahtdiag.diagnosis.label_noise import disagreement
from mahtdiag.diagnosis.metrics.registry import metrics_of
from mahtdiag.diagnosis.numbers import estimate
from mahtdiag.diagnosis.run_table import RunTable
from mahtdiag.reports.figures.style import BLUE, INK, MUTED, VERMILLION
from mahtdiag.schema.skeleton import AP

Floats = NDArray[np.float64]

IMAGES: Final = 60
LOST: Final = 4
MEAN_PX: Final = 6.0
TOLD: Final = ("mean", "median", "p95")


@dataclass(frozen=True, slots=True)
class Errors:
    """A simulated network: errors `[N, K]` in pixels, its numbers by name, and its curve up to 16 px."""

    error_px: Floats
    numbers: dict[str, float]
    curve: ErrorCurve


@cache
def two_networks() -> tuple[Errors, Errors]:
    """One with errors of one size, one with small errors that lies a level off in 4 of 60 images."""
    rng = np.random.default_rng(11)
    steady = np.linalg.norm(rng.normal(size=(IMAGES, AP.keypoints, 2)), axis=-1)
    close = np.linalg.norm(rng.normal(size=(IMAGES, AP.keypoints, 2)), axis=-1)
    lost = np.zeros((IMAGES, 1), dtype=np.bool_)
    lost[:LOST] = True
    far = rng.normal(46.0, 3.0, size=close.shape)
    small = (MEAN_PX * close.size - far[lost[:, 0]].sum()) / close[~lost[:, 0]].sum()
    return _errors(steady * MEAN_PX / steady.mean()), _errors(np.where(lost, far, small * close))


def _errors(error_px: Floats) -> Errors:
    table = RunTable(AP, {"image": tuple(map(str, range(len(error_px)))), "error_px": error_px})
    names = [*(f"radial_error_px.{name}" for name in TOLD), "sdr_px.4", "sdr_px.16"]
    found = estimate([metrics_of(AP)[name] for name in names], table)
    curve = error_curve(error_px, np.zeros(error_px.shape, dtype=np.bool_), 16.0, np.arange(len(error_px)))
    assert curve is not None
    return Errors(error_px, {name: each.value for name, each in found.items()}, curve)


def _mean_hides() -> Figure:
    figure, (left, right) = panels(2, 2.9)
    x = np.geomspace(0.2, 80.0, 300)
    names = ("network A: errors of one size", "network B: a level off in 4 of 60 images")
    both = zip(two_networks(), (BLUE, VERMILLION), ("-", "--"), names, strict=True)
    for errors, colour, style, name in both:
        left.hist(errors.error_px.ravel(), bins=np.geomspace(0.2, 80.0, 40).tolist(), histtype="step",
                  color=colour, linestyle=style, linewidth=1.2)  # fmt: skip
        right.plot(x, errors.curve.share(x), color=colour, linestyle=style, label=name)
    for axes in (left, right):
        axes.set_xscale("log")
        axes.axvline(MEAN_PX, color=INK, linewidth=0.8, linestyle=":")
        axes.set_xticks([0.5, 1, 2, 4, 8, 16, 32, 64], ["0.5", "1", "2", "4", "8", "16", "32", "64"])
        axes.set_xlabel("radial error, px")
        axes.minorticks_off()
    right.text(MEAN_PX * 1.15, 0.02, "mean of both", color=MUTED, fontsize=8.5)
    left.set_ylabel("keypoints")
    right.set_ylabel("share of keypoints within")
    right.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    figure.legend(loc="outside lower center", ncols=2)
    return figure


SEMS_PX: Final = (1.0, 2.0, 3.0)


@dataclass(frozen=True, slots=True)
class PerfectNetwork:
    """What a network that predicts the true places scores against labels of such a SEM."""

    sem_px: float
    floor_px: float
    errors_px: Floats

    def within(self, threshold: float) -> float:
        """Its success detection rate."""
        return float((self.errors_px <= threshold).mean())


@cache
def perfect_networks() -> tuple[PerfectNetwork, ...]:
    """Two readers with normal errors of the same SEM along x and y, and a network without any."""
    found = []
    for sem in SEMS_PX:
        rng = np.random.default_rng(12)
        first, second = sem * rng.normal(size=(2, 2000, 20, 2))
        floor = disagreement("all", second - first, np.arange(len(first)), "px").mean.value
        found.append(PerfectNetwork(sem, floor, np.sort(np.linalg.norm(first, axis=-1).ravel())))
    return tuple(found)


def _label_noise() -> Figure:
    figure, (axes,) = panels(1, 2.8)
    x = np.linspace(0.0, 10.0, 200)
    for each, colour, style in zip(
        perfect_networks(), (BLUE, VERMILLION, INK), ("-", "--", "-."), strict=True
    ):
        share = np.searchsorted(each.errors_px, x, side="right") / each.errors_px.size
        name = f"SEM of a reader {each.sem_px:g} px, two readers {each.floor_px:.1f} px apart"
        axes.plot(x, share, color=colour, linestyle=style, label=name)
        axes.plot(each.floor_px, each.within(each.floor_px), "o", color=colour, markersize=5)
    axes.set(xlim=(0, 10), ylim=(0, 1.02), xlabel="threshold, px")
    axes.set_ylabel("success detection rate of\na network without any error")
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.legend(loc="lower right")
    return figure


PICTURES: Final = (Picture("mean-hides", _mean_hides), Picture("label-noise", _label_noise))
