"""Predicted over labelled width and height of vertebral bodies, for gates: those of `anatomy`."""

from collections.abc import Callable
from functools import partial

import numpy as np

from mahtdiag.anatomy.bodies import FEWEST_UNITS, BodyErrors
from mahtdiag.anatomy.systematic import Fitted
from mahtdiag.diagnosis.body_errors import bodies_of
from mahtdiag.diagnosis.metrics.measures import Interval, ToldWithInterval
from mahtdiag.diagnosis.metrics.metric import Better, IntervalKind, Metric, Need, everything
from mahtdiag.diagnosis.run_table import RunTable
from mahtdiag.diagnosis.worst_images import Ranking, measured
from mahtdiag.schema.skeleton import CORNERS_PER_VERTEBRA, LL, LR, UL, UR, Skeleton

BODY_SCALE = ("anatomy", "body_scale")
FEW = Need(
    f"it takes {FEWEST_UNITS} patients, or images, with labels",
    f"there are not {FEWEST_UNITS} patients, or images, with labels in both runs",
)


def body_metrics(skeleton: Skeleton) -> tuple[Metric, ...]:
    """1 where bodies are as large as labelled; the size of one that is predicted has no better direction."""
    return tuple(
        Metric(
            path=(*BODY_SCALE, name),
            label=f"{name} of bodies, predicted/labelled",
            group=everything(skeleton),
            better=Better.NEITHER,
            measure=ToldWithInterval(_scale(of), FEWEST_UNITS),
            interval=IntervalKind.MEAN,
            need=FEW,
            behind=partial(_by_size, name),
        )
        for name, of in (("width", _width), ("height", _height))
    )


def _width(bodies: BodyErrors) -> Fitted:
    return bodies.width.scale


def _height(bodies: BodyErrors) -> Fitted:
    return bodies.height.scale


def _by_size(name: str, table: RunTable) -> Ranking:
    """Images by predicted over labelled size, the mean over their bodies."""
    places = {"width": ((UR, LR), (UL, LL)), "height": ((LL, LR), (UL, UR))}[name]
    sizes = []
    for points in (table.pred_px, table.gt_px):
        bodies = points[:, table.skeleton.of_bodies].reshape(len(table), -1, CORNERS_PER_VERTEBRA, 2)
        ends = [bodies[:, :, list(corners)].mean(axis=2) for corners in places]
        sizes.append(np.linalg.norm(ends[0] - ends[1], axis=-1))
    pred, label = sizes
    known = np.isfinite(pred) & np.isfinite(label)
    total = np.where(known, label, 0.0).sum(axis=1)
    ratio = np.full(len(table), np.nan)
    np.divide(np.where(known, pred, 0.0).sum(axis=1), total, out=ratio, where=total > 0)
    return measured(f"predicted over labelled {name} of bodies", "", ratio, table.image)


def _scale(of: Callable[[BodyErrors], Fitted]) -> Callable[[RunTable], tuple[float, Interval] | None]:
    def told(table: RunTable) -> tuple[float, Interval] | None:
        bodies = table.once(bodies_of)
        if bodies is None:
            return None
        scale = of(bodies)
        return scale.value, (scale.low, scale.high)

    return told
