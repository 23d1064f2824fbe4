"""Whether the disagreement of two readers, its SEM and MDC, and their intervals are what they claim.

    python -m validation label-noise

Simulated readers: errors with an effect shared by all keypoints of an image and another one by all images of
a patient, heavy-tailed (each image has its own log-normal size), 20 keypoints. The truth is the same with
200,000 images.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rich.console import RenderableType
from rich.table import Table

from mahtdiag.diagnosis.label_noise import mean_over_units
from mahtdiag.statistics.spread import Bounded, spread_over_units

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

SETS, KEYPOINTS, PER_PATIENT = 1000, 20, 2
SIZES = (20, 50, 200)
LEAST = {20: 0.90, 50: 0.92, 200: 0.92}
MOST, MOST_OUTSIDE = 0.98, 0.05


@dataclass(frozen=True, slots=True)
class Coverage:
    """How often the interval of a number held the truth, and on which side it missed."""

    number: str
    images: int
    covered: float
    below: float
    above: float


def differences(rng: np.random.Generator, images: int) -> tuple[Floats, Ints]:
    """Second − first reader `[N, K, 2]`, and the patients `[N]`, two images each."""
    units = np.arange(images) // PER_PATIENT
    size = rng.lognormal(0.0, 0.4, images)[:, None, None]
    patient = rng.normal(size=(units.max() + 1, 1, 2))[units]
    shared = rng.normal(size=(images, 1, 2))
    own = rng.normal(scale=2.0, size=(images, KEYPOINTS, 2))
    return size * (patient + shared + own), units


def numbers(difference: Floats, units: Ints) -> dict[str, Bounded]:
    """What is measured of one set: a distance, and SEM and MDC of a measurement."""
    angle = difference[:, 0, 0] - difference[:, -1, 0]
    return {
        "mean distance": mean_over_units(np.hypot(difference[..., 0], difference[..., 1]), units),
        "SEM": spread_over_units(angle, units, 1 / np.sqrt(2)),
        "MDC": spread_over_units(angle, units, 1.959963984540054),
    }


def truths(seed: int = 1, images: int = 200_000) -> dict[str, float]:
    """The same of so many images that nothing is left to chance."""
    rng = np.random.default_rng(seed)
    parts = [differences(rng, 20_000)[0] for _ in range(images // 20_000)]
    angle = np.concatenate([part[:, 0, 0] - part[:, -1, 0] for part in parts])
    mean = float(np.mean([np.hypot(part[..., 0], part[..., 1]).mean() for part in parts]))
    return {"mean distance": mean, "SEM": angle.std() / np.sqrt(2), "MDC": 1.959963984540054 * angle.std()}


def measure(images: int, sets: int, truth: dict[str, float], seed: int = 0) -> list[Coverage]:
    """Coverage of every number over so many simulated sets."""
    rng = np.random.default_rng([seed, images])
    found = [numbers(*differences(rng, images)) for _ in range(sets)]
    rows = []
    for name, true in truth.items():
        ends = np.array([(each[name].low, each[name].high) for each in found])
        below, above = float((ends[:, 1] < true).mean()), float((ends[:, 0] > true).mean())
        rows.append(Coverage(name, images, 1 - below - above, below, above))
    return rows


def run() -> Iterator[RenderableType]:
    """The table of the study."""
    truth = truths()
    table = Table(title=f"Two readers: coverage of 95 % intervals, {SETS} sets", title_justify="left")
    for name in ("number", "images", "covered", "too low", "too high", "target"):
        table.add_column(name, justify="left" if name == "number" else "right")
    for images in SIZES:
        for row in measure(images, SETS, truth):
            kept = LEAST[images] <= row.covered <= MOST and max(row.below, row.above) <= MOST_OUTSIDE
            target = f"{100 * LEAST[images]:.0f} to 98 %{'' if kept else ' MISSED'}"
            shares = [f"{100 * share:.1f} %" for share in (row.covered, row.below, row.above)]
            table.add_row(row.number, str(images), *shares, target)
    yield table
