"""Intervals and tests: what is independent, flipped signs, and margins."""

from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from handbook.pictures.picture import Picture, panels
from mahtdiag.reports.figures.style import BLUE, GREEN, INK, MUTED, VERMILLION
from mahtdiag.statistics.intervals import by_unit, mean_interval
from mahtdiag.statistics.sign_flips import Contributions, SignFlipTest, sign_flip_tests

Floats = NDArray[np.float64]

PATIENTS, IMAGES_EACH, KEYPOINTS = 12, 2, 20
SETS: Final = 400
RESAMPLES: Final = 400
WAYS: Final = ("keypoints resampled", "images", "patients")
TRUTH_PX: Final = 3.0 * float(np.exp(0.5 * (0.5**2 + 0.25**2))) * float(np.sqrt(np.pi / 2))


@dataclass(frozen=True, slots=True)
class Trial:
    """95 % intervals of the mean error `[sets, 2]`, made in one way."""

    ends: Floats

    @property
    def holds(self) -> NDArray[np.bool_]:
        """Which hold the truth."""
        return np.asarray((self.ends[:, 0] <= TRUTH_PX) & (self.ends[:, 1] >= TRUTH_PX))

    @property
    def coverage(self) -> float:
        """How many of them do."""
        return float(self.holds.mean())


def simulated_errors(rng: np.random.Generator) -> Floats:
    """Radial errors `[24, 20]` of 12 patients with two images each, who differ, and so do their images."""
    patient = np.repeat(rng.normal(0.0, 0.5, PATIENTS), IMAGES_EACH)
    size = 3.0 * np.exp(patient + rng.normal(0.0, 0.25, PATIENTS * IMAGES_EACH))
    own = rng.normal(size=(PATIENTS * IMAGES_EACH, KEYPOINTS, 2))
    return np.asarray(size[:, None] * np.linalg.norm(own, axis=-1))


@cache
def trials() -> dict[str, Trial]:
    """Intervals of 400 sets: by resampled keypoints, and the product's over images and over patients."""
    rng = np.random.default_rng(61)
    patient = np.repeat(np.arange(PATIENTS), IMAGES_EACH)
    found: dict[str, list[tuple[float, float]]] = {way: [] for way in WAYS}
    for _ in range(SETS):
        error = simulated_errors(rng)
        drawn = rng.choice(error.ravel(), size=(RESAMPLES, error.size)).mean(axis=1)
        low, high = np.quantile(drawn, [0.025, 0.975])
        found[WAYS[0]].append((float(low), float(high)))
        sums, counts = error.sum(axis=1), np.full(len(error), float(KEYPOINTS))
        for way, units in ((WAYS[1], np.arange(len(error))), (WAYS[2], patient)):
            interval = mean_interval(by_unit(sums, units), by_unit(counts, units))
            assert interval is not None
            found[way].append(interval)
    return {way: Trial(np.array(ends)) for way, ends in found.items()}


SHOWN: Final = 40


def _independent() -> Figure:
    figure, axes = panels(3, 3.4, sharex=True, sharey=True)
    for each, (way, trial) in zip(axes, trials().items(), strict=True):
        for row, ((low, high), holds) in enumerate(zip(trial.ends[:SHOWN], trial.holds[:SHOWN], strict=True)):
            colour, width = (BLUE, 1.0) if holds else (VERMILLION, 1.8)
            each.plot([low, high], [row, row], color=colour, linewidth=width)
        each.axvline(TRUTH_PX, color=INK, linewidth=0.8)
        each.set_title(f"{way}:\n{100 * trial.coverage:.0f} % hold the truth")
        each.set(xlabel="mean error, px", yticks=[], xlim=(1.5, 10))
        each.grid(visible=False)
    axes[0].set_ylabel("40 of 400 simulated sets")
    return figure


@dataclass(frozen=True, slots=True)
class Flipped:
    """Changes of the mean error of each patient, px, and their test."""

    change: Floats
    test: SignFlipTest
    interval: tuple[float, float]


@cache
def flips() -> Flipped:
    """Run B against run A on 24 patients."""
    rng = np.random.default_rng(62)
    change = -0.35 + rng.normal(0.0, 0.6, 24) * np.exp(rng.normal(0.0, 0.4, 24))
    weight = np.full(change.size, 1 / change.size)
    (test,) = sign_flip_tests([Contributions(change * weight, weight)])
    return Flipped(change, test, test.interval())


def _sign_flips() -> Figure:
    found = flips()
    figure, (left, right) = panels(2, 2.7, width_ratios=(1, 1.6))
    left.bar(np.arange(found.change.size), np.sort(found.change), color=BLUE, width=0.8)
    left.axhline(0.0, color=INK, linewidth=0.6)
    left.set(xlabel="patients", ylabel="change of mean error, px", xticks=[])
    both = np.concatenate([found.test.flipped, -found.test.flipped])
    right.hist(both, bins=60, color=MUTED, alpha=0.5)
    for sign in (1, -1):
        right.axvline(sign * found.test.value, color=VERMILLION, linestyle="-" if sign == 1 else "--")
    p, (low, high) = found.test.p_value(), found.interval
    right.set_title(
        f"seen {found.test.value:.2f} px, p = {p:.3f}, 95 % {low:.2f} to {high:.2f}".replace("-", "−")
    )
    right.set(xlabel="mean change with signs flipped at random, px", yticks=[])
    return figure


OUTCOMES: Final = (
    ("worse", 0.5, 0.75, 1.05, VERMILLION),
    ("not shown", 0.1, 0.25, 0.6, MUTED),
    ("not shown", -0.35, 0.1, 0.55, MUTED),
    ("within", -0.15, 0.05, 0.25, BLUE),
    ("better", -0.9, -0.6, -0.3, GREEN),
)
MARGIN: Final = 0.3


def _margins() -> Figure:
    figure, (axes,) = panels(1, 2.3)
    for row, (name, low, middle, high, colour) in enumerate(OUTCOMES):
        axes.plot([low, high], [-row, -row], color=colour, linewidth=2.0)
        axes.plot(middle, -row, "o", color=colour, markersize=6)
        axes.text(1.15, -row, name, va="center", color=INK)
    axes.axvline(0.0, color=INK, linewidth=0.7)
    axes.axvline(MARGIN, color=INK, linewidth=1.0, linestyle="--")
    axes.text(MARGIN, 0.75, "margin 0.3 px", ha="center", va="bottom")
    axes.text(0.0, 0.75, "no change", ha="right", va="bottom", color=MUTED)
    axes.set(xlabel="B − A: how much worse B is, px", yticks=[], xlim=(-1.1, 1.5), ylim=(-4.6, 0.7))
    axes.grid(visible=False)
    axes.spines["left"].set_visible(False)
    return figure


PICTURES: Final = (
    Picture("independent", _independent),
    Picture("sign-flips", _sign_flips),
    Picture("margins", _margins),
)
