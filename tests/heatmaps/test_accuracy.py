"""Clean Gaussians at every sub-pixel place: how far each decoder and the spread may be off."""

import pytest
import torch
from torch import Tensor

from mahtdiag.heatmaps.decoding import HeatmapReading, decode, gaussian_targets, read_heatmaps
from mahtdiag.schema.choices import DecodeMethod, HeatmapFlag
from mahtdiag.schema.model_spec import Decoding

SIGMAS = [1.0, 1.25, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0]
DTYPES = [torch.float32, torch.float64]
DIRECT = [DecodeMethod.ARGMAX, DecodeMethod.LOCAL, DecodeMethod.DARK]
sigmas = pytest.mark.parametrize("sigma", SIGMAS)
dtypes = pytest.mark.parametrize("dtype", DTYPES, ids=str)


def inner_places(sigma: float, dtype: torch.dtype) -> tuple[Tensor, int]:
    """Centres at many places of a cell, away from the border, and the size of the map."""
    size = 2 * int(7 * sigma) + 9
    steps = torch.tensor([0.0, 0.13, 0.27, 0.4, 0.5, 0.71, 0.9], dtype=dtype)
    return (size // 2 + torch.cartesian_prod(steps, steps)).unsqueeze(0), size


def read(centres: Tensor, sigma: float, size: int, method: DecodeMethod) -> HeatmapReading:
    return read_heatmaps(gaussian_targets(centres, sigma, size, size), Decoding(sigma, method))


@sigmas
@dtypes
def test_argmax_within_half_a_cell(sigma: float, dtype: torch.dtype) -> None:
    centres, size = inner_places(sigma, dtype)
    reading = read(centres, sigma, size, DecodeMethod.ARGMAX)
    assert (reading.points - centres).abs().amax() <= 0.5 + 1e-5
    assert torch.equal(reading.points, reading.points.round())


@sigmas
@dtypes
@pytest.mark.parametrize("method", [DecodeMethod.LOCAL, DecodeMethod.DARK])
def test_local_and_dark_within_a_fiftieth_of_a_cell(
    sigma: float, dtype: torch.dtype, method: DecodeMethod
) -> None:
    centres, size = inner_places(sigma, dtype)
    points = read(centres, sigma, size, method).points
    assert points.dtype == dtype
    assert torch.linalg.vector_norm(points - centres, dim=-1).amax() <= 0.02


@sigmas
@dtypes
def test_spread_within_three_percent(sigma: float, dtype: torch.dtype) -> None:
    centres, size = inner_places(sigma, dtype)
    reading = read(centres, sigma, size, DecodeMethod.DARK)
    xx, xy, yy = reading.spread.unbind(-1)
    for variance in (xx, yy):
        assert (variance.sqrt() / sigma - 1).abs().amax() <= 0.03
    assert xy.abs().amax() <= 0.03 * sigma**2
    assert (reading.flags == HeatmapFlag.OK).all()


@sigmas
def test_peak_is_the_highest_cell(sigma: float) -> None:
    centres, size = inner_places(sigma, torch.float64)
    heatmaps = gaussian_targets(centres, sigma, size, size)
    reading = read_heatmaps(heatmaps, Decoding(sigma))
    assert torch.equal(reading.peak, heatmaps.amax((-2, -1)))


@pytest.mark.parametrize(("blob", "trained"), [(1.5, 3.0), (4.0, 2.0), (3.0, 2.0)])
def test_spread_of_a_blob_of_another_width(blob: float, trained: float) -> None:
    """The spread is what the heatmap shows, not what it was trained on."""
    centres, size = inner_places(8.0, torch.float64)
    heatmaps = gaussian_targets(centres, blob, size, size)
    xx, _, yy = read_heatmaps(heatmaps, Decoding(trained)).spread.unbind(-1)
    for variance in (xx, yy):
        assert (variance.sqrt() / blob - 1).abs().amax() <= 0.05


def test_spread_of_an_oblique_blob() -> None:
    covariance = torch.tensor([[9.0, 2.0], [2.0, 4.0]], dtype=torch.float64)
    place = torch.arange(61, dtype=torch.float64) - 30.0
    x, y = place[None, :].expand(61, 61), place[:, None].expand(61, 61)
    p = torch.linalg.inv(covariance)
    heatmap = torch.exp(-0.5 * (p[0, 0] * x * x + 2 * p[0, 1] * x * y + p[1, 1] * y * y))
    spread = read_heatmaps(heatmap[None, None], Decoding(2.5)).spread[0, 0]
    torch.testing.assert_close(spread, torch.tensor([9.0, 2.0, 4.0], dtype=torch.float64), rtol=0.03, atol=0)


@sigmas
def test_soft_argmax_finds_the_middle_of_a_symmetric_map(sigma: float) -> None:
    size = 2 * int(7 * sigma) + 9
    centre = torch.full((1, 1, 2), size // 2, dtype=torch.float64)
    heatmap = gaussian_targets(centre, sigma, size, size)
    torch.testing.assert_close(decode(heatmap, "soft-argmax"), centre, rtol=0, atol=1e-9)


def test_sharp_soft_argmax_is_close_anywhere() -> None:
    centres, size = inner_places(3.0, torch.float64)
    points = decode(gaussian_targets(centres, 3.0, size, size), "soft-argmax", beta=20.0)
    assert (points - centres).abs().amax() < 0.01


def border_places(size: int) -> Tensor:
    """Centres within 3 cells of every border and corner, and up to half a cell outside."""
    near = torch.arange(-10, 62, 6, dtype=torch.float64) / 20
    ends = torch.cat([near, size - 1 - near])
    middle = torch.tensor([size // 2 + 0.3], dtype=torch.float64)
    pairs = [(ends, middle), (middle, ends), (ends, ends)]
    return torch.cat([torch.cartesian_prod(a, b) for a, b in pairs]).unsqueeze(0)


@pytest.mark.parametrize("sigma", [1.0, 1.5, 2.0, 3.0, 4.0, 8.0])
@pytest.mark.parametrize("method", DIRECT)
def test_at_the_border(sigma: float, method: DecodeMethod) -> None:
    size = int(8 * sigma) + 24
    centres = border_places(size)
    reading = read(centres, sigma, size, method)
    assert reading.points.amin() >= 0
    assert reading.points.amax() <= size - 1
    assert (reading.points - centres).abs().amax() <= 0.5 + 1e-9
    assert reading.spread.isfinite().all()
    nearest = centres.round().clamp(0, size - 1)
    edge = (nearest == 0).any(-1) | (nearest == size - 1).any(-1)
    assert torch.equal((reading.flags & HeatmapFlag.AT_BORDER) != 0, edge)
    assert torch.equal(reading.flags & ~HeatmapFlag.AT_BORDER, torch.zeros_like(reading.flags))


@pytest.mark.parametrize("sigma", [2.0, 3.0, 4.0, 8.0])
def test_dark_is_exact_again_two_cells_from_the_border(sigma: float) -> None:
    """Smoothing with zeros beyond the border would pull it inwards by more than a cell."""
    size = int(8 * sigma) + 24
    steps = 2.0 + torch.arange(-4, 5, dtype=torch.float64) / 10
    centres = torch.cartesian_prod(steps, steps).unsqueeze(0)
    points = read(centres, sigma, size, DecodeMethod.DARK).points
    assert (points - centres).abs().amax() <= 0.05
