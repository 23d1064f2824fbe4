"""A defined answer and a flag for whatever a network may put out."""

import pytest
import torch
from torch import Tensor

from mahtdiag.heatmaps.decoding import HeatmapReading, decode, gaussian_targets, read_heatmaps
from mahtdiag.schema.choices import DecodeMethod, HeatmapFlag
from mahtdiag.schema.model_spec import Decoding

methods = pytest.mark.parametrize("method", list(DecodeMethod))
NAN = float("nan")
INF = float("inf")


def read(heatmap: Tensor, method: DecodeMethod = DecodeMethod.DARK, sigma: float = 2.0) -> HeatmapReading:
    return read_heatmaps(heatmap[None, None], Decoding(sigma, method))


def answer(reading: HeatmapReading) -> tuple[list[float], HeatmapFlag]:
    return reading.points.flatten().tolist(), HeatmapFlag(int(reading.flags))


@methods
@pytest.mark.parametrize("value", [0.0, 0.7, -3.0, 1e-30])
def test_flat(method: DecodeMethod, value: float) -> None:
    reading = read(torch.full((12, 9), value), method)
    points, flags = answer(reading)
    assert points == pytest.approx([4.0, 5.5])
    assert flags == (HeatmapFlag.FLAT if value > 0 else HeatmapFlag.FLAT | HeatmapFlag.NOT_POSITIVE)
    assert reading.peak.item() == pytest.approx(value)
    assert reading.spread.flatten().tolist() == pytest.approx([80 / 12, 0.0, 143 / 12])


@methods
@pytest.mark.parametrize("value", [NAN, INF])
@pytest.mark.parametrize("place", [(0, 0), (5, 5), (11, 8)])
def test_not_finite(method: DecodeMethod, value: float, place: tuple[int, int]) -> None:
    heatmap = gaussian_targets(torch.tensor([5.0, 5.0]), 2.0, 12, 9)
    heatmap[place] = value
    reading = read(heatmap, method)
    assert HeatmapFlag(int(reading.flags)) == HeatmapFlag.NOT_FINITE
    assert reading.points.isnan().all()
    assert reading.spread.isnan().all()
    assert not reading.peak.isfinite()


@methods
@pytest.mark.parametrize("value", [NAN, INF, -INF])
def test_nothing_finite(method: DecodeMethod, value: float) -> None:
    reading = read(torch.full((6, 6), value), method)
    assert HeatmapFlag(int(reading.flags)) == HeatmapFlag.NOT_FINITE
    assert reading.points.isnan().all()
    assert reading.spread.isnan().all()


@methods
def test_minus_infinity_is_background(method: DecodeMethod) -> None:
    """Logarithms of probabilities have it."""
    heatmap = gaussian_targets(torch.tensor([10.0, 8.0]), 2.0, 20, 20)
    heatmap[heatmap < 1e-3] = -INF
    reading = read(heatmap, method)
    points, flags = answer(reading)
    assert points == pytest.approx([10.0, 8.0], abs=0.1)
    assert flags == HeatmapFlag.OK
    assert reading.spread.isfinite().all()
    lowered = read(heatmap - 2.0, method)
    assert answer(lowered)[1] == HeatmapFlag.NOT_POSITIVE
    assert lowered.points.flatten().tolist() == pytest.approx([10.0, 8.0], abs=0.1)
    assert lowered.spread.isfinite().all()
    alone = torch.full((9, 9), -INF)
    alone[3, 4] = -1.0
    assert answer(read(alone, method)) == ([4.0, 3.0], HeatmapFlag.NOT_POSITIVE)
    assert read(alone, method).spread.isfinite().all()


@pytest.mark.parametrize("method", [DecodeMethod.ARGMAX, DecodeMethod.LOCAL, DecodeMethod.DARK])
def test_negative_everywhere(method: DecodeMethod) -> None:
    heatmap = gaussian_targets(torch.tensor([9.3, 11.6]), 2.0, 24, 24) - 5.0
    points, flags = answer(read(heatmap, method))
    assert flags == HeatmapFlag.NOT_POSITIVE
    assert points == pytest.approx([9.3, 11.6], abs=0.02 if method is DecodeMethod.LOCAL else 0.5)


def test_spread_of_a_negative_heatmap_is_that_of_its_blob() -> None:
    heatmap = gaussian_targets(torch.tensor([15.0, 15.0]), 2.0, 31, 31) - 5.0
    xx, _, yy = read(heatmap).spread.flatten().tolist()
    assert xx == pytest.approx(4.0, rel=0.06)
    assert yy == pytest.approx(4.0, rel=0.06)


@pytest.mark.parametrize("method", [DecodeMethod.ARGMAX, DecodeMethod.LOCAL, DecodeMethod.DARK])
@pytest.mark.parametrize("level", [0.0, -2.0])
def test_level_around_the_peak_but_not_everywhere(method: DecodeMethod, level: float) -> None:
    """All the cells near the first highest one are equal, and none is positive."""
    heatmap = torch.full((40, 40), level)
    heatmap[39, 39] = level - 1.0
    reading = read(heatmap, method)
    points, flags = answer(reading)
    assert points == [0.0, 0.0]
    assert flags == HeatmapFlag.NOT_POSITIVE | HeatmapFlag.AT_BORDER
    assert reading.spread.isfinite().all()


@pytest.mark.parametrize("method", [DecodeMethod.ARGMAX, DecodeMethod.LOCAL, DecodeMethod.DARK])
@pytest.mark.parametrize("place", [(0, 0), (0, 5), (11, 8), (5, 8), (6, 4), (2, 2), (1, 7)])
@pytest.mark.parametrize("height", [1e-20, 1.0, 1e30])
def test_a_single_spike(method: DecodeMethod, place: tuple[int, int], height: float) -> None:
    heatmap = torch.zeros(12, 9)
    heatmap[place] = height
    reading = read(heatmap, method)
    points, flags = answer(reading)
    assert points == [place[1], place[0]]
    edge = place[0] in (0, 11) or place[1] in (0, 8)
    assert flags == (HeatmapFlag.AT_BORDER if edge else HeatmapFlag.OK)
    assert reading.spread.flatten().tolist() == pytest.approx([1 / 12, 0.0, 1 / 12])


@methods
@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (5, 1), (2, 2), (3, 3), (4, 2), (5, 5)])
@pytest.mark.parametrize("sigma", [0.5, 2.0, 8.0])
def test_tiny_maps(method: DecodeMethod, shape: tuple[int, int], sigma: float) -> None:
    generator = torch.Generator().manual_seed(1)
    for low in (-1.0, -0.5, 0.0):
        heatmap = torch.rand(shape, generator=generator) + low
        reading = read(heatmap, method, sigma)
        x, y = reading.points.flatten().tolist()
        assert 0 <= x <= shape[1] - 1
        assert 0 <= y <= shape[0] - 1
        xx, xy, yy = reading.spread.flatten().tolist()
        assert min(xx, yy) >= 1 / 12 - 1e-7
        assert xx * yy - xy * xy >= 0
        expected = heatmap.flatten().argmax().item()
        if method is DecodeMethod.ARGMAX and heatmap.numel() > 1:
            assert y * shape[1] + x == expected


@methods
@pytest.mark.parametrize("shape", [(0, 20), (3, 0), (0, 0)])
def test_no_images_or_keypoints(method: DecodeMethod, shape: tuple[int, int]) -> None:
    reading = read_heatmaps(torch.zeros(*shape, 8, 8), Decoding(2.0, method))
    assert reading.points.shape == (*shape, 2)
    assert reading.spread.shape == (*shape, 3)
    assert reading.peak.shape == reading.flags.shape == shape


@methods
@pytest.mark.parametrize("sigma", [0.05, 1e-3, 500.0, 1e6])
def test_a_sigma_far_from_the_blob(method: DecodeMethod, sigma: float) -> None:
    """However wide the windows would be, they never exceed the map by more than its own size."""
    heatmap = gaussian_targets(torch.tensor([9.0, 8.0]), 2.0, 18, 20)
    reading = read(heatmap, method, sigma)
    assert reading.spread.isfinite().all()
    assert reading.points.amin() >= 0
    assert reading.points[..., 0].amax() <= 19
    assert reading.points[..., 1].amax() <= 17


@pytest.mark.parametrize("shape", [(3, 8, 8), (8, 8), (1, 1, 0, 8), (1, 1, 8, 0), (1, 1, 1, 8, 8)])
def test_wrong_shapes(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="heatmaps"):
        read_heatmaps(torch.zeros(shape), Decoding(2.0))


def test_impossible_settings() -> None:
    heatmaps = torch.zeros(1, 1, 8, 8)
    for sigma in (0.0, -1.0, NAN):
        with pytest.raises(ValueError, match="heatmap_sigma"):
            decode(heatmaps, sigma=sigma)
    with pytest.raises(ValueError, match="beta"):
        decode(heatmaps, "soft-argmax", beta=0.0)
    with pytest.raises(ValueError, match="centroid"):
        decode(heatmaps, "centroid")


@methods
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_half_precisions_are_read_as_float32(method: DecodeMethod, dtype: torch.dtype) -> None:
    """Coordinates in bf16 would be off by a whole cell beyond 256; what is left is the rounding of values."""
    centre = torch.tensor([300.3, 310.6])
    exact = gaussian_targets(centre, 2.0, 330, 340)
    reading = read(exact.to(dtype), method)
    assert reading.spread.dtype == reading.peak.dtype == torch.float32
    assert torch.finfo(reading.points.dtype).bits >= 32
    same = read(exact.to(dtype).float(), method)
    assert torch.equal(reading.points, same.points)
    assert torch.equal(reading.spread, same.spread)
    if method in (DecodeMethod.LOCAL, DecodeMethod.DARK):
        assert (reading.points.flatten() - centre).abs().amax() < 0.02


def test_whole_numbers_are_read_too() -> None:
    heatmap = (255 * gaussian_targets(torch.tensor([12.3, 10.6]), 2.0, 24, 24)).to(torch.uint8)
    assert read(heatmap, DecodeMethod.LOCAL).points.flatten().tolist() == pytest.approx(
        [12.3, 10.6], abs=0.02
    )


def test_a_broken_heatmap_does_not_touch_its_neighbours() -> None:
    good = gaussian_targets(torch.tensor([[[8.2, 9.7]]]), 2.0, 20, 20)
    odd = good.repeat(1, 5, 1, 1)
    odd[0, 1, 3, 3] = NAN
    odd[0, 2] = 0.0
    odd[0, 3] = INF
    for method in DecodeMethod:
        alone = read_heatmaps(good, Decoding(2.0, method))
        reading = read_heatmaps(odd, Decoding(2.0, method))
        for place in (0, 4):
            torch.testing.assert_close(reading.points[0, place], alone.points[0, 0])
            torch.testing.assert_close(reading.spread[0, place], alone.spread[0, 0])
            assert reading.flags[0, place] == HeatmapFlag.OK
