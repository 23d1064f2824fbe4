"""From two run folders to the images that they have in common, in one order, ready to be compared."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mahtdiag.anatomy.findings import check_anatomy
from mahtdiag.anatomy.rules import Limits, Rule
from mahtdiag.diagnosis.compared_run import ComparedRun
from mahtdiag.diagnosis.comparison import is_compared
from mahtdiag.diagnosis.matching import ListedImages, match_images
from mahtdiag.diagnosis.summary import LOSS_NAMES
from mahtdiag.errors import DataError, RunFolderError
from mahtdiag.runs.document import RunDocument
from mahtdiag.runs.predictions import Predictions, read_predictions
from mahtdiag.runs.reading import ImageColumns, Run, open_run
from mahtdiag.schema.model_spec import UncertaintySource
from mahtdiag.workflows.calibration.inputs import sigma_source, stored_covariance
from mahtdiag.workflows.compare.notes import (
    common_notes,
    data_differences,
    failure_notes,
    has_same_loss_frame,
    setting_notes,
)

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class StoredRun:
    """The tables of a run with at least one evaluated image; `label` names it to a person."""

    label: str
    document: RunDocument
    images: ImageColumns
    predictions: Predictions

    def listed(self) -> ListedImages:
        """Its images, by which it is matched with another run."""
        columns = self.images
        return ListedImages(columns.image, columns.image_sha256, columns.annotation_sha256, columns.ok)


@dataclass(frozen=True, slots=True)
class Pair:
    """Two runs on the N images that they have in common; `names_a`, `names_b`: what each calls them.

    `lost`: images that A has evaluated and B has failed on.
    """

    a: ComparedRun
    b: ComparedRun
    names_a: tuple[str, ...]
    names_b: tuple[str, ...]
    lost: tuple[str, ...]
    notes: tuple[str, ...]


def shown(path: Path, cwd: Path) -> str:
    """A path as short as it can be named from the current folder."""
    return str(path.relative_to(cwd)) if path.is_relative_to(cwd) else str(path)


def open_finished(path: Path | None, cwd: Path) -> Run:
    """A run that is complete; the latest where `path` is None.

    Raises:
        RunFolderError: as `open_run`, or the run was interrupted.
    """
    run = open_run(path, cwd)
    label, document = shown(run.path, cwd), run.document
    if document.status != "complete":
        done = document.images.evaluated + document.images.failed
        raise RunFolderError(
            f"{label}: interrupted after {done} of {document.images.total} images; finish it with "
            f"evaluate --out {label} --resume"
        )
    return run


def read_stored(run: Run, cwd: Path) -> StoredRun:
    """The tables of a finished run.

    Raises:
        RunFolderError: a table is missing or damaged, or nothing was evaluated.
    """
    label = shown(run.path, cwd)
    images = run.images()
    if not images.ok.any():
        raise RunFolderError(
            f"{label}: no image was evaluated ({len(images.image)} failed), there is nothing to compare; "
            "evaluate again"
        )
    predictions = read_predictions(run, spread=sigma_source(run.document) == UncertaintySource.HEATMAP)
    if predictions.image != tuple(n for n, ok in zip(images.image, images.ok, strict=True) if ok):
        raise RunFolderError(f"{label}: its tables list different images; damaged, evaluate again")
    return StoredRun(label, run.document, images, predictions)


def pair_runs(
    a: StoredRun, b: StoredRun, limits: Limits, rules: tuple[Rule, ...], *, common: bool | None = None
) -> Pair:
    """The images of both runs, each judged by these rules and limits.

    With `common` images that only one of the runs has, or that have other labels, are left out; None: that
    cannot be chosen.

    Raises:
        DataError: other views or other data (all that differs), or no image in common.
    """
    if a.document.view is not b.document.view:
        raise DataError(
            f"{b.label}: a run of {b.document.view} images, {a.label} is one of {a.document.view} images; "
            "only runs of one view can be compared"
        )
    matching = match_images(a.listed(), b.listed())
    rows = _evaluated_rows(a, matching.a), _evaluated_rows(b, matching.b)
    same_labels = _same(
        *(_taken(each.predictions.gt_px, row) for each, row in zip((a, b), rows, strict=True))
    )
    same_spacing = _same(a.images.pixel_spacing_mm[matching.a], b.images.pixel_spacing_mm[matching.b])
    names = np.array(a.images.image, dtype=object)[matching.a]
    relabelled, rescaled = names[~same_labels].tolist(), names[~same_spacing].tolist()
    kept = np.flatnonzero(same_labels)
    if not kept.size:
        raise DataError(
            f"{b.label}: no image {'with the same labels ' if len(names) else ''}in common with {a.label}; "
            "evaluate both on the same data"
        )
    differences = data_differences(a.label, b.label, matching, relabelled, rescaled)
    if differences and not common:
        choice = "" if common is None else ", or compare what they have in common with --common"
        raise DataError(
            f"{b.label}: not the data of {a.label}; evaluate both on the same{choice}", *differences
        )
    losses = _compared_losses(a, b)
    sides = [
        _compared(each, listed[kept], row[kept], same_spacing[kept], losses, limits, rules)
        for each, listed, row in zip((a, b), (matching.a, matching.b), rows, strict=True)
    ]
    return Pair(
        a=sides[0],
        b=sides[1],
        names_a=tuple(a.images.image[row] for row in matching.a[kept].tolist()),
        names_b=tuple(b.images.image[row] for row in matching.b[kept].tolist()),
        lost=matching.failed_b,
        notes=(
            *common_notes(differences),
            *failure_notes(a.label, b.label, matching),
            *setting_notes(a.label, b.label, (a.document, b.document)),
            *_sigma_notes(a, b),
        ),
    )


def _evaluated_rows(run: StoredRun, listed: Ints) -> Ints:
    """Rows of the keypoints table, which lacks the failed images, for rows of the images table."""
    rows: Ints = (np.cumsum(run.images.ok) - 1)[listed]
    return rows


def _same(a: Floats, b: Floats) -> NDArray[np.bool_]:
    """Whether all values of each image `[N, ...]` are the same in both, missing ones at the same places."""
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    return np.asarray(same.all(axis=tuple(range(1, same.ndim))))


def _compared(
    run: StoredRun,
    listed: Ints,
    rows: Ints,
    same_spacing: NDArray[np.bool_],
    losses: tuple[str, ...],
    limits: Limits,
    rules: tuple[Rule, ...],
) -> ComparedRun:
    images, found = run.images, run.predictions
    pred_px = _taken(found.pred_px, rows)
    size_px = np.stack([images.width, images.height], axis=-1)[listed]
    spread = found.spread_px2
    return ComparedRun(
        view=run.document.view,
        gt_px=_taken(found.gt_px, rows),
        pred_px=pred_px,
        error_px=_taken(found.error_px, rows),
        spacing_mm=np.where(same_spacing, images.pixel_spacing_mm[listed], np.nan),
        losses={name: getattr(images, f"loss_{name}")[listed] for name in losses},
        findings=check_anatomy(
            pred_px, run.document.view.skeleton, image_size_px=size_px, limits=limits, rules=rules
        ),
        sigma_px=_taken(found.sigma_px, rows),
        covariance_px2=None if spread is None else stored_covariance(_taken(spread, rows), run.document),
    )


def _compared_losses(a: StoredRun, b: StoredRun) -> tuple[str, ...]:
    """Losses that mean the same in both runs: the total does only if it has the same parts."""
    if not has_same_loss_frame(a.document, b.document):
        return ()
    with_part = [bool(np.isfinite(run.images.loss_uncertainty).any()) for run in (a, b)]
    without = () if with_part[0] is with_part[1] else ("total", "uncertainty")
    return tuple(name for name in LOSS_NAMES if name not in without)


def _sigma_notes(a: StoredRun, b: StoredRun) -> tuple[str, ...]:
    known = [bool(np.isfinite(run.predictions.sigma_px).any()) for run in (a, b)]
    if known[0] is known[1]:
        return ()
    label = b.label if known[0] else a.label
    return (f"calibration is not compared: {label} has no σ",)


def _taken(values: Floats, rows: Ints) -> Floats:
    """`values[rows]`, without a copy where that is all of them."""
    return values if np.array_equal(rows, np.arange(len(values))) else values[rows]


def why_missing(name: str, pair: Pair) -> str:
    """Why two runs cannot be compared by a number."""
    if not is_compared(name, pair.a.view):
        return "not compared between runs; choose a mean, share, count or quantile over images"
    if name.startswith("losses."):
        return "the losses of the two runs are not known or not measured alike"
    if name.startswith("calibration."):
        return "σ is not known in both runs"
    if "_mm." in name:
        return "no image has a pixel spacing in both runs"
    return "not known in both runs"
