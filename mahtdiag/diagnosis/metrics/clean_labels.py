"""Errors and the σ scale once more, without the images whose labels break a rule of anatomy.

A wrong label is no mistake of a network, yet it counts as one. What is left out is told by the rules and
limits in force; a label that breaks one is suspicious, not proven wrong, and so both numbers are told.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from mahtdiag.calibration.scores import Points, collect_points
from mahtdiag.diagnosis.metrics.calibration import SIGMA, behind_sigma
from mahtdiag.diagnosis.metrics.error_units import FOUND
from mahtdiag.diagnosis.metrics.errors import MISSED, error_metrics
from mahtdiag.diagnosis.metrics.measures import (
    Bools,
    Floats,
    Mean,
    Measure,
    Pooled,
    Quantile,
    RootMean,
    Terms,
    Told,
    Total,
    every_image,
)
from mahtdiag.diagnosis.metrics.metric import (
    Better,
    Compared,
    Group,
    GroupKind,
    Images,
    IntervalKind,
    Metric,
    Need,
    everything,
)
from mahtdiag.diagnosis.run_table import RunTable
from mahtdiag.diagnosis.worst_images import Ranking, WorstImages, counted
from mahtdiag.schema.skeleton import Skeleton

CLEAN = "clean_labels"
KEPT, LEFT_OUT = f"{CLEAN}.images", f"{CLEAN}.left_out"
TABLE = "Radial error without images whose labels break a rule"
LABELS = Need(
    "no evaluated image has a label that keeps every rule, or an earlier version evaluated them: look at the "
    "labels with mahtdiag anatomy, or evaluate again",
    "no image has a label that keeps every rule in both runs",
)


def clean_label_metrics(skeleton: Skeleton) -> tuple[Metric, ...]:
    """All numbers of the section `clean_labels`."""
    whole = everything(skeleton)
    kept: dict[Terms, Terms] = {}
    return (
        _images(whole, KEPT, "images whose labels keep every rule", Better.NEITHER, is_clean),
        _images(whole, LEFT_OUT, "images whose labels break a rule", Better.LOWER, _is_left_out),
        *(
            _of_clean(metric, kept)
            for metric in error_metrics(skeleton)
            if metric.group.kind is GroupKind.ALL and (metric.unit != "count" or metric.path[-1] == MISSED)
        ),
        _sigma_scale(whole),
    )


def is_clean(table: RunTable) -> Bools:
    """Whether the label of each image breaks no rule in force, `[N]`."""
    return ~_is_left_out(table)


def _is_left_out(table: RunTable) -> Bools:
    return np.array([bool(codes) for codes in table.label_codes], dtype=np.bool_)


def images_left_out(table: RunTable) -> frozenset[str]:
    """Names of the images whose labels break a rule in force."""
    return frozenset(table.image[row] for row in np.flatnonzero(_is_left_out(table)))


def _images(
    whole: Group, name: str, label: str, better: Better, which: Callable[[RunTable], Bools]
) -> Metric:
    return Metric(
        path=tuple(name.split(".")),
        label=label,
        group=whole,
        better=better,
        unit="count",
        measure=Total(Terms(which, every_image)),
        behind=_by_label,
        table=TABLE,
        compared=Compared.ASKED,
        required=True,
    )


def _by_label(table: RunTable) -> Ranking:
    number = np.array([len(codes) for codes in table.label_codes], dtype=np.float64)
    return counted("rules that the label breaks", "rule", number, table.image)


def _of_clean(metric: Metric, kept: dict[Terms, Terms]) -> Metric:
    """The same number over images whose labels break no rule; `kept`: terms that several numbers share."""
    assert metric.measure is not None
    assert metric.behind is not None
    return replace(
        metric,
        path=(CLEAN, *metric.path[1:]),
        interval_path=None if metric.interval_path is None else (CLEAN, *metric.interval_path[1:]),
        label=f"{metric.label}, without",
        short=f"{CLEAN}: {metric.short or metric.label}",
        measure=_only_clean(metric.measure, kept),
        behind=_ranked_clean(metric.behind),
        need=LABELS if metric.need in (None, FOUND) else metric.need,
        table=TABLE,
        compared=Compared.NEVER if metric.compared is Compared.NEVER else Compared.ASKED,
        proposed=0,
        required=False,
    )


def _only_clean(measure: Measure, kept: dict[Terms, Terms]) -> Measure:
    if isinstance(measure, Told):
        return Told(lambda table: measure.value(table.taken(np.flatnonzero(is_clean(table)))))
    assert isinstance(measure, (Mean, Quantile, Pooled))
    if measure.terms not in kept:
        kept[measure.terms] = _clean_terms(measure.terms)
    return replace(measure, terms=kept[measure.terms])


def _clean_terms(terms: Terms) -> Terms:
    return Terms(terms.values, lambda table: terms.known(table) & is_clean(table)[:, np.newaxis])


def _ranked_clean(behind: Images) -> Images:
    def ranked(table: RunTable) -> Ranking | WorstImages | None:
        found = behind(table)
        if not isinstance(found, Ranking):
            return found
        return replace(found, score=np.where(is_clean(table), found.score, np.nan))

    return ranked


def _sigma_scale(whole: Group) -> Metric:
    behind = behind_sigma("sigma_scale", whole)
    assert behind is not None
    return Metric(
        path=(CLEAN, "sigma_scale"),
        label="best σ scale, without",
        short=f"{CLEAN}: best σ scale",
        group=whole,
        better=Better.NEITHER,
        measure=RootMean(Terms(_squared_z, _with_sigma)),
        interval=IntervalKind.SQUARES,
        behind=_ranked_clean(behind),
        need=SIGMA,
        table=TABLE,
        compared=Compared.ASKED,
    )


def _squared_z(table: RunTable) -> Floats:
    """(error/σ)² per axis, `[N, K, 2]`; undefined where `_with_sigma` is false."""
    z = np.zeros_like(table.pred_px)
    np.divide(table.pred_px - table.gt_px, table.sigma_px, out=z, where=_with_sigma(table))
    return z**2


def _with_sigma(table: RunTable) -> NDArray[np.bool_]:
    """Keypoints with a label and a usable σ in images whose labels break no rule, `[N, K, 2]`."""
    kept = _points(table).kept & is_clean(table)[:, np.newaxis]
    return np.repeat(kept[..., np.newaxis], 2, axis=-1)


def _points(table: RunTable) -> Points:
    return collect_points(table.pred_px - table.gt_px, table.sigma_px, table.covariance_px2)
