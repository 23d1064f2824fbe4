"""Every decoder against its definition written as loops, on heatmaps that are not Gaussians."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mahtdiag.heatmaps.decoding import read_heatmaps, soft_argmax
from mahtdiag.schema.choices import DecodeMethod
from mahtdiag.schema.model_spec import Decoding

from . import naive

EXAMPLES = settings(max_examples=20, deadline=None)
sigmas = st.sampled_from([0.8, 1.0, 1.5, 2.0, 2.7])


def rough(seed: int, x: float, y: float, sigma: float, noise: float) -> naive.Array:
    """A blob with a fainter second one, on noise."""
    random = np.random.default_rng(seed)
    blob = naive.gaussian(x, y, sigma, 32, 36) + 0.6 * naive.gaussian(x + 4, y - 3, 2 * sigma, 32, 36)
    return np.asarray(blob + noise * random.uniform(0, 1, (32, 36)))


@EXAMPLES
@given(
    seed=st.integers(0, 10**6),
    x=st.floats(12.0, 22.0),
    y=st.floats(12.0, 20.0),
    sigma=sigmas,
    noise=st.sampled_from([0.0, 0.05, 0.5]),
    scale=st.sampled_from([1e-6, 1.0, 300.0]),
)
def test_inside(seed: int, x: float, y: float, sigma: float, noise: float, scale: float) -> None:
    heatmap = scale * rough(seed, x, y, sigma, noise)
    expected = {
        DecodeMethod.ARGMAX: naive.argmax(heatmap),
        DecodeMethod.LOCAL: naive.centroid(heatmap, sigma),
        DecodeMethod.DARK: naive.dark(heatmap, sigma),
        DecodeMethod.SOFT_ARGMAX: naive.soft_argmax(heatmap, 2.0 / scale),
    }
    px, py = naive.argmax(heatmap)
    reach = max(1, round(3 * sigma) - 1) + 2
    whole_kernel = min(px, py, 35 - px, 31 - py) >= reach
    for method, place in expected.items():
        if method is DecodeMethod.DARK and not whole_kernel:
            continue
        reading = read_heatmaps(torch.from_numpy(heatmap)[None, None], Decoding(sigma, method, 2.0 / scale))
        assert reading.points.flatten().tolist() == pytest.approx(place, abs=1e-7), method
        assert reading.peak.item() == heatmap.max()
        assert reading.spread.flatten().tolist() == pytest.approx(naive.spread(heatmap, sigma), abs=1e-7)


@EXAMPLES
@given(seed=st.integers(0, 10**6), x=st.floats(-2.0, 38.0), y=st.floats(-2.0, 34.0), sigma=sigmas)
def test_anywhere(seed: int, x: float, y: float, sigma: float) -> None:
    heatmap = rough(seed, x, y, sigma, 0.05)
    reading = read_heatmaps(torch.from_numpy(heatmap)[None, None], Decoding(sigma, DecodeMethod.LOCAL))
    assert reading.points.flatten().tolist() == pytest.approx(naive.centroid(heatmap, sigma), abs=1e-7)
    assert reading.spread.flatten().tolist() == pytest.approx(naive.spread(heatmap, sigma), abs=1e-7)


@EXAMPLES
@given(
    seed=st.integers(0, 10**6),
    height=st.integers(1, 9),
    width=st.integers(1, 9),
    beta=st.floats(0.01, 100.0),
)
def test_soft_argmax(seed: int, height: int, width: int, beta: float) -> None:
    heatmap = np.random.default_rng(seed).normal(size=(height, width))
    result = soft_argmax(torch.from_numpy(heatmap), beta)
    assert result.shape == (2,)
    assert result.tolist() == pytest.approx(naive.soft_argmax(heatmap, beta), abs=1e-9)


@pytest.mark.parametrize("beta", [0.3, 1.0, 8.0])
def test_soft_argmax_gradient(beta: float) -> None:
    generator = torch.Generator().manual_seed(0)
    heatmaps = torch.randn(2, 3, 4, 5, generator=generator, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda h: soft_argmax(h, beta), heatmaps)


@pytest.mark.parametrize("beta", [0.0, -1.0, float("nan")])
def test_impossible_beta(beta: float) -> None:
    with pytest.raises(ValueError, match="beta"):
        soft_argmax(torch.zeros(3, 3), beta)


def test_soft_argmax_does_not_overflow() -> None:
    heatmap = torch.zeros(1, 1, 5, 6)
    heatmap[0, 0, 3, 4] = 3e38
    torch.testing.assert_close(soft_argmax(heatmap), torch.tensor([[[4.0, 3.0]]]))
    assert soft_argmax(heatmap, 1e30).tolist() == [[[4.0, 3.0]]]
