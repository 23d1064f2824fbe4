"""Training losses, means over images in the network frame; and wall time, images evaluated and failed."""

import numpy as np
from numpy.typing import NDArray

from mahtdiag.diagnosis.metrics.measures import Mean, Terms, Told
from mahtdiag.diagnosis.metrics.metric import Better, Compared, IntervalKind, Key, Metric, Need, everything
from mahtdiag.diagnosis.run_table import RunTable
from mahtdiag.diagnosis.worst_images import Ranking, WorstImages, failed_images, measured
from mahtdiag.schema.skeleton import Skeleton

Floats = NDArray[np.float64]

LOSSES = "losses"
LOSS_NAMES = ("total", "heatmap", "coord", "anatomical", "order", "parallel", "ratio", "uncertainty")
KEYPOINT_SHARE = "heatmap_keypoint_share"
# A likelihood can be negative, and with it the total.
_OPEN = ("total", "uncertainty")
# Parts of the anatomical loss.
_INNER = ("order", "parallel", "ratio")
_WORDS = {"total": "loss", KEYPOINT_SHARE: "share of keypoints in the heatmap loss"}
SECONDS, IMAGES = "seconds", "images"
PARTS = ("total", "forward", "decode", "analyse")
COUNTS = {
    "total": Better.HIGHER,
    "evaluated": Better.HIGHER,
    "failed": Better.LOWER,
    "patients": Better.HIGHER,
}
ALIKE = Need("", "the losses of the two runs are not known or not measured alike")


def loss_metrics(skeleton: Skeleton) -> tuple[Metric, ...]:
    """All numbers of the section `losses`."""
    return (*(_mean(name, skeleton) for name in LOSS_NAMES), _keypoint_share(skeleton))


def _mean(name: str, skeleton: Skeleton) -> Metric:
    def values(table: RunTable) -> Floats:
        return table.loss(name)

    return Metric(
        path=(LOSSES, name),
        label=f"  {name}" if name in _INNER else name,
        group=everything(skeleton),
        better=Better.LOWER,
        least=None if name in _OPEN else 0.0,
        measure=Mean(Terms(values, lambda table: np.isfinite(values(table)))),
        interval=IntervalKind.MEAN,
        interval_path=(LOSSES, "ci95", Key(name)),
        behind=lambda table: _by_loss(table, name),
        need=ALIKE,
        table="Loss (mean over images, network frame)",
        compared=Compared.ALWAYS,
    )


def _keypoint_share(skeleton: Skeleton) -> Metric:
    def value(table: RunTable) -> float | None:
        share = table.loss(KEYPOINT_SHARE)
        return float(np.nanmean(share)) if np.isfinite(share).any() else None

    return Metric(
        path=(LOSSES, KEYPOINT_SHARE),
        label="share of keypoint pixels in the heatmap loss",
        group=everything(skeleton),
        better=Better.NEITHER,
        most=1.0,
        unit="share",
        measure=Told(value),
        behind=lambda table: _by_loss(table, KEYPOINT_SHARE),
        need=ALIKE,
    )


def _by_loss(table: RunTable, name: str) -> Ranking:
    return measured(_WORDS.get(name, f"{name} loss"), "", table.loss(name), table.image)


def run_metrics(skeleton: Skeleton) -> tuple[Metric, ...]:
    """All numbers of the sections `seconds` and `images`."""
    of = everything(skeleton)
    return (
        *(Metric((SECONDS, part), f"{part}, s", of, Better.LOWER, unit="s") for part in PARTS),
        *(
            Metric((IMAGES, name), f"images {name}", of, better, unit="count", behind=_failed,
                   proposed=1 if name == "failed" else 0)
            for name, better in COUNTS.items()
        ),
    )  # fmt: skip


def _failed(table: RunTable) -> WorstImages | None:
    return failed_images(table.failures)
