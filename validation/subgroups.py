"""How often a group is told to be worse or better than the others: falsely, and rightly.

    python -m validation subgroups

Errors are skewed, and those of an image and of a patient, who has two images on average, hang together.
Groups are sex (two), four age bands, and a scanner that differs between images of a patient. First nothing of
this has to do with the errors; then those of a fifth of the patients are 1.5 or 2 times as large. In another
world patients with more images have larger errors, and the scanner alone is asked for, uncorrected.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rich.text import Text

from mahtdiag.diagnosis.paired import holm
from mahtdiag.statistics.permutation import FEWEST_DRAWS, two_sample_test

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

SETS = {24: 2000, 50: 2000, 128: 500}
WITH_REASON = 100
KEYPOINTS = 20
FEWEST = 10
TARGET = 0.025
GROWTH = 1.7


@dataclass(frozen=True, slots=True)
class SimulatedSet:
    """Sums of errors and numbers of keypoints by image `[N]`, units `[N]`, and columns of groups `[N]`."""

    sums: Floats
    counts: Floats
    units: Ints
    columns: tuple[Ints, ...]


def simulated(rng: np.random.Generator, patients: int, factor: float = 1.0) -> SimulatedSet:
    """A set whose last band of age (a fifth of the patients) has errors so many times as large."""
    images = 1 + rng.integers(0, 3, patients)
    units = np.arange(patients).repeat(images)
    shared = np.exp(0.5 * rng.normal(size=patients))[units] * np.exp(0.6 * rng.normal(size=units.size))
    errors = 3.0 * shared[:, None] * rng.gamma(1.5, 1.0, (units.size, KEYPOINTS))
    age = rng.choice(4, patients, p=(0.15, 0.3, 0.35, 0.2))[units]
    errors *= np.where(age == 3, factor, 1.0)[:, None]
    known = rng.random(errors.shape) < 0.95
    scanner = (rng.random(units.size) < 0.4).astype(np.int64)
    sex = (rng.random(patients) < 0.6).astype(np.int64)[units]
    sums, counts = np.where(known, errors, 0.0).sum(axis=1), known.sum(axis=1).astype(np.float64)
    return SimulatedSet(sums, counts, units, (sex, age, scanner))


def told(of: SimulatedSet) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """Groups (column, value) told to be worse, and those told to be better."""
    tested: list[tuple[tuple[int, int], float, float]] = []
    for column, values in enumerate(of.columns):
        for value in np.unique(values).tolist():
            member = values == value
            if min(len(np.unique(of.units[side])) for side in (member, ~member)) < FEWEST:
                continue
            found = two_sample_test(of.sums, of.counts, of.units, member, draws=FEWEST_DRAWS)
            if found is not None:
                tested.append(((column, value), found.difference, found.p_value))
    corrected = holm([p_value for _, _, p_value in tested])
    said = [(of_group, d) for (of_group, d, _), p in zip(tested, corrected, strict=True) if p < 0.05]
    return [g for g, d in said if d > 0], [g for g, d in said if d < 0]


@dataclass(frozen=True, slots=True)
class Figures:
    """Of sets of so many patients, how many tell any group falsely to be worse, better; and the power."""

    patients: int
    worse: float
    better: float
    power: dict[float, float]


def figures_of(patients: int, sets: int, factors: tuple[float, ...] = (1.5, 2.0)) -> Figures:
    """False alarms of any group by direction, and how often the group that is worse is told to be."""
    null = [told(simulated(np.random.default_rng([seed, patients]), patients)) for seed in range(sets)]
    power = {}
    for factor in factors:
        found = [
            (1, 3) in told(simulated(np.random.default_rng([seed, patients, 1]), patients, factor))[0]
            for seed in range(WITH_REASON)
        ]
        power[factor] = float(np.mean(found))
    worse, better = (float(np.mean([bool(each[side]) for each in null])) for side in (0, 1))
    return Figures(patients, worse, better, power)


def scanner_alone(patients: int, sets: int) -> tuple[float, float]:
    """How often a scanner is told to be worse, better at 5 % where errors grow with a patient's images."""
    found = []
    for seed in range(sets):
        of = simulated(np.random.default_rng([seed, patients]), patients)
        sums = of.sums * GROWTH ** (np.bincount(of.units)[of.units] - 1.0)
        tested = two_sample_test(sums, of.counts, of.units, of.columns[2] == 1, draws=FEWEST_DRAWS)
        if tested is not None:
            found.append(np.sign(tested.difference) if tested.p_value < 0.05 else 0.0)
    return float(np.mean(np.array(found) > 0)), float(np.mean(np.array(found) < 0))


def run() -> Iterator[Text]:
    """The table, for `python -m validation`."""
    lines = [
        f"Groups told to differ, {WITH_REASON} sets with a reason; target {100 * TARGET:g} % each way",
        "",
        " patients   sets   any worse   any better   a fifth 1.5 times   2 times as far off: named",
    ]
    for patients, sets in SETS.items():
        of = figures_of(patients, sets)
        mark = "" if max(of.worse, of.better) <= TARGET else "   MISSED"
        power = "".join(f"{100 * of.power[factor]:>17.0f} %" for factor in (1.5, 2.0))
        lines.append(
            f"{patients:>9}{sets:>7}{100 * of.worse:>10.1f} %{100 * of.better:>11.1f} %{power}{mark}"
        )
    lines += ["", "A scanner, images of some patients by either, errors that grow with their number"]
    for patients in (24, 50):
        worse, better = scanner_alone(patients, SETS[patients])
        lines.append(f"{patients:>9}{SETS[patients]:>7}{100 * worse:>10.1f} %{100 * better:>11.1f} %")
    yield Text("\n".join(lines) + "\n")
