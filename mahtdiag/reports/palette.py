"""The colours of everything that is shown, chosen so that no reader has to tell red from green.

The hues are those of Okabe and Ito (Color Universal Design, 2008). Colour never carries a meaning alone: each
mark also has its own shape or line style.
"""

from typing import Final

LABEL: Final = "#56B4E9"
PREDICTION: Final = "#E69F00"
ERROR: Final = "#F0E442"
WORST: Final = "#FF5C3A"  # vermillion, lightened: the original is too dark on a dark radiograph
FINDING: Final = "#E78AC3"  # reddish purple, lightened for the same reason
SECOND_PEAK: Final = "#2FD6A3"  # bluish green, lightened likewise

INK: Final = "#F2F4F6"
MUTED_INK: Final = "#A9B2BC"
HALO: Final = "#000000"
PAPER: Final = "#14171B"
RULE: Final = "#3A424B"
