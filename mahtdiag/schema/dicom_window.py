"""Which stored values of a DICOM image become black and white."""

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Self


class WindowKind(StrEnum):
    """The file's first window, all values that can be stored, those that are, or two that the user gives."""

    FIRST = "first"
    STORED = "stored"
    MINMAX = "minmax"
    GIVEN = "given"


@dataclass(frozen=True, slots=True)
class DicomWindow:
    """How values, after the rescale or the modality table of the file, become 0 to 1.

    `FIRST`: the file's first VOI table or window, else as `STORED`: the whole range that the stored bits can
    have. `MINMAX`: from the image's lowest to its highest value. `GIVEN`: `width` values around `center`.
    """

    kind: WindowKind = WindowKind.FIRST
    width: float = math.nan
    center: float = math.nan

    @classmethod
    def parse(cls, text: object) -> Self:
        """`first`, `stored`, `minmax` or `WIDTH,CENTER`; ValueError says what is expected."""
        if isinstance(text, cls):
            return text
        if text in (WindowKind.FIRST, WindowKind.STORED, WindowKind.MINMAX):
            return cls(WindowKind(str(text)))
        try:
            width, center = map(float, text.split(",") if isinstance(text, str) else ())
        except ValueError:
            width = center = math.nan
        if not (1.0 <= width < math.inf and math.isfinite(center)):
            raise ValueError("expected first, stored, minmax or WIDTH,CENTER, for example 4096,2048")
        return cls(WindowKind.GIVEN, width, center)

    def __str__(self) -> str:
        if self.kind is not WindowKind.GIVEN:
            return str(self.kind)
        return f"{self.width:.12g},{self.center:.12g}"


FIRST_WINDOW: Final = DicomWindow()
