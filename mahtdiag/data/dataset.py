"""An annotated set in BUU-LSPINE layout: which images there are, which of them can be used, and why not."""

from dataclasses import dataclass
from pathlib import Path

from mahtdiag.data.folder import DataFolder, Listing, list_folder, open_folder, shown
from mahtdiag.data.pairing import PairReader
from mahtdiag.data.pixel_spacing import SPACING_FILE, parse_spacing
from mahtdiag.data.view_evidence import ViewEvidence, evidence_in, settle
from mahtdiag.errors import DataError
from mahtdiag.schema.samples import Failure, Sample
from mahtdiag.schema.skeleton import View


@dataclass(frozen=True, slots=True)
class Dataset:
    """The annotated radiographs of one view, sorted by name, and what was left out and why.

    `failures` are files that belong to the set and cannot be used; `notes` are one line each, about files
    that were left out because they belong to something else.
    """

    path: Path
    view: View
    samples: tuple[Sample, ...]
    failures: tuple[Failure, ...]
    notes: tuple[str, ...] = ()
    evidence: tuple[ViewEvidence, ...] = ()
    format: str = "buu-lspine"


def view_evidence(path: Path) -> tuple[ViewEvidence, ...]:
    """Everything in a data folder that tells which view its radiographs are; empty where nothing does.

    In this order: a single `AP` or `LA` subfolder, the folder's own name, the file names (`…Y0`, `…Y1`) where
    they agree, the rows of most of the annotations. A folder that holds both views gives no evidence.

    Raises DataError where the folder cannot be listed.
    """
    return evidence_in(open_folder(path))


def open_dataset(path: Path, view: View | None, *, missing_allowed: bool = False) -> Dataset:
    """Read the annotations of one view; images are only listed.

    Images lie beside their annotations, flat in `path` or in its subfolders `AP` and `LA`. With no view
    given, the folder must tell it (see `view_evidence`).

    In a flat folder, files whose names end in the other view (`…Y0`, `…Y1`) are left out with a note. Any
    other file of the wrong view is a failure, and so are an image without annotation, an annotation without
    image, two images or two annotations of one name, and an annotation that cannot be read or is wrong. A CSV
    without image, none of whose rows is an endplate, is something else and left out with a note. Hidden files
    and other formats are ignored.

    With `missing_allowed` an empty or infinite coordinate is a missing keypoint (NaN) and not a failure: for
    who judges annotations rather than predictions.

    `pixel_spacing.csv` in `path` or in the view's subfolder gives spacings (see `parse_spacing`).

    Raises DataError where there is nothing to evaluate, the view is not to be found, or a spacing file is
    wrong.
    """
    folder = open_folder(path)
    evidence = evidence_in(folder)
    if not folder.view_folders and not folder.top.entries:
        raise DataError(_nothing_at_all(folder.top))
    settled = settle(evidence, path) if view is None else view
    listing, prefix = _listing_of_view(folder, settled)
    spacing_mm = _spacing(folder.top, listing)
    strict = bool(prefix) or folder.own_view is settled
    reader = PairReader(listing.path, prefix, settled, strict, spacing_mm, missing_allowed=missing_allowed)
    for stem, entry in listing.entries.items():
        reader.read(stem, entry)
    if not reader.samples and not reader.failures:
        raise DataError(_nothing(listing, settled, reader.other_view))
    samples = tuple(sorted(reader.samples, key=lambda sample: sample.image))
    failures = tuple(sorted(reader.failures, key=lambda failure: failure.image))
    notes = _left_at_the_top(folder) + reader.notes() + _without_spacing(samples, spacing_mm)
    return Dataset(path, settled, samples, failures, notes, evidence)


def _listing_of_view(folder: DataFolder, view: View) -> tuple[Listing, str]:
    """The folder that holds the files of a view, and its path prefix in records."""
    top = folder.top
    if not folder.view_folders:
        return top, ""
    if view not in folder.view_folders:
        other, name = next(iter(folder.view_folders.items()))
        raise DataError(
            f"{shown(top.path)}: there is a folder {name} but none for {view}: pass --view {other}"
        )
    name = folder.view_folders[view]
    return list_folder(top.path / name), f"{name}/"


def _spacing(*listings: Listing) -> dict[str, float]:
    """Spacings by image name; rows of the view's own folder win over those of the data folder."""
    spacing_mm: dict[str, float] = {}
    for listing in listings:
        if listing.has_spacing:
            path = listing.path / SPACING_FILE
            try:
                spacing_mm |= parse_spacing(path.read_bytes(), shown(path))
            except OSError as error:
                raise DataError(f"{shown(path)}: cannot be read: {error.strerror or error}") from error
    return spacing_mm


def _left_at_the_top(folder: DataFolder) -> tuple[str, ...]:
    images = sum(len(entry.images) for entry in folder.top.entries.values())
    if not folder.view_folders or not images:
        return ()
    folders = " and ".join(folder.view_folders.values())
    files = "image" if images == 1 else "images"
    return (f"{images} {files} in {shown(folder.top.path)} itself left out, the set lies in {folders}",)


def _without_spacing(samples: tuple[Sample, ...], spacing_mm: dict[str, float]) -> tuple[str, ...]:
    without = sum(sample.pixel_spacing_mm is None for sample in samples)
    if not spacing_mm or not without:
        return ()
    return (f"{SPACING_FILE} names {len(samples) - without} of {len(samples)} images",)


def _nothing(listing: Listing, view: View, other_view: int) -> str:
    where = shown(listing.path)
    if other_view:
        return f"{where}: no {view} image, but {other_view} named for the other view: pass the other --view"
    return _nothing_at_all(listing)


def _nothing_at_all(listing: Listing) -> str:
    return (
        f"{shown(listing.path)}: no image and no annotation: a set has NAME.jpg, .png, .tif or .bmp beside"
        " NAME.csv, in one folder or in AP and LA"
    )
