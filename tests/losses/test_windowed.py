"""Losses without rendered targets against the losses on rendered targets."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from mahtdiag.heatmaps import gaussian_targets
from mahtdiag.losses import FocalHeatmapLoss, HeatmapMSELoss
from mahtdiag.losses.heatmap import Emphasis, focal_weight
from mahtdiag.losses.windowed import windowed_heatmap_losses


def predicted(seed: int, *shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return (torch.rand(shape, generator=generator, dtype=torch.float64) - 0.2).to(dtype)


def keypoint_share(pred: Tensor, target: Tensor, gamma: float, emphasis: Emphasis) -> Tensor:
    values = focal_weight(target, gamma, emphasis) * (pred - target) ** 2
    values = values.nan_to_num(0.0)
    return (values * (target > 0.5)).sum((1, 2, 3)) / values.sum((1, 2, 3))


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    sigma=st.floats(0.5, 8.0),
    gamma=st.sampled_from([0.0, 1.0, 2.0, 3.5]),
    emphasis=st.sampled_from(["background", "keypoint"]),
    points=st.lists(st.tuples(st.floats(-60.0, 100.0), st.floats(-60.0, 100.0)), min_size=6, max_size=6),
    missing=st.sets(st.integers(0, 5), max_size=2),
)
def test_same_as_rendered(
    seed: int,
    height: int,
    width: int,
    sigma: float,
    gamma: float,
    emphasis: Emphasis,
    points: list[tuple[float, float]],
    missing: set[int],
) -> None:
    heatmaps = predicted(seed, 2, 3, height, width)
    centres = torch.tensor(points, dtype=torch.float64).view(2, 3, 2)
    centres.view(6, 2)[list(missing), 0] = torch.nan
    centres.view(6, 2)[list(missing), 1] = 3.0
    target = gaussian_targets(centres, sigma, height, width)
    losses = windowed_heatmap_losses(heatmaps, centres, sigma, gamma, emphasis)
    mse = HeatmapMSELoss(reduction="none")(heatmaps, target)
    focal = FocalHeatmapLoss(gamma, emphasis, "none")(heatmaps, target)
    share = keypoint_share(heatmaps, target, gamma, emphasis)
    for found, expected in ((losses.mse, mse), (losses.focal, focal), (losses.keypoint_share, share)):
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-9, equal_nan=True)
    assert losses.finite.all()


def test_float32_agrees_with_float64() -> None:
    heatmaps = predicted(1, 2, 20, 128, 96)
    centres = 100.0 * torch.rand(2, 20, 2, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    double = windowed_heatmap_losses(heatmaps, centres, 2.0)
    single = windowed_heatmap_losses(heatmaps.float(), centres.float(), 2.0)
    for name in ("mse", "focal", "keypoint_share"):
        torch.testing.assert_close(getattr(single, name).double(), getattr(double, name), rtol=1e-5, atol=0.0)


def test_a_nearly_perfect_prediction_keeps_its_digits() -> None:
    centres = torch.tensor([[[31.3, 20.8]]])
    target = gaussian_targets(centres.double(), 2.0, 64, 64)
    heatmaps = (target + 1e-4).float()
    losses = windowed_heatmap_losses(heatmaps, centres, 2.0)
    assert losses.mse.item() == pytest.approx(1e-8, rel=2e-3)


def test_nothing_labelled_and_nothing_wrong() -> None:
    heatmaps = predicted(3, 2, 2, 20, 20)
    centres = torch.full((2, 2, 2), torch.nan, dtype=torch.float64)
    centres[1] = 9.0
    losses = windowed_heatmap_losses(heatmaps, centres, 2.0)
    assert losses.mse.isnan().tolist() == [True, False]
    assert losses.focal.isnan().tolist() == [True, False]
    assert losses.keypoint_share.isnan().tolist() == [True, False]
    assert losses.finite.all()


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("place", [(0, 0), (9, 9), (31, 12)])
def test_what_is_not_finite_is_found_wherever_it_is(value: float, place: tuple[int, int]) -> None:
    heatmaps = predicted(4, 2, 3, 32, 32)
    heatmaps[1, 2, place[0], place[1]] = value
    centres = torch.full((2, 3, 2), 9.0, dtype=torch.float64)
    losses = windowed_heatmap_losses(heatmaps, centres, 1.0)
    assert losses.finite.tolist() == [[True, True, True], [True, True, False]]
    assert losses.mse.isfinite().tolist() == [True, False]
    unlabelled = centres.clone()
    unlabelled[1, 2] = torch.nan
    assert windowed_heatmap_losses(heatmaps, unlabelled, 1.0).mse.isfinite().all()


def test_images_and_keypoints_do_not_see_each_other() -> None:
    heatmaps = predicted(5, 3, 4, 30, 26)
    centres = 26.0 * torch.rand(3, 4, 2, generator=torch.Generator().manual_seed(6), dtype=torch.float64)
    together = windowed_heatmap_losses(heatmaps, centres, 1.7)
    for image in range(3):
        alone = windowed_heatmap_losses(heatmaps[image : image + 1], centres[image : image + 1], 1.7)
        torch.testing.assert_close(alone.focal[0], together.focal[image], rtol=1e-12, atol=0.0)
        single = [
            windowed_heatmap_losses(
                heatmaps[image : image + 1, k : k + 1], centres[image : image + 1, k : k + 1], 1.7
            ).mse
            for k in range(4)
        ]
        torch.testing.assert_close(torch.cat(single).mean(), together.mse[image], rtol=1e-12, atol=0.0)


def test_inputs_are_not_changed() -> None:
    heatmaps = predicted(7, 1, 2, 12, 12)
    centres = torch.tensor([[[3.0, 4.0], [torch.nan, 5.0]]], dtype=torch.float64)
    before = heatmaps.clone(), centres.clone()
    windowed_heatmap_losses(heatmaps, centres, 2.0)
    assert torch.equal(heatmaps, before[0])
    assert torch.allclose(centres, before[1], equal_nan=True)


def test_no_images() -> None:
    losses = windowed_heatmap_losses(torch.zeros(0, 20, 8, 8), torch.zeros(0, 20, 2), 2.0)
    assert losses.mse.shape == losses.focal.shape == losses.keypoint_share.shape == (0,)
    assert losses.finite.shape == (0, 20)


@pytest.mark.parametrize(
    ("heatmaps", "centres", "sigma"),
    [
        (torch.zeros(2, 8, 8), torch.zeros(2, 2), 2.0),
        (torch.zeros(1, 2, 8, 8), torch.zeros(1, 3, 2), 2.0),
        (torch.zeros(1, 2, 8, 8), torch.zeros(1, 2, 3), 2.0),
        (torch.zeros(1, 2, 8, 8), torch.zeros(1, 2, 2), 0.0),
        (torch.zeros(1, 2, 8, 8), torch.zeros(1, 2, 2), float("nan")),
    ],
)
def test_wrong_input(heatmaps: Tensor, centres: Tensor, sigma: float) -> None:
    with pytest.raises(ValueError, match=r"do not fit|must be positive"):
        windowed_heatmap_losses(heatmaps, centres, sigma)
