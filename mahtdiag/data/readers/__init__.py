"""The annotation formats: one reader each, found by what lies in the folder."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final, Protocol

import numpy as np

from mahtdiag.data.files import Dataset, ViewEvidence
from mahtdiag.data.folders import one_look
from mahtdiag.data.headers import with_headers
from mahtdiag.data.json_files import collector_paused
from mahtdiag.data.labelled import MOST_POINTS, ImageLabels, LabelledSet
from mahtdiag.data.patients import keyed
from mahtdiag.data.readers.aasce import Aasce
from mahtdiag.data.readers.buu_lspine import BuuLspine
from mahtdiag.data.readers.coco import Coco
from mahtdiag.data.readers.cvat import Cvat
from mahtdiag.data.readers.deeplabcut import DeepLabCut
from mahtdiag.data.readers.keypoint_rcnn import KeypointRcnn
from mahtdiag.data.readers.label_studio import LabelStudio
from mahtdiag.data.readers.labelme import LabelMe
from mahtdiag.data.readers.maht_net import MahtNet
from mahtdiag.data.readers.sleap import Sleap
from mahtdiag.data.readers.slicer import Slicer
from mahtdiag.data.readers.tables import Tables
from mahtdiag.data.readers.unlabelled import Unlabelled
from mahtdiag.data.readers.unrecognised import unrecognised
from mahtdiag.data.readers.yolo import YoloPose
from mahtdiag.errors import DataError
from mahtdiag.schema.preprocessing import Exif
from mahtdiag.schema.read_options import ReadOptions, SpacingSource
from mahtdiag.schema.records import Failure, Sample
from mahtdiag.schema.safe_text import brief, shown
from mahtdiag.schema.skeleton import Levels, View


class AnnotatedSet(Protocol):
    """A set as its reader found it, before its view is settled."""

    def view_evidence(self) -> tuple[ViewEvidence, ...]:
        """Everything in the set that tells which view its radiographs are, empty where nothing does.

        A set that holds both views gives no evidence. Raises DataError where it cannot be listed.
        """

    def levels(self) -> Levels | None:
        """The run of vertebrae that the set labels, None where it does not say."""

    def of_view(self, view: View | None, levels: Levels | None = None) -> Dataset:
        """The annotations of one view; images are only listed. No view given: the evidence settles it.

        `levels`: those that are read, None for those that are labelled (see `skeleton_of_set`).

        Keypoints are in original-image pixels, NaN where the annotation has none. An image that cannot be
        used is a failure with all its problems in one line.

        Raises DataError where there is nothing to evaluate or the view is not to be found.
        """


class Reader(Protocol):
    """One annotation format; stateless.

    A reader looks at a folder (or at the one file that some formats are) and never changes anything in it.
    """

    @property
    def name(self) -> str:
        """What `run.json` says as `data.format`, and `--data-format` takes: permanent."""

    @property
    def title(self) -> str:
        """What people call it."""

    def recognises(self, path: Path) -> str | None:
        """What shows that a set is of this format, such as the name of a file in it; None if nothing does.

        Proof, not suspicion: a set is refused where two readers have one. Looks into a few files at most and
        raises nothing: what is wrong with a set, `read` and the set say.
        """

    def read(self, path: Path, options: ReadOptions) -> AnnotatedSet:
        """The set in `path`. Raises DataError where its annotations as a whole cannot be read."""


READERS: Final[tuple[Reader, ...]] = (
    BuuLspine(),
    Coco(),
    LabelMe(),
    LabelStudio(),
    Cvat(),
    Slicer(),
    DeepLabCut(),
    Sleap(),
    Aasce(),
    KeypointRcnn(),
    MahtNet(),
    Tables(),
    YoloPose(),
    Unlabelled(),
)
"""Every format that is read. The first one opens what none recognises: its error says what was expected."""


def reader_of(path: Path, name: str | None = None, if_unclear: str | None = None) -> Reader:
    """The reader of this name, or the one that recognises a set; `if_unclear` where not just one does.

    Raises DataError where there is none of the name, where several recognise the set: it names them all, and
    where none does and something else lies beside the images.
    """
    if name is not None:
        named = next((reader for reader in READERS if reader.name == name), None)
        if named is None:
            known = ", ".join(reader.name for reader in READERS)
            raise DataError(f"--data-format {name}: not a format: one of {known}")
        return named
    with one_look():
        proofs = [(reader, proof) for reader in READERS if (proof := reader.recognises(path)) is not None]
    if len(proofs) != 1 and if_unclear is not None:
        return reader_of(path, if_unclear)
    if len(proofs) > 1:
        formats = " and ".join(f"{reader.name} ({proof})" for reader, proof in proofs)
        raise DataError(
            f"{shown(path)}: annotated in {len(proofs)} formats, {formats}: keep one of them, or name"
            " it with --data-format"
        )
    if not proofs and (problem := unrecognised(path)) is not None:
        raise problem
    return proofs[0][0] if proofs else READERS[0]


@contextmanager
def _opening() -> Iterator[None]:
    """While files of a set are read: each folder is listed once, and whatever stands in them is said briefly.

    Numbers beyond any image may overflow without a word: keypoints are checked in the end.
    """
    with one_look(), collector_paused(), np.errstate(over="ignore", invalid="ignore"):
        try:
            yield
        except DataError as error:
            raise DataError(*map(brief, error.problems)) from error


def read_set(path: Path, options: ReadOptions) -> AnnotatedSet:
    """What the reader that recognises a set reads of it.

    Raises DataError as `reader_of` and `read` do, and where there is no such folder or file: readers look
    beside a file.
    """
    with _opening():
        reader = reader_of(path, options.format, options.format_if_unclear)
        if not os.path.lexists(path):
            wanted = "give the folder that holds the images and their annotations"
            raise DataError(f"{shown(path)}: no such folder: {wanted}")
        found = reader.read(path, options)
        if isinstance(found, LabelledSet):
            found = replace(found, labels=tuple(map(_few, found.labels)))
    if isinstance(found, LabelledSet) and not found.labels_file:
        raise DataError(
            f"{shown(path)}: no file of the format {reader.name} ({reader.title}): name another with"
            " --data-format, or none: it is told by content"
        )
    return found


def _few(labels: ImageLabels) -> ImageLabels:
    """The same, or its problem alone where it has more points than anybody marks in an image."""
    count = sum(len(shape.points) for shape in labels.shapes)
    if count <= MOST_POINTS:
        return labels
    problem = f"{count:,} points in one image, at most {MOST_POINTS:,} may be"
    return replace(labels, shapes=(), problem=labels.problem or problem)


def open_dataset(
    path: Path,
    view: View | None,
    options: ReadOptions | None = None,
    annotated: AnnotatedSet | None = None,
    levels: Levels | None = None,
) -> Dataset:
    """Open a set by the reader that recognises it, with its patients (see `keyed`).

    `annotated`: what its reader has read already. With `options.complete_only` an image that lacks a keypoint
    is a failure.
    """
    with _opening():
        options = options or ReadOptions()
        return _opened((annotated or read_set(path, options)).of_view(view, levels), options)


def _opened(read: Dataset, options: ReadOptions) -> Dataset:
    from_imager = options.spacing_from is SpacingSource.IMAGER
    told = with_headers(read, from_imager=from_imager, window=options.dicom_window)
    if options.exif is Exif.APPLY:
        told = replace(told, samples=tuple(replace(sample, upright=True) for sample in told.samples))
    dataset = keyed(told, options.patient)
    title = next((reader.title for reader in READERS[1:] if reader.name == dataset.format), None)
    if title is not None and dataset.labelled:
        dataset = replace(dataset, notes=(f"annotations read as {title}", *dataset.notes))
    failures = tuple(
        replace(each, image=brief(each.image), reason=brief(each.reason)) for each in dataset.failures
    )
    dataset = replace(dataset, failures=failures, notes=tuple(map(brief, dataset.notes)))
    return _complete(dataset) if options.complete_only else dataset


def require_labels(dataset: Dataset) -> None:
    """Raises DataError for images alone, where labels are to be judged."""
    if not dataset.labelled:
        raise DataError(f"{shown(dataset.path)}: images without labels: name a folder with annotations")


def _complete(dataset: Dataset) -> Dataset:
    whole, gaps = [], list(dataset.failures)
    for sample in dataset.samples:
        gap = _gap(sample)
        if gap is None:
            whole.append(sample)
        else:
            gaps.append(gap)
    ordered = tuple(sorted(gaps, key=lambda failure: failure.image))
    return replace(dataset, samples=tuple(whole), failures=ordered)


def _gap(sample: Sample) -> Failure | None:
    missing = np.flatnonzero(~np.isfinite(sample.keypoints_px).all(axis=1))
    if not len(missing):
        return None
    names = ", ".join(sample.skeleton.keypoint_names[k] for k in missing[:3]) + ", …" * (len(missing) > 3)
    reason = (
        f"{len(missing)} of {sample.skeleton.keypoints} keypoints not labelled ({names}), --complete-only"
    )
    return Failure(sample.image, reason, annotation_sha256=sample.annotation_sha256)
