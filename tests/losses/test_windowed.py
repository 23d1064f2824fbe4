"""Losses without rendered targets against the losses on rendered targets."""

import weakref
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from mahtdiag.heatmaps.decoding import gaussian_targets
from mahtdiag.losses import FocalHeatmapLoss, HeatmapMSELoss
from mahtdiag.losses.heatmap import Emphasis, focal_weight, windowed_heatmap_losses


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


def against_drawn(
    heatmaps: Tensor,
    centres: Tensor,
    sigma: float,
    gamma: float = 2.0,
    emphasis: Emphasis = "background",
    share_within: float = 1e-5,
) -> None:
    """Compare with targets drawn and losses applied in float64, to 1e-5 relative."""
    height, width = heatmaps.shape[2:]
    target = gaussian_targets(centres.double(), sigma, height, width)
    exact = heatmaps.double()
    losses = windowed_heatmap_losses(heatmaps, centres, sigma, gamma, emphasis)
    mse = HeatmapMSELoss(reduction="none")(exact, target)
    focal = FocalHeatmapLoss(gamma, emphasis, "none")(exact, target)
    share = keypoint_share(exact, target, gamma, emphasis)
    torch.testing.assert_close(losses.mse.double(), mse, rtol=1e-5, atol=0.0)
    torch.testing.assert_close(losses.focal.double(), focal, rtol=1e-5, atol=0.0)
    torch.testing.assert_close(losses.keypoint_share.double(), share, rtol=share_within, atol=1e-30)
    assert losses.finite.all()


@pytest.mark.parametrize("emphasis", ["background", "keypoint"])
@pytest.mark.parametrize("gamma", [0.0, 1.0, 2.0])
@pytest.mark.parametrize("sigma", [0.7, 1.5, 2.0, 3.3, 8.0])
@pytest.mark.parametrize("size", [(1, 1), (2, 3), (7, 5), (16, 48), (97, 31), (64, 128), (40, 101)])
def test_labels_in_at_and_beyond_the_border(
    size: tuple[int, int], sigma: float, gamma: float, emphasis: Emphasis
) -> None:
    """In float32: corners, the middle, between cells, half outside, far outside."""
    height, width = size
    places = [
        (0.0, 0.0), (width - 1.0, height - 1.0), (width / 2, height / 2), (0.49, height - 0.51),
        (-2.5, -0.5), (width + 3 * sigma, height / 3), (-5.99 * sigma, -5.99 * sigma), (-6.5 * sigma, 0.0),
        (1e4, -1e4), (width / 3, 1e7),
    ]  # fmt: skip
    centres = torch.tensor([places, places[::-1]])
    against_drawn(predicted(11, 2, 10, height, width, dtype=torch.float32), centres, sigma, gamma, emphasis)


@pytest.mark.parametrize("noise", [1e-1, 1e-2, 1e-3, 1e-4])
@pytest.mark.parametrize("emphasis", ["background", "keypoint"])
@pytest.mark.parametrize("sigma", [0.7, 2.0, 5.0])
def test_nearly_perfect_predictions_keep_their_digits(sigma: float, emphasis: Emphasis, noise: float) -> None:
    generator = torch.Generator().manual_seed(12)
    centres = torch.rand(3, 6, 2, generator=generator) * 70 - 3
    target = gaussian_targets(centres.double(), sigma, 64, 64)
    exact = target + noise * torch.randn(target.shape, generator=generator, dtype=torch.float64)
    # Where little is wrong, the rounding of a target in float32 is a visible part of what is wrong around it.
    against_drawn(exact.float(), centres, sigma, 2.0, emphasis, share_within=max(1e-5, 1e-7 / noise))


@pytest.mark.parametrize("scale", [1e-15, 1e-6, 1.0, 1e6, 1e15])
def test_heatmaps_of_any_scale(scale: float) -> None:
    heatmaps = scale * predicted(13, 2, 3, 40, 32, dtype=torch.float32)
    centres = torch.rand(2, 3, 2, generator=torch.Generator().manual_seed(14)) * 32
    against_drawn(heatmaps, centres, 2.0)


@pytest.mark.parametrize(
    "change",
    [
        lambda maps: maps.to(memory_format=torch.channels_last),
        lambda maps: maps.mT.contiguous().mT,
        lambda maps: torch.stack([maps, maps], -1)[..., 0],
        lambda maps: torch.cat([maps, maps], 3)[..., : maps.shape[3]],
    ],
    ids=["channels last", "transposed", "every second", "cut out"],
)
def test_any_layout_in_memory(change: Callable[[Tensor], Tensor]) -> None:
    heatmaps = predicted(15, 2, 3, 40, 32)
    centres = torch.rand(2, 3, 2, generator=torch.Generator().manual_seed(16), dtype=torch.float64) * 32
    assert not change(heatmaps).is_contiguous()
    found = windowed_heatmap_losses(change(heatmaps), centres, 2.0)
    expected = windowed_heatmap_losses(heatmaps, centres, 2.0)
    torch.testing.assert_close(found.focal, expected.focal, rtol=1e-12, atol=0.0)
    torch.testing.assert_close(found.keypoint_share, expected.keypoint_share, rtol=1e-12, atol=0.0)


@settings(max_examples=30, deadline=None)
@given(
    dx=st.integers(-10, 10),
    dy=st.integers(-10, 10),
    x=st.floats(20, 40),
    y=st.floats(20, 40),
    sigma=st.floats(0.5, 1.6),
)
def test_moving_label_and_prediction_together_changes_nothing(
    dx: int, dy: int, x: float, y: float, sigma: float
) -> None:
    blob = torch.zeros(1, 1, 61, 61, dtype=torch.float64)
    blob[..., 18:43, 18:43] = predicted(17, 1, 1, 25, 25)
    centre = torch.tensor([[[x, y]]], dtype=torch.float64)
    here = windowed_heatmap_losses(blob, centre, sigma)
    there = windowed_heatmap_losses(blob.roll((dy, dx), (2, 3)), centre + torch.tensor([dx, dy]), sigma)
    torch.testing.assert_close(there.mse, here.mse, rtol=1e-9, atol=0.0)
    torch.testing.assert_close(there.focal, here.focal, rtol=1e-9, atol=0.0)


class Allocations(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch has no types here
    """The most bytes that tensors made inside held at once."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.most = 0
        self._holders: defaultdict[int, int] = defaultdict(int)
        self._bytes: dict[int, int] = {}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Count what an operation returns."""
        result = func(*args, **(kwargs or {}))
        given = {a.untyped_storage().data_ptr() for a in args if isinstance(a, Tensor)}
        for tensor in result if isinstance(result, (tuple, list)) else (result,):
            if isinstance(tensor, Tensor):
                self._hold(tensor, given)
        return result

    def _hold(self, tensor: Tensor, given: set[int]) -> None:
        place = tensor.untyped_storage().data_ptr()
        if place in given and place not in self._bytes:
            return
        self._bytes[place] = tensor.untyped_storage().nbytes()
        self._holders[place] += 1
        weakref.finalize(tensor, self._release, place)
        self.most = max(self.most, sum(self._bytes.values()))

    def _release(self, place: int) -> None:
        self._holders[place] -= 1
        if not self._holders[place]:
            self._bytes.pop(place, None)


@pytest.mark.parametrize("width", [512, 509])
def test_little_memory_beside_the_heatmaps(width: int) -> None:
    heatmaps = predicted(18, 1, 20, 512, width, dtype=torch.float32)
    centres = torch.rand(1, 20, 2, generator=torch.Generator().manual_seed(19)) * 512
    with Allocations() as counted:
        windowed_heatmap_losses(heatmaps, centres, 2.0)
    assert 1000 < counted.most < 0.05 * heatmaps.nbytes
    with Allocations() as direct:
        FocalHeatmapLoss(reduction="none")(heatmaps, gaussian_targets(centres, 2.0, 512, width))
    assert direct.most > heatmaps.nbytes
