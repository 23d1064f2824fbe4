"""What intervals and sentences on clinical measurements hold, in simulated sets whose truth is known.

    python -m validation agreement

Images come two to a patient where it says so, and half of what differs is then the patient's.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rich.text import Text
from scipy.stats import norm

from mahtdiag.anatomy.agreement import bland_altman, detection, icc_a1, weighted_kappa
from mahtdiag.anatomy.difference_shape import difference_shape, percentile_limits
from mahtdiag.anatomy.facing import find_facing
from mahtdiag.schema.skeleton import LA

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
SETS = 1000
Z = 1.959963984540054
GRADES = (1, 2, 3, 4, 5)


@dataclass(frozen=True, slots=True)
class Row:
    """How often something held or was said: of so many sets, beside the range that is promised."""

    what: str
    units: int
    share: float
    lowest: float
    highest: float

    @property
    def kept(self) -> bool:
        """Whether the share lies in what is promised."""
        return self.lowest <= self.share <= self.highest


def share_of(sets: int, event: Callable[[np.random.Generator], bool]) -> float:
    """How often an event happens in sets of seeds 0, 1, …"""
    return float(np.mean([event(np.random.default_rng(seed)) for seed in range(sets)]))


def pairs(rng: np.random.Generator, units: int, images: int = 1) -> tuple[Floats, Floats, Ints]:
    """Predictions, labels and units of angles around 40°; differences of mean 1 and standard deviation 3."""
    of = np.arange(units).repeat(images)
    own = 1.0 if images == 1 else np.sqrt(0.5)
    shared = np.sqrt(1 - own**2) * rng.normal(size=units)[of]
    labelled = rng.normal(40, 12, units)[of]
    return labelled + 1 + 3 * (shared + own * rng.normal(size=of.size)), labelled, of


def limit_rows(sets: int) -> Iterator[Row]:
    """Intervals of the limits of agreement and of the bias."""
    upper = 1 + 3 * Z
    for units, images in ((10, 1), (20, 1), (50, 1), (200, 1), (20, 2), (50, 2)):

        def held(rng: np.random.Generator, units: int = units, images: int = images) -> tuple[bool, bool]:
            found = bland_altman(*pairs(rng, units, images))
            bias, limit = found.bias_ci95, found.upper_ci95
            return bias[0] <= 1 <= bias[1], limit[0] <= upper <= limit[1]

        both = np.mean([held(np.random.default_rng(seed)) for seed in range(sets)], axis=0)
        of = " of two images" if images > 1 else ""
        yield Row(f"interval of the bias, units{of}", units, float(both[0]), 0.92, 0.98)
        yield Row(f"interval of a limit, units{of}", units, float(both[1]), 0.93, 1.0)


def ratings(rng: np.random.Generator, units: int, images: int = 1) -> tuple[Floats, Ints]:
    """Labels and predictions `[N, 2]` of true sizes around 40° (SD 6), both with errors of 3°, and units."""
    of = np.arange(units).repeat(images)
    own = 1.0 if images == 1 else np.sqrt(0.5)

    def drawn(columns: int) -> Floats:
        shared = np.sqrt(1 - own**2) * rng.normal(size=(units, columns))[of]
        return np.asarray(shared + own * rng.normal(size=(of.size, columns)))

    return 40 + 6 * drawn(1) + 3 * drawn(2), of


def icc_rows(sets: int) -> Iterator[Row]:
    """Intervals of the ICC, whose truth is 36 / (36 + 9)."""
    for units, images in ((10, 1), (20, 1), (50, 1), (200, 1), (20, 2), (50, 2), (50, 4)):

        def held(rng: np.random.Generator, units: int = units, images: int = images) -> bool:
            found = icc_a1(*ratings(rng, units, images))
            return found.low <= 0.8 <= found.high

        of = f" of {'two' if images == 2 else 'four'} images" if images > 1 else ""
        yield Row(f"interval of the ICC, units{of}", units, share_of(sets, held), 0.93, 1.0)


def percentile_rows(sets: int) -> Iterator[Row]:
    """Percentile limits of exponential differences: what they hold, and their intervals."""
    truth = -np.log(0.025)
    for units in (39, 100, 200):
        inside, held = [], []
        for seed in range(sets):
            rng = np.random.default_rng(seed)
            found = percentile_limits(rng.exponential(size=units), np.zeros(units), np.arange(units))
            assert found is not None
            inside.append(np.exp(-found.lower) - np.exp(-found.upper))
            if found.upper_ci95 is not None:
                held.append(found.upper_ci95[0] <= truth <= found.upper_ci95[1])
        yield Row("skewed differences between percentile limits", units, float(np.mean(inside)), 0.94, 0.96)
        if held:
            yield Row("interval of a percentile limit", units, float(np.mean(held)), 0.93, 0.99)


def set_of(kind: str, rng: np.random.Generator, units: int) -> tuple[Floats, Floats]:
    """Predictions and labels of one image per unit; what their differences are like is their name."""
    labelled, noise = rng.uniform(5, 45, units), rng.normal(0, 3, units)
    if kind == "noise of labels alone":
        return labelled, labelled + noise
    if kind == "noise of both":
        # Around 0, where size and noise are easily confused.
        truth = rng.normal(0, 5, units)
        return truth + noise, truth + rng.normal(0, 3, units)
    if kind == "bias of a fifth":
        return 1.2 * labelled + noise, labelled
    if kind == "spread of a tenth":
        return labelled * (1 + 0.1 * rng.normal(size=units)), labelled
    if kind == "exponential":
        return labelled + 3 * rng.exponential(size=units), labelled
    return labelled + noise, labelled


CLAIMS = ("not normal", "bias grows", "spread grows")
TRUE_CLAIM = {
    "exponential": "not normal",
    "bias of a fifth": "bias grows",
    "spread of a tenth": "spread grows",
}


def shape_rows(sets: int) -> Iterator[Row]:
    """How often differences are said not to be normal or to grow, at 5 % each: falsely, and rightly."""
    for units in (20, 50, 200):
        for kind in ("noise of predictions alone", "noise of labels alone", "noise of both", *TRUE_CLAIM):
            told = np.array([_told(kind, seed, units) for seed in range(sets)]).mean(axis=0)
            for claim, share in zip(CLAIMS, told.tolist(), strict=True):
                if kind not in TRUE_CLAIM:
                    yield Row(f"{kind}: said “{claim}”", units, share, 0.0, 0.065)
                elif TRUE_CLAIM[kind] == claim:
                    yield Row(f"{kind}: said “{claim}”", units, share, 0.9 if units >= 50 else 0.0, 1.0)


def _told(kind: str, seed: int, units: int) -> tuple[bool, bool, bool]:
    predicted, labelled = set_of(kind, np.random.default_rng(seed), units)
    shape = difference_shape(predicted, labelled, np.arange(units))
    return shape.p_normal < 0.05, shape.p_bias < 0.05, shape.p_spread < 0.05


def grades(rng: np.random.Generator, patients: int, slipped: float) -> tuple[Ints, Ints, Ints]:
    """Two images of each patient with five levels; a share of patients has one level of grade I to IV."""
    slip = rng.normal(0, 3, (patients, 5))
    has = rng.random(patients) < slipped
    slip[has, rng.integers(0, 5, has.sum())] = rng.uniform(15, 90, has.sum())
    of = np.arange(patients).repeat(2)
    error = 4 * rng.normal(size=(patients, 5))[of] + 4 * rng.normal(size=(of.size, 5))
    edges = (25, 50, 75, 100)
    return np.digitize(np.abs(slip[of]), edges) + 1, np.digitize(np.abs(slip[of] + error), edges) + 1, of


def kappa_rows(sets: int) -> Iterator[Row]:
    """Intervals of the weighted kappa, its truth from a set of 200,000 patients."""
    for slipped in (0.1, 0.4):
        truth = weighted_kappa(*grades(np.random.default_rng(10**6), 200_000, slipped), GRADES).value
        for patients in (20, 50, 200):
            held = []
            for seed in range(sets):
                found = weighted_kappa(*grades(np.random.default_rng(seed), patients, slipped), GRADES)
                if np.isfinite(found.low):
                    held.append(found.low <= truth <= found.high)
            if len(held) >= sets // 10:
                what = f"interval of kappa, {slipped:.0%} with a slip"
                yield Row(what, patients, float(np.mean(held)), 0.90, 1.0)


def detection_rows(sets: int) -> Iterator[Row]:
    """Intervals of a specificity of 95 % over five dependent levels of each patient."""
    cut = float(norm.ppf(0.95))
    for patients in (10, 50, 200):

        def held(rng: np.random.Generator, patients: int = patients) -> bool:
            score = np.sqrt(0.5) * (rng.normal(size=(patients, 1)) + rng.normal(size=(patients, 5)))
            said = np.zeros((patients, 5), np.int64)
            found = detection(said, (score > cut).astype(np.int64), np.arange(patients)).specificity
            return found.low <= 0.95 <= found.high

        yield Row("interval of the specificity", patients, share_of(sets, held), 0.93, 1.0)


def facing_rows(sets: int) -> Iterator[Row]:
    """How often a set is taken for one that faces one way, by the share of it that faces the other."""
    spine = np.zeros((2, LA.keypoints, 2))
    spine[..., 0] = np.arange(LA.keypoints) % 2 * 100.0
    spine[..., 1] = np.arange(LA.keypoints) // 2 * 40.0
    spine[0, -1, 1] += 40.0
    spine[1, -2, 1] += 40.0
    for other, lowest, highest in ((0.0, 1.0, 1.0), (0.02, 0.0, 1.0), (0.2, 0.0, 0.035), (0.5, 0.0, 0.01)):
        for units in (20, 50, 200):

            def named(rng: np.random.Generator, units: int = units, other: float = other) -> bool:
                points = spine[(rng.random(units) < other).astype(np.int64)]
                facing = find_facing(points, LA, np.full((units, 5), np.nan), np.arange(units))
                return facing.unknown < units

            share = share_of(sets // 5, named)
            yield Row(f"{other:.0%} face the other way: a majority is named", units, share, lowest, highest)


def rows(sets: int) -> Iterator[Row]:
    """All of them."""
    for part in (limit_rows, icc_rows, percentile_rows, shape_rows, kappa_rows, detection_rows, facing_rows):
        yield from part(sets)


def table(found: list[Row], sets: int) -> str:
    """The rows as text."""
    lines = [f"Measurements: {sets} simulated sets each, nominal level 95 %", ""]
    lines.append(f"{'':<58}{'units':>6}{'found':>8}   promised")
    for row in found:
        promised = f"{100 * row.lowest:.0f} to {100 * row.highest:.0f} %"
        mark = "" if row.kept else "   missed"
        lines.append(f"{row.what:<58}{row.units:>6}{100 * row.share:>6.1f} %   {promised}{mark}")
    return "\n".join(lines) + "\n"


def run() -> Iterator[Text]:
    """The table, for `python -m validation`."""
    yield Text(table(list(rows(SETS)), SETS))
