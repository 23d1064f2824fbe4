"""What must not change a reading, and what must change it in step."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from mahtdiag.heatmaps.decoding import HeatmapReading, gaussian_targets, read_heatmaps
from mahtdiag.schema.choices import DecodeMethod
from mahtdiag.schema.model_spec import Decoding

methods = pytest.mark.parametrize("method", list(DecodeMethod))
direct = pytest.mark.parametrize("method", [DecodeMethod.ARGMAX, DecodeMethod.LOCAL, DecodeMethod.DARK])
seeds = st.integers(0, 10**6)
EXAMPLES = settings(max_examples=8, deadline=None)


def noisy(seed: int, images: int = 2, keypoints: int = 3, height: int = 36, width: int = 40) -> Tensor:
    """Blobs near the middle, on noise of both signs."""
    generator = torch.Generator().manual_seed(seed)
    shift = torch.rand(images, keypoints, 2, generator=generator, dtype=torch.float64)
    blobs = gaussian_targets(15.0 + 6.0 * shift, 2.0, height, width)
    return blobs + 0.2 * torch.rand(blobs.shape, generator=generator, dtype=torch.float64) - 0.05


def read(heatmaps: Tensor, method: DecodeMethod) -> HeatmapReading:
    return read_heatmaps(heatmaps, Decoding(2.0, method, 20.0))


def close(a: Tensor, b: Tensor, tolerance: float = 1e-9) -> None:
    torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)


@direct
@EXAMPLES
@given(seed=seeds, dx=st.integers(-4, 4), dy=st.integers(-4, 4))
def test_moving_by_whole_cells(method: DecodeMethod, seed: int, dx: int, dy: int) -> None:
    heatmaps = noisy(seed)
    before, after = read(heatmaps, method), read(heatmaps.roll((dy, dx), (-2, -1)), method)
    close(after.points, before.points + torch.tensor([dx, dy]))
    close(after.spread, before.spread)
    close(after.peak, before.peak)


@direct
@EXAMPLES
@given(seed=seeds, exponent=st.floats(-30.0, 30.0), dtype=st.sampled_from([torch.float32, torch.float64]))
def test_the_scale_has_no_say(method: DecodeMethod, seed: int, exponent: float, dtype: torch.dtype) -> None:
    heatmaps = noisy(seed).to(dtype)
    before, after = read(heatmaps, method), read(heatmaps * 10.0**exponent, method)
    tolerance = 1e-3 if dtype == torch.float32 else 1e-9
    close(after.points, before.points, tolerance)
    close(after.spread, before.spread, tolerance)
    assert torch.equal(after.flags, before.flags)


@methods
@EXAMPLES
@given(seed=seeds)
def test_transposing_swaps_the_axes(method: DecodeMethod, seed: int) -> None:
    heatmaps = noisy(seed)
    before, after = read(heatmaps, method), read(heatmaps.mT, method)
    close(after.points, before.points.flip(-1))
    close(after.spread, before.spread.flip(-1))
    assert torch.equal(after.peak, before.peak)


@methods
@EXAMPLES
@given(seed=seeds)
def test_mirroring(method: DecodeMethod, seed: int) -> None:
    heatmaps = noisy(seed)
    before, after = read(heatmaps, method), read(heatmaps.flip(-1), method)
    close(after.points[..., 0], heatmaps.shape[-1] - 1 - before.points[..., 0])
    close(after.points[..., 1], before.points[..., 1])
    close(after.spread, before.spread * torch.tensor([1.0, -1.0, 1.0]))


@methods
@EXAMPLES
@given(seed=seeds, order=st.permutations(range(6)))
def test_every_heatmap_is_read_alone(method: DecodeMethod, seed: int, order: list[int]) -> None:
    heatmaps = noisy(seed)
    together = read(heatmaps, method)
    shuffled = read(heatmaps.flatten(0, 1)[order].view(3, 2, *heatmaps.shape[2:]), method)
    for name in ("points", "spread", "peak", "flags"):
        expected = getattr(together, name).flatten(0, 1)
        close(getattr(shuffled, name).flatten(0, 1), expected[order], 1e-12)
    single = read(heatmaps[1:, 2:], method)
    close(single.points[0, 0], together.points[1, 2], 1e-12)
    close(single.spread[0, 0], together.spread[1, 2], 1e-12)


@methods
@pytest.mark.parametrize("spoil", [0.0, torch.nan])
def test_what_else_is_in_the_batch_changes_nothing(method: DecodeMethod, spoil: float) -> None:
    heatmaps = noisy(1)
    alone = read(heatmaps[:1], method)
    others = torch.cat([heatmaps[:1], torch.full_like(heatmaps[:1], spoil)])
    others[1, :, 0, 0] = 2.0 if spoil == 0.0 else spoil
    beside = read(others, method)
    close(beside.points[:1], alone.points, 1e-12)
    close(beside.spread[:1], alone.spread, 1e-12)


@methods
def test_inputs_are_not_changed(method: DecodeMethod) -> None:
    heatmaps = noisy(2)
    heatmaps[0, 0] = 0.0
    heatmaps[0, 1, 3, 3] = torch.nan
    before = heatmaps.clone()
    read(heatmaps, method)
    assert torch.allclose(heatmaps, before, rtol=0, atol=0, equal_nan=True)


@methods
def test_memory_layout_does_not_matter(method: DecodeMethod) -> None:
    heatmaps = noisy(3)
    strided = heatmaps.permute(2, 0, 3, 1).contiguous().permute(1, 3, 0, 2)
    assert not strided.is_contiguous()
    close(read(strided, method).points, read(heatmaps, method).points, 1e-12)


def test_soft_argmax_lies_between_the_middle_and_the_peak() -> None:
    heatmaps = gaussian_targets(torch.tensor([[[8.0, 30.0]]], dtype=torch.float64), 2.0, 40, 44)
    places = [
        read_heatmaps(heatmaps, Decoding(2.0, DecodeMethod.SOFT_ARGMAX, beta)).points[0, 0]
        for beta in (1e-6, 1.0, 5.0, 20.0, 200.0)
    ]
    close(places[0], torch.tensor([21.5, 19.5], dtype=torch.float64), 1e-4)
    close(places[-1], torch.tensor([8.0, 30.0], dtype=torch.float64), 1e-3)
    x = [place[0].item() for place in places]
    assert x == sorted(x, reverse=True)


@methods
@pytest.mark.parametrize("keypoints", [20, 22])
def test_the_number_of_images_has_no_say(method: DecodeMethod, keypoints: int) -> None:
    """Bit for bit, as far as places and spreads go, in the precision of networks."""
    heatmaps = noisy(11, 16, keypoints, 48, 33).float()
    together = read(heatmaps, method)
    for size in (1, 2, 5):
        parts = [read(part, method) for part in torch.split(heatmaps, size)]
        for name in ("points", "peak", "spread", "flags", "argmax", "local"):
            joined = torch.cat([getattr(part, name) for part in parts])
            assert torch.equal(joined, getattr(together, name)), (name, size)


def test_heatmaps_full_of_peaks_are_read_a_few_images_at_a_time() -> None:
    """As many second peaks as there are places for them must not take as much memory as the heatmaps."""
    generator = torch.Generator().manual_seed(5)
    full = torch.rand(6, 4, 128, 128, generator=generator)
    # Of more rows they would be diffuse.
    full[:, :, 56:] *= 0.2
    full[2:4] = gaussian_targets(torch.full((2, 4, 2), 60.0), 2.0, 128, 128)
    together = read(full, DecodeMethod.LOCAL).second
    alone = [read(image[None], DecodeMethod.LOCAL).second for image in full]
    assert torch.equal(torch.cat([second.share for second in alone]), together.share)
    assert torch.equal(
        torch.cat([second.points for second in alone]).nan_to_num(), together.points.nan_to_num()
    )
    assert together.share[2:4].eq(0).all()
    assert together.share[:2].gt(0.9).all()
