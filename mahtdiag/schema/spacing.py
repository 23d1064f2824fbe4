"""Which numbers can be the size of a pixel, wherever they come from: options, settings, tables, headers."""

from typing import Final

# Detectors have 0.05 to 0.5 mm, and a film of a whole spine drawn on 256 rows has 3.5: what lies beyond is in
# another unit.
SMALLEST_MM: Final = 0.005
LARGEST_MM: Final = 5.0
SPACING_LIMITS: Final = f"between {SMALLEST_MM:g} and {LARGEST_MM:g} mm"


def is_spacing(mm: float) -> bool:
    """Whether a pixel can be so large; NaN cannot."""
    return SMALLEST_MM <= mm <= LARGEST_MM


def known_spacing(mm: float) -> float:
    """The same number. Raises ValueError, which names the limits, for one that no pixel has."""
    if not is_spacing(mm):
        raise ValueError(f"a pixel measures {SPACING_LIMITS}, such as 0.143")
    return mm
