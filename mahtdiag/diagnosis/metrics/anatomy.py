"""Anatomical violations: findings, images with any, by rule and by vertebra."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from mahtdiag.anatomy.findings import Findings
from mahtdiag.anatomy.rules import RULES
from mahtdiag.diagnosis.columns import ColumnNotReadError
from mahtdiag.diagnosis.metrics.error_types import level_shifts
from mahtdiag.diagnosis.metrics.measures import Mean, Terms, Total, every_image
from mahtdiag.diagnosis.metrics.metric import (
    Better,
    Compared,
    Group,
    GroupKind,
    IntervalKind,
    Key,
    Metric,
    everything,
    vertebrae,
)
from mahtdiag.diagnosis.run_table import RunTable
from mahtdiag.diagnosis.worst_images import RankedImage, Ranking, of
from mahtdiag.schema.skeleton import Skeleton

Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]

ANATOMY, BY_CODE = "anatomy", "by_code"
TABLE = "Anatomical violations: share of images, findings, images by code"


def anatomy_metrics(skeleton: Skeleton) -> tuple[Metric, ...]:
    """All numbers of the section `anatomy`."""
    whole = everything(skeleton)
    rules = (Group(GroupKind.RULE, rule.code, whole.keypoints) for rule in RULES)
    shifts = level_shifts(ANATOMY, whole, "level_shifts", TABLE, Compared.ASKED)
    return (
        *_found(whole),
        *(metric for group in rules for metric in _by_rule(group)),
        *(metric for group in vertebrae(skeleton) for metric in _found(group)),
        replace(shifts, proposed=9),
    )


def findings_per_image(table: RunTable, group: Group) -> Ints:
    """Findings of each image `[N]`: all, those of a rule, or those that blame a keypoint of a vertebra.

    Raises ColumnNotReadError for a rule that was not checked.
    """
    findings = table.findings
    return np.bincount(findings.image[_chosen(findings, group)], minlength=findings.images).astype(np.int64)


def _chosen(findings: Findings, group: Group) -> Bools:
    """Which findings a group is about, `[M]`."""
    if group.kind is GroupKind.RULE:
        checked = [rule.code for rule in findings.rules]
        if group.name not in checked:
            raise ColumnNotReadError(f"a table that was not judged by {group.name}")
        return np.asarray(findings.rule == checked.index(group.name))
    if group.kind is GroupKind.VERTEBRA:
        return np.asarray(findings.blame[:, group.keypoints].any(axis=1))
    return np.ones(len(findings), dtype=np.bool_)


def _found(group: Group) -> Iterator[Metric]:
    """The share of images with a finding, and the findings."""
    is_main = group.kind is GroupKind.ALL
    path = (ANATOMY,) if is_main else (ANATOMY, "vertebrae", Key(group.name))
    compared = Compared.ALWAYS if is_main else Compared.ASKED
    yield Metric(
        path=(*path, "images_with_violations"),
        label="images with any, %",
        short="" if is_main else f"vertebrae.{group.name}.images_with_violations",
        group=group,
        better=Better.LOWER,
        most=1.0,
        unit="share",
        measure=Mean(Terms(_has_any(group), every_image), of_nothing=0.0),
        interval=IntervalKind.EXACT,
        behind=by_severity(group),
        table=TABLE,
        compared=compared,
        proposed=8 if is_main else 0,
        required=True,
    )
    yield Metric(
        path=(*path, "violations"),
        label="findings",
        short="" if is_main else f"vertebrae.{group.name}.violations",
        group=group,
        better=Better.LOWER,
        unit="count",
        measure=Total(Terms(_number(group), every_image)),
        behind=by_severity(group),
        table=TABLE,
        compared=compared,
        required=True,
    )


def _by_rule(group: Group) -> Iterator[Metric]:
    """Images in which a rule fired, and its findings."""
    for counted, label, values, compared in (
        ("images", group.name, _has_any(group), Compared.ALWAYS),
        ("findings", f"{group.name}, findings", _number(group), Compared.ASKED),
    ):
        yield Metric(
            path=(ANATOMY, BY_CODE, Key(group.name), counted),
            label=label,
            group=group,
            better=Better.LOWER,
            unit="count",
            measure=Total(Terms(values, every_image)),
            behind=by_severity(group),
            table=TABLE,
            compared=compared,
            required=True,
        )


def _number(group: Group) -> Callable[[RunTable], Ints]:
    return lambda table: findings_per_image(table, group)


def _has_any(group: Group) -> Callable[[RunTable], Bools]:
    return lambda table: findings_per_image(table, group) > 0


def by_severity(group: Group) -> Callable[[RunTable], Ranking]:
    """Ranks images by how suspicious they are, or by the worst finding of the one rule or vertebra."""

    def behind(table: RunTable) -> Ranking:
        findings = table.findings
        if group.kind is GroupKind.ALL:
            severity = findings.image_severity()
        else:
            severity, chosen = np.zeros(findings.images), _chosen(findings, group)
            np.maximum.at(severity, findings.image[chosen], findings.severity[chosen])
        rule = group.name if group.kind is GroupKind.RULE else ""
        place = group.name if group.kind is GroupKind.VERTEBRA else ""
        codes = findings.codes_per_image()

        def row(image: int) -> RankedImage:
            detail = "" if rule else f" ({', '.join(codes[image])})"
            return RankedImage(table.image[image], float(severity[image]), detail=detail)

        what = f"severity of {rule or 'violations'}{of(place, 'in')}"
        return Ranking(f"largest {what}", f"smallest {what}", table.image, severity, row, counts=True)

    return behind
