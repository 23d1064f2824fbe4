"""What the anatomical loss sees, and what it is known not to see."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from mahtdiag.losses import AnatomicalStructureLoss
from mahtdiag.schema.skeleton import LL, LR, UL, UR, View

EXAMPLES = settings(max_examples=25, deadline=None)


def column(view: View = View.AP, width: float = 60.0, height: float = 40.0, gap: float = 10.0) -> Tensor:
    """One image with five equal upright boxes below each other, and S1 below them."""
    corners = torch.tensor([[0.0, 0.0], [width, 0.0], [0.0, height], [width, height]], dtype=torch.float64)
    tops = torch.arange(5, dtype=torch.float64) * (height + gap)
    boxes = (corners + torch.stack([torch.full((5,), 100.0), tops + 50.0], -1)[:, None]).reshape(20, 2)
    sacrum = torch.tensor([[100.0, 0.0], [100.0 + width, 0.0]]) + torch.tensor([0.0, 50 + 5 * (height + gap)])
    return torch.cat([boxes, sacrum])[None, : view.skeleton.keypoints].double()


def terms(points: Tensor, view: View = View.AP) -> dict[str, float]:
    return {name: value.item() for name, value in AnatomicalStructureLoss(view=view)(points).items()}


@pytest.mark.parametrize("view", list(View))
def test_a_textbook_spine_costs_nothing(view: View) -> None:
    assert max(terms(column(view), view).values()) < 1e-6


def test_order_is_the_height_that_a_vertebra_stands_above_the_one_before() -> None:
    points = column()
    swapped = points.clone()
    swapped[:, 4:8], swapped[:, 8:12] = points[:, 8:12], points[:, 4:8]
    assert terms(swapped)["order"] == pytest.approx(50.0 / 4)
    lateral = column(View.LA)
    lateral[:, 20:, 1] -= 100.0
    assert terms(lateral, View.LA)["order"] == pytest.approx((100.0 - 30.0) / 5)


@pytest.mark.parametrize("degrees", [0.5, 10.0, 45.0, 90.0])
def test_parallel_is_one_minus_the_cosine(degrees: float) -> None:
    points = column()
    angle = math.radians(degrees)
    points[:, 3] = points[:, 2] + 60.0 * torch.tensor([math.cos(angle), math.sin(angle)])
    assert terms(points)["parallel"] == pytest.approx((1 - math.cos(angle)) / 5, abs=1e-7)


def test_ten_degrees_of_one_pair_of_endplates_cost_next_to_nothing() -> None:
    """Known blind spot: clinically absurd angles are tiny in this loss."""
    points = column()
    tilt = 60.0 * math.sin(math.radians(10.0))
    for vertebra in range(5):
        points[:, 4 * vertebra + LR, 1] += tilt
    assert 0.01 < terms(points)["parallel"] < 0.016


def test_crossed_corners_are_invisible_to_parallel() -> None:
    """Known blind spot: swapped lower corners turn the edge by 180 degrees, and |dot| is 1 again."""
    points = column()
    crossed = points.clone()
    for vertebra in range(5):
        left, right = 4 * vertebra + LL, 4 * vertebra + LR
        crossed[:, left], crossed[:, right] = points[:, right], points[:, left]
    assert terms(crossed)["parallel"] == pytest.approx(terms(points)["parallel"], abs=1e-12)
    assert terms(crossed)["order"] == terms(points)["order"]


@pytest.mark.parametrize("view", list(View))
def test_left_right_mirroring_is_invisible(view: View) -> None:
    """Known blind spot, both of a flipped image and of corners that are named the wrong way round."""
    points = column(view) + 5.0 * torch.rand(
        1, view.skeleton.keypoints, 2, generator=torch.Generator().manual_seed(2)
    )
    swap = torch.arange(view.skeleton.keypoints).view(-1, 2).flip(-1).flatten()
    expected = terms(points, view)
    mirrored = points * torch.tensor([-1.0, 1.0])
    assert terms(mirrored, view) == pytest.approx(expected, abs=1e-9)
    assert terms(points[:, swap], view) == pytest.approx(expected, abs=1e-9)


def test_upper_and_lower_edges_are_told_apart() -> None:
    points = column() + torch.rand(1, 20, 2, generator=torch.Generator().manual_seed(3))
    flipped = points.clone()
    for corner, other in ((UL, LL), (UR, LR)):
        flipped[:, corner::4] = points[:, other::4]
        flipped[:, other::4] = points[:, corner::4]
    assert terms(flipped)["parallel"] == pytest.approx(terms(points)["parallel"], abs=1e-9)
    assert terms(flipped)["order"] == terms(points)["order"] == 0.0


@pytest.mark.parametrize(("width", "height", "excess"), [(300.0, 60.0, 1.0), (20.0, 80.0, 0.25)])
def test_ratio_starts_at_its_limits(width: float, height: float, excess: float) -> None:
    assert terms(column(width=width, height=height))["ratio"] == pytest.approx(excess, abs=1e-6)


def test_ratio_counts_jumps_between_neighbours() -> None:
    points = column()
    points[:, [5, 7], 0] += 12.0
    mean_width = (4 * 60.0 + 72.0) / 5
    assert terms(points)["ratio"] == pytest.approx(0.5 * (24.0 / 4) / mean_width, abs=1e-6)


@EXAMPLES
@given(
    seed=st.integers(0, 10**6),
    dx=st.floats(-500.0, 500.0),
    dy=st.floats(-500.0, 500.0),
    view=st.sampled_from(View),
)
def test_translation_changes_nothing(seed: int, dx: float, dy: float, view: View) -> None:
    generator = torch.Generator().manual_seed(seed)
    points = 100.0 * torch.rand(1, view.skeleton.keypoints, 2, generator=generator, dtype=torch.float64)
    moved = points + torch.tensor([dx, dy], dtype=torch.float64)
    assert terms(moved, view) == pytest.approx(terms(points, view), abs=1e-8)


@EXAMPLES
@given(seed=st.integers(0, 10**6), factor=st.floats(0.2, 20.0), view=st.sampled_from(View))
def test_scaling_changes_the_order_term_alone(seed: int, factor: float, view: View) -> None:
    """Known blind spot: the order term is in pixels, so it grows with the input."""
    generator = torch.Generator().manual_seed(seed)
    points = 100.0 * torch.rand(1, view.skeleton.keypoints, 2, generator=generator, dtype=torch.float64)
    before, after = terms(points, view), terms(factor * points, view)
    assert after["order"] == pytest.approx(factor * before["order"], abs=1e-9)
    assert after["parallel"] == pytest.approx(before["parallel"], abs=1e-4)
    assert after["ratio"] == pytest.approx(before["ratio"], rel=1e-3, abs=1e-4)


@EXAMPLES
@given(seed=st.integers(0, 10**6), angle=st.floats(-180.0, 180.0))
def test_rotation_leaves_parallel_and_ratio(seed: int, angle: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    points = 100.0 * torch.rand(1, 20, 2, generator=generator, dtype=torch.float64)
    c, s = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    turned = points @ torch.tensor([[c, s], [-s, c]], dtype=torch.float64)
    before, after = terms(points), terms(turned)
    assert after["parallel"] == pytest.approx(before["parallel"], abs=1e-9)
    assert after["ratio"] == pytest.approx(before["ratio"], abs=1e-9)


def test_nearly_parallel_edges_keep_their_digits_in_float32() -> None:
    points = column()
    points[:, 3::4, 1] += 0.01
    exact = terms(points)["parallel"]
    assert exact == pytest.approx(0.5 * (0.01 / 60.0) ** 2 + 2e-6 / 60.0, rel=1e-4)
    single = AnatomicalStructureLoss()(points.float()).parallel.item()
    assert single == pytest.approx(exact, rel=0.05)
