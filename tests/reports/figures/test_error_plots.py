"""The pictures of errors, losses and violations show the numbers, and stand any input."""

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle, StepPatch
from numpy.typing import NDArray

from mahtdiag.anatomy.rules import RULES
from mahtdiag.diagnosis.anatomy import RuleTally
from mahtdiag.reports.figures.errors import (
    MOST_COLUMNS,
    distribution_figure,
    error_spine_figure,
    loss_figure,
    violations_figure,
)
from mahtdiag.reports.figures.style import figure_bytes, plot_style
from mahtdiag.schema.skeleton import AP, SKELETONS, Skeleton
from tests.reports.overlay.overlay_records import THORACOLUMBAR

Floats = NDArray[np.float64]
WEIGHTS = {"heatmap": 1.0, "coord": 0.5, "anatomical": 0.1, "uncertainty": 0.1}
THRESHOLDS = (2.0, 4.0, 8.0, 16.0)


def styled(make: Callable[[], Figure]) -> Figure:
    """The figure, drawn once, so that nothing in it can fail later."""
    with plot_style():
        figure = make()
        figure_bytes(figure, "svg")
    return figure


def texts(axes: Axes) -> list[str]:
    return [text.get_text() for text in axes.texts]


def errors(images: int = 30, keypoints: int = 20) -> Floats:
    """Heavy tails, a few unknown."""
    found = np.abs(np.random.default_rng(0).standard_t(3, (images, keypoints))) * 5
    found[0, :4] = np.nan
    return np.asarray(found)


def bars(axes: Axes) -> list[Rectangle]:
    return [patch for patch in axes.patches if isinstance(patch, Rectangle)]


def test_the_histogram_counts_every_known_error_once() -> None:
    upper = styled(lambda: distribution_figure(errors(), THRESHOLDS, "px")).axes[0]
    assert sum(bar.get_height() for bar in bars(upper)) == pytest.approx(1.0)


def test_the_curve_and_the_rates_are_the_shares_of_errors() -> None:
    lower = styled(lambda: distribution_figure(errors(), THRESHOLDS, "px")).axes[1]
    known = errors()[np.isfinite(errors())]
    curve = np.asarray(lower.lines[0].get_xydata())
    for x, share in curve[:: len(curve) // 20]:
        if curve[0, 0] < x < curve[-1, 0]:
            assert share == pytest.approx(sum(error <= x for error in known) / known.size)
    for threshold in THRESHOLDS:
        share = sum(error <= threshold for error in known) / known.size
        label = f"{threshold:g} px: {100 * share:.1f} %"
        (dot,) = (line for line in lower.lines if line.get_label() == label)
        np.testing.assert_allclose(np.asarray(dot.get_xydata()), [[threshold, share]])


@settings(max_examples=20, deadline=None)
@given(st.lists(st.floats(0.0, 1e9, allow_subnormal=False), min_size=1, max_size=30))
def test_any_errors_can_be_drawn(values: list[float]) -> None:
    styled(lambda: distribution_figure(np.array([values]), THRESHOLDS, "mm"))


@pytest.mark.parametrize("skeleton", [*SKELETONS, THORACOLUMBAR], ids=str)
def test_each_keypoint_has_its_mean_error(skeleton: Skeleton) -> None:
    found = np.tile(np.arange(1.0, skeleton.keypoints + 1), (3, 1))
    found[1] += 3.0
    found[2] = np.nan
    found[:, 0] = np.nan
    axes = styled(lambda: error_spine_figure(skeleton, found, "mm")).axes[0]
    shown = [text for text in texts(axes) if text not in skeleton.vertebrae]
    assert shown == ["–", *(f"{k + 2.5:.2g}" for k in range(1, skeleton.keypoints))]


def test_no_error_at_all() -> None:
    styled(lambda: error_spine_figure(AP, np.zeros((2, 20)), "px"))
    styled(lambda: distribution_figure(np.zeros((2, 20)), THRESHOLDS, "px"))


def losses(images: int) -> dict[str, Floats]:
    rng = np.random.default_rng(1)
    return {name: rng.uniform(0.5, 3.0, images) for name in WEIGHTS}


def stacked(axes: Axes) -> list[tuple[Floats, Floats]]:
    """Lower and upper edges of each part."""
    found = []
    for patch in axes.patches:
        assert isinstance(patch, StepPatch)
        values, _, baseline = patch.get_data()
        found.append((np.asarray(baseline, dtype=np.float64), np.asarray(values, dtype=np.float64)))
    return found


def test_parts_add_up_to_the_loss_of_each_image() -> None:
    parts = losses(40)
    upper, lower = styled(lambda: loss_figure(parts, WEIGHTS)).axes
    total = sum(WEIGHTS[name] * parts[name] for name in WEIGHTS)
    edges = stacked(lower)
    np.testing.assert_allclose(edges[-1][1], np.sort(np.asarray(total))[::-1])
    for (_, below), (above, _) in pairwise(edges):
        np.testing.assert_allclose(below, above)
    assert [bar.get_width() for bar in bars(upper)] == pytest.approx(
        [WEIGHTS[name] * parts[name].mean() for name in WEIGHTS]
    )


def test_many_images_are_averaged_and_a_missing_part_is_left_out() -> None:
    images = 7 * MOST_COLUMNS
    parts = {**losses(images), "uncertainty": np.full(images, np.nan)}
    edges = stacked(styled(lambda: loss_figure(parts, WEIGHTS)).axes[1])
    assert len(edges) == 3
    assert len(edges[0][1]) == MOST_COLUMNS
    total = sum(WEIGHTS[name] * parts[name].mean() for name in WEIGHTS if name != "uncertainty")
    assert edges[-1][1].mean() == pytest.approx(float(np.asarray(total)))


def test_a_negative_part_is_drawn_below_zero() -> None:
    parts = {**losses(10), "uncertainty": np.full(10, -20.0)}
    edges = stacked(styled(lambda: loss_figure(parts, WEIGHTS)).axes[1])
    np.testing.assert_allclose(edges[-1][1], -2.0)
    np.testing.assert_allclose(edges[-1][0], 0.0)


def test_rules_that_fired_and_no_others() -> None:
    counts = ((3, 0), (0, 0), (0, 2))
    tallies = [
        RuleTally(rule, images, images, images, None, None, label_images)
        for rule, (images, label_images) in zip(RULES, counts, strict=False)
    ]
    axes = styled(lambda: violations_figure(tallies)).axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == [
        f"{rule.code} {rule.title}" for rule in (RULES[0], RULES[2])
    ]
    assert [bar.get_width() for bar in bars(axes)] == [3, 0, 0, 2]
