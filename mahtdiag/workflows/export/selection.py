"""Which images of a run are exported, in which order, and the words for that."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mahtdiag.diagnosis.run_table import RunTable
from mahtdiag.diagnosis.suspicious_labels import suspicious_labels
from mahtdiag.diagnosis.worst_images import mean_of_known
from mahtdiag.errors import RunFolderError
from mahtdiag.reports.text import counted


@dataclass(frozen=True, slots=True)
class Selection:
    """Rows of a run's table in the order of the export; `words` say which they are, empty for all."""

    rows: tuple[int, ...]
    words: str = ""
    notes: tuple[str, ...] = ()


def everything(table: RunTable) -> Selection:
    """All images, by name."""
    return Selection(tuple(range(len(table))))


def worst(table: RunTable, most: int) -> Selection:
    """The images with the largest mean error, in mm where any is known; without labels, the most severe."""
    in_mm = bool(np.isfinite(table.error_mm).any())
    error = mean_of_known(table.error_mm) if in_mm else table.radial_error_px
    if np.isfinite(error).any():
        rows = _largest(np.nan_to_num(error, nan=-1.0))
        words = "largest mean error in mm" if in_mm else "largest mean error"
        notes: tuple[str, ...] = ()
    else:
        rows, words = _largest(table.findings.image_severity()), "most severe anatomical findings"
        notes = ("the run has no labels: --worst goes by the severity of anatomical findings",)
    chosen = rows[:most]
    return Selection(tuple(chosen), words, (*notes, *_fewer("--worst", most, len(chosen), "image")))


def suspicious(table: RunTable, most: int, label: str) -> Selection:
    """The images whose labels break a rule of anatomy, or are contradicted by a network that is mostly right.

    Both orders, by severity and by evidence, in turn: an image has the better of its two ranks. Raises
    RunFolderError where no label is suspicious.
    """
    severity = table.label_findings.image_severity()
    broken = [row for row in _largest(severity) if severity[row] > 0 and table.label_codes[row]]
    found = suspicious_labels(table)
    place = {image: row for row, image in enumerate(table.image)}
    contradicted = [place[suspect.image] for suspect in found.labels]
    rows = _in_turn(broken, contradicted)
    unsure = () if found.reason is None else (f"the network says nothing of labels: {found.reason}",)
    if not rows:
        raise RunFolderError(
            f"{label}: no label breaks a rule of anatomy, and the network speaks against none:"
            " nothing to export" + "".join(f" ({reason})" for reason in unsure)
        )
    chosen = rows[:most]
    both = set(broken) & set(contradicted)
    words = "most suspicious labels"
    told = (
        f"suspicious labels: {len(broken)} by rules of anatomy, {len(contradicted)} by the network,"
        f" {len(both)} of them by both",
    )
    return Selection(
        tuple(chosen),
        words,
        (*told, *unsure, *_fewer("--suspicious", most, len(chosen), "suspicious label")),
    )


def _largest(values: np.typing.NDArray[np.float64]) -> list[int]:
    found: list[int] = np.argsort(-values, kind="stable").tolist()
    return found


def _in_turn(first: Sequence[int], second: Sequence[int]) -> list[int]:
    rank: dict[int, tuple[int, int]] = {}
    for order, rows in enumerate((first, second)):
        for at, row in enumerate(rows):
            rank[row] = min(rank.get(row, (at, order)), (at, order))
    return sorted(rank, key=rank.__getitem__)


def _fewer(option: str, asked: int, found: int, noun: str) -> tuple[str, ...]:
    return (f"{option} {asked}: {counted(found, noun)} in all",) if found < asked else ()
