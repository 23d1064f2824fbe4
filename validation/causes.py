"""Whether sentences that name a cause are said where they are true, and not where they are not.

    python -m validation causes

*Another way to decode*: in a quarter of the images each vertebra's heatmaps have two peaks 60 px apart,
soft-argmax lands up to a third of the way from the highest cell to the other, and the highest cell is the
wrong peak with some chance. With one half both ways have the same mean error: nothing may be said.
Where there are patients, two images are of one, whose errors are alike.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from rich.console import RenderableType
from rich.table import Table

from benchmarks.figures import Figure, table
from mahtdiag.diagnosis.ambiguity import find_ambiguity
from mahtdiag.schema.records import PeakPlaces
from mahtdiag.schema.skeleton import AP

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

SIZES: Final = (20, 50, 200)
PER_PATIENT: Final = 2
APART_PX, MOST_WAY, EVEN, BETTER = 60.0, 1 / 3, 0.5, 0.05
MOST_FALSE_DECODE = 0.025
NULL_SETS, POWER_SETS = 250, 60


@dataclass(frozen=True, slots=True)
class Share:
    """How many of so many sets."""

    hits: int
    sets: int

    @property
    def value(self) -> float:
        """As a share."""
        return self.hits / self.sets


def skewed(rng: np.random.Generator, images: int, patients: bool) -> tuple[Floats, Ints]:
    """Errors `[N, 20, 2]` of one pixel in the mean square, and the units `[N]`."""
    units = np.arange(images) // (PER_PATIENT if patients else 1)
    size = rng.lognormal(-0.25, 0.5, units.max() + 1)[units, None, None]
    shared = rng.normal(size=(units.max() + 1, 1, 2))[units]
    own = rng.normal(size=(images, AP.keypoints, 2))
    return size * (np.sqrt(0.4) * shared + np.sqrt(0.6) * own) / np.sqrt(2), units


def said_of_decoding(rng: np.random.Generator, images: int, second: float, patients: bool) -> bool:
    """Whether a set is told to decode another way; `second`: how often the highest cell is the wrong peak."""
    errors, units = skewed(rng, images, patients)
    vertebrae = len(AP.vertebrae)
    people = units.max() + 1
    two = np.repeat((rng.random((people, vertebrae)) < 0.25)[units], 4, axis=1)
    wrong = np.repeat((rng.random((people, vertebrae)) < second)[units], 4, axis=1)
    label = rng.uniform(100, 900, errors.shape)
    step = np.array([APART_PX, 0.0])
    right, other = label + 3 * errors, label + 3 * errors + step
    argmax = np.where((two & wrong)[..., None], other, right)
    opposite = np.where((two & wrong)[..., None], right, other)
    peaks = PeakPlaces(np.where(two, 0.8, 0.0), np.where(two[..., None], opposite, np.nan), argmax, argmax)
    way = MOST_WAY * np.repeat(rng.random((people, vertebrae))[units], 4, axis=1)[..., None]
    # Near one peak both ways differ by rounding alone.
    beside = np.where(two[..., None], way * (opposite - argmax), rng.normal(0, 0.05, right.shape))
    pred = argmax + beside
    found = find_ambiguity(
        [str(n) for n in range(images)], AP, label, pred, peaks, np.full((images, 2), 4.0), "soft-argmax",
        units=units, resamples=2,
    )  # fmt: skip
    return found is not None and bool(found.sentences)


def decoding(images: int, sets: int, second: float, patients: bool) -> Share:
    """In how many sets another way to decode is said to lower the error."""
    rngs = (np.random.default_rng((1, images, int(patients), n)) for n in range(sets))
    return Share(sum(said_of_decoding(rng, images, second, patients) for rng in rngs), sets)


def _decoding_table() -> Table:
    figures = []
    for images in SIZES:
        for patients in (False, True):
            who = f"{images} images" + (f" of {images // PER_PATIENT} patients" if patients else "")
            null = decoding(images, NULL_SETS, EVEN, patients)
            most = f"≤ {100 * MOST_FALSE_DECODE:g} %"
            met = null.value <= MOST_FALSE_DECODE
            figures.append(Figure(f"{who}: said without reason", f"{100 * null.value:.1f} %", most, met))
            power = decoding(images, POWER_SETS, BETTER, patients)
            figures.append(Figure(f"{who}: said with reason", f"{100 * power.value:.0f} %"))
    title = f"`--decode` would lower the mean error: {NULL_SETS} sets without, {POWER_SETS} with reason"
    return table(title, figures)


def run() -> Iterator[RenderableType]:
    """The tables, for `python -m validation`."""
    yield _decoding_table()
