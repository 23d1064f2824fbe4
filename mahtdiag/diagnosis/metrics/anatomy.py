"""Anatomical violations, by rule and by vertebra; and kinds of mistakes: how many, and what they cost."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from mahtdiag.anatomy.error_types import ErrorType, ErrorTypes, RepairRow, repair_table
from mahtdiag.anatomy.findings import Findings
from mahtdiag.anatomy.rules import RULES
from mahtdiag.diagnosis.columns import ColumnNotReadError
from mahtdiag.diagnosis.metrics.errors import by_mean_error
from mahtdiag.diagnosis.metrics.measures import Mean, Terms, Told, Total, every_image
from mahtdiag.diagnosis.metrics.metric import (
    Better,
    Compared,
    Group,
    GroupKind,
    IntervalKind,
    Key,
    Metric,
    everything,
    regions,
    vertebrae,
)
from mahtdiag.diagnosis.run_table import RunTable
from mahtdiag.diagnosis.suspicious_labels import evidence_of
from mahtdiag.diagnosis.worst_images import RankedImage, Ranking, WorstImages, counted, of, shifted_images
from mahtdiag.schema.skeleton import Skeleton

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

ANATOMY, BY_CODE = "anatomy", "by_code"
ANATOMY_TABLE = "Anatomical violations: share of images, findings, images by code"
ERROR_TYPES, BY_TYPE, GAIN = "error_types", "by_type", "gain_px"
ERROR_TYPE_TABLE = "Error types: share of keypoints"
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
        level_shifts(ERROR_TYPES, whole, "images shifted", ERROR_TYPE_TABLE, Compared.ALWAYS),
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
        return np.asarray(table.kinds_of_error == kind)

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
        table=ERROR_TYPE_TABLE,
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
        return row.repaired_mean if row else mean_error_px(table) or 0.0

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

    def gain_px(table: RunTable) -> Floats:
        kinds = table.error_types
        return np.where(kinds.types == kind, kinds.error_px - kinds.repaired_px, 0.0)

    yield replace(
        keypoints,
        path=(*keypoints.path[:-1], GAIN),
        label=f"{kind.title} repaired: gain, px",
        better=Better.LOWER,
        unit="px",
        measure=Mean(Terms(gain_px, _is_known)),
        interval=IntervalKind.MEAN,
        required=False,
    )


def gain_of(kind: ErrorType) -> str:
    """The name of the number that says how much lower the mean error is without mistakes of a kind."""
    return f"{ERROR_TYPES}.{BY_TYPE}.{kind.title}.{GAIN}"


def mean_error_px(table: RunTable) -> float | None:
    """Mean error of the keypoints whose kind of mistake is known; None where there is none."""
    return table.once(_mean_error_px)


def _mean_error_px(table: RunTable) -> float | None:
    known = [part.error_types.error_px[_is_known(part)] for part in table.parts()]
    return float(np.concatenate(known).mean()) if any(map(len, known)) else None


def repairs_of(table: RunTable) -> tuple[RepairRow, ...]:
    """What each kind of mistake costs, the largest gain first; computed by `RunTable.once`."""
    return repair_table(
        ErrorTypes(
            table.kinds_of_error,
            table.by_parts(lambda part: part.error_types.error_px),
            table.by_parts(lambda part: part.error_types.repaired_px),
        )
    )


def _repair(table: RunTable, kind: ErrorType) -> RepairRow | None:
    return next((row for row in table.once(repairs_of) if row.error_type is kind), None)


def _is_known(table: RunTable) -> Bools:
    return np.asarray(table.kinds_of_error != ErrorType.UNKNOWN)


def _is_shifted(table: RunTable) -> Bools:
    return np.asarray(table.level_shift != 0)


def _by_shift(table: RunTable) -> WorstImages | None:
    return shifted_images(table.image, table.level_shift)


PLURALS = {GroupKind.REGION: "regions", GroupKind.VERTEBRA: "vertebrae"}


def anatomy_metrics(skeleton: Skeleton) -> tuple[Metric, ...]:
    """All numbers of the section `anatomy`."""
    whole = everything(skeleton)
    rules = (Group(GroupKind.RULE, rule.code, whole.keypoints) for rule in RULES)
    shifts = level_shifts(ANATOMY, whole, "level_shifts", ANATOMY_TABLE, Compared.ASKED)
    return (
        *_found(whole),
        *(metric for group in rules for metric in _by_rule(group)),
        *(metric for group in (*regions(skeleton), *vertebrae(skeleton)) for metric in _found(group)),
        replace(shifts, proposed=9),
        Metric(
            path=(ANATOMY, "suspicious_labels"),
            label="suspicious_labels",
            group=whole,
            # A better network speaks against more of the wrong labels.
            better=Better.NEITHER,
            unit="count",
            measure=Total(Terms(_is_doubted, every_image)),
            behind=_by_doubt,
        ),
    )


def _is_doubted(table: RunTable) -> Bools:
    """Which labels the network speaks against, `[N]`.

    Raises ColumnNotReadError where it is not good enough to say anything: none suspicious is no finding then.
    """
    found = evidence_of(table)
    if found.reason is not None:
        raise ColumnNotReadError(f"a table whose network says nothing of its labels: {found.reason}")
    return found.strength > 0


def _by_doubt(table: RunTable) -> Ranking | None:
    found, images = evidence_of(table), table.image
    if found.reason is not None:
        return None

    def row(place: int) -> RankedImage:
        return RankedImage(images[place], float(found.strength[place]))

    most, fewest = (f"{word} evidence against the label" for word in ("strongest", "weakest"))
    return Ranking(most, fewest, images, found.strength, row, counts=True)


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
    if group.kind in PLURALS:
        return np.asarray(findings.blame[:, group.keypoints].any(axis=1))
    return np.ones(len(findings), dtype=np.bool_)


def _found(group: Group) -> Iterator[Metric]:
    """The share of images with a finding, and the findings."""
    is_main = group.kind is GroupKind.ALL
    path = (ANATOMY,) if is_main else (ANATOMY, PLURALS[group.kind], Key(group.name))
    compared = Compared.ALWAYS if is_main else Compared.ASKED
    findings = _findings(group, (*path, "violations"), "findings", _number(group), compared)
    yield replace(
        findings,
        path=(*path, "images_with_violations"),
        label="images with any, %",
        short="" if is_main else f"{PLURALS[group.kind]}.{group.name}.images_with_violations",
        most=1.0,
        unit="share",
        measure=Mean(Terms(_has_any(group), every_image), of_nothing=0.0),
        interval=IntervalKind.SHARE,
        proposed=8 if is_main else 0,
    )
    yield replace(findings, short="" if is_main else f"{PLURALS[group.kind]}.{group.name}.violations")


def _by_rule(group: Group) -> Iterator[Metric]:
    """Images in which a rule fired, and its findings."""
    path = (ANATOMY, BY_CODE, Key(group.name))
    yield _findings(group, (*path, "images"), group.name, _has_any(group), Compared.ALWAYS)
    yield _findings(group, (*path, "findings"), f"{group.name}, findings", _number(group), Compared.ASKED)


def _findings(
    group: Group,
    path: tuple[str, ...],
    label: str,
    values: Callable[[RunTable], Bools | Ints],
    compared: Compared,
) -> Metric:
    return Metric(
        path=path,
        label=label,
        group=group,
        better=Better.LOWER,
        unit="count",
        measure=Total(Terms(values, every_image)),
        behind=by_severity(group),
        table=ANATOMY_TABLE,
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
        place = group.name if group.kind in PLURALS else ""

        def row(image: int) -> RankedImage:
            codes = dict.fromkeys(finding.code for finding in findings.of_image(image))
            detail = "" if rule else f" ({', '.join(codes)})"
            return RankedImage(table.image[image], float(severity[image]), detail=detail)

        what = f"severity of {rule or 'violations'}{of(place, 'in')}"
        return Ranking(f"largest {what}", f"smallest {what}", table.image, severity, row, counts=True)

    return behind
