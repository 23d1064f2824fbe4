"""Which images make a number what it is: behind a failed gate, those to look at first."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mahtdiag.anatomy.error_types import ErrorType
from mahtdiag.diagnosis.ambiguity import has_two_peaks
from mahtdiag.diagnosis.anatomy import JudgedImage, LevelShift
from mahtdiag.diagnosis.run_table import RunTable
from mahtdiag.diagnosis.summary import LOSS_NAMES
from mahtdiag.reports.ci.record import RankedImage, WorstImages
from mahtdiag.reports.numbers import counted, number, pixels
from mahtdiag.schema.samples import Failure
from mahtdiag.schema.skeleton import View

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

MOST = 5
# Below this share of each other two scores count as equal.
ROUNDING = 1e-4
NO_IMAGES = (
    "n_keypoints", "n_images", "missing", "invalid_sigma", "invalid_residual", "aleatoric_share",
    "epistemic_share",
)  # fmt: skip
ERRORS, RATES = ("radial_error_px", "radial_error_mm"), ("sdr_px", "sdr_mm")
_PART = re.compile(r"(?:^|\.)(?:by_vertebra|vertebrae|vertebra|by_corner|corners|corner)\.([A-Z]\w)(?:\.|$)")
_RULE = re.compile(r"by_code\.([A-Z]\d+)\.")


@dataclass(frozen=True, slots=True)
class Ranking:
    """A score of N images, NaN where an image has none, and what to call it.

    `most`, `fewest`: names for the images with the largest and the smallest score. `text` says the score of
    an image in words. `rises`: whether the number rises with the score; None: what is far off either way has
    a large score. `counts`: whether an image with score 0 has no part in the number.
    """

    most: str
    fewest: str
    images: Sequence[str]
    score: Floats
    text: Callable[[int], str]
    rises: bool | None = True
    counts: bool = False

    def worst(self, too_high: bool) -> WorstImages | None:
        """The images that push the number away from its limit; None where no image has a score."""
        largest = self.rises is None or self.rises == too_high
        least = 0.0 if self.counts and largest else -np.inf
        candidates = np.flatnonzero(np.isfinite(self.score) & (self.score > least))
        sign = -1.0 if largest else 1.0

        def order(row: int) -> tuple[float, str]:
            # Scores that are equal but for rounding come in the order of names, on every machine.
            return float(f"{sign * self.score[row]:.4g}"), self.images[row]

        ordered = sorted(candidates.tolist(), key=order)
        rows = tuple(RankedImage(self.images[row], self.text(row)) for row in ordered[:MOST])
        return WorstImages(self.most if largest else self.fewest, rows) if rows else None


def by_errors(metric: str, table: RunTable) -> Ranking | None:
    """Images by what a number of `metrics` is made of: errors, keypoints beyond a threshold, labels."""
    path = metric.removeprefix("metrics.")
    chosen, part = _members(path, table.view)
    last = path.rpartition(".")[2]
    unit = "mm" if "_mm" in path else "px"
    error = (table.error_mm if unit == "mm" else table.error_px)[:, chosen]
    if any(name in path for name in RATES):
        threshold = float(re.split(r"sdr_..\.", path)[1])
        return _beyond(error, threshold, f"{threshold:g} {unit}{_of(part)}", table.image)
    if last in ("keypoints_missing", "keypoints_measured", "keypoints"):
        missing = np.isnan(error).sum(axis=1).astype(np.float64)
        what = f"keypoints{_of(part)} without error"
        return _counts(what, "keypoint", missing, table.image, rises=last == "keypoints_missing")
    if last == "max":
        return _measured(f"radial error of a keypoint{_of(part)}", unit, _largest(error), table.image)
    if part or any(path.startswith(name) for name in ERRORS):
        return _measured(f"mean radial error{_of(part)}", unit, _means(error), table.image)
    return None


def by_loss(metric: str, table: RunTable) -> Ranking | None:
    """Images by a part of their loss."""
    name = metric.removeprefix("losses.")
    if name not in (*LOSS_NAMES, "heatmap_keypoint_share"):
        return None
    what = {"total": "loss", "heatmap_keypoint_share": "share of keypoints in the heatmap loss"}.get(
        name, f"{name} loss"
    )
    return _measured(what, "", table.loss(name), table.image)


def by_violations(metric: str, view: View, judged: Sequence[JudgedImage]) -> Ranking:
    """Images by how suspicious they are, or by the findings of the one rule or vertebra that is counted."""
    rule = _group(_RULE, metric)
    chosen, part = _members(metric, view)

    def severity_of(image: JudgedImage) -> float:
        if not rule and not part:
            return image.severity
        meant = (
            f for f in image.findings if rule in ("", f.code) and (not part or chosen[[*f.keypoints]].any())
        )
        return max((finding.severity for finding in meant), default=0.0)

    severity = np.array([severity_of(image) for image in judged], dtype=np.float64)
    what = f"severity of {rule or 'violations'}{_of(part, 'in')}"

    def text(row: int) -> str:
        codes = "" if rule else f" ({', '.join(judged[row].codes)})"
        return f"{number(float(severity[row]))}{codes}"

    names = [image.image for image in judged]
    return Ranking(f"largest {what}", f"smallest {what}", names, severity, text, counts=True)


def by_error_type(metric: str, table: RunTable) -> Ranking | None:
    """Images by how many of their keypoints are mistakes of the one type that a number counts."""
    named = metric.removeprefix("error_types.by_type.").rpartition(".")[0]
    kind = next((kind for kind in ErrorType if kind.title == named), None)
    if kind is None:
        return by_errors(f"{ERRORS[0]}.mean", table)
    count = (table.error_types.types == kind).sum(axis=1).astype(np.float64)
    return _counts(f"keypoints of type {named}", "keypoint", count, table.image)


def by_ambiguity(table: RunTable) -> Ranking:
    """Images by how many of their heatmaps have two peaks."""
    count = has_two_peaks(table.peaks).sum(axis=1).astype(np.float64)
    return _counts("heatmaps with two peaks", "heatmap", count, table.image)


def by_sigma(
    metric: str, view: View, images: Sequence[str], residual_px: Floats, sigma_px: Floats
) -> Ranking | None:
    """Images by their largest |z|, z = error/σ per axis; by σ itself for its size and bounds.

    None for counts and for shares of σ², which no image stands for.
    """
    chosen, part = _members(metric, view)
    last = metric.rpartition(".")[2]
    if last in NO_IMAGES:
        return None
    if last in ("sharpness_px", "at_min_share", "at_max_share"):
        sign = -1.0 if last == "at_min_share" else 1.0
        of_image = sign * _largest(sign * sigma_px[:, chosen].reshape(len(images), -1))
        return _measured(f"σ{_of(part)}", "px", of_image, images, rises=sign > 0)
    usable = np.isfinite(residual_px) & np.isfinite(sigma_px) & (sigma_px > 0) & chosen[:, None]
    z = np.full(residual_px.shape, np.nan)
    np.divide(np.abs(residual_px), sigma_px, out=z, where=usable)
    by_axis = z.reshape(len(images), -1)
    of_image = _largest(by_axis)

    def text(row: int) -> str:
        largest = np.flatnonzero(by_axis[row] > (1 - ROUNDING) * of_image[row])
        keypoint, axis = divmod(int(largest[0]), 2)
        return f"{number(float(of_image[row]))} σ at {view.keypoint_names[keypoint]} in {'xy'[axis]}"

    most, fewest = (f"{word} error in σ{_of(part)}" for word in ("largest", "smallest"))
    return Ranking(most, fewest, images, of_image, text, rises=None)


def by_increase(images: Sequence[str], before_px: Floats, now_px: Floats) -> Ranking:
    """Images by how much their mean radial error has grown; NaN where it is not known in both runs."""
    change_px = now_px - before_px

    def text(row: int) -> str:
        return f"{change_px[row]:+.2f} px (to {pixels(float(now_px[row]))})"

    what = "of the mean radial error"
    return Ranking(
        f"largest increase {what}", f"smallest increase {what}", images, change_px, text, counts=True
    )


def failed_images(failures: Sequence[Failure]) -> WorstImages | None:
    """The first images that could not be evaluated."""
    rows = tuple(RankedImage(failure.image, "") for failure in failures[:MOST])
    return WorstImages("failed images", rows) if rows else None


def shifted_images(shifts: Sequence[LevelShift]) -> WorstImages | None:
    """The first images that are marked one level off as a whole."""
    rows = tuple(RankedImage(shift.image, f"{shift.shift:+d}") for shift in shifts[:MOST])
    return WorstImages("images marked one level off (+1: too low)", rows) if rows else None


def _members(path: str, view: View) -> tuple[Bools, str]:
    """The keypoints that a number is about, and the name of the vertebra or corner they are of."""
    part = _group(_PART, path)
    chosen = [part in ("", *names) for names in zip(view.vertebra_of, view.corner_of, strict=True)]
    return np.array(chosen, dtype=np.bool_), part


def _group(pattern: re.Pattern[str], text: str) -> str:
    """What the group of a pattern has found; empty where it has found nothing."""
    found = pattern.search(text)
    return found[1] if found else ""


def _of(part: str, word: str = "of") -> str:
    return f" {word} {part}" if part else ""


def _means(values: Floats) -> Floats:
    """Mean of the known values of each row, NaN where there is none."""
    known = np.isfinite(values)
    means = np.full(len(values), np.nan)
    np.divide(np.where(known, values, 0.0).sum(axis=1), known.sum(axis=1), out=means, where=known.any(axis=1))
    return means


def _largest(values: Floats) -> Floats:
    """Largest known value of each row, NaN where there is none."""
    known = np.isfinite(values)
    found = np.where(known, values, -np.inf).max(axis=1, initial=-np.inf)
    return np.where(known.any(axis=1), found, np.nan)


def _measured(what: str, unit: str, score: Floats, images: Sequence[str], *, rises: bool = True) -> Ranking:
    def text(row: int) -> str:
        return f"{number(float(score[row]))} {unit}".strip()

    return Ranking(f"largest {what}", f"smallest {what}", images, score, text, rises)


def _counts(what: str, noun: str, count: Floats, images: Sequence[str], *, rises: bool = True) -> Ranking:
    def text(row: int) -> str:
        return counted(int(count[row]), noun)

    return Ranking(f"most {what}", f"fewest {what}", images, count, text, rises, counts=True)


def _beyond(error: Floats, threshold: float, limit: str, images: Sequence[str]) -> Ranking:
    known = np.isfinite(error)
    beyond = (known & ~(error <= threshold)).sum(axis=1)
    share = np.full(len(error), np.nan)
    np.divide(beyond, known.sum(axis=1), out=share, where=known.any(axis=1))

    def text(row: int) -> str:
        return f"{int(beyond[row])} of {int(known[row].sum())}"

    most, fewest = (f"{word} keypoints beyond {limit}" for word in ("most", "fewest"))
    return Ranking(most, fewest, images, share, text, rises=False, counts=True)
