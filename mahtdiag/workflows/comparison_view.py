"""From a comparison to what its tables and its JSON show."""

from collections.abc import Sequence

from mahtdiag.reports.comparison_view import ChangedImage, ComparisonView
from mahtdiag.workflows.compare import Compared, ComparedPair


def views_of(compared: Compared) -> tuple[ComparisonView, ...]:
    """One view per pair of runs."""
    return tuple(_view_of(pair, strict=compared.strict) for pair in compared.pairs)


def _view_of(pair: ComparedPair, *, strict: bool) -> ComparisonView:
    worse, better = (_images(pair, rows) for rows in pair.changed())
    documents = pair.a.document, pair.b.document
    return ComparisonView(
        view=documents[0].view,
        a=pair.label_a,
        b=pair.label_b,
        checkpoint_a=documents[0].checkpoint.path,
        checkpoint_b=documents[1].checkpoint.path,
        comparison=pair.comparison,
        worse=worse,
        better=better,
        strict=strict,
        notes=pair.notes,
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
