"""Which numbers of pixels a place and a sigma can be, wherever they come from."""

from typing import Final

LARGEST_PX: Final = 1e50
"""Networks give float32, at most 3.4e38 pixels of an input; images are at most 2^28 times as large."""

SMALLEST_SIGMA_PX: Final = 1e-60

SMALLEST_FACTOR: Final = 1e-24
LARGEST_FACTOR: Final = 1e24
"""What recalibration multiplies sigma by: errors and sigma from 1e-12 to 1e12 pixels are judged."""
