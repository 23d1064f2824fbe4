"""What the table and the JSON of a comparison show."""

from dataclasses import dataclass

from mahtdiag.diagnosis.comparison import Comparison
from mahtdiag.schema.skeleton import View

MOST_IMAGES = 1000
"""A comparison of 100,000 images does not name each; `images.parquet` of the runs has them all."""


@dataclass(frozen=True, slots=True)
class ChangedImage:
    """An image whose mean radial error is another in B; `image_b` is its name there."""

    image: str
    image_b: str
    a_px: float
    b_px: float

    @property
    def change_px(self) -> float:
        """How much further off B is."""
        return self.b_px - self.a_px


@dataclass(frozen=True, slots=True)
class ComparisonView:
    """Run B against run A; of several runs, `letter` tells which of them B is.

    `worse` and `better`: the most changed images first, at most `MOST_IMAGES` of `worse_images` and
    `better_images`.
    """

    view: View
    a: str
    b: str
    checkpoint_a: str
    checkpoint_b: str
    comparison: Comparison
    worse: tuple[ChangedImage, ...]
    better: tuple[ChangedImage, ...]
    worse_images: int
    better_images: int
    strict: bool
    notes: tuple[str, ...]
    letter: str = "B"
