"""The study of copies, in short: what it plants is found, and nothing else is reported."""

from validation.duplicates import KINDS, LEAST_RECALL, measure, report, spines, upper_bound


def test_planted_copies_are_found_and_distinct_spines_are_not() -> None:
    originals = spines(60, 900_000, 480)
    rows = [measure(kind, originals, 30, seed=1) for kind in KINDS]
    assert sum(row.found for row in rows) / sum(row.copies for row in rows) >= LEAST_RECALL
    assert [row.false for row in rows] == [0] * len(KINDS)
    assert len(report(rows).rows) == len(KINDS)


def test_bound_on_what_was_never_seen_is_the_rule_of_three() -> None:
    assert 2.9e-4 < upper_bound(0, 10_000) < 3.1e-4
    assert upper_bound(5, 5) == 1.0
