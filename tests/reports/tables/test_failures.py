"""A mistake that many images share is one row with their number; others have a row each."""

import pytest

from mahtdiag.errors import once_each
from mahtdiag.reports.tables.failures import failures_table
from mahtdiag.schema.records import Failure

SHORT = "the JPEG is truncated after {} bytes: copy it again"


def rows(failures: list[Failure], *, everything: bool = False) -> list[tuple[str, ...]]:
    made = failures_table("Not evaluated", failures, everything=everything)
    assert made.title == f"Not evaluated: {len(failures)}"
    return [tuple(cell.text for cell in row.cells) for row in made.rows]


def test_reasons_that_differ_in_numbers_and_in_the_own_name_are_one() -> None:
    sizes = {"p": 9, "q": 81, "r": 300, "s": 4}
    short = [Failure(f"AP/{name}.jpg", SHORT.format(size)) for name, size in sizes.items()]
    column = [Failure(f"AP/{n}.png", f"AP/{n}.csv: row {n[-1]}: 3 columns") for n in ("k1", "k2", "k3")]
    assert rows([*column, *short]) == [
        ("AP/k1.png", "AP/k1.csv: row 1: 3 columns; likewise 2 more: AP/k2.png, AP/k3.png"),
        ("AP/p.jpg", f"{SHORT.format(9)}; likewise 3 more: AP/q.jpg, AP/r.jpg, …"),
    ]
    everything = [(failure.image, failure.reason) for failure in [*column, *short]]
    assert rows([*column, *short], everything=True) == everything


def test_two_of_a_kind_and_other_reasons_keep_their_rows() -> None:
    failures = [
        Failure("a.jpg", SHORT.format(1)),
        Failure("b.jpg", "no annotation"),
        Failure("c.jpg", SHORT.format(2)),
    ]
    assert sorted(rows(failures)) == sorted((failure.image, failure.reason) for failure in failures)


def test_however_many_images_there_are_the_table_is_short() -> None:
    failures = [Failure(f"{i:05}.png", f"no annotation: {i:05}.csv is missing") for i in range(12_345)]
    assert rows(failures) == [
        ("00000.png", "no annotation: 00000.csv is missing; likewise 12,344 more: 00001.png, 00002.png, …")
    ]


@pytest.mark.parametrize(("number", "told"), [(3, 3), (4, 1)])
def test_problems_of_one_kind_are_counted_where_they_are_many(number: int, told: int) -> None:
    problems = tuple(f"a.csv: line {line}: '-{line}' is no spacing" for line in range(2, 2 + number))
    lines = once_each((*problems, "a.csv: line 9: no column 'mm'"))
    assert len(lines) == told + 1
    assert lines[-1] == "a.csv: line 9: no column 'mm'"
    assert lines[0] == problems[0] + ("; likewise 3 more" if told == 1 else "")
