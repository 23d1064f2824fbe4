"""Whether what is said about σ holds: intervals, MACE by chance, harmful factors, conformal regions.

    python -m validation calibration-claims

Sets are simulated anew with 20 keypoints per image: normal errors, half of whose variance is common to the
image ("normal"), and skewed ones with heavy tails and an effect of the image on place and size ("skewed").
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from mahtdiag.calibration.by_chance import mace_by_chance
from mahtdiag.calibration.clustered import quantile_factor
from mahtdiag.calibration.conformal import fit_conformal
from mahtdiag.calibration.nll_changes import nll_changes
from mahtdiag.calibration.recalibration import cross_fitted_sigma, harms, recalibration_row
from mahtdiag.calibration.scores import collect_points
from mahtdiag.calibration.sums import image_sums, numbers

Floats = NDArray[np.float64]
KEYPOINTS = 20
SETS = 300
POPULATION = 100_000
SIZES = (10, 20, 50, 200)


def normal(rng: np.random.Generator, images: int) -> Floats:
    """z of a calibrated model, half of whose variance is common to an image: [images, keypoints, 2]."""
    z = rng.normal(size=(images, 1, 2)) + rng.normal(size=(images, KEYPOINTS, 2))
    return np.asarray(np.sqrt(0.5) * z)


def skewed(rng: np.random.Generator, images: int) -> Floats:
    """Skewed z with heavy tails, an image has a place and a size of its own."""
    scale = np.exp(rng.normal(0.0, 0.5, size=(images, 1, 1)))
    shift = 0.5 * (rng.gamma(1.0, 1.0, size=(images, 1, 2)) - 1.0)
    return np.asarray(scale * (shift + 0.8 * rng.standard_t(4, size=(images, KEYPOINTS, 2))))


ERRORS: dict[str, Callable[[np.random.Generator, int], Floats]] = {"normal": normal, "skewed": skewed}


def _flat(z: Floats) -> tuple[Floats, NDArray[np.intp]]:
    return np.abs(z).reshape(-1, 2), np.repeat(np.arange(len(z)), KEYPOINTS)


@dataclass(frozen=True, slots=True)
class Covered:
    """Of the sets with an interval, shares whose interval holds the truth, and lies above or below it."""

    held: float
    above: float
    below: float
    without: float


def interval_of_factor(errors: str, images: int, share: float, sets: int = SETS) -> Covered:
    """The interval of the factor of the core (share 0.5) or the tail (0.95)."""
    draw = ERRORS[errors]
    truth = quantile_factor(*_flat(draw(np.random.default_rng(10**6), POPULATION)), POPULATION, share).value
    found = [
        quantile_factor(*_flat(draw(np.random.default_rng(seed), images)), images, share).ci95
        for seed in range(sets)
    ]
    known = np.array([interval for interval in found if interval is not None]).reshape(-1, 2)
    above, below = (known[:, 0] > truth).mean(), (known[:, 1] < truth).mean()
    return Covered(float(1.0 - above - below), float(above), float(below), 1.0 - len(known) / sets)


def chance(images: int, sets: int = SETS) -> tuple[float, float, float]:
    """Mean MACE of calibrated sets, the mean as said, and the share of sets above what 19 of 20 show."""
    seen, said, most = np.empty((3, sets))
    for seed in range(sets):
        z = normal(np.random.default_rng(seed), images)
        points = collect_points(z, np.ones_like(z))
        seen[seed] = numbers(image_sums(points).sum(axis=0)).mace
        by_chance = mace_by_chance(*_flat(z))
        assert by_chance is not None
        said[seed], most[seed] = by_chance.mean, by_chance.most
    return float(seen.mean()), float(said.mean()), float((seen > most).mean())


def outliers(rng: np.random.Generator, images: int) -> Floats:
    """z of a model whose σ fits 95 % of the errors; the others are ten times as large."""
    z = normal(rng, images)
    return np.asarray(z * np.where(rng.random(size=(*z.shape[:2], 1)) < 0.05, 10.0, 1.0))


MODELS: dict[str, tuple[Callable[[np.random.Generator, int], Floats], float, bool]] = {
    "calibrated": (normal, 1.0, False),
    "σ too small by 2": (normal, 2.0, False),
    "5 % of the errors ten times as large": (outliers, 1.0, True),
}
"""Simulated models: z, the factor that σ lacks, and whether the factor of the likelihood does harm."""


def refused(model: str, images: int, sets: int = SETS) -> float:
    """Share of sets whose factors `calibration --fit` refuses to write unasked."""
    draw, factor, _ = MODELS[model]
    count = 0
    for seed in range(sets):
        z = factor * draw(np.random.default_rng(seed), images)
        sigma = np.ones_like(z)
        before = recalibration_row(None, z, sigma)
        (after,) = cross_fitted_sigma(z, sigma)
        (change,) = nll_changes(z, sigma, after)
        by_chance = mace_by_chance(*_flat(z))
        most = None if by_chance is None else by_chance.most
        count += bool(harms(before, recalibration_row("global", z, after), change, most))
    return count / sets


def regions(errors: str, images: int, coverage: float, sets: int = SETS) -> tuple[float, float, float]:
    """Shares of new keypoints and of new images inside their limits, and of infinite pooled limits."""
    draw = ERRORS[errors]
    new = np.linalg.norm(draw(np.random.default_rng(10**6), 2_000), axis=-1)
    held = np.empty((sets, 3))
    for seed in range(sets):
        scores = np.linalg.norm(draw(np.random.default_rng(seed), images), axis=-1)
        radii = fit_conformal(scores, coverage)
        inside = (new <= radii.pooled).mean(), (new.max(axis=1) <= radii.whole_image).mean()
        held[seed] = (*inside, np.isinf(radii.pooled))
    keypoint, image, infinite = held.mean(axis=0)
    return float(keypoint), float(image), float(infinite)


def _table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    table = Table(title=title, title_justify="left", box=None)
    for column in columns:
        table.add_column(column, justify="left" if column in ("errors", "model", "factor") else "right")
    for row in rows:
        table.add_row(*row)
    return table


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def run(sets: int = SETS) -> Iterator[Table]:
    """The tables, for `python -m validation`."""
    cases = [("core", 0.5, errors, images) for errors in ERRORS for images in SIZES]
    cases += [("tail", 0.95, errors, images) for errors in ERRORS for images in (150, 300)]
    rows = []
    for factor, share, errors, images in cases:
        found = interval_of_factor(errors, images, share, sets)
        shares = map(_percent, (found.held, found.above, found.below))
        rows.append((factor, errors, str(images), "92 to 98 %", *shares))
    yield _table(
        "95 % intervals of the factors of core and tail: how often they hold the truth",
        ("factor", "errors", "images", "target", "held", "too high", "too low"),
        rows,
    )
    rows = []
    for images in SIZES:
        seen, said, above = chance(images, sets)
        rows.append((str(images), f"{seen:.4f}", f"{said:.4f}", "5 %", _percent(above)))
    yield _table(
        "MACE of calibrated models",
        ("images", "mean", "mean as said", "target", "above what 19 of 20 show"),
        rows,
    )
    rows = [
        (model, str(images), "≥ 90 %" if harmful else "≤ 10 %", _percent(refused(model, images, sets // 3)))
        for model, (_, _, harmful) in MODELS.items()
        for images in (20, 50)
    ]
    yield _table("Factors that --fit does not write unasked", ("model", "images", "target", "refused"), rows)
    rows = []
    for errors, images, coverage in [
        (e, n, c) for e in ERRORS for n in (3, 10, 20, 50) for c in (0.68, 0.9, 0.95)
    ]:
        keypoint, image, infinite = regions(errors, images, coverage, sets)
        at_least = f"≥ {_percent(coverage)}"
        rows.append((errors, str(images), at_least, _percent(keypoint), _percent(image), _percent(infinite)))
    yield _table(
        "Conformal regions: what they hold of new images",
        ("errors", "images", "promised", "keypoints", "whole images", "infinite"),
        rows,
    )
