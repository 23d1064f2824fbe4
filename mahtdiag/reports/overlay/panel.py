"""The panel of an overlay: rows of words and numbers in blocks, beside the radiograph or below it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

import numpy as np

from mahtdiag.anatomy.error_types import whole_image_level_shift
from mahtdiag.anatomy.rule import Sign
from mahtdiag.reports import palette
from mahtdiag.reports.overlay.lettering import Lettering, shorten, width_px
from mahtdiag.reports.overlay.marks import MAX_FINDINGS, Mark, draw_swatch, most_severe
from mahtdiag.reports.overlay.scene import (
    SHARE_IN_ELLIPSE,
    SIGMAS,
    errors_in_sigma,
    usable_sigma,
    worst_keypoints,
)
from mahtdiag.reports.overlay.sheet import LABEL_Z, Brush
from mahtdiag.reports.text import ABSENT, number, pixels, sigmas
from mahtdiag.schema.records import Finding, ImageRecord
from mahtdiag.schema.skeleton import Skeleton

SHORT_UNIT: Final = {
    "": "",
    "°": "°",
    "usual spacings": "× usual",
    "of the mean width": " of mean",
    "of the mean height": " of mean",
    "of body and disc": " of both",
}
MAX_LISTED: Final = 8


class Look(Enum):
    """How a row of the panel looks."""

    TITLE = auto()
    HEAD = auto()
    PLAIN = auto()
    DETAIL = auto()


@dataclass(frozen=True, slots=True)
class Words:
    """One line of the panel: text at the left, a number at the right, or a mark and its meaning."""

    left: str
    right: str = ""
    style: Look = Look.PLAIN
    mark: Mark | Sign | None = None


Block = tuple[Words, ...]


@dataclass(frozen=True, slots=True)
class Detail:
    """How much the panel says of findings: titles of the worst, and how many rows of the others."""

    titles: bool
    further_rows: int


# From the most to the least, for panels that would not fit on a screen.
FULL: Final = Detail(titles=True, further_rows=12)
DETAILS: Final = (FULL, Detail(titles=False, further_rows=12), Detail(False, 4), Detail(False, 0))


def in_px(value: float) -> str:
    """A length in original pixels, rounded as everywhere."""
    return f"{pixels(value)} px" if math.isfinite(value) else ABSENT


def _length(value_px: float, millimetres: float) -> str:
    """Millimetres first where they are known."""
    if not (math.isfinite(millimetres) and math.isfinite(value_px)):
        return in_px(value_px)
    return f"{pixels(millimetres)} mm · {in_px(value_px)}"


def panel_blocks(
    record: ImageRecord,
    skeleton: Skeleton,
    shown_per_original: float,
    worst: int,
    titles: Mapping[str, str],
    marks: Mapping[Mark | Sign, bool],
    *,
    stretched: bool,
    labels_judged: bool = False,
    detail: Detail = FULL,
) -> list[Block]:
    """All blocks of the panel, in reading order; a block that would say nothing is left out.

    With `labels_judged` there is nothing to say of predictions.
    """
    title = _title(record, skeleton, shown_per_original, stretched)
    findings = findings_block(record, titles, detail)
    if labels_judged:
        blocks = [title, _labelled(record, skeleton), findings, _legend(marks)]
    else:
        blocks = [
            title,
            _errors(record, skeleton),
            _worst(record, skeleton, worst),
            _sigma(record),
            level_shift_block(record, skeleton),
            findings,
            _label_block(record),
            _losses(record) if np.isfinite(record.keypoints.gt_px).any() else (),
            _legend(marks),
        ]
    return [block for block in blocks if block]


def _title(record: ImageRecord, skeleton: Skeleton, shown_per_original: float, stretched: bool) -> Block:
    folder, _, name = record.image.rpartition("/")
    shown = f"shown at {100 * shown_per_original:.0f} %"
    rows = [
        Words(name or "image without a name", style=Look.TITLE),
        Words(f"{skeleton} · {record.width} × {record.height} px · {shown}"),
        Words(_spacing(record)),
    ]
    if stretched:
        rows.append(Words("grey values stretched for display", style=Look.DETAIL))
    if folder:
        rows.append(Words(f"in {folder}/", style=Look.DETAIL))
    return tuple(rows)


def _spacing(record: ImageRecord) -> str:
    if record.pixel_spacing_mm is not None:
        return f"{number(record.pixel_spacing_mm)} mm per pixel"
    if record.pixel_spacing_x_mm is None or record.pixel_spacing_y_mm is None:
        return "pixel spacing unknown"
    return f"{number(record.pixel_spacing_x_mm)} × {number(record.pixel_spacing_y_mm)} mm per pixel"


def _errors(record: ImageRecord, skeleton: Skeleton) -> Block:
    keypoints = record.keypoints
    error_mm = keypoints.error_mm[np.isfinite(keypoints.error_mm)]
    labelled = np.isfinite(keypoints.gt_px).all(axis=1)
    predicted = np.isfinite(keypoints.pred_px).all(axis=1)
    rows = [
        Words("Radial error", style=Look.HEAD),
        Words("mean", _length(record.radial_error_px, float(error_mm.mean()) if error_mm.size else math.nan)),
        Words("largest", _length(record.max_error_px, float(error_mm.max(initial=-math.inf)))),
        Words("keypoints labelled", f"{labelled.sum()} of {skeleton.keypoints}"),
    ]
    if not labelled.any():
        rows = [Words("No labels", style=Look.HEAD)]
    elif not labelled.all():
        rows.append(Words("labels missing, not drawn", str((~labelled).sum())))
    if not predicted.all():
        rows.append(Words("predictions undefined, not drawn", str((~predicted).sum())))
    for what, points in (("labels", keypoints.gt_px), ("predictions", keypoints.pred_px)):
        known = points[np.isfinite(points).all(axis=1)]
        outside = ((known < -0.5) | (known > np.array([record.width, record.height]) - 0.5)).any(axis=1)
        if outside.any():
            rows.append(Words(f"{what} outside the image", str(outside.sum())))
    return tuple(rows)


def _labelled(record: ImageRecord, skeleton: Skeleton) -> Block:
    labelled = int(np.isfinite(record.keypoints.gt_px).all(axis=1).sum())
    return (
        Words("Labels", style=Look.HEAD),
        Words("keypoints labelled", f"{labelled} of {skeleton.keypoints}"),
    )


def _worst(record: ImageRecord, skeleton: Skeleton, worst: int) -> Block:
    keypoints = record.keypoints
    chosen = worst_keypoints(keypoints.error_px, worst)
    rows = [Words("Largest errors", style=Look.HEAD)]
    for k in chosen[:MAX_LISTED]:
        in_sigma = float(errors_in_sigma(keypoints)[k])
        beside = f" · {sigmas(in_sigma)} σ" if math.isfinite(in_sigma) and in_sigma < 1e4 else ""
        length = _length(float(keypoints.error_px[k]), float(keypoints.error_mm[k]))
        rows.append(Words(skeleton.keypoint_names[k], length + beside))
    if len(chosen) > MAX_LISTED:
        rows.append(Words(f"and {len(chosen) - MAX_LISTED} more", style=Look.DETAIL))
    return tuple(rows) if chosen else ()


def _sigma(record: ImageRecord) -> Block:
    keypoints = record.keypoints
    sigma = usable_sigma(keypoints.sigma_px)
    given = np.isfinite(sigma).all(axis=1)
    head = Words("Predicted σ per axis", style=Look.HEAD)
    if not given.any():
        return (head, Words("none given"))
    values = sigma[given]
    rows = [
        head,
        Words("median", in_px(float(np.median(values)))),
        Words("range", f"{pixels(float(values.min()))} to {in_px(float(values.max()))}"),
    ]
    known = given & np.isfinite(keypoints.gt_px).all(axis=1) & np.isfinite(keypoints.pred_px).all(axis=1)
    if known.any():
        offset = (keypoints.pred_px[known] - keypoints.gt_px[known]) / sigma[known]
        inside = int((np.hypot(offset[:, 0], offset[:, 1]) <= SIGMAS).sum())
        expected = SHARE_IN_ELLIPSE * int(known.sum())
        rows.append(
            Words(f"labels inside {SIGMAS:g} σ", f"{inside} of {known.sum()} · expected {expected:.1f}")
        )
    if not given.all():
        rows.append(Words("σ missing or not positive", str((~given).sum())))
    return tuple(rows)


def _losses(record: ImageRecord) -> Block:
    losses = record.losses
    rows = [
        Words("Loss", style=Look.HEAD),
        Words("total, weighted", number(losses.total)),
        Words("heatmap", number(losses.heatmap)),
    ]
    if math.isfinite(losses.keypoint_share):
        rows.append(
            Words("   from keypoint pixels", f"{100 * losses.keypoint_share:.0f} %", style=Look.DETAIL)
        )
    rows += [
        Words("coordinates", number(losses.coord)),
        Words("anatomical", number(losses.anatomical)),
        Words("   order", number(losses.order), style=Look.DETAIL),
        Words("   parallel", number(losses.parallel), style=Look.DETAIL),
        Words("   ratio", number(losses.ratio), style=Look.DETAIL),
        Words("uncertainty", number(losses.uncertainty)),
        Words("parts are shown before weighting", style=Look.DETAIL),
    ]
    return tuple(rows)


def _legend(marks: Mapping[Mark | Sign, bool]) -> Block:
    meaning: dict[Mark | Sign, str] = {
        Mark.LABEL: "label",
        Mark.PREDICTION: "prediction",
        Mark.ERROR: "error: from label to prediction",
        Mark.SPREAD: f"{SIGMAS:g} σ of the prediction",
        Mark.WORST: "largest errors, with name and error",
        Mark.FINDING: "blamed by a finding, with its code",
        Mark.OFF_STAGE: "prediction outside the picture",
        Mark.SECOND_PEAK: "ambiguous: second heatmap peak",
        **{sign: str(sign) for sign in Sign},
    }
    rows = [Words(text, mark=mark) for mark, text in meaning.items() if marks.get(mark)]
    return (Words("Legend", style=Look.HEAD), *rows) if rows else ()


def level_shift_block(record: ImageRecord, skeleton: Skeleton) -> Block:
    """The most dangerous mistake of a model of the spine: each outline looks right, each name is wrong."""
    points = record.keypoints
    shift = int(whole_image_level_shift(points.pred_px[None], points.gt_px[None], skeleton)[0])
    if shift == 0:
        return ()
    return (Words("Level shift", f"all one level too {'low' if shift > 0 else 'high'}", style=Look.HEAD),)


def findings_block(record: ImageRecord, titles: Mapping[str, str], detail: Detail) -> Block:
    """The worst findings with value and limit, the others by code."""
    if not record.findings:
        return (Words("Anatomical findings", "none", style=Look.HEAD),)
    by_severity = most_severe(record.findings)
    rows = [Words("Anatomical findings", str(len(by_severity)), style=Look.HEAD)]
    explained: set[str] = set()
    for finding in by_severity[:MAX_FINDINGS]:
        unit = SHORT_UNIT.get(finding.unit, f" {finding.unit}")
        value = f"{number(finding.value)}{unit}" if math.isfinite(finding.value) else ""
        limit = f" · limit {number(finding.limit)}" if value and math.isfinite(finding.limit) else ""
        rows.append(Words(f"{finding.code} {finding.vertebra}".rstrip(), value + limit))
        if detail.titles and finding.code in titles and finding.code not in explained:
            explained.add(finding.code)
            rows.append(Words(f"   {titles[finding.code]}", style=Look.DETAIL))
    return (*rows, *_further(by_severity[MAX_FINDINGS:], detail.further_rows))


def _label_block(record: ImageRecord) -> Block:
    """Which rules its label breaks: an error of this image may be one of the label."""
    codes = record.label_codes
    if not codes:
        return ()
    head = Words("Its label breaks", f"{len(codes)} rule{'s' if len(codes) > 1 else ''}", style=Look.HEAD)
    return (head, *(Words(" ".join(codes[i : i + 6])) for i in range(0, len(codes), 6)))


def _further(findings: tuple[Finding, ...], most: int) -> Block:
    """The findings that are not drawn, one row a code with the places where it fired."""
    places: dict[str, list[str]] = {}
    for finding in findings:
        places.setdefault(finding.code, []).append(finding.vertebra)
    listed = list(places.items())[:most]
    rows = [Words(f"also {code} {', '.join(names)}".rstrip(), style=Look.DETAIL) for code, names in listed]
    left = len(findings) - sum(len(names) for _, names in listed)
    if left:
        rows.append(Words(f"and {left} more", style=Look.DETAIL))
    return tuple(rows)


COLUMN_PX: Final = 370
MARGIN_PX: Final = 18
BLOCK_GAP_PX: Final = 16
SWATCH_PX: Final = 58
ROW_PX: Final = {Look.TITLE: 30, Look.HEAD: 27, Look.PLAIN: 22, Look.DETAIL: 20}
FONT_PX: Final = {Look.TITLE: 18.0, Look.HEAD: 15.5, Look.PLAIN: 14.5, Look.DETAIL: 13.0}
LEGEND_ROW_PX: Final = 26


@dataclass(frozen=True, slots=True)
class PanelLayout:
    """Blocks by column, and the size they need in pixels."""

    columns: tuple[tuple[Block, ...], ...]
    height: int

    @property
    def width(self) -> int:
        return COLUMN_PX * len(self.columns)


def lay_out(blocks: list[Block], column_count: int) -> PanelLayout:
    """Spread the blocks over columns in reading order, each in one piece, the columns about equally tall."""
    heights = [block_height(block) for block in blocks]
    limit = max(max(heights), -(-sum(heights) // column_count))
    while len(columns := _fill(blocks, heights, limit)) > column_count:
        limit += 4
    tallest = max(sum(block_height(block) for block in column) for column in columns)
    return PanelLayout(tuple(map(tuple, columns)), tallest - BLOCK_GAP_PX + 2 * MARGIN_PX)


def _fill(blocks: list[Block], heights: list[int], limit: int) -> list[list[Block]]:
    columns: list[list[Block]] = [[]]
    used = 0
    for block, height in zip(blocks, heights, strict=True):
        if used and used + height > limit:
            columns.append([])
            used = 0
        columns[-1].append(block)
        used += height
    return columns


def block_height(block: Block) -> int:
    """Height of a block with the gap after it."""
    return sum(map(_row_height, block)) + BLOCK_GAP_PX


def _row_height(row: Words) -> int:
    return LEGEND_ROW_PX if row.mark else ROW_PX[row.style]


def draw_panel(lettering: Lettering, brush: Brush, layout: PanelLayout, left: int, top: int) -> None:
    """Write all columns; (left, top) is the panel's corner in figure pixels."""
    for place, column in enumerate(layout.columns):
        x = left + place * COLUMN_PX + MARGIN_PX
        y = top + MARGIN_PX
        for block in column:
            for row in block:
                _draw_row(lettering, brush, row, x, y + _row_height(row) / 2)
                y += _row_height(row)
            y += BLOCK_GAP_PX


def _draw_row(lettering: Lettering, brush: Brush, row: Words, x: float, y: float) -> None:
    width = COLUMN_PX - 2 * MARGIN_PX
    size = FONT_PX[row.style]
    bold = row.style in (Look.TITLE, Look.HEAD)
    colour = palette.MUTED_INK if row.style is Look.DETAIL else palette.INK
    if row.mark:
        draw_swatch(brush, row.mark, x, y)
        x, width = x + SWATCH_PX, width - SWATCH_PX
    right = shorten(row.right, 0.72 * width, size)
    room = width - width_px(right, size) - (12 if right else 0)
    keep_end = row.style in (Look.TITLE, Look.DETAIL)
    text = shorten(row.left, room, size, bold=bold, keep_end=keep_end)
    lettering.write(text, x, y, size, colour, bold=bold)
    if right:
        lettering.write(right, x + width, y, size, colour, align="right")
    if row.style is Look.HEAD:
        below = y + ROW_PX[Look.HEAD] / 2 - 2
        brush.lines(np.array([[[x, below], [x + width, below]]]), palette.RULE, 1.0, LABEL_Z)
