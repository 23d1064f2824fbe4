"""What the table and the JSON of a comparison show."""

from dataclasses import dataclass

from mahtdiag.diagnosis.comparison import Comparison
from mahtdiag.schema.views import View


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

    `worse` and `better`: every image that changed, most changed first.
    """

    view: View
    a: str
    b: str
    checkpoint_a: str
    checkpoint_b: str
    comparison: Comparison
    worse: tuple[ChangedImage, ...]
    better: tuple[ChangedImage, ...]
    strict: bool
    notes: tuple[str, ...]
    letter: str = "B"
