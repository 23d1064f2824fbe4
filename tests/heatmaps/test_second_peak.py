"""The second peak against a loop over all cells, and what must not change it."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mahtdiag.heatmaps.decoding import HeatmapReading, read_heatmaps
from mahtdiag.schema.choices import DecodeMethod, HeatmapFlag
from mahtdiag.schema.model_spec import Decoding

from . import naive

EXAMPLES = settings(max_examples=30, deadline=None)


def read(heatmaps: naive.Array, sigma: float) -> HeatmapReading:
    """`[K, H, W]` as one image."""
    return read_heatmaps(torch.from_numpy(heatmaps)[None], Decoding(sigma, DecodeMethod.DARK))


def by_loop(heatmap: naive.Array, sigma: float) -> tuple[float, float, float]:
    """Share and place (x, y) of the highest cell beyond 3 σ that stands above the cells around it."""
    px, py = naive.argmax(heatmap)
    height, width = heatmap.shape
    best = (0.0, math.nan, math.nan)
    for y in range(height):
        for x in range(width):
            value = heatmap[y, x]
            if (x - px) ** 2 + (y - py) ** 2 <= 9 * sigma**2 or value < 0.25 * heatmap[py, px]:
                continue
            around = [(y + j, x + i) for j in (-1, 0, 1) for i in (-1, 0, 1) if (j, i) != (0, 0)]
            inside = [(j, i) for j, i in around if 0 <= j < height and 0 <= i < width]
            lower = all(heatmap[c] < value if c < (y, x) else heatmap[c] <= value for c in inside)
            if lower and value / heatmap[py, px] > best[0]:
                best = (value / heatmap[py, px], float(x), float(y))
    return best


@EXAMPLES
@given(
    seed=st.integers(0, 10**6),
    width=st.sampled_from([7, 36, 128, 256]),
    sigma=st.sampled_from([0.4, 0.8, 1.5, 2.7]),
    kind=st.sampled_from(["noise", "steps", "blobs", "broad", "leaning"]),
)
def test_equals_a_loop_over_all_cells(seed: int, width: int, sigma: float, kind: str) -> None:
    random = np.random.default_rng(seed)
    heatmaps = random.normal(0.1, 1.0, (3, 20, width))
    if kind == "steps":
        heatmaps = np.round(2 * heatmaps) / 2
    if kind in ("blobs", "broad", "leaning"):
        wide = {"blobs": 1, "broad": 3, "leaning": 2}[kind] * sigma
        places = random.uniform(0, 1, (3, 3, 2)) * (width, 20)
        heatmaps = np.stack(
            [
                sum((naive.gaussian(x, y, wide, 20, width) for x, y in of), np.zeros((20, width)))
                for of in places
            ]
        )
    reading = read(heatmaps, sigma)
    for k in range(3):
        diffuse = naive.diffuse(heatmaps[k], sigma, 128 if width % 128 == 0 else width)
        assert bool(reading.flags[0, k] & HeatmapFlag.DIFFUSE) == diffuse
        share, x, y = (math.nan,) * 3 if diffuse else by_loop(heatmaps[k], sigma)
        assert reading.second.share[0, k].item() == pytest.approx(share, rel=1e-12, nan_ok=True)
        np.testing.assert_array_equal(reading.second.points[0, k].numpy(), (x, y))


@pytest.mark.parametrize(("distance", "found"), [(2.9, False), (3.1, True)])
@pytest.mark.parametrize("share", [0.49, 0.51])
@pytest.mark.parametrize("offset", [(25, 0), (0, -25), (15, 20)])
def test_planted(distance: float, found: bool, share: float, offset: tuple[int, int]) -> None:
    sigma = 25 / distance
    x, y = 64.0 + offset[0], 64.0 + offset[1]
    heatmap = naive.gaussian(64, 64, 1.0, 128, 128) + share * naive.gaussian(x, y, 1.0, 128, 128)
    reading = read(heatmap[None], sigma)
    expected = (share, x, y) if found else (0.0, math.nan, math.nan)
    assert reading.second.share.item() == pytest.approx(expected[0], abs=1e-9)
    assert reading.second.points.flatten().tolist() == pytest.approx(expected[1:], abs=1e-9, nan_ok=True)


def test_a_shoulder_is_no_peak() -> None:
    broad = naive.gaussian(30, 30, 9.0, 64, 128)
    assert read(broad[None], 2.0).second.share.item() == 0


@EXAMPLES
@given(seed=st.integers(0, 10**6), dx=st.integers(0, 60), dy=st.integers(0, 10), scale=st.floats(1e-6, 1e6))
def test_translation_and_amplitude(seed: int, dx: int, dy: int, scale: float) -> None:
    random = np.random.default_rng(seed)
    patch = random.random((20, 60))
    here, there = np.zeros((1, 40, 128)), np.zeros((1, 40, 128))
    here[0, 5:25, 2:62] = patch
    there[0, 5 + dy : 25 + dy, 2 + dx : 62 + dx] = scale * patch
    one, two = read(here, 2.0), read(there, 2.0)
    assert two.second.share.item() == pytest.approx(one.second.share.item(), rel=1e-9)
    moved = one.second.points.flatten().numpy() + np.array([dx, dy])
    np.testing.assert_array_equal(two.second.points.flatten().numpy(), moved)


def test_alone_as_in_a_batch() -> None:
    heatmaps = torch.rand(5, 4, 40, 128, generator=torch.Generator().manual_seed(0))
    heatmaps[:, :3, 8:] *= 0.2
    decoding = Decoding(2.0, DecodeMethod.LOCAL)
    together = read_heatmaps(heatmaps, decoding)
    for i in range(5):
        alone = read_heatmaps(heatmaps[i : i + 1], decoding)
        torch.testing.assert_close(
            (alone.second.share[0], alone.second.points[0], alone.flags[0]),
            (together.second.share[i], together.second.points[i], together.flags[i]),
            rtol=0, atol=0, equal_nan=True,
        )  # fmt: skip
    assert together.second.share[:, :3].isfinite().all()
    assert together.second.share[:, 3].isnan().all()


def test_no_first_peak_no_second() -> None:
    nan, flat, negative = np.ones((3, 16, 16)) * np.array([1.0, 0.5, -1.0])[:, None, None]
    nan[3, 4] = math.nan
    negative[2, 2] = -0.5
    reading = read(np.stack([nan, flat, negative]), 1.0)
    assert reading.second.share.isnan().all()
    assert reading.second.points.isnan().all()


def test_background_of_minus_infinity() -> None:
    heatmap = np.full((1, 20, 20), -math.inf)
    heatmap[0, 3, 3], heatmap[0, 15, 10] = 2.0, 1.5
    reading = read(heatmap, 2.0)
    assert reading.second.share.item() == 0.75
    assert reading.second.points.flatten().tolist() == [10.0, 15.0]


@pytest.mark.parametrize("method", list(DecodeMethod))
def test_the_other_places_are_those_of_their_methods(method: DecodeMethod) -> None:
    heatmaps = torch.rand(2, 3, 20, 24, generator=torch.Generator().manual_seed(1))
    heatmaps[0, 0], heatmaps[0, 1, 2, 2] = 1.0, math.nan
    reading = read_heatmaps(heatmaps, Decoding(1.5, method))
    for places, of in ((reading.argmax, DecodeMethod.ARGMAX), (reading.local, DecodeMethod.LOCAL)):
        alone = read_heatmaps(heatmaps, Decoding(1.5, of)).points
        assert torch.allclose(places, alone, rtol=0, atol=0, equal_nan=True)
