"""The injection study makes the mistakes it names and counts who finds them."""

from dataclasses import replace

import numpy as np
import pytest

from mahtdiag.schema.skeleton import View
from tests.anatomy.spines import GAP, HEIGHT, natural_spines, sizes_for
from validation.injection import SETS, Row, clean_lines, measure, report, target_line
from validation.injection_sets import CleanSet
from validation.injections import INJECTIONS, Injection, Kind


def clean_set(view: View, count: int = 12) -> CleanSet:
    """Spines drawn by ruler, with T12 one step above."""
    points = natural_spines(view, count)
    above = points[:, :4] - [0.0, HEIGHT + GAP]
    names = tuple(f"{n}.jpg" for n in range(count))
    return CleanSet("ruler", view.skeleton, points, sizes_for(points), above, names)


def by_title(title: str) -> Injection:
    """The mistake of this name."""
    return next(injection for injection in INJECTIONS if injection.title == title)


SURE = [
    "left and right swapped", "whole image mirrored", "endplates exchanged",
    "two vertebrae exchanged", "whole spine one level up", "one level missing", "corners crossed",
    "one corner moved by 2 heights", "x and y exchanged", "grid of half the size",
    "shift by half a heatmap cell", "shift by one heatmap cell", "one keypoint NaN",
]  # fmt: skip


@pytest.mark.parametrize("view", list(View))
@pytest.mark.parametrize("title", SURE)
def test_what_must_be_named_is_named(title: str, view: View) -> None:
    # Of fewer than 20 images nothing shared is said.
    assert measure(clean_set(view, 24), by_title(title)).named == 1.0


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
    mirrored = by_title("left and right swapped")
    misnamed = Injection(mirrored.title, mirrored.change, Kind.RULES, ("A103",))
    row = measure(clean_set(View.AP), misnamed)
    assert (row.flagged, row.named) == (1.0, 0.0)


def test_the_table() -> None:
    lines = report([clean_set(View.AP)]).splitlines()
    assert lines[0] == "ruler, AP: 12 clean images"
    assert lines[1:4] == [
        "clean images beyond the natural variation: 0/12 = 0.0 % (0.0–24.2)",
        "clean images flagged: 0/12 = 0.0 % (0.0–24.2)",
        "  of those within the natural variation: 0/12 = 0.0 % (0.0–24.2), target 1 %",
    ]
    assert len(lines) == len(INJECTIONS) + 6
    assert lines[5].split() == ["left", "and", "right", "swapped", "100.0", "100.0", "100.0", "100.0", "A402"]
    assert lines[-1].startswith("† target 95 % where most are beyond, ")
    assert max(map(len, lines)) <= 80
    assert SETS >= 50


def test_clean_images_that_are_flagged_are_named() -> None:
    clean = clean_set(View.AP, 4)
    clean.points_px[1, :4] = clean.points_px[1, [1, 0, 3, 2]]
    doubted = replace(clean, doubts={"1.jpg": "swapped", "2.jpg": "not flagged"})
    lines = clean_lines(doubted)
    assert lines == [
        "clean images beyond the natural variation: 1/4 = 25.0 % (4.6–69.9)",
        "clean images flagged: 1/4 = 25.0 % (4.6–69.9)",
        "  of those within the natural variation: 0/3 = 0.0 % (0.0–56.1), target 1 %",
        "  1.jpg: A402 A404",
        "  without 1.jpg: 0/3 = 0.0 % (0.0–56.1)",
        "    (swapped)",
    ]


def test_the_target_is_for_what_takes_most_spines_out_of_the_natural_variation() -> None:
    def row(title: str, beyond: float, named_beyond: float | None) -> Row:
        return Row(title, 0.5, 0.5, beyond, named_beyond, "A2")

    rows = [row("found", 0.9, 0.96), row("within", 0.1, 0.4), row("sets", 1.0, None)]
    assert target_line(rows).endswith("1 mistakes: met by all")
    assert target_line([*rows, row("lost", 0.6, 0.94)]).endswith("2 mistakes: lost")


def test_a_small_set_is_repeated_until_there_are_enough() -> None:
    clean = clean_set(View.LA, 5)
    repeated = clean.repeated(12)
    assert repeated.points_px.shape == (15, 22, 2)
    assert len(repeated.size_px) == len(repeated.above_px) == len(repeated.names) == 15
    np.testing.assert_array_equal(repeated.points_px[5:10], clean.points_px)
    assert repeated.names[7] == clean.names[2]
    assert clean.repeated(5).names == clean.names
