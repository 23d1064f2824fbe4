"""Each kind of mistake gets its type, and the repair table adds up."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mahtdiag.anatomy.error_types import (
    ErrorType,
    classify_errors,
    label_widths_px,
    repair_table,
    whole_image_level_shift,
)
from mahtdiag.schema.skeleton import AP, LA, Skeleton

from .spines import ANY_SKELETON, GAP, HEIGHT, WIDTH, Floats, natural_spines, straight_spine


def naive_type(pred: Floats, label: Floats, k: int, skeleton: Skeleton = LA) -> ErrorType:
    """The definition, for one keypoint of a complete label."""
    of = [skeleton.vertebrae.index(name.split()[0]) for name in skeleton.keypoint_names]
    v = of[k]
    ends = [(j, j + 1) for j in range(0, len(label), 2) if of[j] == v]
    s = sum(math.dist(label[a], label[b]) for a, b in ends) / len(ends)
    error = math.dist(pred[k], label[k])
    if error <= 0.1 * s:
        return ErrorType.GOOD
    nearest = min(range(len(label)), key=lambda j: (math.dist(pred[k], label[j]), j != k))
    if math.dist(pred[k], label[nearest]) > 0.5 * s:
        return ErrorType.MISS
    if nearest == k:
        return ErrorType.JITTER
    if of[nearest] == v:
        return ErrorType.LEFT_RIGHT_SWAP if nearest // 2 == k // 2 else ErrorType.ENDPLATE_SWAP
    levels = {1: ErrorType.LEVEL_DOWN, -1: ErrorType.LEVEL_UP}
    return levels.get(of[nearest] - v, ErrorType.MISS)


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(ANY_SKELETON), st.integers(0, 10**6), st.floats(0.01, 3.0))
def test_types_are_what_the_definition_says(skeleton: Skeleton, seed: int, spread: float) -> None:
    rng = np.random.default_rng(seed)
    label = natural_spines(skeleton, 3, seed)
    pred = label + rng.normal(0, spread * WIDTH, label.shape)
    found = classify_errors(pred, label, skeleton)
    for n in range(3):
        assert [ErrorType(t) for t in found.types[n]] == [
            naive_type(pred[n], label[n], k, skeleton) for k in range(skeleton.keypoints)
        ]
    moved = classify_errors(pred * 3 + 100, label * 3 + 100, skeleton)
    np.testing.assert_array_equal(found.types, moved.types)


@pytest.mark.parametrize(
    ("keypoint", "place", "expected"),
    [
        (8, 8, ErrorType.GOOD),
        (8, 9, ErrorType.LEFT_RIGHT_SWAP),
        (8, 10, ErrorType.ENDPLATE_SWAP),
        (8, 11, ErrorType.ENDPLATE_SWAP),
        (8, 12, ErrorType.LEVEL_DOWN),
        (8, 4, ErrorType.LEVEL_UP),
        (8, 0, ErrorType.MISS),
        (21, 20, ErrorType.LEFT_RIGHT_SWAP),
        (20, 16, ErrorType.LEVEL_UP),
        (18, 20, ErrorType.LEVEL_DOWN),
    ],
)
def test_a_prediction_on_another_keypoint(keypoint: int, place: int, expected: ErrorType) -> None:
    label = straight_spine(LA)[None]
    pred = label.copy()
    pred[0, keypoint] = label[0, place]
    found = classify_errors(pred, label)
    assert found.types[0, keypoint] == expected
    others = np.delete(found.types[0], keypoint)
    assert (others == ErrorType.GOOD).all()


@pytest.mark.parametrize(
    ("share", "expected"),
    [(0.09, ErrorType.GOOD), (0.12, ErrorType.JITTER), (0.49, ErrorType.JITTER), (0.6, ErrorType.MISS)],
)
def test_size_of_the_error(share: float, expected: ErrorType) -> None:
    label = straight_spine(AP)[None]
    pred = label.copy()
    pred[0, 8, 0] -= share * WIDTH
    assert classify_errors(pred, label).types[0, 8] == expected


def test_missing_keypoints_are_unknown() -> None:
    label = natural_spines(AP, 1)
    pred = label.copy()
    pred[0, 3] = np.inf
    label[0, 4:8] = np.nan
    label[0, 8] = np.nan
    found = classify_errors(pred, label)
    unknown = np.flatnonzero(found.types[0] == ErrorType.UNKNOWN).tolist()
    assert unknown == [3, 4, 5, 6, 7, 8]
    assert np.isnan(found.error_px[0, unknown]).all()
    assert np.isnan(found.repaired_px[0, unknown]).all()
    assert sum(row.keypoints for row in repair_table(found)) == 14


def test_widths_of_incomplete_vertebrae() -> None:
    label = straight_spine(AP)[None]
    label[0, 0] = np.nan
    label[0, 4:6, 0] = [0, 100]
    label[0, 8:12] = np.nan
    widths = label_widths_px(label)[0]
    assert widths[:8].tolist() == [90] * 4 + [95] * 4
    assert np.isnan(widths[8:12]).all()


def test_repair_table_against_a_loop() -> None:
    rng = np.random.default_rng(5)
    label = natural_spines(LA, 20)
    pred = label + rng.normal(0, 0.3 * WIDTH, label.shape)
    pred[:, [8, 9]] = pred[:, [9, 8]]
    found = classify_errors(pred, label)
    rows = repair_table(found)
    assert [row.repaired_mean for row in rows] == sorted(row.repaired_mean for row in rows)
    assert sum(row.keypoint_share for row in rows) == pytest.approx(1)
    assert sum(row.error_share for row in rows) == pytest.approx(1)
    for row in rows:
        errors = []
        for n in range(20):
            for k in range(22):
                error = math.dist(pred[n, k], label[n, k])
                if naive_type(pred[n], label[n], k) == row.error_type:
                    if row.error_type in (ErrorType.GOOD, ErrorType.JITTER, ErrorType.MISS):
                        error = min(error, 0.1 * label_widths_px(label)[n, k])
                    else:
                        error = min(math.dist(pred[n, k], other) for other in label[n])
                errors.append(error)
        assert row.repaired_mean == pytest.approx(np.mean(errors))


def test_nothing_to_repair() -> None:
    label = natural_spines(AP, 2)
    (row,) = repair_table(classify_errors(label, label))
    assert (row.error_type, row.keypoints, row.error_share, row.repaired_mean) == (
        ErrorType.GOOD,
        40,
        0.0,
        0.0,
    )
    assert repair_table(classify_errors(label * np.nan, label)) == ()


@pytest.mark.parametrize("skeleton", ANY_SKELETON)
def test_whole_image_level_shift(skeleton: Skeleton) -> None:
    label = natural_spines(skeleton, 6)
    pred = label.copy()
    pred[1, :, 1] += HEIGHT + GAP
    pred[2, :, 1] -= HEIGHT + GAP
    pred[3, :12, 1] += HEIGHT + GAP
    pred[4, :, 1] += 0.4 * (HEIGHT + GAP)
    pred[5, :, 1] += HEIGHT + GAP
    pred[5, skeleton.keypoints_of(skeleton.vertebrae[1])] = np.nan
    assert whole_image_level_shift(pred, label, skeleton).tolist() == [0, 1, -1, 0, 0, 1]
    assert whole_image_level_shift(label, pred, skeleton).tolist()[:5] == [0, -1, 1, 0, 0]


def test_too_few_vertebrae_for_a_level_shift() -> None:
    label = natural_spines(AP, 1)
    pred = label + np.array([0.0, HEIGHT + GAP])
    pred[0, 8:] = np.nan
    assert whole_image_level_shift(pred, label).tolist() == [0]


def test_titles() -> None:
    assert [kind.title for kind in ErrorType][3:] == [
        "miss",
        "left-right swap",
        "endplate swap",
        "level shift −1",
        "level shift +1",
    ]
