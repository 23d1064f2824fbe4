"""Whether vertebrae are said to be predicted too narrow where they are, and nothing where they are not.

    python -m validation bodies

Bodies of 90 × 50 px, turned at random, errors whose size is each image's own and that its keypoints share in
part; labels err as well, by half as much: that must not look like a size. Where there are patients, two
images are of one.
"""

from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray
from rich.console import RenderableType

from benchmarks.figures import Figure, table
from mahtdiag.anatomy.bodies import fit_bodies
from mahtdiag.anatomy.systematic_words import explain_bodies
from mahtdiag.schema.skeleton import AP
from validation.causes import HEIGHT_PX, WIDTH_PX, Share, skewed

Floats = NDArray[np.float64]

NOISES: Final = (0.02, 0.10)
MOST_FALSE, LEAST_NAMED = 0.02, 0.95
NULL_SETS, NAMED_SETS = 400, 100
SIZES: Final = (20, 50, 200)
NAMED: Final = ((20, 0.02, 0.97), (50, 0.02, 0.98), (200, 0.02, 0.99), (200, 0.05, 0.97))
"""Images, error and scale of sets where the size has to be named."""


def said(
    rng: np.random.Generator, images: int, noise: float, scale: float, *, patients: bool = False
) -> str | None:
    """What is said of a set whose bodies are predicted so wide; `noise`: error in widths of a vertebra."""
    errors, units = skewed(rng, images, patients)
    half = np.array([WIDTH_PX, HEIGHT_PX]) / 2
    corners = half * np.array([[-1, -1], [1, -1], [-1, 1], [1, 1]])
    bodies = len(AP.vertebrae)
    turn = rng.normal(0, 0.15, (images, bodies))
    along = np.stack([np.cos(turn), np.sin(turn)], axis=-1)
    across = np.stack([-np.sin(turn), np.cos(turn)], axis=-1)
    middle = rng.uniform(100, 900, (images, bodies, 1, 2))

    def drawn(by: float) -> Floats:
        x, y = (corners * [by, 1.0]).T
        return np.asarray(middle + x[:, None] * along[:, :, None] + y[:, None] * across[:, :, None])

    shape = (images, 4 * bodies, 2)
    truth, found = drawn(1.0).reshape(shape), drawn(scale).reshape(shape)
    label = truth + 0.5 * noise * WIDTH_PX / np.sqrt(2) * rng.normal(size=shape)
    return explain_bodies(fit_bodies(found + noise * WIDTH_PX * errors, label, units), None)


def rate(images: int, sets: int, noise: float, scale: float, *, patients: bool = False) -> Share:
    """How many sets are told of a size; of the wrong one where it is narrow does not count."""
    rng = np.random.default_rng([images, round(1000 * noise), round(1000 * scale), patients])
    texts = [said(rng, images, noise, scale, patients=patients) for _ in range(sets)]
    hits = [text for text in texts if text is not None and (scale == 1.0 or "too narrow" in text)]
    return Share(len(hits), sets)


def run() -> Iterator[RenderableType]:
    """False alarms with bodies of the right size, and how often 3 % too narrow is named."""
    figures = []
    for images in SIZES:
        for noise in NOISES:
            patients = images > SIZES[0] and noise == NOISES[0]
            found = rate(images, NULL_SETS, noise, 1.0, patients=patients)
            of = f"{images} images{', 2 of a patient' * patients}, error {noise:g} widths"
            # Chance of a study of this size: two standard errors.
            most = MOST_FALSE + 2 * np.sqrt(MOST_FALSE / NULL_SETS)
            said_of = f"said of a right size: {of}"
            figures.append(
                Figure(said_of, f"{found.value:.1%}", f"≤ {MOST_FALSE:.0%}", bool(found.value <= most))
            )
    for images, noise, scale in NAMED:
        found = rate(images, NAMED_SETS, noise, scale)
        name = f"named, {1 - scale:.0%} too narrow: {images} images, error {noise:g} widths"
        target = f"≥ {LEAST_NAMED:.0%}"
        figures.append(Figure(name, f"{found.value:.0%}", target, found.value >= LEAST_NAMED))
    yield table("Sizes of vertebrae", figures)
