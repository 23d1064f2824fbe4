"""How many planted copies the search for copies finds, and how many pairs of distinct radiographs it reports.

    python -m validation duplicates

Synthetic spines (`training/radiographs`), all distinct. Of some a copy is planted: scaled to 30 %, cropped
to 80 % of each side, mirrored, with other brightness, contrast and gamma, or all at once; saved as JPEG of
quality 50 to 95. Distinct spines of one generator are as alike as radiographs of one hospital.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text
from scipy.stats import beta

from mahtdiag.data.images.registration import register, shrunk
from mahtdiag.diagnosis.copies import search
from training.radiographs import draw_radiograph

SPINES, COPIED, HEIGHT = 160, 80, 800
LEAST_RECALL = 0.98
KINDS = ("scaled to 30 %", "cropped to 80 %", "mirrored", "brightness", "all of them")

Grey = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Planted:
    """What was found of the planted copies of one kind, and what was reported that is none."""

    kind: str
    copies: int
    found: int
    pairs: int
    false: int


def spines(count: int, first: int, height: int = HEIGHT) -> list[Grey]:
    """So many distinct synthetic radiographs."""
    return [draw_radiograph("AP", first + seed, height).image for seed in range(count)]


def planted(image: Grey, kind: str, rng: np.random.Generator) -> Grey:
    """A copy of an image, as somebody may have made it."""
    every = kind == "all of them"
    copy = image
    if every or kind == "cropped to 80 %":
        height, width = (round(0.8 * side) for side in copy.shape)
        top, left = rng.integers(copy.shape[0] - height + 1), rng.integers(copy.shape[1] - width + 1)
        copy = copy[top : top + height, left : left + width]
    if every or kind == "scaled to 30 %":
        copy = np.asarray(cv2.resize(copy, None, fx=0.3, fy=0.3, interpolation=cv2.INTER_AREA), np.uint8)
    if kind == "mirrored" or (every and rng.random() < 0.5):
        copy = np.ascontiguousarray(copy[:, ::-1])
    if every or kind == "brightness":
        copy = _exposed(copy, rng)
    quality = [int(cv2.IMWRITE_JPEG_QUALITY), int(rng.integers(50, 96))]
    saved = cv2.imencode(".jpg", copy, quality)[1]
    return np.asarray(cv2.imdecode(saved, cv2.IMREAD_GRAYSCALE), dtype=np.uint8)


def _exposed(image: Grey, rng: np.random.Generator) -> Grey:
    """Other gamma, contrast and brightness; at most a fifth of the picture becomes black or white."""
    while True:
        gamma, gain, offset = rng.uniform(0.6, 1.6), rng.uniform(0.6, 1.4), rng.uniform(-40, 40)
        levels = 255 * (image / 255.0) ** gamma * gain + offset
        if ((levels < 0) | (levels > 255)).mean() < 0.2:
            return np.asarray(np.clip(levels, 0, 255), dtype=np.uint8)


def measure(kind: str, originals: Sequence[Grey], copied: int, seed: int = 0) -> Planted:
    """Plant a copy of the first `copied` images, and hold all originals and the copies against each other."""
    rng = np.random.default_rng([seed, KINDS.index(kind)])
    copies = np.stack([shrunk(planted(image, kind, rng)) for image in originals[:copied]])
    stack = np.concatenate([np.stack([shrunk(image) for image in originals]), copies])
    truth = {(row, len(originals) + row) for row in range(copied)}
    reported = set()
    for _, candidates in search(stack):
        for each in candidates:
            if register(stack[each.a], stack[each.b], each) is not None:
                reported.add((min(each.a, each.b), max(each.a, each.b)))
    pairs = len(stack) * (len(stack) - 1) // 2 - copied
    return Planted(kind, copied, len(reported & truth), pairs, len(reported - truth))


def upper_bound(events: int, trials: int) -> float:
    """The upper end of the one-sided 95 % interval of a share (Clopper and Pearson, 1934)."""
    return 1.0 if events == trials else float(beta.ppf(0.95, events + 1, trials - events))


def report(rows: Sequence[Planted]) -> Table:
    """The table of the study."""
    table = Table(title="Copies: planted and found", title_justify="left")
    for name in ("copies", "planted", "found", "recall", "target", "distinct pairs", "reported"):
        table.add_column(name, justify="left" if name == "copies" else "right")
    for row in rows:
        recall = row.found / row.copies
        target = f"≥ {LEAST_RECALL}" if recall >= LEAST_RECALL else f"≥ {LEAST_RECALL} MISSED"
        cells = (f"{recall:.3f}", target, f"{row.pairs:,}", str(row.false))
        table.add_row(row.kind, str(row.copies), str(row.found), *cells)
    return table


def run() -> Iterator[RenderableType]:
    """The table of the study, and what the pairs bound."""
    originals = spines(SPINES, 500_000)
    rows = [measure(kind, originals, COPIED) for kind in KINDS]
    yield report(rows)
    # The originals are the same in every row: their pairs are counted once.
    pairs = SPINES * (SPINES - 1) // 2
    false = max(row.false for row in rows)
    yield Text(
        f"{false} of {pairs:,} pairs of distinct spines reported: with 95 % certainty fewer than "
        f"{1e6 * upper_bound(false, pairs):.1f} in a million pairs."
    )
