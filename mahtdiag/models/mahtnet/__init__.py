"""The built-in network."""

from mahtdiag.models.mahtnet.config import MahtNetConfig
from mahtdiag.models.mahtnet.network import MahtNet

__all__ = ["MahtNet", "MahtNetConfig"]
