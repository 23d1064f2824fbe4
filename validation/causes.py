"""Whether sentences that name a cause are said where they are true, and not where they are not.

    python -m validation causes

*Another way to decode*: in a quarter of the images each vertebra's heatmaps have two peaks 60 px apart,
soft-argmax lands up to a third of the way from the highest cell to the other, and the highest cell is the
wrong peak with some chance. With one half both ways have the same mean error: nothing may be said.
*Shared errors*: 20 keypoints an image whose errors have a size of their own in each image and an effect that
its keypoints share.
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
from mahtdiag.anatomy.systematic import fit_systematic_error
from mahtdiag.anatomy.systematic_words import explain_systematic_error
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
WIDTH_PX, HEIGHT_PX, GAP_PX, CELL_PX = 90.0, 50.0, 22.0, 8.0
NOISES: Final = (0.02, 0.10)
MOST_FALSE_SHARED, LEAST_NAMED = 0.02, 0.95
SHARED_SETS, NAMED_SETS, RESAMPLES = 100, 60, 300
MISTAKES: Final = {
    "scale 0.97": "have to be scaled",
    "half a cell": "half a heatmap cell",
    "2 degrees": "have to be turned",
    "outlines 1.11": "% too wide",
}
"""What is wrong with the predictions, and the words that name it."""


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


def spines(rng: np.random.Generator, images: int) -> Floats:
    """Labels `[N, 20, 2]`: bent spines of several sizes at several places."""
    top = np.arange(len(AP.vertebrae)) * (HEIGHT_PX + GAP_PX)
    corners = np.array([(x, y) for y in (0.0, HEIGHT_PX) for x in (-0.5 * WIDTH_PX, 0.5 * WIDTH_PX)])
    straight = (np.stack([0 * top, top], axis=1)[:, None] + corners).reshape(-1, 2)
    bent = np.repeat(straight[None], images, axis=0)
    bend = rng.uniform(-2e-4, 2e-4, (images, 1))
    bent[..., 0] += bend * (bent[..., 1] - bent[..., 1].mean()) ** 2
    size = rng.normal(1.0, 0.08, (images, 1, 1))
    jitter, place = rng.normal(0, 0.8, bent.shape), rng.normal(500, 60, (images, 1, 2))
    return np.asarray(size * bent + jitter + place)


def mistaken(label: Floats, mistake: str | None) -> Floats:
    """Where a mistake that all predictions share puts the labels."""
    centre = label.mean(axis=(0, 1))
    match mistake:
        case "scale 0.97":
            return np.asarray(centre + 0.97 * (label - centre))
        case "half a cell":
            return label + 0.5 * CELL_PX
        case "2 degrees":
            cos, sin = np.cos(np.radians(2.0)), np.sin(np.radians(2.0))
            return np.asarray(centre + (label - centre) @ np.array([[cos, sin], [-sin, cos]]))
        case "outlines 1.11":
            vertebrae = label.reshape(len(label), -1, 4, 2)
            middle = vertebrae.mean(axis=2, keepdims=True)
            return np.asarray((middle + [1.11, 1.0] * (vertebrae - middle)).reshape(label.shape))
    return label


def shared(images: int, sets: int, noise: float, mistake: str | None, patients: bool = False) -> Share:
    """In how many sets a shared error is named: the right one, or any where there is none.

    `noise`: root mean square of the errors in both axes together, in widths of a vertebra.
    """
    hits = 0
    for number in range(sets):
        rng = np.random.default_rng((2, images, int(100 * noise), int(patients), number))
        label = spines(rng, images)
        errors, units = skewed(rng, images, patients)
        pred = mistaken(label, mistake) + noise * WIDTH_PX * errors
        in_px, in_cells = (
            fit_systematic_error(pred / per, label / per, units, resamples=RESAMPLES)
            for per in (1.0, CELL_PX)
        )
        sentence = None if in_px is None else explain_systematic_error(in_px, in_cells)
        hits += sentence is not None and MISTAKES.get(mistake or "", "") in sentence
    return Share(hits, sets)


def _shared_table() -> Table:
    figures = []
    most, least = f"≤ {100 * MOST_FALSE_SHARED:g} %", f"≥ {100 * LEAST_NAMED:g} %"
    for noise in NOISES:
        errors = f"errors of {100 * noise:g} % of the width"
        for images in SIZES:
            share = shared(images, SHARED_SETS, noise, None).value
            name = f"nothing shared, {errors}, {images} images: said"
            figures.append(Figure(name, f"{100 * share:.1f} %", most, share <= MOST_FALSE_SHARED))
        for mistake in MISTAKES:
            share = shared(50, NAMED_SETS, noise, mistake).value
            name = f"{mistake}, {errors}, 50 images: named"
            figures.append(Figure(name, f"{100 * share:.0f} %", least, share >= LEAST_NAMED))
    share = shared(50, SHARED_SETS, NOISES[-1], None, patients=True).value
    name = f"nothing shared, {errors}, 50 images of 25 patients: said"
    figures.append(Figure(name, f"{100 * share:.1f} %", most, share <= MOST_FALSE_SHARED))
    return table(
        f"Shared shift, scale, rotation, outlines: {SHARED_SETS} sets without, {NAMED_SETS} with", figures
    )


def run() -> Iterator[RenderableType]:
    """The tables, for `python -m validation`."""
    yield _decoding_table()
    yield _shared_table()
