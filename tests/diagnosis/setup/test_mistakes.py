"""Every mistake that is planted is named and no other, and noise alone is named nothing."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image, ImageOps

from mahtdiag.diagnosis.setup.explanations import Places
from mahtdiag.diagnosis.setup.mistakes import explain, upright_to_stored
from mahtdiag.diagnosis.setup.orders import matched_order, order_in_words
from mahtdiag.schema.choices import CoordinateConvention
from mahtdiag.schema.preprocessing import Resize
from mahtdiag.schema.skeleton import AP, LA, Skeleton
from tests.anatomy.spines import ANY_SKELETON, CERVICAL_LA, T1_TO_L5, T1_TO_S1
from tests.diagnosis.setup.simulated import Floats, Ints, places_of, through, trained_otherwise

Mistake = Callable[[Places], Places]


def labels(change: Callable[[Places], Floats]) -> Mistake:
    """A mistake in the labels."""
    return lambda p: replace(p, label_px=change(p))


def predictions(change: Callable[[Places], Floats]) -> Mistake:
    """A mistake in the images or the network."""
    return lambda p: replace(p, pred_px=change(p))


def permuted(order: Sequence[int] | Ints) -> Mistake:
    """Keypoint k of the labels is what belongs to keypoint `order[k]`."""
    return labels(lambda p: p.label_px[:, np.asarray(order)])


def mirrored(points: Floats, sizes: Floats, x: bool, y: bool) -> Floats:
    """Points of images that are mirrored left for right, and upside down."""
    moved = points.copy()
    for axis, turned in enumerate((x, y)):
        if turned:
            moved[..., axis] = sizes[:, None, axis] - 1 - points[..., axis]
    return moved


def by_side(points: Floats) -> Floats:
    """The left end of every endplate takes the name of the right one."""
    return points.reshape(len(points), -1, 2, 2)[:, :, ::-1].reshape(points.shape)


def turned_and_scaled(p: Places) -> Floats:
    """Predictions 6 % too far from the middle of all, turned by two degrees."""
    middle, angle = p.label_px.mean((0, 1)), np.radians(2.0)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    turned: Floats = (p.pred_px - middle) @ turn.T * 1.06 + middle
    return turned


def decoded(p: Places) -> Places:
    """Another decoder reads what this one misses by a little."""
    rng = np.random.default_rng(5)
    coarse = p.pred_px + rng.uniform(-8, 8, p.pred_px.shape)
    return replace(p, pred_px=coarse, decoded_px={"local": p.pred_px, "argmax": coarse + 1})


CORNERS = np.arange(20).reshape(5, 4)
ROWS = np.arange(20).reshape(10, 2)
UNIT, ORDER, FLIP = "labels.unit", "order.keypoints", "together.flip"
OF_SIZE = "labels are for images of "

MISTAKES: dict[str, tuple[Mistake, str, str]] = {
    "shares": (labels(lambda p: p.label_px / p.sizes_px[:, None]), UNIT,
               "labels are shares of the image, 0 to 1"),
    "percent": (labels(lambda p: 100 * p.label_px / p.sizes_px[:, None]), UNIT,
                "labels are percent of the image"),
    "input": (labels(lambda p: through(p, p.label_px, "original_to_input")), UNIT,
              "labels are pixels of the network's input, not of the image"),
    "cells": (labels(lambda p: through(p, p.label_px, "original_to_heatmap")), UNIT,
              "labels are heatmap cells, not pixels of the image"),
    "half": (labels(lambda p: p.label_px / 2), UNIT, f"{OF_SIZE}half the size"),
    "quarter": (labels(lambda p: p.label_px / 4), UNIT, f"{OF_SIZE}a quarter of the size"),
    "double": (labels(lambda p: p.label_px * 2), UNIT, f"{OF_SIZE}twice the size"),
    "third": (labels(lambda p: p.label_px / 3), UNIT, f"{OF_SIZE}0.33* times the size"),
    "oblong": (labels(lambda p: p.label_px * [0.5, 0.7]), UNIT,
               f"{OF_SIZE}0.* times the width and 0.* times the height"),
    "axes": (labels(lambda p: p.label_px[..., ::-1]), "order.axes", "x and y of the labels are exchanged"),
    "mirrored": (predictions(lambda p: mirrored(p.pred_px, p.sizes_px, x=True, y=False)), FLIP,
                 "images are mirrored left for right against their labels"),
    "mirrored by side": (
        predictions(lambda p: by_side(mirrored(p.pred_px, p.sizes_px, x=True, y=False))), FLIP,
        "images are mirrored left for right against their labels, corners by image side"),
    "upside down": (predictions(lambda p: mirrored(p.pred_px, p.sizes_px, x=False, y=True)), FLIP,
                    "images are upside down against their labels"),
    "turned": (predictions(lambda p: mirrored(p.pred_px, p.sizes_px, x=True, y=True)), FLIP,
               "images are turned by 180° against their labels"),
    "turned by side": (predictions(lambda p: by_side(mirrored(p.pred_px, p.sizes_px, x=True, y=True))), FLIP,
                       "images are turned by 180° against their labels, corners by image side"),
    "letterbox": (lambda p: trained_otherwise(p, mode=Resize.LETTERBOX), "together.frame",
                  "the network was trained with images resized by --resize letterbox"),
    "convention": (lambda p: trained_otherwise(p, CoordinateConvention.SCALE), "together.frame",
                   "the network was trained with pixel centres as under --coords scale"),
    "both": (lambda p: trained_otherwise(p, CoordinateConvention.SCALE, Resize.LETTERBOX),
             "together.frame",
             "the network was trained with pixel centres as under --coords scale and images resized by "
             "--resize letterbox"),
    "decoder": (decoded, "network.decode", "local reads the heatmaps better"),
    "reversed rows": (permuted(ROWS[::-1].ravel()), ORDER,
                      "endplates are in reverse order, the lowest first"),
    "sides": (permuted(ROWS[:, ::-1].ravel()), ORDER,
              "left and right ends of every endplate are exchanged"),
    "reversed keypoints": (permuted(np.arange(20)[::-1]), ORDER,
                           "endplates are in reverse order, the lowest first, and left and right exchanged"),
    "reversed levels": (permuted(CORNERS[::-1].ravel()), ORDER, "vertebrae are in reverse order, L5 first"),
    "clockwise": (permuted(CORNERS[:, [0, 1, 3, 2]].ravel()), ORDER,
                  "corners of each vertebra go round it clockwise, UL, UR, LR, LL, not UL, UR, LL, LR"),
    "anticlockwise": (permuted(CORNERS[:, [1, 0, 2, 3]].ravel()), ORDER,
                      "corners of each vertebra go round it anticlockwise, UR, UL, LL, LR, "
                      "not UL, UR, LL, LR"),
    "endplates": (permuted(CORNERS[:, [2, 3, 0, 1]].ravel()), ORDER,
                  "upper and lower endplates of every vertebra are exchanged"),
    "corners": (permuted(CORNERS[:, [0, 2, 1, 3]].ravel()), ORDER,
                "corners of each vertebra are in the order UL, LL, UR, LR, not UL, UR, LL, LR"),
    "two": (permuted([1, 0, *range(2, 20)]), ORDER,
            "keypoints are in another order: L1 UL lies at L1 UR, L1 UR lies at L1 UL"),
    "shift": (predictions(lambda p: p.pred_px + np.array([17, -11])), "together.transform",
              "all predictions share a shift"),
    "fit": (predictions(turned_and_scaled), "together.transform",
            "all predictions share a shift, scale and rotation"),
}  # fmt: skip


@pytest.mark.parametrize("count", [12, 24])
@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_named_and_no_other(name: str, count: int) -> None:
    mistake, check, words = MISTAKES[name]
    for seed in range(2):
        explained = explain(mistake(places_of(count, 31 * count + seed)))
        assert explained.found is not None
        assert explained.found.explanation.check == check
        assert fnmatchcase(explained.found.explanation.cause, words)
        assert [rival.explanation.cause for rival in explained.rivals] == []
        assert explained.then is None
        assert explained.found.error_px < 0.8 * explained.found.before_px


def test_labels_that_count_from_one_are_told_from_a_shift() -> None:
    for seed in range(6):
        places = places_of(24, seed, spread_px=0.5)
        explained = explain(replace(places, label_px=places.label_px + 1))
        assert explained.found is not None
        assert explained.found.explanation.cause == "labels count pixels from 1, not from 0"
        assert explained.rivals == ()


SECOND = ("reversed rows", "sides", "clockwise", "axes", "mirrored")


@pytest.mark.parametrize(
    ("first", "second"),
    [("half", "clockwise"), *[(unit, other) for unit in ("shares", "percent", "cells") for other in SECOND]],
)
def test_of_two_mistakes_both_are_named(first: str, second: str) -> None:
    places = MISTAKES[first][0](MISTAKES[second][0](places_of(12)))
    explained = explain(places)
    assert explained.found is not None
    assert explained.then is not None
    found = explained.found.explanation, explained.then.explanation
    assert [(each.check, each.cause) for each in found] == [MISTAKES[name][1:] for name in (first, second)]
    assert explained.then.error_px < 0.5 * explained.found.error_px


@pytest.mark.parametrize("skeleton", ANY_SKELETON, ids=str)
def test_every_skeleton_has_its_mistakes_named(skeleton: Skeleton) -> None:
    rows = np.arange(skeleton.keypoints).reshape(-1, 2)
    places = places_of(12, skeleton=skeleton, spread_px=2.0)
    for order, words in (
        (rows[::-1], "endplates are in reverse order, the lowest first"),
        (rows[:, ::-1], "left and right ends of every endplate are exchanged"),
    ):
        found = explain(permuted(order.ravel())(places)).found
        assert found is not None
        assert (found.explanation.check, found.explanation.cause) == (ORDER, words)
    found = explain(replace(places, label_px=places.label_px / 2)).found
    assert found is not None
    assert found.explanation.check == UNIT
    assert explain(places).found is None


# ---- chance ----


def false_alarms(sets: int, count: int, spread_px: float) -> list[str]:
    """What is claimed of so many sets without any mistake."""
    found = [explain(places_of(count, 1000 + seed, spread_px=spread_px)).found for seed in range(sets)]
    return [each.explanation.cause for each in found if each is not None]


def test_noise_alone_is_named_nothing() -> None:
    assert false_alarms(25, 12, 3.0) == []


@pytest.mark.slow
@pytest.mark.parametrize("count", [12, 24])
@pytest.mark.parametrize("spread_px", [1.0, 3.0, 12.0])
def test_false_alarms_stay_below_two_percent(count: int, spread_px: float) -> None:
    assert len(false_alarms(200, count, spread_px)) <= 4


@pytest.mark.slow
@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_are_found_in_nearly_every_set(name: str) -> None:
    mistake, check, words = MISTAKES[name]
    explained = [explain(mistake(places_of(16, 500 + seed))) for seed in range(40)]
    right = [
        e.found is not None and e.found.explanation.check == check
        and fnmatchcase(e.found.explanation.cause, words) and not e.rivals
        for e in explained
    ]  # fmt: skip
    wrong = [e.found for e in explained if e.found is not None and e.found.explanation.check != check]
    assert sum(right) >= 38
    assert [found.explanation.cause for found in wrong] == []


# ---- order ----


@pytest.mark.parametrize(
    ("skeleton", "order", "words"),
    [
        (T1_TO_L5, np.arange(68).reshape(17, 4)[::-1].ravel(), "vertebrae are in reverse order, L5 first"),
        (T1_TO_L5, np.arange(68)[::-1],
         "endplates are in reverse order, the lowest first, and left and right exchanged"),
        (T1_TO_L5, np.arange(68).reshape(17, 4)[:, [0, 1, 3, 2]].ravel(),
         "corners of each vertebra go round it clockwise, UL, UR, LR, LL, not UL, UR, LL, LR"),
        (T1_TO_L5, np.arange(68).reshape(17, 4)[:, [3, 2, 1, 0]].ravel(),
         "upper and lower endplates, and left and right, are exchanged in every vertebra"),
        (T1_TO_L5, np.array([4, *range(1, 4), 0, *range(5, 68)]),
         "keypoints are in another order: T1 UL lies at T2 UL, T2 UL lies at T1 UL"),
        (T1_TO_L5, np.roll(np.arange(68), 4),
         "keypoints are in another order: T1 UL lies at L5 UL, T1 UR lies at L5 UR, T1 LL lies at L5 LL, "
         "T1 LR lies at L5 LR and 64 more"),
        (T1_TO_S1, np.arange(70).reshape(35, 2)[:, ::-1].ravel(),
         "left and right ends of every endplate are exchanged"),
        (CERVICAL_LA, np.array([0, 1, *(2 + np.arange(20).reshape(5, 4)[::-1].ravel())]),
         "vertebrae are in reverse order, C7 first"),
        (CERVICAL_LA, np.array([0, 1, *(2 + np.arange(20).reshape(5, 4)[:, [0, 1, 3, 2]].ravel())]),
         "corners of each vertebra go round it clockwise, UL, UR, LR, LL, not UL, UR, LL, LR"),
        (CERVICAL_LA, np.array([1, 0, *range(2, 22)]),
         "keypoints are in another order: C2 LL lies at C2 LR, C2 LR lies at C2 LL"),
        (LA, np.array([*range(20), 21, 20]),
         "keypoints are in another order: S1 UL lies at S1 UR, S1 UR lies at S1 UL"),
    ],
)  # fmt: skip
def test_orders_in_words(skeleton: Skeleton, order: Ints, words: str) -> None:
    assert order_in_words(order, skeleton) == words


SMALL = (Skeleton("one", AP.view, ("L1",)), Skeleton("one and a half", AP.view, ("L1",), "L2"))


def cheapest(places: Places) -> float:
    """The least mean log distance over all orders, written out."""
    k = places.skeleton.keypoints
    cost = np.array(
        [
            [
                np.nanmean(
                    np.log(np.linalg.norm(places.pred_px[:, i] - places.label_px[:, j], axis=-1) + 1.5)
                )
                for j in range(k)
            ]
            for i in range(k)
        ]
    )
    return min(float(sum(cost[i, j] for i, j in enumerate(order))) for order in permutations(range(k)))


@settings(max_examples=30)
@given(st.sampled_from(SMALL), st.integers(0, 10**6), st.floats(1.0, 400.0))
def test_the_matching_is_the_best_of_all(skeleton: Skeleton, seed: int, spread_px: float) -> None:
    rng = np.random.default_rng(seed)
    places = places_of(4, seed, skeleton, spread_px)
    pred = places.pred_px.copy()
    pred[rng.integers(1, 4, 3), rng.integers(0, skeleton.keypoints, 3)] = np.nan
    places = replace(places, pred_px=pred)
    order = matched_order(places)
    assert order is not None
    assert sorted(order.tolist()) == list(range(skeleton.keypoints))
    chosen = np.linalg.norm(pred - places.label_px[:, order], axis=-1)
    assert np.nanmean(np.log(chosen + 1.5), axis=0).sum() == pytest.approx(cheapest(places), rel=1e-9)


@settings(max_examples=25)
@given(st.permutations(range(20)), st.permutations(range(8)))
def test_any_order_is_found_whatever_the_order_of_images(order: list[int], images: list[int]) -> None:
    places = permuted(order)(places_of(8)).taken(np.array(images))
    found = matched_order(places)
    assert found is not None
    assert np.array(order)[found].tolist() == list(range(20))


def test_a_keypoint_that_is_never_known_keeps_its_own_label() -> None:
    places = permuted(CORNERS[:, [0, 1, 3, 2]].ravel())(places_of(6))
    pred, label = places.pred_px.copy(), places.label_px.copy()
    pred[:, 4] = np.nan
    label[:, 8] = np.nan
    order = matched_order(replace(places, pred_px=pred, label_px=label))
    assert order is not None
    assert order.tolist() == CORNERS[:, [0, 1, 3, 2]].ravel().tolist()
    assert matched_order(replace(places, pred_px=np.full_like(pred, np.nan))) is None


# ---- orientation ----


@pytest.mark.parametrize("tag", range(1, 9))
def test_turned_points_lie_on_the_pixels_that_viewers_show(tag: int) -> None:
    stored = np.arange(7 * 12, dtype=np.uint8).reshape(7, 12)
    image = Image.fromarray(stored)
    image.getexif()[0x0112] = tag
    upright = np.asarray(ImageOps.exif_transpose(image))
    y, x = np.indices(upright.shape)
    points = np.stack([x.ravel(), y.ravel()], axis=-1)[None].astype(np.float64)
    x, y = upright_to_stored(points, np.array([[12.0, 7.0]]), np.array([tag]))[0].astype(np.int64).T
    assert (stored[y, x] == upright.ravel()).all()


@given(arrays(np.int64, 5, elements=st.integers(-2, 12)))
def test_images_are_turned_by_their_own_tags(tags: Ints) -> None:
    places = places_of(5)
    moved = upright_to_stored(places.label_px, places.sizes_px, tags)
    for row, tag in enumerate(tags.tolist()):
        alone = upright_to_stored(places.label_px[[row]], places.sizes_px[[row]], tags[[row]])
        np.testing.assert_array_equal(moved[row], alone[0])
        if not 2 <= tag <= 8:
            np.testing.assert_array_equal(moved[row], places.label_px[row])
