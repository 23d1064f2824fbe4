"""The study of two readers, in short: intervals hold the truth as often as they say."""

import pytest

from validation.label_noise import LEAST, Coverage, measure, truths


@pytest.fixture(scope="module")
def truth() -> dict[str, float]:
    return truths(images=100_000)


@pytest.mark.parametrize("images", [20, 50])
def test_intervals_hold_the_truth(images: int, truth: dict[str, float]) -> None:
    rows = measure(images, 300, truth)
    assert [row.number for row in rows] == list(truth)
    for row in rows:
        # Three standard deviations of a share among 300 sets.
        assert row.covered >= LEAST[images] - 0.04
        assert row.covered < 1.0
        assert max(row.below, row.above) <= 0.09
        assert isinstance(row, Coverage)
