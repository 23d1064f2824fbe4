"""Names of keypoints as people and tools write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mahtdiag.schema.keypoint_names import place_of


@pytest.mark.parametrize(
    "name",
    [
        "L1_UL", "L1 UL", "l1-ul", "L1UL", "UL_L1", "L1.tl", "L1 upper left", "L1UpperLeft",
        "upperLeftL1",
        "L1_upper-left_corner",
        "Lumbar 1 top left", "L1/left/upper", "l1 left superior", "vertebra L1: TopLeft",
        "L1_lt", "L1_u_l", "kp_L1_sup_left",
    ],
)  # fmt: skip
def test_the_upper_left_corner_of_l1(name: str) -> None:
    assert place_of(name) == ("L1", "UL")


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("L1", ("L1", None)),
        ("lumbar_5", ("L5", None)),
        ("S1", ("S1", None)),
        ("T12_LR", ("T12", "LR")),
        ("C7 bottom right", ("C7", "LR")),
        ("UR", (None, "UR")),
        ("lr", (None, "LR")),
        ("ll", (None, "LL")),
        ("rl", (None, "LR")),
        ("bottomleft", (None, "LL")),
        ("rightupper", (None, "UR")),
        ("vertebra", (None, None)),
        ("0", (None, None)),
        ("L1 centre", (None, None)),
        ("L1_L2", (None, None)),
        ("L9_UL", (None, None)),
        ("anterior superior", (None, None)),
        ("left right", (None, None)),
        ("", (None, None)),
        ("L1" * 200, (None, None)),
    ],
)
def test_what_other_names_mean(name: str, place: tuple[str | None, str | None]) -> None:
    assert place_of(name) == place


@given(st.text(max_size=30))
def test_no_name_is_too_strange(name: str) -> None:
    vertebra, corner = place_of(name)
    assert corner in (None, "UL", "UR", "LL", "LR")
    assert vertebra is None or vertebra[0] in "CTLS"
