"""Which verdict simulated models with a known fault get, and how often a calibrated one is called so.

    python -m validation.calibration_verdicts [--sets N] [--images N]

Each set is a model simulated anew: 20 keypoints per image, σ log-normal around 3 px (standard deviation of
ln σ 0.5), errors Gaussian but for the fault.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from rich.text import Text

from mahtdiag.calibration.report import CalibrationReport, calibration_report
from validation.simulated_models import FAULTS, Simulated, calibrated, faulty, true_sigma

SETS, IMAGES = 200, 50
CALIBRATED = "calibrated"
DEPENDENT = "calibrated, errors shared within images"


@dataclass(frozen=True, slots=True)
class Row:
    """How one simulated model was judged: how often rightly (named first), how often at all, and the rest."""

    model: str
    expected: str
    sets: int
    first: int
    named: int
    otherwise: tuple[tuple[str, int], ...]


def dependent(rng: np.random.Generator, images: int) -> Simulated:
    """A calibrated model half of whose error variance is common to all keypoints of an image."""
    sigma = true_sigma(rng, images, 20)
    z = np.sqrt(0.5) * (rng.normal(size=(images, 1, 2)) + rng.normal(size=sigma.shape))
    return Simulated(sigma * z, sigma)


def judge(data: Simulated) -> CalibrationReport:
    """The report without intervals, which the verdict does not need."""
    at_min, at_max = data.at_bounds or (None, None)
    return calibration_report(data.residual_px, data.sigma_px, at_min=at_min, at_max=at_max, intervals=False)


def simulate(model: str, rng: np.random.Generator, images: int) -> Simulated:
    """One set of a model by its name."""
    if model == CALIBRATED:
        return calibrated(rng, images)
    return dependent(rng, images) if model == DEPENDENT else faulty(model, rng, images)


def measure(model: str, expected: str, sets: int, images: int) -> Row:
    """Simulate and judge `sets` sets."""
    first = named = 0
    otherwise: Counter[str] = Counter()
    for seed in range(sets):
        report = judge(simulate(model, np.random.default_rng(seed), images))
        said = [fault.code for fault in report.faults] or [report.status]
        first += said[0] == expected
        named += expected in said
        if said[0] != expected:
            otherwise[said[0]] += 1
    return Row(model, expected, sets, first, named, tuple(otherwise.most_common()))


def table(rows: list[Row], images: int) -> str:
    """The rows as text."""
    lines = [
        f"Verdicts on {rows[0].sets} simulated sets of {images} images each",
        "",
        f"{'simulated model':<40}{'verdict':<18}{'first':>7}{'named':>7}  otherwise first",
    ]
    for row in rows:
        first, named = (f"{100 * count / row.sets:.0f} %" for count in (row.first, row.named))
        otherwise = ", ".join(f"{code} {count}" for code, count in row.otherwise) or "–"
        lines.append(f"{row.model:<40}{row.expected:<18}{first:>7}{named:>7}  {otherwise}")
    return "\n".join(lines) + "\n"


def verdicts(sets: int, images: int) -> str:
    """The table of all models."""
    models = {CALIBRATED: CALIBRATED, DEPENDENT: CALIBRATED, **FAULTS}
    return table([measure(name, code, sets, images) for name, code in models.items()], images)


def run() -> Iterator[Text]:
    """The table, for `python -m validation`."""
    yield Text(verdicts(SETS, IMAGES))


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--sets", type=int, default=SETS, help="simulated sets per model")
    parser.add_argument("--images", type=int, default=IMAGES, help="images per set")
    arguments = parser.parse_args()
    sys.stdout.write(verdicts(arguments.sets, arguments.images))


if __name__ == "__main__":
    main()
