"""The study of comparisons, in short: equally good runs are seldom called worse, intervals hold the truth."""

import pytest

from validation.comparison import LEAST_COVERED, NUMBERS, Population, called, coverage, population


@pytest.fixture(scope="module")
def equal() -> Population:
    return population(300)


@pytest.mark.parametrize("images", [10, 24])
def test_equally_good_runs_are_seldom_told_apart(images: int, equal: Population) -> None:
    sets = 120
    verdict, *numbers = called(equal, images, sets)
    assert [each.name for each in numbers] == list(NUMBERS)
    # Three standard deviations of a share of 2.5 % among so many sets.
    most = 0.025 + 3.0 * (0.025 * 0.975 / sets) ** 0.5
    for each in (verdict, *numbers):
        if each.worse is not None and each.better is not None:
            assert max(each.worse, each.better) <= most, each.name


@pytest.mark.parametrize("images", [2, 5])
def test_of_few_images_nothing_is_said(images: int, equal: Population) -> None:
    verdict, *numbers = called(equal, images, 10)
    assert (verdict.worse, verdict.better) == (0.0, 0.0)
    assert {(each.worse, each.better) for each in numbers} == {(None, None)}


def test_a_worse_run_is_called_so() -> None:
    verdict, *_ = called(population(300, worse=1.4), 128, 30, swapped=False)
    assert (verdict.worse or 0.0) > 0.8


def test_intervals_of_differences_hold_the_truth() -> None:
    rows = coverage(population(worse=1.15), 50, 120)
    assert {row.name for row in rows} == set(NUMBERS)
    for row in rows:
        # Three standard deviations of a share among so many sets.
        assert row.covered >= LEAST_COVERED[50] - 0.075, row.name
        assert max(row.below, row.above) <= 0.05 + 0.06, row.name
