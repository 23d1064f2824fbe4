"""What would mend σ: factors and a Student-t with what they make better and worse, and conformal regions."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isinf, isnan

from mahtdiag.calibration.conformal import ConformalRow, ConformalTable, units_needed
from mahtdiag.calibration.nll_changes import Change
from mahtdiag.calibration.recalibration import Mend, RecalibrationRow, SigmaScale, gains, harms
from mahtdiag.calibration.student import StudentT
from mahtdiag.reports.tables.table import Cells, Style, Table, TableColumn, table
from mahtdiag.reports.text import ABSENT, number, percent, pixels

PLAIN = Style.PLAIN


@dataclass(frozen=True, slots=True)
class RecalibrationResult:
    """A before/after table with what it was fitted and judged on.

    `rows`: σ as it came, one factor, one factor per keypoint, the factor of the core, a Student-t; `scale`
    and `student` hold what was fitted. `changes`: of the NLL, by row. `where`: in words, what the factors
    were fitted on and judged on. `by_chance`: MACE that a right σ stays below in 19 of 20 such sets.
    """

    rows: tuple[RecalibrationRow, ...]
    scale: SigmaScale
    student: StudentT | None
    changes: Mapping[Mend, Change]
    conformal: ConformalTable
    where: str
    by_chance: float | None = None


def recalibration_table(result: RecalibrationResult) -> Table:
    """Calibration with σ as it came, with factors, and with a Student-t."""
    return table(
        "Recalibration",
        ("σ", "MACE", "radial", "NLL", "CRPS px", "σ scale", "sharpness", "in 90 %"),
        (
            (
                _name(row, result),
                *map(number, (row.mace, row.radial_mace, row.nll)),
                pixels(row.crps_px),
                number(row.sigma_scale),
                pixels(row.sharpness_px),
                percent(row.coverage_90),
            )
            for row in result.rows
        ),
        note=f"{result.where} {advice(result)}",
        note_style=PLAIN,
    )


def _name(row: RecalibrationRow, result: RecalibrationResult) -> str:
    if row.scope is None:
        return "as it came"
    if row.scope == "student_t":
        return "Student-t"
    of_keypoint = "× one per keypoint"
    factors = {"global": f"× {number(result.scale.common)}", "keypoint": of_keypoint}
    return factors.get(row.scope, f"× {number(result.scale.core)} (core)")


def advice(result: RecalibrationResult) -> str:
    """What every line of the before/after table makes better and worse, and what to do."""
    before, *after = result.rows
    said, good, mixed = [], [], False
    for row in after:
        change = result.changes[row.scope or "global"]
        better, worse = (judge(before, row, change, result.by_chance) for judge in (gains, harms))
        said.append(f"{_in_words(row, result)} {_effect(better, worse)}.")
        mixed = mixed or bool(better and worse)
        good += [row] if better and not worse else []
    if good:
        best = min(good, key=lambda row: row.nll)
        said.append(f"Best on images left out: {_in_words(best, result)}.")
    elif mixed:
        said.append("No factor is better in all: the errors are not Gaussian, prefer the conformal regions.")
    else:
        said.append("Leave σ as it is.")
    return " ".join(said)


def _effect(better: Sequence[str], worse: Sequence[str]) -> str:
    parts = [f"improves {' and '.join(better)}"] if better else []
    parts += [f"worsens {' and '.join(worse)}"] if worse else []
    return ", ".join(parts) or "changes nothing beyond chance"


def _in_words(row: RecalibrationRow, result: RecalibrationResult) -> str:
    if row.scope == "student_t" and result.student is not None:
        student = result.student
        return f"Student-t (scale {number(student.scale)} σ, {student.degrees:.1f} degrees of freedom)"
    names = {"global": f"One factor ({number(result.scale.common)})", "keypoint": "One factor per keypoint"}
    return names.get(row.scope or "", f"The core factor ({number(result.scale.core)})")


def conformal_table(result: RecalibrationResult) -> Table:
    """Regions that keep their promise whatever the distribution: their size, and what they held."""
    kinds = (("ellipse, σ", result.conformal.ellipse), ("disc, px", result.conformal.disc_px))
    return table(
        "Conformal regions",
        (
            "promised",
            TableColumn("region"),
            "one for all",
            "held",
            "one per keypoint",
            "held",
            "image",
            "held",
        ),
        (row for kind, of_kind in kinds for row in (*_conformal_rows(kind, of_kind), None)),
        note="An ellipse of so many σ, or a disc, around the prediction; held: share of keypoints inside. "
        f"Image: all keypoints of an image lie inside in the promised share of images. {result.where}"
        f"{_unbounded(result.conformal.ellipse)}",
        note_style=PLAIN,
    )


def _unbounded(rows: Sequence[ConformalRow]) -> str:
    """Why there is no finite region."""
    few = [
        f"{percent(row.limits.coverage, 0)} at least {units_needed(row.limits.coverage)}"
        for row in rows
        if isinf(row.limits.pooled) or row.limits.unbounded
    ]
    if not few:
        return ""
    return (
        " ∞: too few images to promise this share, the region is unbounded; of images with the keypoint "
        f"(patients, where they are known) {', '.join(few)} are needed."
    )


def _conformal_rows(kind: str, rows: Sequence[ConformalRow]) -> Iterator[Cells]:
    for row in rows:
        limits, held = row.limits, row.held
        of_all = _limit(limits.pooled), percent(held.pooled, 0)
        of_each = _limit_range(row), percent(held.by_keypoint, 0)
        of_image = _limit(limits.whole_image), percent(held.whole_image, 0)
        yield percent(limits.coverage, 0), kind, *of_all, *of_each, *of_image


def _limit_range(row: ConformalRow) -> str:
    limits = [float(limit) for limit in row.limits.by_keypoint]
    low, high = _limit(min(limits)), _limit(max(limits))
    return low if low == high else f"{low} to {high}"


def _limit(value: float) -> str:
    if isnan(value):
        return ABSENT
    return "∞" if isinf(value) else number(value)
