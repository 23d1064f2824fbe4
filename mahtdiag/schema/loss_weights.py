"""Default weights of the parts of the training loss, for what trains with them and what shows them."""

from types import MappingProxyType
from typing import Final

LOSS_WEIGHTS: Final = MappingProxyType({"heatmap": 1.0, "coord": 0.5, "anatomical": 0.1, "uncertainty": 0.1})
