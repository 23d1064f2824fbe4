"""From a comparison to what its tables and its JSON show."""

from collections.abc import Sequence
from string import ascii_uppercase

from mahtdiag.reports.tables.comparison import MOST_IMAGES, ChangedImage, ComparisonView
from mahtdiag.workflows.compare.job import Compared, ComparedPair


def views_of(compared: Compared) -> tuple[ComparisonView, ...]:
    """One view per pair of runs."""
    return tuple(
        _view_of(pair, letter_of(number), strict=compared.strict)
        for number, pair in enumerate(compared.pairs, start=1)
    )


def letter_of(number: int) -> str:
    """`B` for the first run that is compared with A, `C` for the second."""
    return ascii_uppercase[number] if number < len(ascii_uppercase) else f"run {number + 1}"


def _view_of(pair: ComparedPair, letter: str, *, strict: bool) -> ComparisonView:
    worse, better = pair.changed()
    documents = pair.a.document, pair.b.document
    return ComparisonView(
        view=documents[0].view,
        a=pair.label_a,
        b=pair.label_b,
        checkpoint_a=documents[0].checkpoint.path,
        checkpoint_b=documents[1].checkpoint.path,
        comparison=pair.comparison,
        worse=_images(pair, worse[:MOST_IMAGES]),
        better=_images(pair, better[:MOST_IMAGES]),
        worse_images=len(worse),
        better_images=len(better),
        strict=strict,
        notes=pair.notes,
        letter=letter,
    )


def _images(pair: ComparedPair, rows: Sequence[int]) -> tuple[ChangedImage, ...]:
    comparison = pair.comparison
    return tuple(
        ChangedImage(
            pair.names_a[row],
            pair.names_b[row],
            float(comparison.error_a_px[row]),
            float(comparison.error_b_px[row]),
        )
        for row in rows
    )
