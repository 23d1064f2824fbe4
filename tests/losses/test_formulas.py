"""Each loss against its formula written as loops."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from torch import Tensor

from mahtdiag.losses import (
    AnatomicalStructureLoss,
    AWingLoss,
    FocalHeatmapLoss,
    HeatmapMSELoss,
    MAHTNetLoss,
    SmoothL1Loss,
    UncertaintyLoss,
    WingLoss,
)
from mahtdiag.schema.skeleton import Skeleton, View
from tests.anatomy.spines import ANY_SKELETON

from . import naive

MAPS = (2, 3, 2, 4)
POINTS = (2, 4, 2)
pixels = st.floats(-0.5, 1.5)
targets = st.floats(0.0, 1.0)
places = st.floats(-200.0, 700.0)
EXAMPLES = settings(max_examples=40, deadline=None)


def missing(keypoints: int) -> st.SearchStrategy[naive.Array]:
    """Which of two images' keypoints are missing: 0 or NaN, to be added."""
    return arrays(np.float64, (2, keypoints), elements=st.sampled_from([0.0, 0.0, 0.0, math.nan]))


def agree(result: Tensor, expected: list[float], tolerance: float = 1e-12) -> None:
    assert result.shape == (len(expected),)
    assert result.tolist() == pytest.approx(expected, rel=1e-10, abs=tolerance, nan_ok=True)


@EXAMPLES
@given(
    pred=arrays(np.float64, MAPS, elements=pixels),
    target=arrays(np.float64, MAPS, elements=targets),
    holes=missing(3),
    weight=arrays(np.float64, (2, 3), elements=st.floats(0.0, 3.0)),
    gamma=st.floats(0.0, 4.0),
)
def test_heatmap_losses(
    pred: naive.Array, target: naive.Array, holes: naive.Array, weight: naive.Array, gamma: float
) -> None:
    target = target + holes[..., None, None]
    p, t = torch.from_numpy(pred), torch.from_numpy(target)
    agree(HeatmapMSELoss(reduction="none")(p, t), naive.heatmaps(pred, target, naive.squared))
    weighted = HeatmapMSELoss(use_target_weight=True, reduction="none")(p, t, torch.from_numpy(weight))
    agree(weighted, naive.heatmaps(pred, target, naive.squared, weight))
    background = FocalHeatmapLoss(gamma, reduction="none")(p, t)
    agree(background, naive.heatmaps(pred, target, naive.focal(gamma, "background")))
    keypoint = FocalHeatmapLoss(gamma, "keypoint", "none")(p, t)
    agree(keypoint, naive.heatmaps(pred, target, naive.focal(gamma, "keypoint")))


@EXAMPLES
@given(
    pred=arrays(np.float64, MAPS, elements=pixels),
    target=arrays(np.float64, MAPS, elements=targets),
    omega=st.floats(0.5, 20.0),
    theta=st.floats(0.1, 1.0),
    epsilon=st.floats(0.2, 2.0),
    alpha=st.floats(1.1, 3.0),
)
def test_adaptive_wing(
    pred: naive.Array, target: naive.Array, omega: float, theta: float, epsilon: float, alpha: float
) -> None:
    result = AWingLoss(omega, theta, epsilon, alpha, "none")(torch.from_numpy(pred), torch.from_numpy(target))
    formula = naive.adaptive_wing(omega, theta, epsilon, alpha)
    agree(result, naive.heatmaps(pred, target, formula), 1e-10)


@EXAMPLES
@given(
    pred=arrays(np.float64, POINTS, elements=places),
    target=arrays(np.float64, POINTS, elements=places),
    holes=missing(4),
    omega=st.floats(0.5, 50.0),
    epsilon=st.floats(0.1, 10.0),
    beta=st.floats(0.01, 50.0),
)
def test_coordinate_losses(
    pred: naive.Array, target: naive.Array, holes: naive.Array, omega: float, epsilon: float, beta: float
) -> None:
    target = target + holes[..., None]
    p, t = torch.from_numpy(pred), torch.from_numpy(target)
    agree(
        WingLoss(omega, epsilon, "none")(p, t),
        naive.coordinates(pred, target, naive.wing(omega, epsilon)),
        1e-10,
    )
    agree(SmoothL1Loss(beta, "none")(p, t), naive.coordinates(pred, target, naive.smooth_l1(beta)), 1e-10)


@EXAMPLES
@given(
    pred=arrays(np.float64, POINTS, elements=places),
    target=arrays(np.float64, POINTS, elements=places),
    holes=missing(4),
    log_sigma=arrays(np.float64, POINTS, elements=st.floats(-1000.0, 1000.0) | st.floats(-3.0, 3.0)),
    low=st.floats(0.01, 0.9),
    high=st.floats(1.0, 100.0),
)
def test_uncertainty(
    pred: naive.Array,
    target: naive.Array,
    holes: naive.Array,
    log_sigma: naive.Array,
    low: float,
    high: float,
) -> None:
    target = target + holes[..., None]
    p, t = torch.from_numpy(pred), torch.from_numpy(target)
    loss = UncertaintyLoss(low, high, "none")
    for own in (log_sigma, log_sigma[..., 0]):
        expected = naive.uncertainty(pred, target, own, low, high)
        agree(loss(p, t, torch.from_numpy(np.ascontiguousarray(own))), expected, 1e-9)


@EXAMPLES
@pytest.mark.parametrize("skeleton", ANY_SKELETON)
@given(data=st.data())
def test_anatomical(skeleton: Skeleton, data: st.DataObject) -> None:
    k = skeleton.keypoints
    points = data.draw(arrays(np.float64, (2, k, 2), elements=places)) + data.draw(missing(k))[..., None]
    expected = [naive.anatomical(image, skeleton.first_body_keypoint) for image in points]
    parts = AnatomicalStructureLoss(view=skeleton, reduction="none")(torch.from_numpy(points))
    for name in ("order", "parallel", "ratio"):
        agree(parts[name], [image[name] for image in expected], 1e-9)
    totals = [image["order"] + 0.1 * image["parallel"] + 0.1 * image["ratio"] for image in expected]
    agree(parts.total, totals, 1e-9)


@EXAMPLES
@given(
    seed=st.integers(0, 10**6),
    weights=st.tuples(*[st.floats(0.0, 3.0)] * 4),
    use_focal=st.booleans(),
    view=st.sampled_from(View),
)
def test_combined(seed: int, weights: tuple[float, float, float, float], use_focal: bool, view: View) -> None:
    random = np.random.default_rng(seed)
    k = view.skeleton.keypoints
    pred, target = random.uniform(0, 1, (2, 2, k, 2, 3))
    p, t = random.uniform(0, 300, (2, 2, k, 2))
    log_sigma = random.uniform(-3, 3, (2, k))
    parts = MAHTNetLoss(*weights, use_focal=use_focal, view=view, reduction="none")(
        *(torch.from_numpy(a) for a in (pred, target, p, t, log_sigma))
    )
    terms = [naive.anatomical(image) for image in p]
    expected = {
        "heatmap": naive.heatmaps(
            pred, target, naive.focal(2.0, "background") if use_focal else naive.squared
        ),
        "coord": naive.coordinates(p, t, naive.wing(10.0, 2.0)),
        "anatomical": [x["order"] + 0.1 * x["parallel"] + 0.1 * x["ratio"] for x in terms],
        "uncertainty": naive.uncertainty(p, t, log_sigma, 0.1, 10.0),
    }
    for name, values in expected.items():
        agree(parts[name], values, 1e-9)
    totals = [
        sum(w * v for w, v in zip(weights, image, strict=True))
        for image in zip(*expected.values(), strict=True)
    ]
    agree(parts.total, totals, 1e-9)


def test_focal_with_gamma_zero_is_mse() -> None:
    p, t = torch.rand(2, 2, 3, 4, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    for emphasis in ("background", "keypoint"):
        assert torch.equal(FocalHeatmapLoss(0.0, emphasis)(p, t), HeatmapMSELoss()(p, t))


def test_focal_weights_at_the_keypoint_and_on_background() -> None:
    on_keypoint, off = torch.ones(1, 1, 1, 1), torch.zeros(1, 1, 1, 1)
    miss = torch.full((1, 1, 1, 1), 0.5)
    assert FocalHeatmapLoss()(miss, on_keypoint).item() == 0.0
    assert FocalHeatmapLoss()(miss, off).item() == 0.25
    assert FocalHeatmapLoss(emphasis="keypoint")(miss, on_keypoint).item() == 1.0
    assert FocalHeatmapLoss(emphasis="keypoint")(miss, off).item() == 0.25


def test_wing_and_smooth_l1_and_adaptive_wing_are_continuous_where_they_change() -> None:
    def points(d: float) -> tuple[Tensor, Tensor]:
        return torch.full((1, 1, 2), d, dtype=torch.float64), torch.zeros(1, 1, 2, dtype=torch.float64)

    def maps(d: float) -> tuple[Tensor, Tensor]:
        return torch.full((1, 1, 1, 1), 0.3 + d, dtype=torch.float64), torch.full(
            (1, 1, 1, 1), 0.3, dtype=torch.float64
        )

    step = 1e-9
    for loss, where, inputs in (
        (WingLoss(), 10.0, points),
        (SmoothL1Loss(2.0), 2.0, points),
        (AWingLoss(), 0.5, maps),
    ):
        below, above = (loss(*inputs(where + s)).item() for s in (-step, step))
        assert below == pytest.approx(above, abs=1e-6)
        assert above > below
