"""From two run folders to the images that they have in common, in one order, ready to be compared.

And what the runs do not have in common, in words: their data, their settings, and what that leaves out.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mahtdiag.anatomy.rules import Limits, Rule
from mahtdiag.diagnosis.comparison import ListedImages, Matching, match_images
from mahtdiag.diagnosis.metrics.losses import LOSS_NAMES
from mahtdiag.diagnosis.metrics.metric import Compared
from mahtdiag.diagnosis.metrics.registry import metrics_of
from mahtdiag.diagnosis.run_table import RunTable
from mahtdiag.diagnosis.spacing import error_by_spacing_mm, spacing_xy_mm
from mahtdiag.errors import DataError, RunFolderError
from mahtdiag.reports.text import counted
from mahtdiag.runs.document import RunDocument
from mahtdiag.runs.reading import Run
from mahtdiag.runs.settings import ANATOMY
from mahtdiag.runs.tables import Columns
from mahtdiag.schema.choices import UncertaintySource

Floats = NDArray[np.float64]

NAMED = 3
# Settings of the network frame, in which losses are measured.
LOSS_FRAME = (
    *("input_size", "heatmap_size", "resize", "coords", "heatmap_sigma", "loss"),
    *("stride", "heatmap_origin", "flip"),
)

COMPARED: Final[Columns] = (
    RunTable.image, RunTable.patient, RunTable.image_sha256, RunTable.annotation_sha256, RunTable.width,
    RunTable.height, RunTable.pixel_spacing_mm, RunTable.pixel_spacing_x_mm,
    RunTable.pixel_spacing_y_mm, RunTable.loss_total, RunTable.loss_heatmap,
    RunTable.loss_coord, RunTable.loss_anatomical, RunTable.loss_order, RunTable.loss_parallel,
    RunTable.loss_ratio, RunTable.loss_uncertainty, RunTable.gt_px, RunTable.pred_px, RunTable.error_px,
    RunTable.sigma_px,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Pair:
    """Two runs on the N images that they have in common; `names_a`, `names_b`: what each calls them.

    `lost`: images that A has evaluated and B has failed on.
    """

    a: RunTable
    b: RunTable
    names_a: tuple[str, ...]
    names_b: tuple[str, ...]
    lost: tuple[str, ...]
    notes: tuple[str, ...]


def columns_of(run: Run) -> Columns:
    """What is read of a run to compare it: a few columns, in less time and memory than all."""
    more: dict[str, Columns] = {
        UncertaintySource.HEATMAP: (RunTable.spread_px2, RunTable.averaged_px2),
        UncertaintySource.HEAD: (RunTable.head_covariance_px2,),
    }
    return (*COMPARED, *more.get(run.document.sigma_source, ()))


def require_images(run: Run) -> None:
    """Raises RunFolderError where nothing was evaluated, or a table is missing or damaged."""
    table = run.table(columns_of(run))
    if not len(table):
        raise RunFolderError(
            f"{run.label}: no image was evaluated ({len(table.failures)} failed), there is nothing to "
            "compare; evaluate again"
        )


def _require_one_skeleton(a: Run, b: Run) -> None:
    """Raises DataError for runs of other levels, with those in common and how to compare these."""
    ours, theirs = a.skeleton.levels, b.skeleton.levels
    if ours == theirs:
        return
    shared = ours.shared_with(theirs)
    what = f"{b.label}: a run of the levels {theirs}, {a.label} is one of {ours}"
    if shared is None:
        raise DataError(f"{what}: they have none in common, so they cannot be compared")
    raise DataError(f"{what}: evaluate both with --levels {shared}, which they have in common, then compare")


def pair_runs(a: Run, b: Run, limits: Limits, rules: tuple[Rule, ...], *, common: bool | None = None) -> Pair:
    """The images of both runs, each judged by these rules and limits.

    With `common` images that only one of the runs has, or that have other labels, are left out; None: that
    cannot be chosen.

    Raises:
        DataError: other views, levels or data (all that differs), or no image in common.
    """
    if a.document.view is not b.document.view:
        raise DataError(
            f"{b.label}: a run of {b.document.view} images, {a.label} is one of {a.document.view} images; "
            "only runs of one view can be compared"
        )
    _require_one_skeleton(a, b)
    of_a, of_b = (run.table(columns_of(run)).judged_by(limits, rules) for run in (a, b))
    matching = match_images(ListedImages.of(of_a), ListedImages.of(of_b))
    both_a, both_b = of_a.taken(matching.a), of_b.taken(matching.b)
    parts = zip(both_a.parts(), both_b.parts(), strict=True)
    same_labels = np.concatenate([_same(one.gt_px, other.gt_px) for one, other in parts])
    same_spacing = _same(spacing_xy_mm(both_a), spacing_xy_mm(both_b))
    names = np.array(both_a.image, dtype=object)
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
    kept_a, kept_b = both_a.taken(kept), both_b.taken(kept)
    return Pair(
        a=_compared(kept_a, same_spacing[kept], losses),
        b=_compared(kept_b, same_spacing[kept], losses),
        names_a=kept_a.image,
        names_b=kept_b.image,
        lost=matching.failed_b,
        notes=(
            *common_notes(differences),
            *failure_notes(a.label, b.label, matching),
            *setting_notes(a.label, b.label, (a.document, b.document)),
            *_sigma_notes(a, b),
        ),
    )


def _same(a: Floats, b: Floats) -> NDArray[np.bool_]:
    """Whether all values of each image `[N, ...]` are the same in both, missing ones at the same places."""
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    return np.asarray(same.all(axis=tuple(range(1, same.ndim))))


def _compared(table: RunTable, same_spacing: NDArray[np.bool_], losses: tuple[str, ...]) -> RunTable:
    """A table with millimetres where both runs have the same spacing, and losses that both measure alike."""
    in_mm = error_by_spacing_mm(table)
    unlike = {f"loss_{name}": np.full(len(table), np.nan) for name in LOSS_NAMES if name not in losses}
    in_mm[~same_spacing] = np.nan
    return table.with_values(error_mm=in_mm, **unlike)


def _compared_losses(a: Run, b: Run) -> tuple[str, ...]:
    """Losses that mean the same in both runs: the total does only if it has the same parts."""
    if not has_same_loss_frame(a.document, b.document):
        return ()
    with_part = [bool(np.isfinite(run.table(columns_of(run)).loss_uncertainty).any()) for run in (a, b)]
    without = () if with_part[0] is with_part[1] else ("total", "uncertainty")
    return tuple(name for name in LOSS_NAMES if name not in without)


def _sigma_notes(a: Run, b: Run) -> tuple[str, ...]:
    tables = [run.table(columns_of(run)) for run in (a, b)]
    known = [any(bool(np.isfinite(part.sigma_px).any()) for part in table.parts()) for table in tables]
    if known[0] is known[1]:
        return ()
    label = b.label if known[0] else a.label
    return (f"calibration is not compared: {label} has no σ",)


def why_missing(name: str, pair: Pair) -> str:
    """Why two runs cannot be compared by a number."""
    metric = metrics_of(pair.a.skeleton).get(name)
    if metric is None or metric.compared is Compared.NEVER:
        return "not compared between runs; choose a mean, share, count or quantile over images"
    return "not known in both runs" if metric.need is None else metric.need.of_both


def named(images: Sequence[str]) -> str:
    """`3 images: a.jpg, b.jpg, c.jpg`, the rest of many as a number."""
    more = f" and {len(images) - NAMED} more" if len(images) > NAMED else ""
    return f"{counted(len(images), 'image')}: {', '.join(images[:NAMED])}{more}"


def data_differences(
    a: str, b: str, matching: Matching, relabelled: Sequence[str], rescaled: Sequence[str]
) -> tuple[str, ...]:
    """One line for each way in which the data of runs `a` and `b` differ; empty where they are the same."""
    kinds = (
        (f"only in {a}", matching.only_a),
        (f"only in {b}", matching.only_b),
        ("another content under the same name", matching.changed),
        ("other labels", relabelled),
        ("another pixel spacing", rescaled),
    )
    return tuple(f"{kind}: {named(images)}" for kind, images in kinds if images)


def common_notes(differences: Sequence[str]) -> tuple[str, ...]:
    """What comparing in spite of these differences leaves out."""
    return tuple(
        f"{'without millimetres' if line.startswith('another pixel spacing') else 'left out'}, {line}"
        for line in differences
    )


def failure_notes(a: str, b: str, matching: Matching) -> tuple[str, ...]:
    """Images that were not evaluated in one of the runs or in both."""
    kinds = (
        (f"failed in {b} alone, which counts as worse", matching.failed_b),
        (f"failed in {a} alone, left out", matching.failed_a),
        ("failed in both, left out", matching.failed_both),
    )
    return tuple(f"{kind}: {named(images)}" for kind, images in kinds if images)


def _shown(value: object) -> str:
    """As it is typed in a settings file."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def setting_notes(a: str, b: str, documents: tuple[RunDocument, RunDocument]) -> Iterator[str]:
    """How the runs were made differently, and what that means for the numbers."""
    differing = documents[0].resolved.differing(documents[1].resolved)
    judged = [name for name in ANATOMY if differing.pop(name, None)]
    frame = [name for name in LOSS_FRAME if name in differing]
    told = [
        f"{name} {_shown(old)} → {_shown(new)}"
        for name, (old, new) in differing.items()
        if not isinstance(old, dict) and not isinstance(new, dict)
    ]
    if told:
        yield f"settings that differ: {', '.join(told)}"
    if frame:
        yield f"losses are not compared: they are measured in the network's frame, and {frame[0]} differs"
    if judged:
        yield f"violations of both are judged by the rules and limits of {a}, not of {b}"
    if documents[0].mahtdiag != documents[1].mahtdiag:
        yield f"{a} was written by mahtdiag {documents[0].mahtdiag}, {b} by {documents[1].mahtdiag}"


def has_same_loss_frame(a: RunDocument, b: RunDocument) -> bool:
    """Whether the losses of both runs are measured in the same frame and with the same parameters."""
    return a.resolved.differing(b.resolved).keys().isdisjoint(LOSS_FRAME)
