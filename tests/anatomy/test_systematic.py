"""Shared errors put into predictions are found again, with intervals that hold them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mahtdiag.anatomy.bodies import fit_bodies
from mahtdiag.anatomy.systematic import (
    Fitted,
    SystematicError,
    fit_systematic_error,
    moved_as_others,
)
from mahtdiag.anatomy.systematic_words import explain_systematic_error
from mahtdiag.anatomy.whole_vertebrae import whole_vertebrae
from mahtdiag.schema.skeleton import AP, UR, Skeleton

from .spines import C2_TO_L5, T1_TO_L5, Floats, natural_spines


def labels(count: int = 30, skeleton: Skeleton = AP) -> Floats:
    """Spines in different places, so that shift and scale can be told apart."""
    rng = np.random.default_rng(3)
    return natural_spines(skeleton, count) + rng.uniform(-150, 150, (count, 1, 2))


def fit(pred: Floats, label: Floats) -> SystematicError:
    found = fit_systematic_error(pred, label, resamples=200)
    assert found is not None
    return found


@pytest.mark.parametrize("skeleton", [AP, T1_TO_L5])
def test_against_least_squares_written_out(skeleton: Skeleton) -> None:
    label, v = labels(6, skeleton), len(skeleton.bodies)
    pred = label + np.random.default_rng(0).normal(0, 2, label.shape)
    found = fit(pred, label)
    middle, of_pred = (points.reshape(6, v, 4, 2).mean(axis=2).reshape(-1, 2) for points in (label, pred))
    rows, values = [], []
    for (x, y), (dx, dy) in zip(middle - middle.mean(axis=0), of_pred - middle, strict=True):
        rows += [[1, 0, x, 0, -y], [0, 1, 0, y, x]]
        values += [dx, dy]
    shift_x, shift_y, more_x, more_y, turn = np.linalg.lstsq(np.array(rows), np.array(values), rcond=None)[0]
    assert found.keypoints == 6 * skeleton.keypoints
    assert [found.shift_x.value, found.shift_y.value] == pytest.approx([-shift_x, -shift_y])
    assert [found.scale_x.value, found.scale_y.value] == pytest.approx([1 / (1 + more_x), 1 / (1 + more_y)])
    of_angle = np.sqrt(found.scale_x.value * found.scale_y.value)
    assert found.rotation_deg.value == pytest.approx(-np.degrees(turn) * of_angle)
    around = [
        (points.reshape(6, v, 4, 2) - m.reshape(6, v, 1, 2))
        for points, m in ((label, middle), (pred, of_pred))
    ]
    for axis, outline in enumerate((found.outline_x, found.outline_y)):
        (slope,) = np.linalg.lstsq(
            around[0][..., axis].reshape(-1, 1), around[1][..., axis].ravel(), rcond=None
        )[0]
        assert outline.value == pytest.approx(1 / slope)


def test_an_endplate_above_the_bodies_is_one_vertebra_more() -> None:
    """Without a place for the corners that C2 lacks, all others would be taken for their neighbours."""
    label = labels(skeleton=C2_TO_L5)
    pred = label + np.array([3.0, -2.0]) + np.random.default_rng(1).normal(0, 2, label.shape)
    pred[:, C2_TO_L5.keypoints_at("UR"), 0] += 4.0
    found = fit(whole_vertebrae(pred, C2_TO_L5), whole_vertebrae(label, C2_TO_L5))
    alone = fit(pred[:, 2:], label[:, 2:])
    assert found.keypoints == 30 * 90
    corners, of_bodies = (np.array([[x.value for x in at] for at in one.corners]) for one in (found, alone))
    np.testing.assert_allclose(corners, of_bodies, atol=0.2)
    assert corners[:, 0].argmax() == UR
    assert corners[UR, 0] > 2.0
    bodies = [
        fit_bodies(of_pred, of_label, np.arange(30))
        for of_pred, of_label in (
            (whole_vertebrae(pred, C2_TO_L5), whole_vertebrae(label, C2_TO_L5)),
            (pred[:, 2:], label[:, 2:]),
        )
    ]
    assert bodies[0] == bodies[1] is not None


@settings(max_examples=25, deadline=None)
@given(st.floats(-20, 20), st.floats(-20, 20), st.floats(0.9, 1.1), st.floats(0.9, 1.1), st.floats(0.9, 1.1))
def test_the_transformation_is_recovered(
    x: float, y: float, scale_x: float, scale_y: float, outline: float
) -> None:
    label = labels()
    middles = label.reshape(30, 5, 4, 2).mean(axis=2, keepdims=True)
    centre = middles.mean(axis=(0, 1, 2))
    around = label.reshape(30, 5, 4, 2) - middles
    pred = ((middles - centre) / [scale_x, scale_y] + centre - [x, y] + around / outline).reshape(label.shape)
    found = fit(pred, label)
    assert found.centre == pytest.approx(tuple(centre))
    expected = (x, y, scale_x, scale_y, outline, outline, 0.0)
    fitted = (found.shift_x, found.shift_y, found.scale_x, found.scale_y, found.outline_x, found.outline_y,
              found.rotation_deg)  # fmt: skip
    assert [e.value for e in fitted] == pytest.approx(expected, abs=1e-6)
    assert all(e.low - 1e-6 <= v <= e.high + 1e-6 for e, v in zip(fitted, expected, strict=True))


@given(st.floats(-20, 20), st.floats(0.9, 1.1), st.floats(-2, 2))
@settings(max_examples=25, deadline=None)
def test_labels_are_moved_as_predictions_are(shift: float, scale: float, turn_deg: float) -> None:
    label = labels()
    centre = label.mean(axis=(0, 1))
    turn = np.radians(turn_deg)
    rotation = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    pred = scale * (label - centre) @ rotation + centre + shift
    found = fit(pred, label)
    assert found.rotation_deg.value == pytest.approx(-turn_deg, abs=0.02)
    moved = moved_as_others(pred, label)
    assert moved is not None
    assert moved == pytest.approx(pred, abs=1e-6)


@pytest.mark.parametrize("noise", [2.0, 10.0, 30.0])
def test_noise_alone_is_no_scale(noise: float) -> None:
    """Regressed the other way round, noise of predictions shrinks the factor in nearly every set."""
    rng = np.random.default_rng(4)
    wrong = 0
    for seed in range(40):
        label = labels(24)
        found = fit_systematic_error(
            label + rng.normal(0, noise, label.shape), label, resamples=200, seed=seed
        )
        assert found is not None
        scales = (found.scale_x, found.scale_y, found.outline_x, found.outline_y)
        wrong += any(e.clearly_excludes(1.0) and abs(e.value - 1) >= 0.01 for e in scales)
    assert wrong <= 1


def test_constant_predictions_follow_nothing() -> None:
    label = labels()
    rng = np.random.default_rng(5)
    assert fit_systematic_error(np.full_like(label, 50.0), label, resamples=200) is None
    assert fit_systematic_error(50.0 + rng.normal(0, 1, label.shape), label, resamples=200) is None


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
    # Two vertebrae, and the corner that is missing.
    assert found.keypoints == clean.keypoints - 9
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
    assert "In heatmap cells places of vertebrae have to be scaled by 0.00233 in x (0.0023" in tiny


def test_an_interval_that_holds_nothing_says_nothing() -> None:
    none, unsure = Fitted(0.0, -1.0, 1.0), Fitted(0.5, -0.1, 1.1)
    one = Fitted(1.0, 0.9, 1.1)
    found = SystematicError(
        unsure,
        unsure,
        one,
        one,
        none,
        one,
        one,
        (0.0, 0.0),
        100,
        30,
        False,
        ((none, none),) * 4,
        (45.0, 25.0),
        30,
    )
    assert explain_systematic_error(found, found) is None


def test_outlines_and_corners_in_words() -> None:
    label = labels()
    around = label.reshape(30, 5, 4, 2)
    middles = around.mean(axis=2, keepdims=True)
    wide = (middles + [1.11, 0.9] * (around - middles)).reshape(label.shape)
    assert in_both(wide, label) == (
        "Vertebrae lie where they belong, but their outlines are 11 % too wide and 10 % too short."
    )
    biased = around.copy()
    biased[:, :, 0, 0] -= 12.0
    sentence = in_both(biased.reshape(label.shape), label)
    # It moves the middle by 3 px, which is no shift of the whole.
    assert sentence is not None
    assert sentence.startswith("Corners are not placed alike: about the middle of their vertebra upper left")
    # One corner out and the others in by a third keep middle and width: nothing but a bias is left.
    skewed = around + np.array([[-9.0, 0.0], [-9.0, 0.0], [9.0, 0.0], [9.0, 0.0]])
    found = fit(skewed.reshape(label.shape), label)
    assert [x.value for x, _ in found.corners] == pytest.approx([-9.0, -9.0, 9.0, 9.0], abs=0.01)
    sentence = in_both(skewed.reshape(label.shape), label)
    assert sentence is not None
    assert "corners lie 9.0 px too far" in sentence


def test_offsets_of_corners_equal_the_formula_written_out() -> None:
    label = labels(25)
    pred = label + np.random.default_rng(0).normal(0, 2, label.shape)
    found = fit(pred, label)
    around = [points.reshape(25, 5, 4, 2) for points in (label, pred)]
    of_label, of_pred = (points - points.mean(axis=2, keepdims=True) for points in around)
    slopes = [1 / found.outline_x.value, 1 / found.outline_y.value]
    expected = (of_pred - slopes * of_label).mean(axis=(0, 1))
    assert [[x.value, y.value] for x, y in found.corners] == [pytest.approx(row) for row in expected]


@pytest.mark.parametrize(("images", "said"), [(19, False), (20, True), (38, False)])
def test_twenty_units_before_anything_is_said(images: int, said: bool) -> None:
    label = labels(images)
    units = np.arange(images) // (2 if images == 38 else 1)
    pred = label * 0.9
    found = [fit_systematic_error(pred / per, label / per, units, resamples=200) for per in (1, 4)]
    assert found[0] is not None
    assert found[0].units == units.max() + 1
    assert (explain_systematic_error(found[0], found[1]) is not None) == said


@pytest.mark.filterwarnings("error")
def test_a_corner_that_nobody_marked_has_no_offset() -> None:
    label = labels()
    label[:, 2::4] = np.nan
    found = fit(label + 1.0, label)
    assert np.isnan(found.corners[2][0].value)
    assert not found.corners[2][0].clearly_excludes(0.0)
    assert found.shift_x.value == pytest.approx(-1.0)
