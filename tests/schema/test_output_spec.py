"""The order of a network's keypoints as people say it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mahtdiag.errors import UsageError
from mahtdiag.schema.keypoint_order import channel_order, order_option
from mahtdiag.schema.output_spec import steps_of
from mahtdiag.schema.skeleton import AP, LA, Skeleton

CORNERS_FIRST = np.arange(20).reshape(5, 4)


@pytest.mark.parametrize(
    ("text", "channels", "skeleton", "order"),
    [
        ("corner:UL,UR,LL,LR", 20, AP, range(20)),
        ("corner:UL,UR,LR,LL", 20, AP, CORNERS_FIRST[:, [0, 1, 3, 2]].ravel()),
        ("vertebrae:L5..L1", 20, AP, CORNERS_FIRST[::-1].ravel()),
        ("vertebrae:L5,L4,L3,L2,L1", 20, AP, CORNERS_FIRST[::-1].ravel()),
        ("vertebrae:T1..L5", 68, AP, range(48, 68)),
        ("vertebrae:T1..S1", 70, LA, range(48, 70)),
        ("vertebrae:L1..S1", 22, AP, range(20)),
        ("vertebrae:T12..L5; corner:ur,ul,ll,lr", 24, AP, 4 + CORNERS_FIRST[:, [1, 0, 2, 3]].ravel()),
        ("48:68", 68, AP, range(48, 68)),
        ("2:22,", 22, AP, None),
        ("0:10,12:22", 22, AP, [*range(10), *range(12, 22)]),
        (",".join(f"{v}_{c}" for c in ("LR", "UL", "UR", "LL") for v in AP.bodies), 20, AP,
         [{"LR": 0, "UL": 5, "UR": 10, "LL": 15}[c] + v for v in range(5) for c in ("UL", "UR", "LL", "LR")]),
    ],
)  # fmt: skip
def test_orders(text: str, channels: int, skeleton: Skeleton, order: object) -> None:
    if order is None:
        with pytest.raises(UsageError, match="not a list of channels"):
            channel_order(text, channels, skeleton)
    else:
        assert channel_order(text, channels, skeleton) == tuple(np.asarray(order).tolist())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("corner:UL", "name each of UL, UR, LL, LR once"),
        ("0,1", "2 channels, AP has 20"),
        ("a,b", "these are 2, the network returns 20"),
        ("1:21", "channels are 0 to 19, each at most once"),
        ("0:19,0", "channels are 0 to 19, each at most once"),
        ("vertebrae:X1", "levels are C2 to S1, as in L5..L1"),
        ("vertebrae:L1..L4", "these are 16, the network returns 20"),
        ("vertebrae:T12..L4", "L5 UL, L5 UR, L5 LL, L5 LR of AP not among them"),
        ("vertebrae:L1,L1,L2,L3,L4", "a keypoint is named twice"),
        ("left", "these are 1, the network returns 20"),
    ],
)
def test_orders_that_cannot_be(text: str, said: str) -> None:
    with pytest.raises(UsageError) as refused:
        channel_order(text, 20, AP)
    assert str(refused.value).endswith(said)


@given(st.permutations(range(20)))
def test_what_is_typed_for_an_order_brings_it_to_ours(order: list[int]) -> None:
    back = channel_order(order_option(order, AP), 20, AP)
    assert [order[channel] for channel in back] == list(range(20))


@pytest.mark.parametrize(
    ("order", "text"),
    [
        (CORNERS_FIRST[:, [0, 1, 3, 2]].ravel(), "corner:UL,UR,LR,LL"),
        (CORNERS_FIRST[:, [1, 0, 3, 2]].ravel(), "corner:UR,UL,LR,LL"),
        (CORNERS_FIRST[::-1].ravel(), "vertebrae:L5..L1"),
        (CORNERS_FIRST[::-1, [2, 3, 0, 1]].ravel(), "vertebrae:L5..L1;corner:LL,LR,UL,UR"),
    ],
)
def test_usual_orders_are_typed_in_words(order: np.ndarray, text: str) -> None:
    assert order_option(order.tolist(), AP) == text


def test_paths() -> None:
    assert steps_of("bodypart.heatmap[-1]") == ("bodypart", "heatmap", -1)
    assert steps_of("[0]['x']") == (0, "x")
    for wrong in ("", "a..b", "[", "a]", "[]", "a.[1"):
        with pytest.raises(ValueError, match="path"):
            steps_of(wrong)
