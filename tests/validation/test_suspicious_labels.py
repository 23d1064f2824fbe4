"""The study of suspicious labels in short: false alarms, recall, and silence of a bad network."""

import pytest

from validation.suspicious_labels import LEAST_LEVELS, LEAST_SLIDES, MOST_FALSE, bad_network, measure


@pytest.mark.parametrize("with_sigma", [True, False])
def test_false_alarms_and_recall(with_sigma: bool) -> None:
    shares = {each.what: each.share for each in measure(60, 25, with_sigma=with_sigma, seed=1)}
    assert shares["false alarms, of all images"] <= MOST_FALSE
    assert shares["a level left out"] >= LEAST_LEVELS - 0.05
    assert shares["a corner slid by 15 σ"] >= LEAST_SLIDES - 0.1


def test_a_bad_network_says_nothing() -> None:
    assert bad_network() == 0
