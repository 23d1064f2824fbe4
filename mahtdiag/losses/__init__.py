"""The losses: they train a network, and `evaluate` reports them per image."""

from mahtdiag.losses.combined import MAHTNetLoss
from mahtdiag.losses.coordinate import (
    AnatomicalParts,
    AnatomicalStructureLoss,
    SmoothL1Loss,
    UncertaintyLoss,
    WingLoss,
)
from mahtdiag.losses.heatmap import AWingLoss, FocalHeatmapLoss, HeatmapMSELoss
from mahtdiag.losses.reduction import LossParts

__all__ = [
    "AWingLoss",
    "AnatomicalParts",
    "AnatomicalStructureLoss",
    "FocalHeatmapLoss",
    "HeatmapMSELoss",
    "LossParts",
    "MAHTNetLoss",
    "SmoothL1Loss",
    "UncertaintyLoss",
    "WingLoss",
]
