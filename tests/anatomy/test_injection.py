"""The injection benchmark makes the mistakes it names and counts who finds them."""

import numpy as np
import pytest

from benchmarks.injection import SETS, clean_flagged, measure, report
from benchmarks.injection_sets import CleanSet
from benchmarks.injections import INJECTIONS, Injection, Kind
from mahtdiag.schema.views import View

from .spines import GAP, HEIGHT, natural_spines, sizes_for


def clean_set(view: View, count: int = 12) -> CleanSet:
    """Spines drawn by ruler, with T12 one step above."""
    points = natural_spines(view, count)
    above = points[:, :4] - [0.0, HEIGHT + GAP]
    return CleanSet("ruler", view, points, sizes_for(points), above)


def by_title(title: str) -> Injection:
    """The mistake of this name."""
    return next(injection for injection in INJECTIONS if injection.title == title)


SURE = [
    "left and right swapped in one vertebra", "whole image mirrored", "endplates of one vertebra exchanged",
    "two vertebrae exchanged", "whole spine one level up", "one level missing", "corners crossed",
    "one corner moved by 2 heights", "x and y exchanged", "coordinates in a grid of half the size",
    "shift by half a heatmap cell", "shift by one heatmap cell", "one keypoint NaN",
]  # fmt: skip


@pytest.mark.parametrize("view", list(View))
@pytest.mark.parametrize("title", SURE)
def test_what_must_be_named_is_named(title: str, view: View) -> None:
    assert measure(clean_set(view), by_title(title)).named == 1.0


@pytest.mark.parametrize("injection", INJECTIONS, ids=lambda injection: injection.title)
def test_every_image_is_changed_and_the_clean_set_is_not(injection: Injection) -> None:
    clean = clean_set(View.LA)
    before = clean.points_px.copy()
    injected = injection.make(clean, np.random.default_rng(0))
    assert injected.changed.any(axis=1).all()
    assert injected.points_px.shape == before.shape
    np.testing.assert_array_equal(clean.points_px, before)


def test_only_the_named_rule_on_the_changed_keypoints_counts() -> None:
    """A mirrored vertebra is found by A402, which is no name for exchanged endplates."""
    mirrored = by_title("left and right swapped in one vertebra")
    misnamed = Injection(mirrored.title, mirrored.change, Kind.RULES, ("A103",))
    row = measure(clean_set(View.AP), misnamed)
    assert (row.flagged, row.named) == (1.0, 0.0)


def test_the_table() -> None:
    clean = clean_set(View.AP)
    lines = report([clean]).splitlines()
    assert lines[0] == "ruler, AP: 12 clean images"
    assert len(lines) == len(INJECTIONS) + 3
    assert clean_flagged(clean) == 0.0
    assert lines[2].split() == ["none", "0.0", "%"]
    assert max(map(len, lines)) <= 80
    assert SETS >= 50
