"""View and levels of a set, once everything that tells them is there."""

from collections.abc import Sequence
from pathlib import Path

from mahtdiag.data.files import ViewEvidence, strongest
from mahtdiag.errors import DataError
from mahtdiag.schema.safe_text import shown
from mahtdiag.schema.skeleton import Levels, Skeleton, View


def seen_view(evidence: Sequence[ViewEvidence]) -> View | None:
    """The view that evidence of a set agrees on, None where it does not."""
    views = {item.view for item in strongest(evidence)}
    return views.pop() if len(views) == 1 else None


def skeleton_of_set(
    view: View, asked: Levels | None, labelled: Levels | None, path: Path, option: str = "--levels"
) -> Skeleton:
    """The skeleton that a set is read by: the levels that are asked for, else the usual ones of the view.

    Where it labels none of the usual ones, those that it labels. Raises DataError where it labels none of the
    levels that are asked for.
    """
    if asked is None:
        usual = view.skeleton
        is_usual = labelled is None or usual.levels.shared_with(labelled) is not None
        return usual if is_usual or labelled is None else with_bodies(view, labelled, path)
    if labelled is not None and asked.shared_with(labelled) is None:
        raise DataError(f"{shown(path)}: labels {labelled}, {option} {asked} has none of them: name others")
    return Skeleton.of(view, asked)


def with_bodies(view: View, levels: Levels, path: Path) -> Skeleton:
    """The skeleton of these levels. Raises DataError where none of them has four corners."""
    skeleton = Skeleton.of(view, levels)
    if not skeleton.bodies:
        raise DataError(f"{shown(path)}: labels {levels} alone, which has no four corners: nothing to judge")
    return skeleton
