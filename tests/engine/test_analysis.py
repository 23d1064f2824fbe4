"""The one pass over a batch against targets drawn, losses applied and heatmaps decoded one by one."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from mahtdiag.engine.analysis import analyse, as_covariance, as_sigma, sigma_in_input_pixels
from mahtdiag.heatmaps.decoding import decode, gaussian_targets
from mahtdiag.losses import FocalHeatmapLoss, HeatmapMSELoss
from mahtdiag.schema.choices import DecodeMethod, HeatmapFlag, UncertaintyFrame, UncertaintyKind
from mahtdiag.schema.model_spec import Decoding
from mahtdiag.schema.records import BatchReading, ModelOutputs

IMAGES, K, HEIGHT, WIDTH, SIGMA = 7, 5, 28, 36, 1.8
INPUT_SIZE = (4 * HEIGHT, 3 * WIDTH)


def labels() -> Tensor:
    """Places in cells: some outside, some missing, one image without any."""
    generator = torch.Generator().manual_seed(1)
    centres = torch.rand(IMAGES, K, 2, generator=generator) * torch.tensor([WIDTH + 8.0, HEIGHT + 8.0]) - 4
    centres[1, 2] = torch.nan
    centres[4, :, 0] = torch.nan
    centres[5, [0, 3]] = torch.nan
    return centres


def outputs(noise: float = 0.05) -> ModelOutputs:
    """A prediction beside every label, with noise, coordinates and an uncertainty."""
    generator = torch.Generator().manual_seed(2)
    places = labels().nan_to_num(9.0).clamp(4, 22)
    maps = gaussian_targets(places + torch.rand(places.shape, generator=generator), SIGMA, HEIGHT, WIDTH)
    maps = maps + noise * torch.randn(maps.shape, generator=generator)
    head = torch.randn(IMAGES, K, 2, generator=generator)
    return ModelOutputs(maps, 3.5 * places, head, UncertaintyKind.LOG_SIGMA)


def part(found: ModelOutputs, start: int, stop: int) -> ModelOutputs:
    """Some images of a batch."""
    assert found.coords is not None
    assert found.uncertainty is not None
    return replace(
        found,
        heatmaps=found.maps[start:stop],
        coords=found.coords[start:stop],
        uncertainty=found.uncertainty[start:stop],
    )


def read(
    found: ModelOutputs,
    centres: Tensor,
    method: DecodeMethod = DecodeMethod.LOCAL,
    kind: UncertaintyKind | None = UncertaintyKind.LOG_SIGMA,
    own_coords: bool = True,
) -> BatchReading:
    """Analyse with the usual settings."""
    return analyse(
        found,
        centres,
        Decoding(SIGMA, method, 8.0, own_coords),
        input_size=INPUT_SIZE,
        uncertainty_kind=kind,
        uncertainty_frame=UncertaintyFrame.INPUT,
    )()


def in_batches(size: int, method: DecodeMethod = DecodeMethod.LOCAL) -> dict[str, np.ndarray]:
    """Every array of a reading, the images analysed so many at a time."""
    found, centres = outputs(), labels()
    parts = [
        read(part(found, start, start + size), centres[start : start + size], method)
        for start in range(0, IMAGES, size)
    ]
    names = ("points", "spread", "peak", "flags", "finite", "loss_mse", "loss_focal", "keypoint_share",
             "coords", "sigma")  # fmt: skip
    return {name: np.concatenate([getattr(p, name) for p in parts]) for name in names}


@pytest.mark.parametrize("size", [1, 3, 7])
def test_losses_are_those_of_drawn_targets(size: int) -> None:
    reading = in_batches(size)
    maps = outputs().maps.double()
    target = gaussian_targets(labels().double(), SIGMA, HEIGHT, WIDTH)
    mse = HeatmapMSELoss(reduction="none")(maps, target).numpy()
    focal = FocalHeatmapLoss(reduction="none")(maps, target).numpy()
    assert np.isnan(mse).tolist() == [False] * 4 + [True] + [False] * 2
    np.testing.assert_allclose(reading["loss_mse"], mse, rtol=1e-5)
    np.testing.assert_allclose(reading["loss_focal"], focal, rtol=1e-5)
    values = ((1 - target) ** 2 * (maps - target) ** 2).nan_to_num(0.0)
    share = ((values * (target > 0.5)).sum((1, 2, 3)) / values.sum((1, 2, 3))).numpy()
    np.testing.assert_allclose(reading["keypoint_share"], share, rtol=1e-5)


@pytest.mark.parametrize("method", list(DecodeMethod))
@pytest.mark.parametrize("size", [1, 3, 7])
def test_places_are_those_of_each_heatmap_alone(method: DecodeMethod, size: int) -> None:
    reading = in_batches(size, method)
    maps = outputs().maps
    for image in range(IMAGES):
        for k in range(K):
            alone = decode(maps[image : image + 1, k : k + 1], method, SIGMA, 8.0)
            np.testing.assert_allclose(reading["points"][image, k], alone[0, 0].numpy(), rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(reading["peak"], maps.amax((-2, -1)).double().numpy())
    assert reading["finite"].all()


def test_the_batch_has_no_say_at_all() -> None:
    """Bit for bit, on the CPU."""
    alone, together = in_batches(1), in_batches(7)
    for name, expected in together.items():
        np.testing.assert_array_equal(alone[name], expected, err_msg=name)


def test_the_order_of_images_has_no_say() -> None:
    found, centres = outputs(), labels()
    order = torch.randperm(IMAGES, generator=torch.Generator().manual_seed(3))
    assert found.coords is not None
    assert found.uncertainty is not None
    mixed = replace(
        found,
        heatmaps=found.maps[order],
        coords=found.coords[order],
        uncertainty=found.uncertainty[order],
    )
    before, after = read(found, centres), read(mixed, centres[order])
    for name in ("points", "spread", "peak", "flags", "loss_mse", "loss_focal", "coords", "sigma"):
        np.testing.assert_array_equal(getattr(after, name), getattr(before, name)[order.numpy()])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_are_analysed_in_float32(dtype: torch.dtype) -> None:
    found = outputs()
    rounded = replace(found, heatmaps=found.maps.to(dtype))
    expected = read(replace(found, heatmaps=rounded.maps.float()), labels())
    reading = read(rounded, labels())
    for name in ("points", "peak", "loss_mse", "loss_focal"):
        np.testing.assert_array_equal(getattr(reading, name), getattr(expected, name))
        assert getattr(reading, name).dtype == np.float64


@pytest.mark.parametrize(
    ("kind", "emitted", "expected"),
    [
        (UncertaintyKind.LOG_SIGMA, np.log(2.5), 2.5),
        (UncertaintyKind.SIGMA, 2.5, 2.5),
        (UncertaintyKind.LOG_VAR, np.log(2.5**2), 2.5),
        (UncertaintyKind.LOG_VAR, 0.0, 1.0),
    ],
)
def test_as_sigma(kind: UncertaintyKind, emitted: float, expected: float) -> None:
    values = torch.full((2, K), emitted, dtype=torch.float64)
    assert as_sigma(values, kind).tolist() == [[pytest.approx(expected, rel=1e-12)] * K] * 2


@pytest.mark.parametrize("axes", [1, 2])
def test_sigma_in_cells_grows_by_the_stride_of_each_axis(axes: int) -> None:
    emitted = torch.rand(2, K, 2).log()
    given = emitted if axes == 2 else emitted[..., 0]
    sizes = (INPUT_SIZE, (HEIGHT, WIDTH))
    cells = sigma_in_input_pixels(given, UncertaintyKind.LOG_SIGMA, UncertaintyFrame.HEATMAP, *sizes)
    pixels = sigma_in_input_pixels(given, UncertaintyKind.LOG_SIGMA, UncertaintyFrame.INPUT, *sizes)
    own = emitted.exp() if axes == 2 else emitted[..., :1].exp().expand(-1, -1, 2)
    torch.testing.assert_close(pixels, own)
    torch.testing.assert_close(cells[..., 0], 3 * own[..., 0])
    torch.testing.assert_close(cells[..., 1], 4 * own[..., 1])


def test_a_head_is_read_only_when_it_is_asked_for() -> None:
    reading = read(outputs(), labels(), kind=None)
    assert reading.sigma is None
    head = read(outputs(), labels()).sigma
    assert head is not None
    emitted = outputs().uncertainty
    assert emitted is not None
    np.testing.assert_allclose(head, emitted.double().exp().numpy(), rtol=1e-6)
    assert read(ModelOutputs(outputs().heatmaps), labels()).sigma is None


def _broken(name: str, value: float) -> ModelOutputs:
    found = outputs()
    tensor = getattr(found, name).clone()
    tensor[3, 1].view(-1)[-1] = value
    return replace(found, **{name: tensor})


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("name", ["heatmaps", "coords"])
def test_what_is_not_finite_is_flagged_where_it_is(name: str, value: float) -> None:
    reading = read(_broken(name, value), labels())
    expected = np.ones((IMAGES, K), dtype=bool)
    expected[3, 1] = False
    np.testing.assert_array_equal(reading.finite, expected)


def test_a_sigma_that_is_not_a_number_is_flagged() -> None:
    assert np.argwhere(~read(_broken("uncertainty", torch.nan), labels()).finite).tolist() == [[3, 1]]
    # An infinite σ is a number that the head means; calibration counts it as unusable.
    assert read(_broken("uncertainty", 1e4), labels()).finite.all()


def test_what_is_not_used_may_be_broken() -> None:
    assert read(_broken("coords", torch.nan), labels(), own_coords=False).finite.all()
    assert read(_broken("coords", torch.nan), labels(), own_coords=False).coords is None
    assert read(_broken("uncertainty", torch.nan), labels(), kind=None).finite.all()


def test_a_heatmap_that_is_nan_as_a_whole_is_a_keypoint_that_there_is_not() -> None:
    found = outputs()
    assert found.uncertainty is not None
    found.maps[3, 1] = found.maps[6, [0, 2]] = torch.nan
    found.uncertainty[3, 1] = torch.nan
    gone = np.zeros((IMAGES, K), dtype=bool)
    gone[3, 1] = gone[6, 0] = gone[6, 2] = True
    reading = read(found, labels(), own_coords=False)
    assert reading.finite.all()
    np.testing.assert_array_equal(np.isnan(reading.points).all(-1), gone)
    # What is left out of a loss is left out as if it had no label.
    centres = labels()
    centres[torch.from_numpy(gone)] = torch.nan
    without = read(outputs(), centres, own_coords=False)
    for name in ("loss_mse", "loss_focal", "keypoint_share"):
        np.testing.assert_allclose(getattr(reading, name), getattr(without, name), rtol=1e-6, equal_nan=True)
    # The other images are what they were, to the last digit.
    before, others = read(outputs(), labels(), own_coords=False), np.array([0, 1, 2, 4, 5])
    np.testing.assert_array_equal(reading.loss_focal[others], before.loss_focal[others])
    # One cell that is a number, or infinite, and nobody knows what was meant.
    found.maps[3, 1, 5, 5] = 0.5
    assert np.argwhere(~read(found, labels(), own_coords=False).finite).tolist() == [[3, 1]]
    # A place of its own contradicts an empty heatmap; no place beside one does not.
    assert np.argwhere(~read(found, labels()).finite).tolist() == [[3, 1], [6, 0], [6, 2]]
    assert found.coords is not None
    found.coords[6, [0, 2]] = torch.nan
    assert np.argwhere(~read(found, labels()).finite).tolist() == [[3, 1]]


@pytest.mark.parametrize("with_heatmaps", [True, False])
def test_coordinates_that_are_both_nan_are_a_keypoint_that_there_is_not(with_heatmaps: bool) -> None:
    found = outputs()
    assert found.coords is not None
    found.coords[2, 3] = torch.nan
    if not with_heatmaps:
        found = replace(found, heatmaps=None)
    reading = read(found, labels())
    assert reading.finite.all()
    assert reading.coords is not None
    assert np.argwhere(np.isnan(reading.coords).any(-1)).tolist() == [[2, 3]]
    if with_heatmaps:
        np.testing.assert_array_equal(reading.loss_focal, read(outputs(), labels()).loss_focal)


def test_unlabelled_keypoints_are_checked_too() -> None:
    found = outputs()
    found.maps[1, 2, 0, 0] = torch.nan
    reading = read(found, labels())
    assert np.argwhere(~reading.finite).tolist() == [[1, 2]]
    assert np.isfinite(reading.loss_mse[1])
    assert reading.flags[1, 2] & HeatmapFlag.NOT_FINITE


@pytest.mark.parametrize("fill", [0.0, -3.0, 1e30, -1e-30])
def test_flat_heatmaps_have_an_answer(fill: float) -> None:
    found = ModelOutputs(torch.full((2, K, HEIGHT, WIDTH), fill))
    reading = read(found, labels()[:2], own_coords=False)
    assert np.isfinite(reading.points).all()
    assert (reading.flags & HeatmapFlag.FLAT).all()
    np.testing.assert_array_equal(reading.points[0, 0], [(WIDTH - 1) / 2, (HEIGHT - 1) / 2])
    # The square of 1e30 is no float32: such a heatmap has no loss, so its image is a failure.
    assert reading.finite.all() == (fill != 1e30)
    assert reading.heatmap_size == (HEIGHT, WIDTH)


def test_covariances_as_triples_and_as_matrices() -> None:
    generator = torch.Generator().manual_seed(3)
    roots = torch.rand(2, K, 2, 2, generator=generator) + torch.eye(2)
    matrices = roots @ roots.transpose(-1, -2)
    triples = matrices.flatten(-2)[..., [0, 1, 3]]
    torch.testing.assert_close(as_covariance(matrices), triples)
    assert as_covariance(triples) is triples
    sigma = as_sigma(matrices, UncertaintyKind.COV)
    torch.testing.assert_close(sigma, matrices.diagonal(dim1=-2, dim2=-1).sqrt())
    torch.testing.assert_close(as_sigma(sigma**2, UncertaintyKind.VAR), sigma)
    assert (as_sigma(-(sigma**2), UncertaintyKind.VAR) < 0).all()
    matrices[0, 0, 0, 1] += 1
    assert as_covariance(matrices)[0, 0, 1].isnan()
    assert as_covariance(matrices)[0, 1:].isfinite().all()


@pytest.mark.parametrize(
    ("frame", "unit"),
    [(UncertaintyFrame.INPUT, (1, 1)), (UncertaintyFrame.HEATMAP, (4, 8)), (UncertaintyFrame.UNIT, (48, 64)),
     (UncertaintyFrame.SIGNED_UNIT, (24, 32)), (UncertaintyFrame.ORIGINAL, (1, 1))],
)  # fmt: skip
def test_every_unit_of_sigma_in_input_pixels(frame: UncertaintyFrame, unit: tuple[float, float]) -> None:
    ones = torch.ones(1, K)
    sigma = sigma_in_input_pixels(ones, UncertaintyKind.SIGMA, frame, (64, 48), (8, 12))
    torch.testing.assert_close(sigma, torch.tensor(unit).float().expand(1, K, 2))
    with pytest.raises(ValueError, match="no cells"):
        sigma_in_input_pixels(ones, UncertaintyKind.SIGMA, UncertaintyFrame.HEATMAP, (64, 48), None)


def test_sigma_in_cells_of_a_stated_stride() -> None:
    emitted = torch.full((2, K, 2), 0.5)
    outputs = ModelOutputs(torch.rand(2, K, HEIGHT, WIDTH), None, emitted, UncertaintyKind.SIGMA)
    read = analyse(
        outputs, torch.full((2, K, 2), 5.0), Decoding(1.5), input_size=INPUT_SIZE,
        uncertainty_kind=UncertaintyKind.SIGMA, uncertainty_frame=UncertaintyFrame.HEATMAP, step=(8.0, 6.0),
    )()  # fmt: skip
    assert read.sigma is not None
    np.testing.assert_allclose(read.sigma, np.broadcast_to([4.0, 3.0], (2, K, 2)), rtol=1e-6)
