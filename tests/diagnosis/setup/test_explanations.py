"""An explanation is believed where the data prefer it, and chance is told from it."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from mahtdiag.diagnosis.setup.explanations import Explanation, best_of, chance, compare
from mahtdiag.diagnosis.setup.mistakes import MOST_IMAGES, explain
from tests.diagnosis.setup.simulated import places_of

HALF = Explanation("a.half", "half", "", lambda p: (p.pred_px, 2 * p.label_px))
THIRD = Explanation("a.third", "third", "", lambda p: (p.pred_px, 3 * p.label_px))
SAME = Explanation("a.same", "the same by another name", "", lambda p: (p.pred_px, 2 * p.label_px))
FREE = Explanation("a.free", "as it fits", "", lambda p: (p.pred_px, 2 * p.label_px), freedom=3)
NEVER = Explanation("a.never", "cannot be tried", "", lambda p: None)


@given(st.lists(st.floats(-50, 50), min_size=2, max_size=30).filter(lambda v: np.std(v) > 1e-3))
def test_chance_is_that_of_a_paired_test(differences: list[float]) -> None:
    expected = stats.ttest_1samp(differences, 0.0, alternative="greater").pvalue
    assert chance(np.array(differences)) == pytest.approx(expected, rel=1e-6, abs=1e-12)


@pytest.mark.parametrize(("difference", "expected"), [(0.5, 0.0), (0.0, 1.0), (-0.5, 1.0)])
def test_chance_of_what_is_the_same_in_all_images(difference: float, expected: float) -> None:
    assert chance(np.full(4, difference)) == expected


def test_errors_before_and_after_are_those_of_the_same_keypoints() -> None:
    places = places_of(6)
    labels = places.label_px / 2
    labels[0, 3] = np.nan
    labels[1] = np.nan
    found = compare(replace(places, label_px=labels), HALF)
    assert found is not None
    known = np.isfinite(labels[..., 0])
    error = np.linalg.norm(places.pred_px - 2 * labels, axis=-1)
    before = np.linalg.norm(places.pred_px - labels, axis=-1)
    assert found.error_px == pytest.approx(error[known].mean())
    assert found.before_px == pytest.approx(before[known].mean())
    by_image = [
        np.mean([np.log(before[n, k] + 1.5) - np.log(error[n, k] + 1.5) for k in range(20) if known[n, k]])
        for n in range(6) if n != 1
    ]  # fmt: skip
    assert found.gain == pytest.approx(np.exp(np.mean(by_image)))
    assert found.chance == pytest.approx(stats.ttest_1samp(by_image, 0.0, alternative="greater").pvalue)
    assert np.isnan(found.by_image).tolist() == [False, True, *[False] * 4]


def test_the_better_of_two_is_found_and_what_does_as_well_is_told() -> None:
    places = places_of(8)
    halved = replace(places, label_px=places.label_px / 2)
    best, rivals = best_of(halved, [NEVER, THIRD, HALF])
    assert (best and best.explanation, rivals) == (HALF, ())
    best, rivals = best_of(halved, [HALF, THIRD, SAME])
    assert (best and best.explanation, [rival.explanation for rival in rivals]) == (HALF, [SAME])
    assert best_of(places, [HALF, THIRD, SAME, NEVER]) == (None, ())


@pytest.mark.parametrize("order", [(HALF, FREE), (FREE, HALF)])
def test_what_takes_fewer_numbers_from_the_data_is_preferred(order: tuple[Explanation, ...]) -> None:
    places = places_of(8)
    best, rivals = best_of(replace(places, label_px=places.label_px / 2), order)
    assert (best and best.explanation, rivals) == (HALF, ())


def test_nothing_is_said_of_fewer_than_three_images() -> None:
    places = places_of(4)
    labels = places.label_px / 2
    labels[2:] = np.nan
    halved = replace(places, label_px=labels)
    assert explain(halved).found is None
    assert explain(halved.taken(np.arange(2))).found is None
    assert explain(halved.taken(np.arange(0))).found is None


def test_a_large_set_is_judged_by_images_from_all_of_it() -> None:
    count = 2 * MOST_IMAGES + 9
    few = places_of(24)
    rows = np.arange(count) % 24
    many = replace(few.taken(rows), label_px=few.label_px[rows] / 2)
    found = explain(many).found
    assert found is not None
    assert found.by_image.size == MOST_IMAGES
    assert found.explanation.check == "labels.unit"


def said(places_seed: int, rows: list[int], unit: float) -> tuple[str, float]:
    """What is found in halved labels when images are in this order and pixels are of this size."""
    places = places_of(6, places_seed).taken(np.array(rows))
    found = explain(
        replace(
            places,
            pred_px=places.pred_px * unit,
            label_px=places.label_px * unit / 2,
            sizes_px=places.sizes_px * unit,
            floor_px=places.floor_px * unit,
            frames=None,
        )
    ).found
    assert found is not None
    return found.explanation.cause, found.error_px / unit


@settings(max_examples=25)
@given(st.integers(0, 50), st.permutations(range(6)), st.sampled_from([0.25, 0.5, 2.0, 4.0]))
def test_neither_the_order_of_images_nor_the_size_of_a_pixel_matters(
    seed: int, rows: list[int], unit: float
) -> None:
    cause, error_px = said(seed, list(range(6)), 1.0)
    for other in (said(seed, rows, 1.0), said(seed, list(range(6)), unit)):
        assert other[0] == cause
        assert other[1] == pytest.approx(error_px, rel=1e-9)
