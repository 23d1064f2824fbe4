"""Kinds of mistakes: how many keypoints are one, what they cost, and whole images marked one level off."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from mahtdiag.anatomy.error_types import ErrorType, RepairRow, repair_table
from mahtdiag.diagnosis.metrics.errors import by_mean_error
from mahtdiag.diagnosis.metrics.measures import Mean, Terms, Told, Total, every_image
from mahtdiag.diagnosis.metrics.metric import Better, Compared, Group, GroupKind, Key, Metric, everything
from mahtdiag.diagnosis.run_table import RunTable
from mahtdiag.diagnosis.worst_images import Ranking, WorstImages, counted, shifted_images
from mahtdiag.schema.skeleton import Skeleton

Bools = NDArray[np.bool_]

ERROR_TYPES, BY_TYPE = "error_types", "by_type"
TABLE = "Error types: share of keypoints"
KINDS = tuple(kind for kind in ErrorType if kind is not ErrorType.UNKNOWN)


def error_type_metrics(skeleton: Skeleton) -> tuple[Metric, ...]:
    """All numbers of the section `error_types`."""
    whole = everything(skeleton)
    return (
        Metric(
            path=(ERROR_TYPES, "keypoints"),
            label="keypoints",
            group=whole,
            better=Better.NEITHER,
            unit="count",
            measure=Total(Terms(_is_known, _is_known)),
            behind=by_mean_error(whole),
            required=True,
        ),
        Metric(
            path=(ERROR_TYPES, "mean_error_px"),
            label="mean error, px",
            group=whole,
            better=Better.LOWER,
            unit="px",
            measure=Told(mean_error_px),
            behind=by_mean_error(whole),
        ),
        level_shifts(ERROR_TYPES, whole, "images shifted", TABLE, Compared.ALWAYS),
        *(metric for kind in KINDS for metric in _of_kind(kind, whole)),
    )


def level_shifts(section: str, whole: Group, label: str, table: str, compared: Compared) -> Metric:
    """How many images are marked one level off as a whole."""
    return Metric(
        path=(section, "level_shifts"),
        label=label,
        group=whole,
        better=Better.LOWER,
        unit="count",
        measure=Total(Terms(_is_shifted, every_image)),
        behind=_by_shift,
        table=table,
        compared=compared,
    )


def _of_kind(kind: ErrorType, whole: Group) -> Iterator[Metric]:
    group = Group(GroupKind.ERROR_TYPE, kind.title, whole.keypoints)
    better = Better.HIGHER if kind is ErrorType.GOOD else Better.LOWER

    def is_of_kind(table: RunTable) -> Bools:
        return np.asarray(table.error_types.types == kind)

    def behind(table: RunTable) -> Ranking:
        count = is_of_kind(table).sum(axis=1).astype(np.float64)
        return counted(f"keypoints of type {kind.title}", "keypoint", count, table.image)

    # A kind that never happened is 0, so that a gate on it finds a number.
    terms = Terms(is_of_kind, _is_known)
    keypoints = Metric(
        path=(ERROR_TYPES, BY_TYPE, Key(kind.title), "keypoints"),
        label=f"{kind.title}, keypoints",
        group=group,
        better=better,
        unit="count",
        measure=Total(terms),
        behind=behind,
        table=TABLE,
        compared=Compared.ASKED,
        required=True,
    )
    yield keypoints
    yield replace(
        keypoints,
        path=(*keypoints.path[:-1], "keypoint_share"),
        label=f"{kind.title}, %",
        most=1.0,
        unit="share",
        measure=Mean(terms, of_nothing=0.0),
        compared=Compared.ALWAYS,
    )
    yield from _costs(kind, replace(keypoints, compared=Compared.NEVER))


def _costs(kind: ErrorType, keypoints: Metric) -> Iterator[Metric]:
    """The share of all errors that mistakes of this kind are, and what is left if only they were repaired."""

    def error_share(table: RunTable) -> float:
        row = _repair(table, kind)
        return row.error_share if row else 0.0

    def repaired_mean_px(table: RunTable) -> float:
        row = _repair(table, kind)
        return row.repaired_mean_px if row else mean_error_px(table) or 0.0

    yield replace(
        keypoints,
        path=(*keypoints.path[:-1], "error_share"),
        label=f"{kind.title}, share of the error",
        most=1.0,
        unit="share",
        measure=Told(error_share),
    )
    yield replace(
        keypoints,
        path=(*keypoints.path[:-1], "repaired_mean_px"),
        label=f"{kind.title} repaired: mean error, px",
        better=Better.LOWER,
        unit="px",
        measure=Told(repaired_mean_px),
    )


def mean_error_px(table: RunTable) -> float | None:
    """Mean error of the keypoints whose kind of mistake is known; None where there is none."""
    known = _is_known(table)
    return float(table.error_types.error_px[known].mean()) if known.any() else None


def repairs_of(table: RunTable) -> tuple[RepairRow, ...]:
    """What each kind of mistake costs, the largest gain first."""
    return table.once(_repairs)


def _repairs(table: RunTable) -> tuple[RepairRow, ...]:
    return repair_table(table.error_types)


def _repair(table: RunTable, kind: ErrorType) -> RepairRow | None:
    return next((row for row in repairs_of(table) if row.error_type is kind), None)


def _is_known(table: RunTable) -> Bools:
    return np.asarray(table.error_types.types != ErrorType.UNKNOWN)


def _is_shifted(table: RunTable) -> Bools:
    return np.asarray(table.level_shift != 0)


def _by_shift(table: RunTable) -> WorstImages | None:
    return shifted_images(table.image, table.level_shift)
