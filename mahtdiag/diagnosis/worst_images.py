"""Which images make a number what it is: behind a failed gate, those to look at first."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from heapq import nsmallest

import numpy as np
from numpy.typing import NDArray

from mahtdiag.schema.records import Failure

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

MOST = 5


@dataclass(frozen=True, slots=True)
class RankedImage:
    """An image and the number it is ranked by, None where it is named alone.

    A whole number counts things called `unit`. `detail` says more in words; `now`: the number of which
    `score` is the change, None where it is no change.
    """

    image: str
    score: float | int | None = None
    unit: str = ""
    detail: str = ""
    now: float | None = None


@dataclass(frozen=True, slots=True)
class WorstImages:
    """The images that weigh most in a number, worst first; `what` they are ranked by."""

    what: str
    images: tuple[RankedImage, ...]


@dataclass(frozen=True, slots=True)
class Ranking:
    """A score of N images, NaN where an image has none, and what to call it.

    `most`, `fewest`: names for the images with the largest and the smallest score. `row` tells the score of
    an image. `rises`: whether the number rises with the score; None: what is far off either way has a large
    score. `counts`: whether an image with score 0 has no part in the number.
    """

    most: str
    fewest: str
    images: Sequence[str]
    score: Floats
    row: Callable[[int], RankedImage]
    rises: bool | None = True
    counts: bool = False

    def worst(self, too_high: bool) -> WorstImages | None:
        """The images that push the number away from its limit; None where no image has a score."""
        largest = self.rises is None or self.rises == too_high
        least = 0.0 if self.counts and largest else -np.inf
        candidates = np.flatnonzero(np.isfinite(self.score) & (self.score > least))
        sign = -1.0 if largest else 1.0

        def order(row: int) -> tuple[float, str]:
            # Scores that are equal but for rounding come in the order of names, on every machine.
            return float(f"{sign * self.score[row]:.4g}"), self.images[row]

        rows = tuple(self.row(row) for row in nsmallest(MOST, candidates.tolist(), key=order))
        return WorstImages(self.most if largest else self.fewest, rows) if rows else None


def measured(
    what: str,
    unit: str,
    score: Floats,
    images: Sequence[str],
    *,
    rises: bool = True,
    details: Sequence[str] = (),
) -> Ranking:
    """Images by a score `[N]` in this unit; `details` `[N]` say more of each."""

    def row(place: int) -> RankedImage:
        return RankedImage(images[place], float(score[place]), unit, details[place] if details else "")

    return Ranking(f"largest {what}", f"smallest {what}", images, score, row, rises)


def counted(what: str, noun: str, count: Floats, images: Sequence[str], *, rises: bool = True) -> Ranking:
    """Images by how many of something `[N]` they have."""

    def row(place: int) -> RankedImage:
        return RankedImage(images[place], int(count[place]), noun)

    return Ranking(f"most {what}", f"fewest {what}", images, count, row, rises, counts=True)


def beyond(error: Floats, threshold: float, limit: str, images: Sequence[str]) -> Ranking:
    """Images by the share of their known errors `[N, K]` that exceed a threshold, `limit` in words."""
    known = np.isfinite(error)
    found = (known & ~(error <= threshold)).sum(axis=1)
    share = np.full(len(error), np.nan)
    np.divide(found, known.sum(axis=1), out=share, where=known.any(axis=1))

    def row(place: int) -> RankedImage:
        return RankedImage(images[place], int(found[place]), detail=f" of {int(known[place].sum())}")

    most, fewest = (f"{word} keypoints beyond {limit}" for word in ("most", "fewest"))
    return Ranking(most, fewest, images, share, row, rises=False, counts=True)


def by_increase(images: Sequence[str], before: Floats, now: Floats, unit: str) -> Ranking:
    """Images by how much their mean radial error has grown; NaN where it is not known in both runs."""
    change = now - before

    def row(place: int) -> RankedImage:
        return RankedImage(images[place], float(change[place]), unit, now=float(now[place]))

    what = "of the mean radial error"
    return Ranking(f"largest increase {what}", f"smallest increase {what}", images, change, row, counts=True)


def failed_images(failures: Sequence[Failure]) -> WorstImages | None:
    """The first images that could not be evaluated."""
    rows = tuple(RankedImage(failure.image) for failure in failures[:MOST])
    return WorstImages("failed images", rows) if rows else None


def shifted_images(images: Sequence[str], shift: NDArray[np.int64]) -> WorstImages | None:
    """The first images that are marked one level off as a whole, `shift` `[N]` levels."""
    shifted = np.flatnonzero(shift)[:MOST].tolist()
    rows = tuple(RankedImage(images[place], detail=f"{shift[place]:+d}") for place in shifted)
    return WorstImages("images marked one level off (+1: too low)", rows) if rows else None


def mean_of_known(values: Floats) -> Floats:
    """Mean of the known values of each row, NaN where there is none."""
    known = np.isfinite(values)
    means = np.full(len(values), np.nan)
    np.divide(np.where(known, values, 0.0).sum(axis=1), known.sum(axis=1), out=means, where=known.any(axis=1))
    return means


def largest_known(values: Floats) -> Floats:
    """Largest known value of each row, NaN where there is none."""
    known = np.isfinite(values)
    found = np.where(known, values, -np.inf).max(axis=1, initial=-np.inf)
    return np.where(known.any(axis=1), found, np.nan)


def of(name: str, word: str = "of") -> str:
    """` of L5`, empty where there is no name."""
    return f" {word} {name}" if name else ""
