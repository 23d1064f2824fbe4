"""How far angles of whole spines are predicted off: each of them, and the score that AASCE ranks by."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

import numpy as np

from mahtdiag.anatomy.aasce_angles import aasce_angles, has_aasce_angles, smape_percent
from mahtdiag.anatomy.coronal import REGION_TITLES
from mahtdiag.anatomy.measured_columns import OF_WHOLE_SPINES, MeasuredColumn, measurement_columns
from mahtdiag.anatomy.whole_spine import is_whole, measure_ap, measure_la, paired_curves
from mahtdiag.diagnosis.measured import TITLES
from mahtdiag.diagnosis.metrics.measures import Bools, Floats, Mean, Terms
from mahtdiag.diagnosis.metrics.metric import Better, Compared, IntervalKind, Metric, Need, everything
from mahtdiag.diagnosis.run_table import RunTable
from mahtdiag.diagnosis.worst_images import measured
from mahtdiag.schema.skeleton import WHOLE, Skeleton, View

ANGLES: Final = ("anatomy", "angles")
FOUND_SHARE: Final = "found_share"
SMAPE: Final = "anatomy.angles.smape_percent"
TABLE: Final = "Angles of the spine"
OF_BOTH: Final = Need(
    "no image has this angle in both label and prediction",
    "no image has this angle in labels and predictions of both runs",
)
_CURVE: Final = "curve_deg"
_REGIONS: Final = {title: region.name.lower() for region, title in REGION_TITLES.items()}


def angle_metrics(skeleton: Skeleton) -> tuple[Metric, ...]:
    """Mean absolute errors of the angles of whole spines, and SMAPE; none of the lumbar spine alone."""
    if not is_whole(skeleton):
        return ()
    no_image = np.zeros((0, skeleton.keypoints, 2))
    columns = [column for column in _columns(no_image, no_image, skeleton)[0] if _is_angle(column)]
    return (
        *(_mean_error(column, skeleton) for column in columns),
        *(_found(column, skeleton) for column in columns if column.name == _CURVE),
        *([_smape(skeleton)] if has_aasce_angles(skeleton) else []),
    )


def angle_name(column: MeasuredColumn) -> str:
    """How `run.json` names an angle: `midline_cobb`, `main_thoracic`."""
    return _REGIONS[column.level] if column.name == _CURVE else column.name.removesuffix("_deg")


def _is_angle(column: MeasuredColumn) -> bool:
    """Whether it is one of the whole spine, and not of each vertebra or pair."""
    return column.name in ("cobb_deg", *OF_WHOLE_SPINES)


def _title(column: MeasuredColumn) -> str:
    return f"{column.level} curve" if column.name == _CURVE else TITLES[column.name]


def _mean_error(column: MeasuredColumn, skeleton: Skeleton) -> Metric:
    name, title = angle_name(column), _title(column)

    def error_deg(table: RunTable) -> Floats:
        labelled, predicted = table.once(paired_angles_deg)[name]
        return np.abs(predicted - labelled)

    return Metric(
        path=(*ANGLES, name, "mean_absolute_error_deg"),
        label=f"{title}, mean error, °",
        short=title,
        group=everything(skeleton),
        better=Better.LOWER,
        measure=_mean(error_deg),
        interval=IntervalKind.MEAN,
        behind=lambda table: measured(f"error of the {title}", "°", error_deg(table), table.image),
        need=OF_BOTH,
        table=TABLE,
        compared=Compared.ALWAYS,
    )


def _found(column: MeasuredColumn, skeleton: Skeleton) -> Metric:
    name, title = angle_name(column), _title(column)

    def found(table: RunTable) -> Floats:
        labelled, predicted = table.once(paired_angles_deg)[name]
        # Where not all curves of a prediction are known, one that is not there is no miss.
        known = np.isfinite(labelled) & np.isfinite(table.once(paired_angles_deg)["midline_cobb"][1])
        return np.where(known, np.isfinite(predicted), np.nan)

    return Metric(
        path=(*ANGLES, name, FOUND_SHARE),
        label=f"{title} found, %",
        group=everything(skeleton),
        better=Better.HIGHER,
        most=1.0,
        unit="share",
        measure=_mean(found),
        interval=IntervalKind.SHARE,
        behind=lambda table: measured(f"share found of the {title}", "", found(table), table.image),
        need=OF_BOTH,
        table=TABLE,
        compared=Compared.ALWAYS,
    )


def _smape(skeleton: Skeleton) -> Metric:
    return Metric(
        path=tuple(SMAPE.split(".")),
        label="SMAPE of the three AASCE angles, %",
        short="SMAPE, %",
        group=everything(skeleton),
        better=Better.LOWER,
        most=100.0,
        measure=_mean(lambda table: table.once(smape_by_image)),
        interval=IntervalKind.MEAN,
        behind=lambda table: measured("SMAPE", "%", table.once(smape_by_image), table.image),
        need=OF_BOTH,
        table=TABLE,
        compared=Compared.ALWAYS,
    )


def _mean(values: Callable[[RunTable], Floats]) -> Mean:
    def known(table: RunTable) -> Bools:
        return np.isfinite(values(table))

    return Mean(Terms(values, known))


def paired_angles_deg(table: RunTable) -> Mapping[str, tuple[Floats, Floats]]:
    """Angles of labels and predictions by name, `[N]` each, NaN where unknown; for `RunTable.once`."""
    columns = _columns(table.gt_px, table.pred_px, table.skeleton)
    return {
        angle_name(ours): (ours.values, theirs.values)
        for ours, theirs in zip(*columns, strict=True)
        if _is_angle(ours)
    }


def smape_by_image(table: RunTable) -> Floats:
    """SMAPE of the three AASCE angles, `[N]` in percent, NaN where one is unknown; for `RunTable.once`."""
    angles = partial(aasce_angles, skeleton=table.skeleton, image_height_px=table.height)
    return smape_percent(angles(table.pred_px).angle_deg, angles(table.gt_px).angle_deg)


def _columns(
    label_px: Floats, pred_px: Floats, skeleton: Skeleton
) -> tuple[tuple[MeasuredColumn, ...], tuple[MeasuredColumn, ...]]:
    """What is measured on labels and on predictions."""
    if skeleton.view is View.AP:
        frontal = paired_curves(measure_ap(label_px, skeleton), measure_ap(pred_px, skeleton))
        return measurement_columns(frontal[0], skeleton), measurement_columns(frontal[1], skeleton)
    # An angle is as far off, whichever way the patient faces.
    facing = np.ones(len(label_px), dtype=np.int64)
    lateral = [measure_la(points, skeleton, facing) for points in (label_px, pred_px)]
    return measurement_columns(lateral[0], skeleton), measurement_columns(lateral[1], skeleton)


ANGLE_PATHS: Final = tuple(metric.path for skeleton in WHOLE for metric in angle_metrics(skeleton))
"""Where `run.json` has these numbers, of any skeleton."""
