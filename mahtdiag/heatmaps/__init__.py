"""Heatmaps: Gaussian targets, decoding, peak values and spread."""

from mahtdiag.heatmaps.decoding import HeatmapReading, decode, gaussian_targets, read_heatmaps, soft_argmax
from mahtdiag.heatmaps.peaks import HeatmapFlag, SecondPeaks

__all__ = [
    "HeatmapFlag",
    "HeatmapReading",
    "SecondPeaks",
    "decode",
    "gaussian_targets",
    "read_heatmaps",
    "soft_argmax",
]
