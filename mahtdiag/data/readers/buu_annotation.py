"""One annotation of BUU-LSPINE: a CSV of a radiograph, one row per endplate."""

import codecs
import math
import re
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mahtdiag.data.files import counted
from mahtdiag.errors import DataError
from mahtdiag.schema.records import LISTHESIS_NAMES
from mahtdiag.schema.safe_text import brief
from mahtdiag.schema.skeleton import AP, LA, Skeleton

COLUMNS: Final = ("x1", "y1", "x2", "y2", "label")
_NUMBER: Final = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_NOT_FINITE: Final = re.compile(r"[+-]?(nan|inf|infinity)", re.IGNORECASE)
_LONGEST_SHOWN: Final = 40
_LINE_END: Final = re.compile(r"\r\n|\r|\n")
_LARGEST_FILE_BYTES: Final = 64 * 1024
_MOST_PROBLEMS: Final = 20
_SKELETONS_BY_ROWS: Final = {skeleton.endplates: skeleton for skeleton in (AP, LA)}


@dataclass(frozen=True, slots=True)
class Annotation:
    """One annotation file.

    `keypoints_px` is `[K, 2]` (x, y) in original-image pixels, NaN where a keypoint is not labelled;
    `listhesis` has one code per endplate, in file order.
    """

    skeleton: Skeleton
    keypoints_px: NDArray[np.float64]
    listhesis: tuple[int, ...]


def rows_wanted(skeleton: Skeleton) -> str:
    """What an annotation of these has, in words: `an AP annotation has 10 (L1 upper … L5 lower)`."""
    names = skeleton.endplate_names
    return f"an {skeleton} annotation has {skeleton.endplates} ({names[0]} … {names[-1]})"


def parse_annotation(content: bytes, name: str, of: Skeleton | None = None) -> Annotation:
    """Read one annotation file of a skeleton; without one the number of rows tells the view.

    Row e (from 0) is an endplate, from above; (x1, y1) is its left end. So the keypoints of the rows, one
    after the other, are UL, UR, LL, LR of L1, of L2, …, and S1's two ends in LA.
    A left end that lies right of the right end is kept as it is: that is for the anatomical rules to tell.

    Tolerated: UTF-8 or UTF-16 with a byte order mark, any line end, blank lines, spaces and quotes around a
    cell, a label written `0.0`. The separator is chosen per line: a semicolon if the line has one (a comma is
    then a decimal comma), else a comma, else a tab. A keypoint with an empty cell or NaN is not labelled
    (NaN, both coordinates); at least one must be.

    Raises DataError with every problem of the file, each naming file, row and column.
    """
    text = _text(content, name)
    rows = [line for line in _LINE_END.split(text) if line.strip()]
    if not rows:
        raise DataError(f"{name}: the annotation is empty")
    problems: list[str] = []
    cells = [_cells(row) for row in rows]
    if _is_header(cells[0]):
        problems.append(f"{name}: row 1 is a header ('{brief(rows[0].strip(), _LONGEST_SHOWN)}'): remove it")
        del cells[0]
    skeleton = _SKELETONS_BY_ROWS.get(len(cells)) if of is None else of
    if of is not None and len(cells) != of.endplates:
        problems.append(f"{name}: {counted(len(cells), 'row')}, {rows_wanted(of)}")
    elif skeleton is None:
        lateral = f"an {LA} annotation {LA.endplates} (then {LA.endplate_names[-1]})"
        problems.append(f"{name}: {counted(len(cells), 'row')}, {rows_wanted(AP)}, {lateral}")
    widths = {len(row) for row in cells}
    if len(cells) > 1 and len(widths) == 1 and len(COLUMNS) not in widths:
        # One mistake, said once.
        problems.append(
            f"{name}: all rows have {counted(len(cells[0]), 'column')}, expected {','.join(COLUMNS)}"
        )
        raise DataError(*problems)
    names = (LA if of is None else of).endplate_names
    values = [
        _row(row, f"{name}: row {index + 1}" + (f" ({names[index]})" if index < len(names) else ""), problems)
        for index, row in enumerate(cells)
    ]
    if problems or skeleton is None:
        if len(problems) > _MOST_PROBLEMS:
            problems[_MOST_PROBLEMS:] = [f"{name}: and {len(problems) - _MOST_PROBLEMS} more problems"]
        raise DataError(*problems)
    table = np.array(values, dtype=np.float64)
    keypoints_px = table[:, :4].reshape(skeleton.keypoints, 2).copy()
    keypoints_px[~np.isfinite(keypoints_px).all(axis=1)] = np.nan
    if not np.isfinite(keypoints_px).any():
        raise DataError(f"{name}: no keypoint is labelled: every coordinate is empty")
    return Annotation(
        skeleton=skeleton,
        keypoints_px=keypoints_px,
        listhesis=tuple(int(label) for label in table[:, 4]),
    )


def looks_like_annotation(content: bytes) -> bool:
    """Whether any row of the file could be an endplate: five cells, the first four of them numbers.

    Tells a damaged annotation from a table that merely lies in the same folder. An empty file counts as an
    annotation, so that it is reported.
    """
    try:
        text = _text(content[:_LARGEST_FILE_BYTES], "")
    except DataError:
        return False
    rows = [_cells(line) for line in _LINE_END.split(text) if line.strip()]
    wanted = len(COLUMNS)
    return not rows or any(len(row) == wanted and all(map(_is_numeric, row[:4])) for row in rows)


def _text(content: bytes, name: str) -> str:
    if len(content) > _LARGEST_FILE_BYTES:
        raise DataError(f"{name}: {len(content)} bytes, an annotation has 10 or 11 short rows")
    utf16 = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    text = content.decode("utf-16" if utf16 else "utf-8-sig", errors="replace")
    if "\0" in text:
        raise DataError(f"{name}: not a text file: an annotation is a CSV of {','.join(COLUMNS)}")
    return text


def _cells(line: str) -> list[str]:
    if ";" in line:
        parts = line.replace(",", ".").split(";")
    elif "," in line:
        parts = line.split(",")
    else:
        parts = line.strip(" ").split("\t")
    return [part.strip().strip("\"'").strip() for part in parts]


def _is_numeric(cell: str) -> bool:
    return _NUMBER.fullmatch(cell) is not None


def _is_header(cells: list[str]) -> bool:
    return any(cells) and not any(_is_numeric(cell) or _NOT_FINITE.fullmatch(cell) for cell in cells)


def _row(cells: list[str], row: str, problems: list[str]) -> list[float]:
    """The five numbers of one row, by its name; what is wrong with it is added to `problems`."""
    if len(cells) != len(COLUMNS):
        problems.append(f"{row}: {counted(len(cells), 'column')}, expected {','.join(COLUMNS)}")
    values: list[float] = []
    for column, (cell, title) in enumerate(zip(cells, COLUMNS, strict=False), start=1):
        value = float(cell) if _is_numeric(cell) else math.nan
        gap = title != "label" and (not cell or cell.lower().lstrip("+-") == "nan")
        wrong = None if gap else _cell_problem(cell, title)
        if wrong is not None:
            problems.append(f"{row}, column {column} ({title}): {wrong}")
        values.append(math.nan if gap else value)
    return values


def _cell_problem(cell: str, title: str) -> str | None:
    if not cell:
        return f"empty: a label is 0 to {len(LISTHESIS_NAMES) - 1}, 0 is normal"
    if _NOT_FINITE.fullmatch(cell):
        return f"'{cell}' is not a finite number"
    if not _is_numeric(cell):
        return f"'{brief(cell, _LONGEST_SHOWN)}' is not a number"
    if math.isinf(float(cell)):
        return f"'{brief(cell, _LONGEST_SHOWN)}' is not a finite number"
    if title == "label" and float(cell) not in range(len(LISTHESIS_NAMES)):
        return f"'{brief(cell, _LONGEST_SHOWN)}' is not a label: 0 to {len(LISTHESIS_NAMES) - 1}, 0 is normal"
    return None
