"""Labels of other images are matched over the set, where they are another image's and not merely near."""

from dataclasses import replace

import numpy as np
import pytest

from mahtdiag.diagnosis.setup.mistakes import explain
from mahtdiag.diagnosis.setup.orders import (
    FIRST_IS_ANOTHER,
    LAST_IS_ANOTHER,
    image_explanations,
    shifted_option,
)
from tests.diagnosis.setup.simulated import places_of


@pytest.mark.parametrize("seed", range(5))
def test_shuffled_labels_are_told_by_a_matching_over_the_set(seed: int) -> None:
    places = places_of(20, seed)
    order = np.roll(np.arange(20), 1)
    found = explain(replace(places, label_px=places.label_px[order])).found
    assert found is not None
    assert found.explanation.check == "order.images"
    assert found.explanation.cause == "labels of 20 of 20 images are those of other images of the set"
    moved = found.explanation.moved(replace(places, label_px=places.label_px[order]))
    assert moved is not None
    assert (moved[1] == places.label_px).all()


def test_labels_of_their_own_images_are_left_alone() -> None:
    for seed in range(100):
        assert image_explanations(places_of(15, seed, spread_px=12.0)) == []


def test_what_cannot_be_matched_is_not_tried() -> None:
    places = places_of(4)
    assert image_explanations(replace(places, pred_px=np.full_like(places.pred_px, np.nan))) == []
    two = np.array([1, 0, 2, 3])
    # Two images alone may have been exchanged by chance.
    assert image_explanations(replace(places, label_px=places.label_px[two])) == []
    many = places.taken(np.arange(600) % 4)
    assert image_explanations(many) == []


def test_images_that_are_alike_keep_their_labels() -> None:
    alike = places_of(12).taken(np.zeros(12, dtype=np.int64))
    assert image_explanations(alike) == []


@pytest.mark.parametrize(
    ("by", "cause", "option"), [(1, FIRST_IS_ANOTHER, "5:25"), (-1, LAST_IS_ANOTHER, "3:23")]
)
@pytest.mark.parametrize("seed", range(3))
def test_channels_that_begin_at_a_background_are_told(seed: int, by: int, cause: str, option: str) -> None:
    places = places_of(20, seed, spread_px=8.0)
    pred_px = np.roll(places.pred_px, by, axis=1)
    pred_px[:, 0 if by > 0 else -1] = places.sizes_px / 3  # where a background is highest
    told = explain(replace(places, pred_px=pred_px))
    assert told.found is not None
    assert (told.found.explanation.check, told.found.explanation.cause, told.rivals) == (
        "order.keypoints", cause, ()
    )  # fmt: skip
    assert shifted_option("4:24", cause) == f"--keypoints {option}"
    assert (shifted_option(None, cause), shifted_option("4:24", "another")) == (None, None)
    assert shifted_option("0:20", LAST_IS_ANOTHER) is None
