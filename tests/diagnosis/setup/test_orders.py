"""Labels of other images are matched over the set, where they are another image's and not merely near."""

from dataclasses import replace

import numpy as np
import pytest

from mahtdiag.diagnosis.setup.explanations import Places
from mahtdiag.diagnosis.setup.mistakes import explain
from mahtdiag.diagnosis.setup.orders import (
    FIRST_IS_ANOTHER,
    LAST_IS_ANOTHER,
    image_explanations,
    matched_order,
    order_explanations,
    shifted_option,
)
from mahtdiag.schema.skeleton import Levels, Skeleton, View
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


def whole_spines(seed: int, error_px: float) -> Places:
    """Twelve spines of 17 vertebrae, of which a network finds the right levels by chance alone."""
    rng = np.random.default_rng(seed)
    y = 40 * np.arange(17)[:, None] + np.array([0, 0, 25, 25])
    x = np.broadcast_to(np.array([0.0, 50.0, 0.0, 50.0]), y.shape)
    label = np.stack([x, y], -1).reshape(1, 68, 2) + rng.normal(0, 3, (12, 68, 2))
    lost = rng.random((12, 17, 1, 1)) < 0.3
    shift = lost * rng.choice([-40.0, 40.0], (12, 17, 1, 1)) * np.array([0.0, 1.0])
    pred = label + np.broadcast_to(shift, (12, 17, 4, 2)).reshape(12, 68, 2)
    pred = pred + rng.normal(0, error_px, pred.shape)
    skeleton, sizes = Skeleton.of(View.AP, Levels("T1", "L5")), np.tile([300.0, 800.0], (12, 1))
    return Places(pred, label, sizes, skeleton, None, np.ones(12, np.int64), 1.0)


def test_a_keypoint_that_lies_at_another_does_not_make_an_order() -> None:
    """T3 UL is found where T10 UL lies; T10 UL itself is a little off, and would be far off as T3 UL."""
    places = whole_spines(0, error_px=0.1)
    pred = places.label_px + np.array([5.0, 0.0])
    pred[:, 8] = places.label_px[:, 36]
    found = replace(places, pred_px=pred)
    order = matched_order(found)
    assert order is not None
    assert (order[8], order[36]) == (36, 8)
    assert order_explanations(found) == []


@pytest.mark.parametrize("seed", range(10))
def test_corners_that_are_exchanged_on_a_whole_spine_are_told(seed: int) -> None:
    places = whole_spines(seed, error_px=2.0)
    clockwise = np.arange(68).reshape(17, 4)[:, [0, 1, 3, 2]].ravel()
    found, *_ = order_explanations(replace(places, label_px=places.label_px[:, clockwise]))
    _, moved = found.moved(replace(places, label_px=places.label_px[:, clockwise])) or (None, None)
    assert moved is not None
    assert (moved == places.label_px).all()
