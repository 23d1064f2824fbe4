"""Whether a network's word against a label can be trusted: false alarms and recall.

    python -m validation suspicious-labels

Spines as they vary, a simulated network whose errors have an effect shared by an image, a σ that is right but
for a common factor, and heavy tails (Student's t, 5 degrees of freedom). Wrong labels are planted one a set:
a level left out, so that all names are one off, and a corner slid along its endplate by so many σ.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rich.console import RenderableType
from rich.table import Table

from mahtdiag.diagnosis.run_table import RunTable
from mahtdiag.diagnosis.suspicious_labels import suspicious_labels
from mahtdiag.schema.skeleton import AP

Floats = NDArray[np.float64]

IMAGES, SETS = (30, 100), 60
SLIDES = (6.0, 10.0, 15.0)
MOST_FALSE = 0.03
LEAST_LEVELS, LEAST_SLIDES = 0.85, 0.6


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of planted labels, or of images with right labels, the share that was called suspicious."""

    what: str
    images: int
    share: float


def spines(rng: np.random.Generator, images: int) -> Floats:
    """L1–L5 and one level more at either end, `[N, 28, 2]`: curved, of unlike size, all possible."""
    size = rng.uniform(0.8, 1.3, (images, 1))
    top = np.arange(7) * 100.0 * size
    middle = 300.0 + rng.normal(0, 25, (images, 1)) * np.sin(
        np.arange(7) * rng.uniform(0.3, 0.8, (images, 1))
    )
    half = 60.0 * size * (1 + 0.02 * np.arange(7))
    corners = [(middle - half, top), (middle + half, top), (middle - half, top + 70 * size),
               (middle + half, top + 70 * size)]  # fmt: skip
    points = np.stack([np.stack(np.broadcast_arrays(*corner), axis=-1) for corner in corners], axis=2)
    return points.reshape(images, 28, 2) + rng.normal(0, 1.0, (images, 28, 2))


def run_of(rng: np.random.Generator, true: Floats, label: Floats, *, with_sigma: bool) -> RunTable:
    """Predictions of the true places with heavy-tailed errors that share an effect of the image."""
    images = len(true)
    sigma = rng.lognormal(np.log(4.0), 0.3, (images, 20, 1)) * rng.lognormal(0.0, 0.3, (images, 1, 1))
    own = rng.standard_t(5, (images, 20, 2)) * np.sqrt(0.8)
    pred = true + sigma * (own + np.sqrt(0.2) * rng.normal(size=(images, 1, 2)))
    told = np.repeat(1.7 * sigma, 2, axis=-1) if with_sigma else np.full_like(pred, np.nan)
    values = {
        "image": tuple(f"{row:04}.png" for row in range(images)),
        "width": np.full(images, 2000.0), "height": np.full(images, 2000.0),
        "pred_px": pred, "gt_px": label, "sigma_px": told,
    }  # fmt: skip
    return RunTable(AP, values)


def planted(rng: np.random.Generator, points: Floats, slide: float | None) -> tuple[int, Floats]:
    """One image whose label is wrong: a corner slid by so many σ of 4 px, or, None, all names one off."""
    label, row = points[:, 4:24].copy(), int(rng.integers(len(points)))
    if slide is None:
        label[row] = points[row, 8:28] if rng.random() < 0.5 else points[row, 0:20]
    else:
        corner = int(rng.integers(20))
        along = label[row, corner ^ 1] - label[row, corner]
        label[row, corner] += rng.choice([-1, 1]) * 4.0 * slide * along / np.linalg.norm(along)
    return row, label


def measure(images: int, sets: int, *, with_sigma: bool, seed: int = 0) -> list[Outcome]:
    """Recall of every kind of wrong label, and false alarms among right ones, in sets without a wrong one."""
    found = []
    for place, slide in enumerate((None, *SLIDES)):
        rng, hits = np.random.default_rng([seed, images, place]), 0
        for _ in range(sets):
            points = spines(rng, images)
            row, label = planted(rng, points, slide)
            said = suspicious_labels(run_of(rng, points[:, 4:24], label, with_sigma=with_sigma))
            hits += any(each.image == f"{row:04}.png" for each in said.labels)
        what = "a level left out" if slide is None else f"a corner slid by {slide:g} σ"
        found.append(Outcome(what, images, hits / sets))
    rng, false = np.random.default_rng([seed, images, 9]), 0
    for _ in range(sets):
        points = spines(rng, images)
        true = points[:, 4:24]
        false += len(suspicious_labels(run_of(rng, true, true, with_sigma=with_sigma)).labels)
    return [*found, Outcome("false alarms, of all images", images, false / (sets * images))]


def bad_network(images: int = 100, seed: int = 0) -> int:
    """Labels that a network is said to speak against whose predictions are of other levels in half of all."""
    rng = np.random.default_rng(seed)
    points = spines(rng, images)
    other = rng.random(images) < 0.5
    true = np.where(other[:, None, None], points[:, 8:28], points[:, 4:24])
    return len(suspicious_labels(run_of(rng, true, points[:, 4:24], with_sigma=True)).labels)


def run() -> Iterator[RenderableType]:
    """A column per number of images, with σ and without."""
    columns = [(images, with_sigma) for with_sigma in (True, False) for images in IMAGES]
    outcomes = [measure(images, SETS, with_sigma=with_sigma) for images, with_sigma in columns]
    table = Table(title=f"suspicious labels, {SETS} sets each", title_justify="left")
    table.add_column("")
    for images, with_sigma in columns:
        table.add_column(f"{images} images, {'σ' if with_sigma else 'no σ'}", justify="right")
    for rows in zip(*outcomes, strict=True):
        table.add_row(rows[0].what, *(f"{100 * each.share:.1f} %" for each in rows))
    yield table
    yield (
        f"targets: false alarms at most {100 * MOST_FALSE:g} %; recall of a level left out at least "
        f"{100 * LEAST_LEVELS:g} %, with σ of a corner slid by 15 σ {100 * LEAST_SLIDES:g} %. A bad network "
        f"speaks against {bad_network()} of 100 labels."
    )
