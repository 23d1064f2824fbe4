"""Diffuse heatmaps: which they are, that none has a second peak, and that they are read as fast as others."""

import pytest
import torch

from benchmarks.contents import contents, seconds_by_content
from mahtdiag.heatmaps.decoding import gaussian_targets, read_heatmaps
from mahtdiag.schema.choices import DecodeMethod, HeatmapFlag
from mahtdiag.schema.model_spec import Decoding

DIFFUSE = {"noise", "untrained, sigmoid", "peaks on a background"}


def is_diffuse(heatmaps: torch.Tensor, sigma: float = 2.0) -> torch.Tensor:
    reading = read_heatmaps(heatmaps, Decoding(sigma, DecodeMethod.LOCAL))
    found = (reading.flags & int(HeatmapFlag.DIFFUSE)) != 0
    assert reading.second.share[found].isnan().all()
    assert reading.second.points[found].isnan().all()
    return found


def test_kinds_of_heatmaps() -> None:
    _, kinds = contents(images=2)
    for kind, heatmaps in kinds.items():
        if kind != "peaks in noise":
            assert is_diffuse(heatmaps).all() == (kind in DIFFUSE), kind
            assert is_diffuse(heatmaps).any() == (kind in DIFFUSE), kind


@pytest.mark.parametrize(("level", "expected"), [(0.24, False), (0.26, True)])
@pytest.mark.parametrize(("height", "width"), [(64, 48), (512, 256), (128, 100)])
def test_a_background_of_a_quarter_of_the_peak(level: float, expected: bool, height: int, width: int) -> None:
    peak = gaussian_targets(torch.tensor([[[20.0, 30.0]]]), 2.0, height, width)
    assert is_diffuse(torch.maximum(peak, torch.tensor(level))).item() is expected


@pytest.mark.parametrize("side", [12, 16, 24, 32, 64])
@pytest.mark.parametrize("sigma", [1.0, 2.0, 3.0])
def test_two_peaks_of_any_map_are_not_diffuse(side: int, sigma: float) -> None:
    """Not even where both are twice as wide as stated and fill most rows."""
    generator = torch.Generator().manual_seed(0)
    places = side * torch.rand(200, 1, 2, 2, generator=generator)
    maps = gaussian_targets(places, 2 * sigma, side, side).sum(2)
    assert not is_diffuse(maps, sigma).any()


def test_scale_and_half_precision_change_nothing() -> None:
    _, kinds = contents(images=1)
    for heatmaps in kinds.values():
        assert torch.equal(is_diffuse(heatmaps), is_diffuse(1000 * heatmaps))
    noise = kinds["noise"]
    assert torch.equal(is_diffuse(noise.bfloat16()), is_diffuse(noise.bfloat16().float()))


@pytest.mark.parametrize("method", [DecodeMethod.LOCAL, DecodeMethod.SOFT_ARGMAX])
def test_no_content_takes_much_longer(method: DecodeMethod) -> None:
    """A search through every cell took 20 to 50 times as long. Benchmark `contents` has the target, 1.5."""
    with torch.inference_mode():
        seconds = seconds_by_content(method, rounds=3, images=8)
    assert max(seconds.values()) < 4 * seconds["sharp"], seconds
