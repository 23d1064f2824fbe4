"""Every decoder against its definition written as loops, on heatmaps that are not Gaussians."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mahtdiag.heatmaps.decoding import expectation, gaussian_targets, read_heatmaps, soft_argmax, soft_moments
from mahtdiag.schema.choices import AVERAGING, DecodeMethod
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


@pytest.mark.parametrize(
    ("seed", "height", "width", "beta"), [(0, 7, 9, 1.0), (1, 12, 5, 30.0), (2, 64, 48, 8.0)]
)
def test_spread_of_what_is_averaged(seed: int, height: int, width: int, beta: float) -> None:
    heatmap = np.random.default_rng(seed).random((height, width))
    weights = np.exp(beta * heatmap)
    weights /= weights.sum()
    cells = [(x, y, weights[y, x]) for y in range(height) for x in range(width)]
    cx, cy = (sum(cell[2] * cell[axis] for cell in cells) for axis in (0, 1))
    expected = [
        sum(w * a * b for a, b, w in ((x - cx, x - cx, w) for x, y, w in cells)),
        sum(w * (x - cx) * (y - cy) for x, y, w in cells),
        sum(w * (y - cy) ** 2 for x, y, w in cells),
    ]
    place, spread = soft_moments(torch.from_numpy(heatmap), beta)
    assert place.tolist() == pytest.approx([cx, cy], abs=1e-9)
    assert spread.tolist() == pytest.approx(expected, abs=1e-9)


def test_two_peaks_are_as_wide_as_they_lie_apart() -> None:
    """Between two peaks the 95 % ellipse of soft-argmax holds either; that of the higher peak does not."""
    rng = np.random.default_rng(0)
    true, other = (torch.from_numpy(rng.uniform(15, 48, size=(300, 1, 2))) for _ in "ab")
    share = torch.from_numpy(rng.uniform(0.7, 1.1, size=(300, 1, 1, 1)))
    maps = torch.maximum(gaussian_targets(true, 2.0, 64, 64), share * gaussian_targets(other, 2.0, 64, 64))
    reading = read_heatmaps(maps, Decoding(2.0, DecodeMethod.SOFT_ARGMAX, 10.0))
    assert reading.averaged is not None

    def inside(spread: torch.Tensor) -> float:
        xx, xy, yy = spread.unbind(-1)
        x, y = (reading.points - true).unbind(-1)
        squared = (yy * x**2 - 2 * xy * x * y + xx * y**2) / (xx * yy - xy**2)
        return float((squared <= 5.991).double().mean())

    assert inside(reading.averaged) >= 0.9
    assert inside(reading.spread) <= 0.7


def test_only_soft_argmax_and_the_expectation_average_a_map() -> None:
    maps = torch.rand(2, 3, 16, 12)
    for method in DecodeMethod:
        averaged = read_heatmaps(maps, Decoding(2.0, method, 10.0)).averaged
        assert (averaged is not None) is (method in AVERAGING)


def test_the_spread_of_odd_maps_is_defined() -> None:
    maps = torch.zeros(3, 1, 8, 6)
    maps[1, 0, 2, 2] = math.nan
    maps[2, 0, 3, 3] = 1e6
    averaged = read_heatmaps(maps, Decoding(2.0, DecodeMethod.SOFT_ARGMAX, 10.0)).averaged
    assert averaged is not None
    assert averaged[0, 0].tolist() == pytest.approx([35 / 12, 0.0, 63 / 12], abs=1e-5)
    assert bool(averaged[1, 0].isnan().all())
    assert averaged[2, 0].tolist() == pytest.approx([1 / 12, 0.0, 1 / 12])


@pytest.mark.parametrize("seed", range(4))
def test_the_expectation_of_a_distribution_is_its_mean(seed: int) -> None:
    """Against numpy's weighted mean and covariance; a scale drops out."""
    random = np.random.default_rng(seed)
    maps = random.dirichlet(np.full(15 * 11, 0.05), (2, 3)).reshape(2, 3, 15, 11)
    reading = read_heatmaps(torch.from_numpy(maps), Decoding(2.0, DecodeMethod.EXPECTATION))
    assert reading.averaged is not None
    y, x = np.mgrid[:15, :11]
    for image in range(2):
        for k in range(3):
            weights = maps[image, k].ravel()
            cells = np.stack([x.ravel(), y.ravel()])
            mean = np.average(cells, axis=1, weights=weights)
            covariance = np.cov(cells, aweights=weights, bias=True)
            np.testing.assert_allclose(reading.points[image, k], mean, rtol=1e-9)
            np.testing.assert_allclose(
                reading.averaged[image, k], covariance[[0, 0, 1], [0, 1, 1]], rtol=1e-9
            )
    np.testing.assert_allclose(expectation(torch.from_numpy(1e3 * maps)), reading.points, rtol=1e-9)
