"""The expected radial error of a heatmap: against a loop over all cells, and what must not change it."""

import math
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from mahtdiag.heatmaps.decoding import gaussian_targets, read_heatmaps
from mahtdiag.heatmaps.expected_error import CUT
from mahtdiag.schema.choices import DecodeMethod
from mahtdiag.schema.model_spec import Decoding

from . import naive

BETA = 12.0
methods = pytest.mark.parametrize("method", list(DecodeMethod))
EXAMPLES = settings(max_examples=8, deadline=None)
seeds = st.integers(0, 10**6)
kinds = st.sampled_from(["blobs", "background", "noise", "negative", "minus infinity"])


def expected(heatmaps: Tensor, method: DecodeMethod, cell: tuple[float, float] = (1.0, 1.0)) -> Tensor:
    """`[B, K]`, all images with cells of this size."""
    cells = torch.tensor([cell] * len(heatmaps), dtype=heatmaps.dtype)
    found = read_heatmaps(heatmaps, Decoding(2.0, method, BETA), cells).expected_error
    assert found is not None
    return found


def of_kind(kind: str, seed: int, height: int = 20, width: int = 24) -> Tensor:
    """Two heatmaps `[1, 2, H, W]`."""
    random = np.random.default_rng(seed)
    maps = []
    for _ in range(2):
        x, y = random.uniform(4, 16, 2)
        blob = naive.gaussian(x, y, 1.7, height, width) + 0.5 * naive.gaussian(y, x, 2.0, height, width)
        noise = random.uniform(0, 1, (height, width))
        maps.append(
            {
                "blobs": blob + 0.04 * noise,
                "background": 0.3 + 0.7 * blob + 0.01 * noise,
                "noise": noise,
                "negative": blob + 0.04 * noise - 5.0,
                "minus infinity": np.where(noise < 0.2, -np.inf, blob + 0.04 * noise),
            }[kind]
        )
    return torch.from_numpy(np.stack(maps)[None])


def weights(heatmap: naive.Array, method: DecodeMethod) -> Iterator[tuple[int, int, float]]:
    """Column, row and weight of every cell, as the definition has it."""
    finite = [value for value in heatmap.flatten().tolist() if math.isfinite(value)]
    top, base = max(finite), 0.0 if max(finite) > 0 else min(finite)
    for y in range(heatmap.shape[0]):
        for x in range(heatmap.shape[1]):
            value = float(heatmap[y, x])
            if method is DecodeMethod.SOFT_ARGMAX:
                yield x, y, math.exp(BETA * (value - top))
            else:
                share = 0.0 if value == -math.inf else (value - base) / (top - base)
                cut = 0.0 if method is DecodeMethod.EXPECTATION else CUT
                yield x, y, share if share > cut else 0.0


@methods
@EXAMPLES
@given(seed=seeds, kind=kinds, cell=st.tuples(st.floats(0.2, 9.0), st.floats(0.2, 9.0)))
def test_equals_a_loop_over_all_cells(
    method: DecodeMethod, seed: int, kind: str, cell: tuple[float, float]
) -> None:
    heatmaps = of_kind(kind, seed)
    places = read_heatmaps(heatmaps, Decoding(2.0, method, BETA)).points
    found = expected(heatmaps, method, cell)
    for keypoint in range(2):
        px, py = places[0, keypoint].tolist()
        total = distance = 0.0
        for x, y, weight in weights(heatmaps[0, keypoint].numpy(), method):
            total += weight
            distance += weight * math.sqrt(((x - px) * cell[0]) ** 2 + ((y - py) * cell[1]) ** 2)
        assert found[0, keypoint].item() == pytest.approx(distance / total, rel=1e-9)


@pytest.mark.parametrize("sigma", [1.5, 2.0, 3.0])
def test_of_a_gaussian(sigma: float) -> None:
    """Of a probability its mean distance σ·√(π/2); what is cut off below 5 % of the peak is known too."""
    heatmap = gaussian_targets(torch.tensor([[[40.0, 40.0]]], dtype=torch.float64), sigma, 81, 81)
    soft = read_heatmaps(
        heatmap.log().clamp(min=-600), Decoding(2.0, DecodeMethod.SOFT_ARGMAX, 1.0), torch.ones(1, 2)
    ).expected_error
    assert soft is not None
    assert soft.item() == pytest.approx(sigma * math.sqrt(math.pi / 2), rel=0.015)
    radius = np.linspace(0, sigma * math.sqrt(-2 * math.log(CUT)), 20001)
    density = radius * np.exp(-(radius**2) / (2 * sigma**2))
    cut = float((radius * density).sum() / density.sum())
    assert expected(heatmap, DecodeMethod.ARGMAX).item() == pytest.approx(cut, rel=0.03)


@methods
@EXAMPLES
@given(seed=seeds, dx=st.integers(-4, 4), dy=st.integers(-4, 4))
def test_moving_by_whole_cells(method: DecodeMethod, seed: int, dx: int, dy: int) -> None:
    heatmaps = torch.zeros(1, 2, 60, 64, dtype=torch.float64)
    heatmaps[..., 20:40, 20:44] = of_kind("blobs", seed)
    moved = heatmaps.roll((dy, dx), (-2, -1))
    if method is not DecodeMethod.SOFT_ARGMAX:
        torch.testing.assert_close(expected(moved, method), expected(heatmaps, method))
        return
    # Soft-argmax averages the whole map: only where nothing but the blob has weight does it move along.
    far = torch.where(heatmaps == 0, -math.inf, heatmaps)
    torch.testing.assert_close(expected(far.roll((dy, dx), (-2, -1)), method), expected(far, method))


@methods
@EXAMPLES
@given(seed=seeds, factor=st.floats(1e-6, 1e6), kind=kinds)
def test_height_has_no_say_and_the_cell_is_the_unit(
    method: DecodeMethod, seed: int, factor: float, kind: str
) -> None:
    heatmaps = of_kind(kind, seed)
    before = expected(heatmaps, method)
    torch.testing.assert_close(expected(heatmaps, method, (factor, factor)), before * factor)
    if method is not DecodeMethod.SOFT_ARGMAX:
        torch.testing.assert_close(expected(heatmaps * factor, method), before, rtol=1e-6, atol=0.0)


@methods
@pytest.mark.parametrize("value", [0.0, 0.7, -3.0])
def test_flat(method: DecodeMethod, value: float) -> None:
    height, width = 7, 12
    cells = [math.hypot(x - 5.5, y - 3.0) for y in range(height) for x in range(width)]
    found = expected(torch.full((1, 1, height, width), value), method)
    assert found.item() == pytest.approx(sum(cells) / len(cells), rel=1e-5)


@methods
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_what_is_broken_is_nan_and_touches_no_other(method: DecodeMethod, value: float) -> None:
    heatmaps = of_kind("blobs", 0).float()
    alone = expected(heatmaps, method)
    heatmaps[0, 1, 3, 4] = value
    found = expected(heatmaps, method)
    assert found[0, 0].item() == pytest.approx(alone[0, 0].item())
    assert found[0, 1].isnan()
    assert expected(torch.full((1, 1, 5, 6), -math.inf), method).isnan().all()


@methods
def test_nothing_is_computed_that_nobody_asked_for(method: DecodeMethod) -> None:
    heatmaps = of_kind("blobs", 1)
    asked, not_asked = (
        read_heatmaps(heatmaps, Decoding(2.0, method, BETA), s) for s in (torch.ones(1, 2), None)
    )
    assert not_asked.expected_error is None
    assert torch.equal(asked.points, not_asked.points)
    assert torch.equal(asked.spread, not_asked.spread)
    assert read_heatmaps(heatmaps[:0], Decoding(2.0, method), torch.ones(0, 2)).expected_error is not None
