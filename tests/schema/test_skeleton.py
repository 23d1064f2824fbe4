"""Skeletons: keypoints, their names and their indices."""

import pytest

from mahtdiag.schema.skeleton import AP, LA, LUMBAR, SKELETONS, Skeleton, View, skeleton_with

THORACIC = tuple(f"T{level}" for level in range(1, 13))
WHOLE = Skeleton("T1-L5", View.AP, (*THORACIC, *LUMBAR))
WITH_SACRUM = Skeleton("T1-S1", View.LA, (*THORACIC, *LUMBAR), "S1")
ALL = (*SKELETONS, WHOLE, WITH_SACRUM)


@pytest.mark.parametrize(
    ("skeleton", "keypoints", "endplates"),
    [(AP, 20, 10), (LA, 22, 11), (WHOLE, 68, 34), (WITH_SACRUM, 70, 35)],
)
def test_counts(skeleton: Skeleton, keypoints: int, endplates: int) -> None:
    assert skeleton.keypoints == keypoints
    assert skeleton.endplates == endplates
    assert len(skeleton.vertebra_of) == len(skeleton.corner_of) == len(skeleton.keypoint_names) == keypoints
    assert len(set(skeleton.keypoint_names)) == keypoints
    assert len(skeleton.endplate_names) == endplates
    assert len(skeleton.levels) == 2 * len(skeleton.vertebrae) - 1


def test_names() -> None:
    assert AP.vertebrae == ("L1", "L2", "L3", "L4", "L5")
    assert LA.vertebrae == ("L1", "L2", "L3", "L4", "L5", "S1")
    assert AP.keypoint_names[:5] == ("L1 UL", "L1 UR", "L1 LL", "L1 LR", "L2 UL")
    assert LA.keypoint_names[18:] == ("L5 LL", "L5 LR", "S1 UL", "S1 UR")
    assert AP.endplate_names == tuple(f"L{n} {side}" for n in range(1, 6) for side in ("upper", "lower"))
    assert LA.endplate_names == (*AP.endplate_names, "S1 upper")
    assert LA.levels[5:] == ("S1", "L1/L2", "L2/L3", "L3/L4", "L4/L5", "L5/S1")


@pytest.mark.parametrize("skeleton", ALL, ids=str)
def test_index_is_four_times_vertebra_plus_corner(skeleton: Skeleton) -> None:
    for index, (vertebra, corner) in enumerate(zip(skeleton.vertebra_of, skeleton.corner_of, strict=True)):
        expected = 4 * skeleton.vertebrae.index(vertebra) + ("UL", "UR", "LL", "LR").index(corner)
        assert index == expected
        assert skeleton.vertebra_index[index] == skeleton.vertebrae.index(vertebra)


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
        skeleton.keypoints_of("C3")


def test_a_count_tells_one_of_the_known_skeletons() -> None:
    assert {count: skeleton_with(count) for count in range(60) if skeleton_with(count)} == {20: AP, 22: LA}
    assert [view.skeleton for view in View] == [AP, LA]


def test_views_are_written_as_in_folders_and_files() -> None:
    assert [str(view) for view in View] == ["AP", "LA"]
    with pytest.raises(ValueError, match="ap"):
        View("ap")
