"""Heatmaps: Gaussian targets, decoding, peak values and spread."""

from mahtdiag.heatmaps.decoding import HeatmapReading, decode, read_heatmaps, soft_argmax
from mahtdiag.heatmaps.peaks import HeatmapFlag
from mahtdiag.heatmaps.second_peak import SecondPeaks
from mahtdiag.heatmaps.targets import gaussian_targets

__all__ = [
    "HeatmapFlag",
    "HeatmapReading",
    "SecondPeaks",
    "decode",
    "gaussian_targets",
    "read_heatmaps",
    "soft_argmax",
]
