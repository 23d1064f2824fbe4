"""How far off two runs are image by image, in the unit that both know."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mahtdiag.diagnosis.metrics.error_units import UNIT_OF, ErrorUnit
from mahtdiag.diagnosis.run_table import RunTable
from mahtdiag.diagnosis.worst_images import mean_of_known
from mahtdiag.schema.choices import LeadingUnit

Floats = NDArray[np.float64]

PX: Final = UNIT_OF[LeadingUnit.PX]
MM: Final = UNIT_OF[LeadingUnit.MM]


@dataclass(frozen=True, slots=True)
class ImageErrors:
    """Mean radial error `[N]` of each image in runs A and B over what both predict, NaN where unknown."""

    unit: ErrorUnit
    a: Floats
    b: Floats

    @staticmethod
    def of(a: RunTable, b: RunTable, unit: ErrorUnit) -> "ImageErrors":
        """Of two runs on the same images in the same order."""
        one, other = unit.errors(a), unit.errors(b)
        both = np.isfinite(one) & np.isfinite(other)
        return ImageErrors(unit, *(mean_of_known(np.where(both, error, np.nan)) for error in (one, other)))

    @property
    def change(self) -> Floats:
        """Mean error of B less that of A, per image."""
        return self.b - self.a

    def changed(self) -> tuple[list[int], list[int]]:
        """Images in which B is further off, the worst first, and those in which it is closer, best first."""
        change = np.nan_to_num(self.change)
        order = np.argsort(-change, kind="stable")
        return order[change[order] > 0].tolist(), order[change[order] < 0][::-1].tolist()


def both_know_mm(a: RunTable, b: RunTable) -> bool:
    """Whether every error that both runs know in pixels is known in millimetres as well, and any is."""
    in_px = np.isfinite(a.error_px) & np.isfinite(b.error_px)
    in_mm = np.isfinite(a.error_mm) & np.isfinite(b.error_mm)
    return bool(in_mm.any() and (in_mm | ~in_px).all())
