"""Views: keypoints and their names."""

import pytest

from mahtdiag.schema.skeleton import View


@pytest.mark.parametrize(("view", "keypoints", "endplates"), [(View.AP, 20, 10), (View.LA, 22, 11)])
def test_counts(view: View, keypoints: int, endplates: int) -> None:
    assert view.keypoints == keypoints
    assert view.endplates == endplates
    assert len(view.vertebra_of) == len(view.corner_of) == len(view.keypoint_names) == keypoints
    assert len(set(view.keypoint_names)) == keypoints
    assert len(view.endplate_names) == endplates
    assert View.from_keypoints(keypoints) is view


def test_names() -> None:
    assert View.AP.vertebrae == ("L1", "L2", "L3", "L4", "L5")
    assert View.LA.vertebrae == ("L1", "L2", "L3", "L4", "L5", "S1")
    assert View.AP.keypoint_names[:5] == ("L1 UL", "L1 UR", "L1 LL", "L1 LR", "L2 UL")
    assert View.LA.keypoint_names[18:] == ("L5 LL", "L5 LR", "S1 UL", "S1 UR")
    assert View.AP.endplate_names == tuple(
        f"L{level} {side}" for level in range(1, 6) for side in ("upper", "lower")
    )
    assert View.LA.endplate_names == (*View.AP.endplate_names, "S1 upper")


@pytest.mark.parametrize("view", list(View))
def test_index_is_four_times_vertebra_plus_corner(view: View) -> None:
    for index, (vertebra, corner) in enumerate(zip(view.vertebra_of, view.corner_of, strict=True)):
        expected = 4 * view.vertebrae.index(vertebra) + ("UL", "UR", "LL", "LR").index(corner)
        assert index == expected


@pytest.mark.parametrize("view", list(View))
def test_endplates_are_pairs_of_keypoints(view: View) -> None:
    """Row e of an annotation file holds the keypoints 2e and 2e + 1: the left and the right end."""
    for row, name in enumerate(view.endplate_names):
        vertebra, side = name.split()
        for end, letter in enumerate("LR"):
            assert view.keypoint_names[2 * row + end] == f"{vertebra} {side[0].upper()}{letter}"


def test_only_the_two_views_have_a_number_of_keypoints() -> None:
    assert {count for count in range(60) if View.from_keypoints(count)} == {20, 22}


def test_written_as_in_folders_and_files() -> None:
    assert [str(view) for view in View] == ["AP", "LA"]
    with pytest.raises(ValueError, match="ap"):
        View("ap")
