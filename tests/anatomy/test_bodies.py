"""Sizes of bodies and bias of corners that are put into predictions are found again, and no others."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mahtdiag.anatomy.bodies import FEWEST_UNITS, BodyErrors, fit_bodies
from mahtdiag.anatomy.systematic_words import explain_bodies
from mahtdiag.schema.skeleton import AP

from .spines import Floats, natural_spines

COUNT = 30


def labels() -> Floats:
    return natural_spines(AP, COUNT)


def resized(label: Floats, width: float, height: float) -> Floats:
    """Bodies of other sizes about their middles, along and across their endplates; body by body."""
    made = label.copy()
    for n in range(len(label)):
        for v in range(len(AP.vertebrae)):
            body = label[n, 4 * v : 4 * v + 4]
            along = body[1] - body[0] + body[3] - body[2]
            along = along / np.linalg.norm(along)
            across = np.array([-along[1], along[0]])
            for corner in range(4):
                off = body[corner] - body.mean(axis=0)
                moved = width * (off @ along) * along + height * (off @ across) * across
                made[n, 4 * v + corner] = body.mean(axis=0) + moved
    return made


def noisy(points: Floats, size: float = 0.5) -> Floats:
    return points + np.random.default_rng(5).normal(0, size, points.shape)


def fit(pred: Floats, label: Floats) -> BodyErrors:
    found = fit_bodies(pred, label, np.arange(len(label)))
    assert found is not None
    return found


@settings(max_examples=15, deadline=None)
@given(st.floats(0.95, 1.05), st.floats(0.95, 1.05))
def test_sizes_are_recovered(width: float, height: float) -> None:
    label = labels()
    found = fit(noisy(resized(label, width, height), 0.01), label)
    assert found.width.scale.value == pytest.approx(width, abs=2e-3)
    assert found.height.scale.value == pytest.approx(height, abs=2e-3)


def test_against_bodies_one_by_one() -> None:
    """Σ of predicted over Σ of labelled widths, and the mean error before and after, written out."""
    label = labels()
    pred = noisy(resized(label, 0.97, 0.98), 0.3)
    found = fit(pred, label)
    assert found.vertebrae == COUNT * len(AP.vertebrae), "none is a mistake of another kind"
    sums = np.zeros(2)
    for n in range(COUNT):
        for v in range(len(AP.vertebrae)):
            body = label[n, 4 * v : 4 * v + 4]
            along = body[1] - body[0] + body[3] - body[2]
            along = along / np.linalg.norm(along)
            for place, points in enumerate((pred[n, 4 * v : 4 * v + 4], body)):
                sums[place] += (points[1] - points[0] + points[3] - points[2]) @ along
    assert found.width.scale.value == pytest.approx(sums[0] / sums[1])
    undone = resized(pred, 1 / found.width.scale.value, 1 / found.height.scale.value)
    before, after = (np.linalg.norm(points - label, axis=-1).mean() for points in (pred, undone))
    assert found.gain.value == pytest.approx(1 - after / before)


@pytest.mark.parametrize("turn", [0.0, 0.3, 2.0])
def test_translation_scale_and_rotation_change_nothing(turn: float) -> None:
    label = labels()
    pred = noisy(resized(label, 0.97, 1.02))
    usual = fit(pred, label)
    matrix = 2.5 * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    moved = fit(pred @ matrix.T + [300, -50], label @ matrix.T + [300, -50])
    assert moved.width.scale.value == pytest.approx(usual.width.scale.value)
    assert moved.gain.value == pytest.approx(usual.gain.value)
    for one, other in zip(moved.corners, usual.corners, strict=True):
        assert [e.value for e in one] == pytest.approx([e.value for e in other])


def test_a_corner_that_lies_off_is_told_in_percent_of_the_width() -> None:
    label = labels()
    pred = label.copy().reshape(COUNT, -1, 4, 2)
    bodies = label.reshape(COUNT, -1, 4, 2)
    along = bodies[:, :, 1] - bodies[:, :, 0] + bodies[:, :, 3] - bodies[:, :, 2]
    pred[:, :, 3] += 0.04 * along / 2
    found = fit(noisy(pred.reshape(label.shape), 0.1), label)
    values = [corner[0].value for corner in found.corners]
    assert values == pytest.approx([0, 0, 0, 4.0], abs=0.2)
    assert found.corners[3][0].excludes(0.0)


def test_what_is_said() -> None:
    label = labels()
    narrow = explain_bodies(fit(noisy(resized(label, 0.96, 1.0)), label), None)
    assert narrow is not None
    assert narrow.startswith("Vertebrae are predicted 4.0 % too narrow (")
    assert "inwards" in narrow
    both = explain_bodies(fit(noisy(resized(label, 1.05, 0.95)), label), None)
    assert both is not None
    assert "5.0 % too wide (" in both
    assert "% too short (" in both
    assert "wards" not in both
    assert explain_bodies(fit(noisy(label, 3.0), label), None) is None
    off = fit(noisy(resized(label, 0.96, 1.0)), label)
    assert (
        explain_bodies(off, "Vertebrae lie where they belong, but their outlines are 4 % too narrow.") is None
    )
    assert explain_bodies(None, None) is None


def test_mistakes_of_another_kind_are_left_out() -> None:
    label = labels()
    pred = noisy(label)
    pred[0, :4] = label[0, 4:8]
    pred[1, :4] = label[1, [1, 0, 3, 2]]
    found = fit(pred, label)
    assert found.vertebrae <= COUNT * len(AP.vertebrae) - 2
    assert found.width.scale.value == pytest.approx(1.0, abs=0.01)


def test_too_little_to_say_anything() -> None:
    few = FEWEST_UNITS - 1
    label = labels()
    assert fit_bodies(label[:few], label[:few], np.arange(few)) is None
    assert fit_bodies(label, label, np.arange(COUNT) // 2) is None
    nothing = np.full_like(label, np.nan)
    assert fit_bodies(nothing, label, np.arange(COUNT)) is None
    assert fit_bodies(np.zeros_like(label), np.zeros_like(label), np.arange(COUNT)) is None
    assert fit_bodies(label, label, np.arange(COUNT)) is None, "no spread, no interval"
