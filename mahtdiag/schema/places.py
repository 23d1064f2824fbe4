"""Which numbers of pixels a place and a sigma can be, wherever they come from."""

from typing import Final

LARGEST_PX: Final = 1e50
"""Networks give float32, at most 3.4e38 pixels of an input; images are at most 2^28 times as large."""

SMALLEST_SIGMA_PX: Final = 1e-60
