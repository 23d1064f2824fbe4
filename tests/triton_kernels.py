"""The kernels of Triton against the paths in PyTorch, which are their definition.

On a CUDA device as they are compiled, else in Triton's interpreter; too heavy a package for every test run
(`make kernels`), and skipped without it.
"""

import os
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from torch import Tensor

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
if DEVICE.type == "cpu":
    os.environ["TRITON_INTERPRET"] = "1"
pytest.importorskip("triton")

from mahtdiag.engine import analysis  # noqa: E402
from mahtdiag.engine.analysis import analyse  # noqa: E402
from mahtdiag.heatmaps import fused  # noqa: E402
from mahtdiag.heatmaps.decoding import gaussian_targets  # noqa: E402
from mahtdiag.losses.heatmap import PUBLISHED_WEIGHT, REACH, FocalWeight  # noqa: E402
from mahtdiag.schema.choices import DecodeMethod, HeatmapFlag, UncertaintyFrame, UncertaintyKind  # noqa: E402
from mahtdiag.schema.model_spec import Decoding  # noqa: E402
from mahtdiag.schema.records import BatchReading, ModelOutputs, PeakPlaces  # noqa: E402

NAN, INFINITE = float("nan"), float("inf")
# Sides of maps: a stretch of 128 cells divides them or does not; wider and higher ones.
SIDES = [(64, 128), (50, 70), (24, 256), (1, 9), (7, 1)]


def maps(height: int, width: int, sigma: float, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Peaks beside labels with noise, some labels missing, and every kind of odd heatmap: `[3, 6, H, W]`."""
    generator = torch.Generator().manual_seed(seed)
    centres = torch.rand(3, 6, 2, generator=generator) * torch.tensor([width, height])
    heatmaps = gaussian_targets(
        centres + torch.randn(3, 6, 2, generator=generator), 1.1 * sigma, height, width
    ) + 0.005 * torch.randn(3, 6, height, width, generator=generator)
    for share, keypoint in ((0.6, 2), (0.24, 3), (1.0, 4)):
        place = torch.rand(2, generator=generator) * torch.tensor([width, height])
        heatmaps[0, keypoint] += share * gaussian_targets(place, sigma, height, width)
    heatmaps[1, 0] = 0.3
    heatmaps[1, 1] = torch.rand(height, width, generator=generator)
    heatmaps[1, 2] = -1 - torch.rand(height, width, generator=generator)
    heatmaps[1, 3, : height // 2] = -INFINITE
    heatmaps[1, 4] = 1e-30 * heatmaps[0, 0]
    heatmaps[1, 5] = 1e15 * heatmaps[0, 1]
    heatmaps[2, 0, 0, 0] = NAN
    heatmaps[2, 1, -1, -1] = INFINITE
    heatmaps[2, 2] = -INFINITE
    heatmaps[2, 3] = NAN
    centres[0, 1] = NAN
    centres[1, 2, 0] = NAN
    return heatmaps.to(DEVICE), centres.to(DEVICE)


def rows_of(
    heatmaps: Tensor, centres: Tensor, decoding: Decoding, weight: FocalWeight = PUBLISHED_WEIGHT
) -> Tensor:
    """What the kernels give."""
    background = weight.emphasis == "background"
    return fused.read(heatmaps, centres, decoding, gamma=weight.gamma, background=background, reach=REACH)


def both(
    heatmaps: Tensor, centres: Tensor, decoding: Decoding, weight: FocalWeight = PUBLISHED_WEIGHT
) -> tuple[BatchReading, BatchReading]:
    """What the kernels read, and PyTorch."""
    outputs = ModelOutputs(heatmaps)
    options: dict[str, Any] = {
        "input_size": (256, 128), "uncertainty_kind": None, "uncertainty_frame": UncertaintyFrame.INPUT,
        "weight": weight,
    }  # fmt: skip
    assert fused.can_read(heatmaps, decoding)
    rows = rows_of(heatmaps, centres, decoding, weight)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(analysis, "_by_kernels", lambda *_: rows)
        ours = analyse(outputs, centres, decoding, **options)()
        patched.setattr(analysis, "_by_kernels", lambda *_: None)
        return ours, analyse(outputs, centres, decoding, **options)()


def arrays(reading: BatchReading) -> dict[str, Any]:
    """Every number of a reading by its name."""
    assert reading.peaks is not None
    found = {field.name: getattr(reading, field.name) for field in fields(BatchReading)}
    found |= {field.name: getattr(reading.peaks, field.name) for field in fields(PeakPlaces)}
    return {name: value for name, value in found.items() if isinstance(value, np.ndarray)}


def agree(ours: BatchReading, theirs: BatchReading, cells: float = 1e-4) -> None:
    """Places to a ten-thousandth of a cell, spreads, values and losses to 1e-4 of themselves; flags alike."""
    mine, other = arrays(ours), arrays(theirs)
    assert mine.keys() == other.keys()
    for name, expected in other.items():
        found = mine[name]
        assert found.shape == expected.shape, name
        if name == "keypoint_share":
            # Of an endless loss no share is anything: such images are failures.
            found, expected = (np.where(np.isinf(theirs.loss_focal), 0.0, v) for v in (found, expected))
        if name in ("flags", "finite"):
            np.testing.assert_array_equal(found, expected, err_msg=name)
        else:
            np.testing.assert_allclose(found, expected, rtol=1e-4, atol=cells, err_msg=name)


@pytest.mark.parametrize("method", DecodeMethod)
@pytest.mark.parametrize(("height", "width"), SIDES)
def test_every_number_is_that_of_pytorch(height: int, width: int, method: DecodeMethod) -> None:
    agree(*both(*maps(height, width, 2.0), Decoding(2.0, method, 10.0)))


@pytest.mark.parametrize("sigma", [0.5, 3.0, 6.0])
def test_of_every_width(sigma: float) -> None:
    agree(*both(*maps(96, 128, sigma), Decoding(sigma, DecodeMethod.DARK)))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("method", [DecodeMethod.LOCAL, DecodeMethod.SOFT_ARGMAX])
def test_half_precisions_are_summed_in_float32(dtype: torch.dtype, method: DecodeMethod) -> None:
    heatmaps, centres = maps(48, 128, 2.0)
    heatmaps[1, 5] = heatmaps[0, 1]
    agree(*both(heatmaps.to(dtype), centres, Decoding(2.0, method, 10.0)))


@pytest.mark.parametrize("emphasis", ["background", "keypoint"])
@pytest.mark.parametrize("gamma", [0.0, 1.5, 2.0])
def test_every_weight_of_the_focal_loss(gamma: float, emphasis: Any) -> None:
    weight = FocalWeight(gamma, emphasis)
    agree(*both(*maps(40, 128, 2.0), Decoding(2.0, DecodeMethod.ARGMAX), weight))


def test_odd_heatmaps_are_flagged() -> None:
    ours, _ = both(*maps(64, 128, 2.0), Decoding(2.0))
    flags = ours.flags
    assert flags[1, 0] & HeatmapFlag.FLAT
    assert flags[1, 1] & HeatmapFlag.DIFFUSE
    assert flags[1, 2] & HeatmapFlag.NOT_POSITIVE
    assert (flags[2, :4] & HeatmapFlag.NOT_FINITE).all()
    assert not ours.finite[2, :3].any()
    assert ours.finite[2, 3]


def test_a_second_peak_is_found_where_it_was_put() -> None:
    centre, other = torch.tensor([40.0, 30.0]), torch.tensor([100.0, 12.0])
    heatmap = gaussian_targets(centre, 2.0, 64, 128) + 0.5 * gaussian_targets(other, 2.0, 64, 128)
    ours, _ = both(heatmap[None, None].to(DEVICE), centre[None, None].to(DEVICE), Decoding(2.0))
    assert ours.peaks is not None
    np.testing.assert_array_equal(ours.peaks.second[0, 0], [100.0, 12.0])
    assert ours.peaks.second_share[0, 0] == pytest.approx(0.5)


@settings(max_examples=10, phases=[Phase.generate], suppress_health_check=[HealthCheck.too_slow])
@given(
    seed=st.integers(0, 2**16),
    height=st.integers(2, 40),
    width=st.sampled_from([5, 64, 128, 131]),
    sigma=st.floats(0.6, 4.0),
    method=st.sampled_from(list(DecodeMethod)),
)
def test_any_heatmap(seed: int, height: int, width: int, sigma: float, method: DecodeMethod) -> None:
    agree(*both(*maps(height, width, sigma, seed), Decoding(sigma, method, 5.0)))


def test_strides_of_a_network_that_keeps_channels_last() -> None:
    heatmaps, centres = maps(32, 128, 2.0)
    ours, _ = both(heatmaps, centres, Decoding(2.0))
    others, _ = both(heatmaps.contiguous(memory_format=torch.channels_last), centres, Decoding(2.0))
    for name, expected in arrays(ours).items():
        np.testing.assert_array_equal(arrays(others)[name], expected, err_msg=name)


def test_an_image_does_not_depend_on_those_beside_it() -> None:
    heatmaps, centres = maps(32, 128, 2.0)
    whole = arrays(both(heatmaps, centres, Decoding(2.0))[0])
    for image in range(len(heatmaps)):
        part = slice(image, image + 1)
        alone = arrays(both(heatmaps[part], centres[part], Decoding(2.0))[0])
        for name, expected in whole.items():
            np.testing.assert_array_equal(alone[name], expected[part], err_msg=name)


def test_coordinates_scores_and_sigma_beside_the_heatmaps() -> None:
    heatmaps, centres = maps(32, 128, 2.0)
    generator = torch.Generator().manual_seed(5)
    head = torch.randn(3, 6, 2, generator=generator).to(DEVICE)
    outputs = ModelOutputs(heatmaps, 3 * head, head, UncertaintyKind.LOG_SIGMA, scores=head[..., 0].sigmoid())
    found = []
    for rows in (rows_of(heatmaps, centres, Decoding(2.0)), None):
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(analysis, "_by_kernels", lambda *_, rows=rows: rows)
            found.append(
                analyse(
                    outputs,
                    centres,
                    replace(Decoding(2.0), own_coords=True),
                    input_size=(64, 128),
                    uncertainty_kind=UncertaintyKind.LOG_SIGMA,
                    uncertainty_frame=UncertaintyFrame.INPUT,
                )()
            )
    agree(found[0], found[1])
    assert found[0].coords is not None
    assert found[0].sigma is not None


def test_what_is_too_large_is_left_to_pytorch() -> None:
    assert not fused.can_read(torch.zeros(1, 1, 4, 4, dtype=torch.float64), Decoding(2.0))
    assert not fused.can_read(torch.zeros(1, 1, 4, 2**10 + 1), Decoding(2.0))
    assert not fused.can_read(torch.zeros(1, 1, 2**14 + 1, 2), Decoding(2.0))
    assert not fused.can_read(torch.zeros(1, 1, 200, 200), Decoding(30.0))
    assert not fused.can_read(torch.zeros(0, 1, 4, 4), Decoding(2.0))
