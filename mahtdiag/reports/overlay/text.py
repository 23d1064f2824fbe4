"""Numbers of one record in words, for the panel beside an overlay."""

import math
from collections.abc import Mapping
from typing import Final

import numpy as np

from mahtdiag.reports.numbers import ABSENT, number
from mahtdiag.reports.overlay.findings import findings_block, level_shift_block
from mahtdiag.reports.overlay.rows import Block, Detail, Mark, Row, Style
from mahtdiag.reports.overlay.scene import SHARE_IN_ELLIPSE, SIGMAS, usable_sigma, worst_keypoints
from mahtdiag.schema.records import ImageRecord
from mahtdiag.schema.skeleton import View

MAX_LISTED: Final = 8
# From the most to the least, for panels that would not fit on a screen.
FULL: Final = Detail(titles=True, further_rows=12)
DETAILS: Final = (FULL, Detail(titles=False, further_rows=12), Detail(False, 4), Detail(False, 0))


def pixels(value: float) -> str:
    """A length in original pixels."""
    if not math.isfinite(value):
        return ABSENT
    if abs(value) >= 1e5:
        return f"{value:.1e} px"
    return f"{value:.1f} px" if abs(value) >= 9.95 else f"{value:.2f} px"


def _length(value_px: float, spacing_mm: float | None) -> str:
    if spacing_mm is None or not math.isfinite(value_px):
        return pixels(value_px)
    millimetres = value_px * spacing_mm
    return f"{pixels(value_px)} · {millimetres:.1f} mm" if millimetres < 1e5 else pixels(value_px)


def panel_blocks(
    record: ImageRecord,
    view: View,
    shown_per_original: float,
    worst: int,
    titles: Mapping[str, str],
    marks: Mapping[Mark, bool],
    *,
    stretched: bool,
    labels_judged: bool = False,
    detail: Detail = FULL,
) -> list[Block]:
    """All blocks of the panel, in reading order; a block that would say nothing is left out.

    With `labels_judged` there is nothing to say of predictions.
    """
    title = _title(record, view, shown_per_original, stretched)
    findings = findings_block(record, titles, detail)
    if labels_judged:
        blocks = [title, _labelled(record, view), findings, _legend(marks)]
    else:
        blocks = [
            title,
            _errors(record, view),
            _worst(record, view, worst),
            _sigma(record),
            level_shift_block(record),
            findings,
            _losses(record),
            _legend(marks),
        ]
    return [block for block in blocks if block]


def _title(record: ImageRecord, view: View, shown_per_original: float, stretched: bool) -> Block:
    folder, _, name = record.image.rpartition("/")
    spacing = record.pixel_spacing_mm
    rows = [
        Row(name or "image without a name", style=Style.TITLE),
        Row(f"{view} · {record.width} × {record.height} px · shown at {100 * shown_per_original:.0f} %"),
        Row("pixel spacing unknown" if spacing is None else f"{number(spacing)} mm per pixel"),
    ]
    if stretched:
        rows.append(Row("grey values stretched for display", style=Style.DETAIL))
    if folder:
        rows.append(Row(f"in {folder}/", style=Style.DETAIL))
    return tuple(rows)


def _errors(record: ImageRecord, view: View) -> Block:
    keypoints, spacing = record.keypoints, record.pixel_spacing_mm
    labelled = np.isfinite(keypoints.gt_px).all(axis=1)
    predicted = np.isfinite(keypoints.pred_px).all(axis=1)
    rows = [
        Row("Radial error", style=Style.HEAD),
        Row("mean", _length(record.radial_error_px, spacing)),
        Row("largest", _length(record.max_error_px, spacing)),
        Row("keypoints labelled", f"{labelled.sum()} of {view.keypoints}"),
    ]
    if not labelled.all():
        rows.append(Row("labels missing, not drawn", str((~labelled).sum())))
    if not predicted.all():
        rows.append(Row("predictions undefined, not drawn", str((~predicted).sum())))
    for what, points in (("labels", keypoints.gt_px), ("predictions", keypoints.pred_px)):
        known = points[np.isfinite(points).all(axis=1)]
        outside = ((known < -0.5) | (known > np.array([record.width, record.height]) - 0.5)).any(axis=1)
        if outside.any():
            rows.append(Row(f"{what} outside the image", str(outside.sum())))
    return tuple(rows)


def _labelled(record: ImageRecord, view: View) -> Block:
    labelled = int(np.isfinite(record.keypoints.gt_px).all(axis=1).sum())
    return (Row("Labels", style=Style.HEAD), Row("keypoints labelled", f"{labelled} of {view.keypoints}"))


def _worst(record: ImageRecord, view: View, worst: int) -> Block:
    keypoints = record.keypoints
    sigma = usable_sigma(keypoints.sigma_px)
    chosen = worst_keypoints(keypoints.error_px, worst)
    rows = [Row("Worst keypoints", style=Style.HEAD)]
    for k in chosen[:MAX_LISTED]:
        in_sigma = float(np.hypot(*((keypoints.pred_px[k] - keypoints.gt_px[k]) / sigma[k])))
        beside = f" · {in_sigma:.1f} σ" if math.isfinite(in_sigma) and in_sigma < 1e4 else ""
        length = _length(float(keypoints.error_px[k]), record.pixel_spacing_mm)
        rows.append(Row(view.keypoint_names[k], length + beside))
    if len(chosen) > MAX_LISTED:
        rows.append(Row(f"and {len(chosen) - MAX_LISTED} more", style=Style.DETAIL))
    return tuple(rows) if chosen else ()


def _sigma(record: ImageRecord) -> Block:
    keypoints = record.keypoints
    sigma = usable_sigma(keypoints.sigma_px)
    given = np.isfinite(sigma).all(axis=1)
    head = Row("Predicted σ per axis", style=Style.HEAD)
    if not given.any():
        return (head, Row("none given"))
    values = sigma[given]
    rows = [
        head,
        Row("median", pixels(float(np.median(values)))),
        Row("range", f"{pixels(float(values.min())).removesuffix(' px')} to {pixels(float(values.max()))}"),
    ]
    known = given & np.isfinite(keypoints.gt_px).all(axis=1) & np.isfinite(keypoints.pred_px).all(axis=1)
    if known.any():
        offset = (keypoints.pred_px[known] - keypoints.gt_px[known]) / sigma[known]
        inside = int((np.hypot(offset[:, 0], offset[:, 1]) <= SIGMAS).sum())
        expected = SHARE_IN_ELLIPSE * int(known.sum())
        rows.append(
            Row(f"labels inside {SIGMAS:g} σ", f"{inside} of {known.sum()} · expected {expected:.1f}")
        )
    if not given.all():
        rows.append(Row("σ missing or not positive", str((~given).sum())))
    return tuple(rows)


def _losses(record: ImageRecord) -> Block:
    losses = record.losses
    rows = [
        Row("Loss", style=Style.HEAD),
        Row("total, weighted", number(losses.total)),
        Row("heatmap", number(losses.heatmap)),
    ]
    if math.isfinite(losses.keypoint_share):
        rows.append(
            Row("   from keypoint pixels", f"{100 * losses.keypoint_share:.0f} %", style=Style.DETAIL)
        )
    rows += [
        Row("coordinates", number(losses.coord)),
        Row("anatomical", number(losses.anatomical)),
        Row("   order", number(losses.order), style=Style.DETAIL),
        Row("   parallel", number(losses.parallel), style=Style.DETAIL),
        Row("   ratio", number(losses.ratio), style=Style.DETAIL),
        Row("uncertainty", number(losses.uncertainty)),
        Row("parts are shown before weighting", style=Style.DETAIL),
    ]
    return tuple(rows)


def _legend(marks: Mapping[Mark, bool]) -> Block:
    meaning = {
        Mark.LABEL: "label",
        Mark.PREDICTION: "prediction",
        Mark.ERROR: "error: from label to prediction",
        Mark.SPREAD: f"{SIGMAS:g} σ of the prediction",
        Mark.WORST: "largest errors, with name and error",
        Mark.FINDING: "blamed by a finding, with its code",
        Mark.OFF_STAGE: "prediction outside the picture",
        Mark.SECOND_PEAK: "ambiguous: second heatmap peak",
        Mark.ANGLE: "angle at which endplates meet",
        Mark.TILT: "endplate against its neighbours' tilt",
        Mark.OVERLAP: "overlap of neighbouring endplates",
        Mark.DOWN: "from upper to lower, as named",
        Mark.SIDEWAYS: "from left to right, as named",
        Mark.LENGTH: "length that a finding measures",
        Mark.CROSSING: "the outline crosses itself",
        Mark.EXPECTED: "where its neighbours put a corner",
        Mark.BORDER: "a keypoint lies beyond this border",
        Mark.COINCIDING: "keypoints that coincide",
    }
    rows = [Row(text, mark=mark) for mark, text in meaning.items() if marks.get(mark)]
    return (Row("Legend", style=Style.HEAD), *rows) if rows else ()
