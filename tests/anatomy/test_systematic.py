"""Shared errors put into predictions are found again, with intervals that hold them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mahtdiag.anatomy.systematic import (
    Fitted,
    SystematicError,
    explain_systematic_error,
    fit_systematic_error,
)
from mahtdiag.schema.skeleton import AP

from .spines import Floats, natural_spines


def labels(count: int = 30) -> Floats:
    """Spines in different places, so that shift and scale can be told apart."""
    rng = np.random.default_rng(3)
    return natural_spines(AP, count) + rng.uniform(-150, 150, (count, 1, 2))


def fit(pred: Floats, label: Floats) -> SystematicError:
    found = fit_systematic_error(pred, label, resamples=200)
    assert found is not None
    return found


def test_against_least_squares_written_out() -> None:
    label = labels(6)
    pred = label + np.random.default_rng(0).normal(0, 2, label.shape)
    found = fit(pred, label)
    place, residual = (pred - pred.mean(axis=(0, 1))).reshape(-1, 2), (label - pred).reshape(-1, 2)
    rows, values = [], []
    for (x, y), (dx, dy) in zip(place, residual, strict=True):
        rows += [[1, 0, x, 0, -y], [0, 1, 0, y, x]]
        values += [dx, dy]
    expected = np.linalg.lstsq(np.array(rows), np.array(values), rcond=None)[0]
    assert found.keypoints == 120
    assert [found.shift_x.value, found.shift_y.value] == pytest.approx(expected[:2])
    assert [found.scale_x.value - 1, found.scale_y.value - 1] == pytest.approx(expected[2:4])
    assert found.rotation_deg.value == pytest.approx(np.degrees(expected[4]))


@settings(max_examples=25, deadline=None)
@given(st.floats(-20, 20), st.floats(-20, 20), st.floats(0.9, 1.1), st.floats(0.9, 1.1), st.floats(-1, 1))
def test_the_transformation_is_recovered(
    x: float, y: float, scale_x: float, scale_y: float, turn_deg: float
) -> None:
    pred = labels()
    centre = pred.mean(axis=(0, 1))
    away, turn = pred - centre, np.radians(turn_deg)
    label = (
        pred + [x, y] + away * [scale_x - 1, scale_y - 1] + turn * np.stack([-away[..., 1], away[..., 0]], -1)
    )
    found = fit(pred, label)
    assert found.centre == pytest.approx(tuple(centre))
    expected = (x, y, scale_x, scale_y, turn_deg)
    fitted = (found.shift_x, found.shift_y, found.scale_x, found.scale_y, found.rotation_deg)
    assert [e.value for e in fitted] == pytest.approx(expected, abs=1e-6)
    assert all(e.low - 1e-6 <= v <= e.high + 1e-6 for e, v in zip(fitted, expected, strict=True))


def test_the_interval_covers_as_often_as_it_says() -> None:
    rng = np.random.default_rng(8)
    hits = 0
    for seed in range(150):
        label = labels(25)
        shared = rng.normal(0, 3, (25, 1, 2))
        pred = label + shared + rng.normal(0, 1, label.shape)
        found = fit_systematic_error(pred, label, resamples=200, seed=seed)
        assert found is not None
        hits += not found.shift_x.excludes(0.0)
    # 95 % are promised; percentile intervals of 25 images keep 92 %.
    assert 130 <= hits <= 149


def test_a_few_gross_mistakes_do_not_count() -> None:
    label = labels()
    pred = label + np.random.default_rng(1).normal(0, 2, label.shape)
    clean = fit(pred, label)
    pred[3, 5:9] += 800
    pred[7, 2] = np.nan
    found = fit(pred, label)
    assert found.keypoints == clean.keypoints - 5
    assert found.shift_x.value == pytest.approx(clean.shift_x.value, abs=0.3)


def test_too_little_to_fit() -> None:
    label = labels(3)
    assert fit_systematic_error(label * np.nan, label) is None
    assert fit_systematic_error(label[:1], label[:1]) is None
    assert fit_systematic_error(np.full((3, 20, 2), 5.0), label) is None
    assert fit_systematic_error(label[:0], label[:0]) is None


def in_both(pred: Floats, label: Floats) -> str | None:
    """The sentence for cells of four pixels."""
    return explain_systematic_error(fit(pred, label), fit(pred / 4, label / 4))


def test_sentences() -> None:
    label = labels()
    noise = np.random.default_rng(2).normal(0, 0.5, label.shape)
    assert in_both(label + noise, label) is None
    half = in_both(label + noise - [2.0, 2.0], label)
    assert half is not None
    assert "about half a heatmap cell" in half
    assert "+0.5" in half
    assert "in x" in half
    assert "in y" in half
    far = in_both(label + noise - [12.0, 0.0], label)
    assert far is not None
    assert "+3.0" in far
    assert "offset" in far
    assert "in y" not in far
    scaled = in_both((label + noise) / 2, label)
    assert scaled is not None
    assert "scaled by 2.00" in scaled
    stretched = in_both((label + noise) / [1.0, 1.1], label)
    assert stretched is not None
    assert "1.10" in stretched
    assert "in x" not in stretched
    exchanged = in_both((label + noise)[..., ::-1], label)
    assert exchanged is not None
    assert "x and y" in exchanged
    centre = label.mean(axis=(0, 1))
    turn = np.radians(2.0)
    turned = (label + noise - centre) @ np.array(
        [[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]]
    ) + centre
    sentence = in_both(turned, label)
    assert sentence is not None
    assert "turned by -2.0°" in sentence


@pytest.mark.parametrize(
    ("flip", "words"),
    [((-1, 1), "mirror the labels, left for right"), ((1, -1), "upside down"), ((-1, -1), "turned by 180°")],
)
def test_mirrored_predictions_are_no_matter_of_size(flip: tuple[int, int], words: str) -> None:
    label = labels()
    noise = np.random.default_rng(2).normal(0, 0.5, label.shape)
    size = np.array([400.0, 900.0])
    mirrored = in_both(np.where(np.array(flip) < 0, size - label, label) + noise, label)
    assert mirrored is not None
    assert words in mirrored
    assert "resize" not in mirrored


def test_a_small_factor_is_seen() -> None:
    label = labels()
    noise = np.random.default_rng(2).normal(0, 0.5, label.shape)
    tiny = in_both((label + noise) * 430, label)
    assert tiny is not None
    assert "In heatmap cells predictions have to be scaled by 0.00233 in x (0.0023" in tiny


def test_an_interval_that_holds_nothing_says_nothing() -> None:
    none, unsure = Fitted(0.0, -1.0, 1.0), Fitted(0.5, -0.1, 1.1)
    one = Fitted(1.0, 0.9, 1.1)
    found = SystematicError(unsure, unsure, one, one, none, (0.0, 0.0), 100, 10, False)
    assert explain_systematic_error(found, found) is None
