"""Skeletons: keypoints, their names and their indices."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mahtdiag.schema.skeleton import (
    AP,
    LA,
    SKELETONS,
    SPINE,
    WHOLE,
    Levels,
    Skeleton,
    View,
    levels_with,
    parse_levels,
    skeleton_with,
)

T1_TO_L5 = Skeleton.of(View.AP, Levels("T1", "L5"))
T1_TO_S1 = Skeleton.of(View.LA, Levels("T1", "S1"))
NECK = Skeleton.of(View.LA, Levels("C2", "C7"))
ALL = (*SKELETONS, T1_TO_L5, T1_TO_S1, NECK, *WHOLE)


@pytest.mark.parametrize(
    ("skeleton", "keypoints", "endplates"),
    [(AP, 20, 10), (LA, 22, 11), (T1_TO_L5, 68, 34), (T1_TO_S1, 70, 35), (NECK, 22, 11), (WHOLE[0], 92, 46)],
)
def test_counts(skeleton: Skeleton, keypoints: int, endplates: int) -> None:
    assert skeleton.keypoints == keypoints
    assert skeleton.endplates == endplates
    assert len(skeleton.vertebra_of) == len(skeleton.corner_of) == len(skeleton.keypoint_names) == keypoints
    assert len(set(skeleton.keypoint_names)) == keypoints
    assert len(skeleton.endplate_names) == endplates
    assert len(skeleton.places) == 2 * len(skeleton.vertebrae) - 1


def test_names() -> None:
    assert AP.vertebrae == ("L1", "L2", "L3", "L4", "L5")
    assert LA.vertebrae == ("L1", "L2", "L3", "L4", "L5", "S1")
    assert AP.keypoint_names[:5] == ("L1 UL", "L1 UR", "L1 LL", "L1 LR", "L2 UL")
    assert LA.keypoint_names[18:] == ("L5 LL", "L5 LR", "S1 UL", "S1 UR")
    assert AP.endplate_names == tuple(f"L{n} {side}" for n in range(1, 6) for side in ("upper", "lower"))
    assert LA.endplate_names == (*AP.endplate_names, "S1 upper")
    assert LA.places[5:] == ("S1", "L1/L2", "L2/L3", "L3/L4", "L4/L5", "L5/S1")


@pytest.mark.parametrize("skeleton", ALL, ids=str)
def test_index_is_four_times_vertebra_plus_corner(skeleton: Skeleton) -> None:
    """Less the two corners that C2 lacks."""
    missing = 2 * (skeleton.vertebrae[0] == "C2")
    for index, (vertebra, corner) in enumerate(zip(skeleton.vertebra_of, skeleton.corner_of, strict=True)):
        of_four = 4 * skeleton.vertebrae.index(vertebra) + ("UL", "UR", "LL", "LR").index(corner)
        assert index == of_four - missing
        assert skeleton.index_in_vertebrae[index] == of_four
        assert skeleton.vertebra_index[index] == skeleton.vertebrae.index(vertebra)
        assert skeleton.corner_index[index] == of_four % 4


@pytest.mark.parametrize("skeleton", ALL, ids=str)
def test_every_vertebra_has_its_corners(skeleton: Skeleton) -> None:
    """Four, but C2 its lower endplate alone and S1 its upper one."""
    for vertebra in skeleton.vertebrae:
        corners = [skeleton.corner_of[k] for k in skeleton.keypoints_of(vertebra)]
        assert corners == {"C2": ["LL", "LR"], "S1": ["UL", "UR"]}.get(vertebra, ["UL", "UR", "LL", "LR"])
    bodies = [skeleton.vertebra_of[k] for k in range(skeleton.keypoints)[skeleton.of_bodies]]
    assert list(dict.fromkeys(bodies)) == list(skeleton.bodies)
    assert len(bodies) == skeleton.body_keypoints


@pytest.mark.parametrize("skeleton", ALL, ids=str)
def test_endplates_are_pairs_of_keypoints(skeleton: Skeleton) -> None:
    """Row e of an annotation file holds the keypoints 2e and 2e + 1: the left and the right end."""
    for row, name in enumerate(skeleton.endplate_names):
        vertebra, side = name.split()
        for end, letter in enumerate("LR"):
            assert skeleton.keypoint_names[2 * row + end] == f"{vertebra} {side[0].upper()}{letter}"


@pytest.mark.parametrize("skeleton", ALL, ids=str)
def test_vertebrae_and_corners_share_out_the_keypoints(skeleton: Skeleton) -> None:
    of_vertebrae = [k for name in skeleton.vertebrae for k in skeleton.keypoints_of(name).tolist()]
    assert of_vertebrae == list(range(skeleton.keypoints))
    of_corners = [k for name in ("UL", "UR", "LL", "LR") for k in skeleton.keypoints_at(name).tolist()]
    assert sorted(of_corners) == list(range(skeleton.keypoints))
    with pytest.raises(ValueError, match="not in tuple"):
        skeleton.keypoints_of("C1")


def test_a_count_tells_one_of_the_known_skeletons() -> None:
    assert {count: skeleton_with(count) for count in range(60) if skeleton_with(count)} == {20: AP, 22: LA}
    assert [view.skeleton for view in View] == [AP, LA]


def test_views_are_written_as_in_folders_and_files() -> None:
    assert [str(view) for view in View] == ["AP", "LA"]
    with pytest.raises(ValueError, match="ap"):
        View("ap")


@given(st.sets(st.sampled_from(SPINE), min_size=1))
def test_the_shortest_run_around_some_vertebrae(names: set[str]) -> None:
    levels = Levels.around(names)
    assert levels is not None
    assert set(levels.names) >= names
    assert {levels.first, levels.last} <= names
    for above, below in pairwise(levels.names):
        assert SPINE.index(below) == SPINE.index(above) + 1
    assert Levels.around(levels.names) == levels


def test_levels_as_users_say_them() -> None:
    said = {
        "T1-L5": "T1-L5", " t10..s1 ": "T10-S1", "thoracolumbar": "T1-L5", "Cervical": "C2-C7", "T12": "T12",
        "L3,L4,L5": "L3-L5", "lumbar": None, "T1\N{EN DASH}L5": "T1-L5",
    }  # fmt: skip
    assert {text: levels and str(levels) for text, levels in ((t, parse_levels(t)) for t in said)} == said


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("L5-L1", "the upper one comes first, L5 lies below L1"),
        ("C1-C7", "no vertebra 'C1': levels are C2 to S1"),
        ("X-Y", "no vertebra 'X' and 'Y': levels are C2 to S1"),
        ("", "no vertebra '': levels are C2 to S1"),
        ("L1,L3", "L1,L3: levels follow each other from above without a gap, such as T10-L2"),
        ("L3,L2", "L3,L2: levels follow each other from above without a gap, such as T10-L2"),
        ("S1", "no vertebra with four corners in S1: take a neighbour along"),
    ],
)
def test_levels_that_are_none(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=f"^{problem}$"):
        parse_levels(text)


def test_runs_of_levels_with_a_number_of_keypoints() -> None:
    """20 points are L1 to L5 and C3 to C7, and more; those with a name come first."""
    assert [str(levels) for levels in levels_with(22)] == ["C2-C7", "L1-S1"]
    assert [str(levels) for levels in levels_with(68)][:2] == ["T1-L5", "C3-T12"]
    assert {"L1-L5", "C3-C7"} <= {str(levels) for levels in levels_with(20)}
    assert levels_with(19) == ()
    for keypoints in range(100):
        assert all(Skeleton.of(View.LA, each).keypoints == keypoints for each in levels_with(keypoints))


def test_names_of_skeletons_say_the_levels_where_they_are_not_the_usual_ones() -> None:
    assert [str(skeleton) for skeleton in ALL[:5]] == ["AP", "LA", "AP T1-L5", "LA T1-S1", "LA C2-C7"]
    assert Skeleton.of(View.AP, Levels("L1", "L5")) is AP


def test_levels_in_common() -> None:
    whole, low = Levels("T1", "L5"), Levels("L1", "S1")
    assert str(whole.shared_with(low)) == "L1-L5"
    assert whole.shared_with(Levels("C2", "C7")) is None
    assert Levels("L2", "L3").within(whole)
    assert not low.within(whole)
