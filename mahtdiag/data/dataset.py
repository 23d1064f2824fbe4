"""An annotated set, whatever format it is in, and what tells the view of its radiographs."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mahtdiag.data.files import shown
from mahtdiag.errors import DataError
from mahtdiag.schema.samples import Failure, Sample
from mahtdiag.schema.skeleton import Skeleton, View


@dataclass(frozen=True, slots=True)
class Dataset:
    """The annotated radiographs of one view, sorted by name, and what was left out and why.

    `failures` are files that belong to the set and cannot be used; `notes` are one line each, about files
    that were left out because they belong to something else. `format` is the name of its reader.
    """

    path: Path
    format: str
    skeleton: Skeleton
    samples: tuple[Sample, ...]
    failures: tuple[Failure, ...]
    notes: tuple[str, ...] = ()

    @property
    def view(self) -> View:
        """The projection of its radiographs."""
        return self.skeleton.view


@dataclass(frozen=True, slots=True)
class ViewEvidence:
    """One thing that tells the view; `source` reads well after "AP by"."""

    view: View
    source: str


def settle(evidence: Sequence[ViewEvidence], path: Path) -> View:
    """The view all evidence agrees on. Raises DataError where there is none or it disagrees."""
    views = {item.view for item in evidence}
    if len(views) == 1:
        return views.pop()
    if not views:
        raise DataError(f"{shown(path)}: nothing tells the view: pass --view AP or --view LA")
    views_by = ", ".join(f"{item.view} by {item.source}" for item in evidence)
    raise DataError(f"{shown(path)}: the view is unclear, {views_by}: pass --view AP or --view LA")
