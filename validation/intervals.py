"""How often the 95 % intervals hold the truth: two kinds of errors, four sizes of sets.

    python -m validation intervals

Every set is evaluated as a run is. *Skewed*: 20 keypoints an image that share a log-normal image effect on σ
(standard deviation of ln σ 0.5, within images 0.4), and two fifths of the variance of the error in σ; the
model is overconfident by 1.3. *Heavy*: the same, with errors that are also multiplied by a factor per image
whose inverse square is gamma-distributed with shape 4, so that a few images are far worse than all others.
The truth is that of 40,000 images.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from rich.console import RenderableType
from rich.text import Text

from mahtdiag.calibration.report import CalibrationReport, calibration_report
from mahtdiag.diagnosis.metrics.registry import metrics_of
from mahtdiag.diagnosis.numbers import estimate
from mahtdiag.diagnosis.run_table import RunTable
from mahtdiag.schema.skeleton import AP

Floats = NDArray[np.float64]
Interval = tuple[float, float]

KINDS: Final = ("skewed", "heavy")
SIZES: Final = (10, 20, 50, 200)
SETS: Final = 300
POPULATION: Final = 40_000
ERRORS: Final = (
    "radial_error_px.mean", "radial_error_px.median", "radial_error_px.p90", "radial_error_px.p95",
    "sdr_px.2", "sdr_px.8", "sdr_px.16", "losses.total",
)  # fmt: skip
SIGMA: Final = (
    "mace",
    "sigma_scale",
    "nll",
    "sharpness_px",
    "crps_px",
    "ence",
    "spearman",
    "ause",
    "radial_mace",
)
LEVEL: Final = "0.9"


def simulate(kind: str, images: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Residuals and σ `[N, 20, 2]` in pixels."""
    sigma = 3.0 * np.exp(rng.normal(0, 0.5, (images, 1)) + rng.normal(0, 0.4, (images, 20)))[..., np.newaxis]
    shared, own = rng.normal(size=(images, 1, 2)), rng.normal(size=(images, 20, 2))
    z = 1.3 * (np.sqrt(0.4) * shared + np.sqrt(0.6) * own)
    if kind == "heavy":
        z *= np.sqrt(1.0 / rng.gamma(4.0, 1.0 / 4.0, (images, 1, 1)))
    return sigma * z, np.repeat(sigma, 2, axis=2)


def table_of(residual_px: Floats) -> RunTable:
    """The table of a run with these residuals; its loss is the logarithm of the mean error."""
    error = np.hypot(*np.moveaxis(residual_px, -1, 0))
    names = tuple(map(str, range(len(error))))
    return RunTable(AP, {"image": names, "error_px": error, "loss_total": np.log(error.mean(axis=1))})


def told(
    residual_px: Floats, sigma_px: Floats, *, intervals: bool
) -> dict[str, tuple[float, Interval | None]]:
    """Every number of this study with its interval."""
    metrics = metrics_of(AP)
    found = estimate([metrics[name] for name in ERRORS], table_of(residual_px))
    numbers = {name: (each.value, each.ci95) for name, each in found.items()}
    report = calibration_report(residual_px, sigma_px, intervals=intervals)
    for name in SIGMA:
        numbers[name] = _value(report, name), report.ci95.get(name)
    inside = report.coverage[LEVEL]
    numbers[f"inside {LEVEL}"] = inside.observed, inside.ci95
    return numbers


def _value(report: CalibrationReport, name: str) -> float:
    value = report.radial.mace if name == "radial_mace" else getattr(report, name)
    return float("nan") if value is None else float(value)


@dataclass(slots=True)
class Held:
    """Of the intervals given: how many held the truth, or lay above and below it; sets without one."""

    held: int = 0
    above: int = 0
    below: int = 0
    none: int = 0

    def add(self, truth: float, interval: Interval | None) -> None:
        """One set more."""
        if interval is None:
            self.none += 1
        else:
            self.above += truth < interval[0]
            self.below += truth > interval[1]
            self.held += interval[0] <= truth <= interval[1]

    @property
    def coverage(self) -> float:
        """The share of intervals that hold the truth; NaN where none was given."""
        given = self.held + self.above + self.below
        return self.held / given if given else float("nan")


def measure(kind: str, images: int, sets: int, seed: int = 0) -> dict[str, Held]:
    """How often each interval holds what the population has."""
    truth = {
        name: value
        for name, (value, _) in told(
            *simulate(kind, POPULATION, np.random.default_rng(seed)), intervals=False
        ).items()
    }
    found: dict[str, Held] = {name: Held() for name in truth}
    for number in range(sets):
        rng = np.random.default_rng((seed, images, number))
        for name, (_, interval) in told(*simulate(kind, images, rng), intervals=True).items():
            found[name].add(truth[name], interval)
    return found


def lines(kind: str, sets: int) -> Iterator[str]:
    """A row for each number, a column for each size: coverage in per cent, (above/below) what misses."""
    by_size = [measure(kind, images, sets) for images in SIZES]
    yield f"{kind} errors, {sets} sets each: % of intervals that hold the truth (too high/too low)"
    yield f"{'':<26}" + "".join(f"{f'{images} images':>18}" for images in SIZES)
    for name in by_size[0]:
        yield f"{name:<26}" + "".join(f"{_cell(found[name], sets):>18}" for found in by_size)
    yield "targets: 92 to 98 % from 50 images, 90 % at 20, none where 85 % is out of reach"


def _cell(held: Held, sets: int) -> str:
    if held.none == sets:
        return "none"
    given = sets - held.none
    above, below = (100 * count / given for count in (held.above, held.below))
    return f"{100 * held.coverage:.0f} ({above:.0f}/{below:.0f})"


def run() -> Iterator[RenderableType]:
    """The tables, for `python -m validation`."""
    for kind in KINDS:
        yield Text("\n".join(lines(kind, SETS)) + "\n")
