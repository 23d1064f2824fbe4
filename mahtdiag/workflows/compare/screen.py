"""From a comparison to what its tables and its JSON show."""

from string import ascii_uppercase

from mahtdiag.reports.tables.comparison import ComparisonResult
from mahtdiag.workflows.compare.job import ComparedPair, ComparedRuns


def results_of(compared: ComparedRuns) -> tuple[ComparisonResult, ...]:
    """One per pair of runs."""
    return tuple(
        _result_of(pair, letter_of(number), strict=compared.strict)
        for number, pair in enumerate(compared.pairs, start=1)
    )


def letter_of(number: int) -> str:
    """`B` for the first run that is compared with A, `C` for the second."""
    return ascii_uppercase[number] if number < len(ascii_uppercase) else f"run {number + 1}"


def _result_of(pair: ComparedPair, letter: str, *, strict: bool) -> ComparisonResult:
    documents = pair.a.document, pair.b.document
    return ComparisonResult(
        view=documents[0].view,
        a=pair.label_a,
        b=pair.label_b,
        checkpoint_a=documents[0].checkpoint.path,
        checkpoint_b=documents[1].checkpoint.path,
        comparison=pair.comparison,
        names_a=pair.names_a,
        names_b=pair.names_b,
        strict=strict,
        notes=pair.notes,
        letter=letter,
    )
