"""What tells the view of a data folder when nobody has said it."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mahtdiag.data.buu_lspine import FILE_NAME_DIGITS, parse_annotation, read_annotation, view_of_file_name
from mahtdiag.data.folder import DataFolder, Listing, list_folder, shown
from mahtdiag.errors import DataError
from mahtdiag.schema.skeleton import View

# Enough to see what most of the annotations are; each of them is checked when the set is opened.
_ANNOTATIONS_LOOKED_AT: Final = 32


@dataclass(frozen=True, slots=True)
class ViewEvidence:
    """One thing that tells the view; `source` reads well after "AP by"."""

    view: View
    source: str


def evidence_in(folder: DataFolder) -> tuple[ViewEvidence, ...]:
    """Folder names, file names and numbers of rows, as far as each of them tells a single view."""
    if len(folder.view_folders) > 1:
        return ()
    listing, named = folder.top, folder.own_view
    for view, name in folder.view_folders.items():
        listing, named = list_folder(folder.top.path / name), view
    found = [] if named is None else [ViewEvidence(named, f"the folder {shown(listing.path)}")]
    names = Counter(view for view in map(view_of_file_name, listing.entries) if view is not None)
    if len(names) > 1:
        return tuple(found)
    found += [ViewEvidence(view, f"the file names (…Y{FILE_NAME_DIGITS[view]})") for view in names]
    rows = _rows_of_most(listing)
    if rows is not None:
        found.append(ViewEvidence(rows, f"the annotations ({rows.endplates} rows)"))
    return tuple(found)


def settle(evidence: Sequence[ViewEvidence], path: Path) -> View:
    """The view all evidence agrees on. Raises DataError where there is none or it disagrees."""
    views = {item.view for item in evidence}
    if len(views) == 1:
        return views.pop()
    if not views:
        raise DataError(f"{shown(path)}: nothing tells the view: pass --view AP or --view LA")
    views_by = ", ".join(f"{item.view} by {item.source}" for item in evidence)
    raise DataError(f"{shown(path)}: the view is unclear, {views_by}: pass --view AP or --view LA")


def _rows_of_most(listing: Listing) -> View | None:
    files = [
        entry.annotations[0]
        for entry in listing.entries.values()
        if entry.images and len(entry.annotations) == 1
    ]
    step = -(-len(files) // _ANNOTATIONS_LOOKED_AT) or 1
    views: Counter[View] = Counter()
    for name in files[::step]:
        try:
            views[parse_annotation(read_annotation(listing.path / name, name), name).view] += 1
        except DataError:
            continue
    most = views.most_common(2)
    tied = len(most) == 2 and most[0][1] == most[1][1]
    return most[0][0] if most and not tied else None
