"""From readings to records: frames, units, σ, losses, and outputs that are no numbers."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mahtdiag.engine.analysis import analyse
from mahtdiag.heatmaps.decoding import gaussian_targets
from mahtdiag.losses import MAHTNetLoss
from mahtdiag.losses.heatmap import FocalWeight
from mahtdiag.schema.choices import UncertaintyFrame, UncertaintyKind, UncertaintySource
from mahtdiag.schema.frames import CoordinateConvention, FrameMap, PixelSpacing, Size
from mahtdiag.schema.preprocessing import Resize
from mahtdiag.schema.records import BatchReading, Failure, ImageRecord, ModelOutputs
from mahtdiag.schema.skeleton import View

from .builders import HEATMAP, INPUT, Floats, frame, image, maker, reading, sample, spec, spine

RESIZES = (Resize.STRETCH, Resize.LETTERBOX)
SIZES = (Size(211, 150), Size(90, 301), Size(96, 64))
FRAMES = st.builds(
    frame,
    st.sampled_from(SIZES),
    st.sampled_from(RESIZES),
    st.sampled_from(list(CoordinateConvention)),
)
EVERY_FRAME = [frame(size, mode, convention) for size in SIZES for mode in RESIZES
               for convention in CoordinateConvention]  # fmt: skip


def one(judged: tuple[list[ImageRecord], list[Failure]]) -> ImageRecord:
    """The only record, there being no failure."""
    records, failures = judged
    assert failures == []
    (record,) = records
    return record


def moved(points: Floats, dx: float, dy: float) -> Floats:
    """All points moved alike."""
    away: Floats = points + np.array([dx, dy])
    return away


def by_hand(points: Floats, of: FrameMap) -> Floats:
    """Original pixels to heatmap cells, written out for each convention and resize mode."""
    half = 0.5 if of.convention is CoordinateConvention.HALF_PIXEL else 0.0
    width, height, left, top = INPUT.width, INPUT.height, 0, 0
    if of.resize == Resize.LETTERBOX:
        factor = min(INPUT.height / of.original.height, INPUT.width / of.original.width)
        width, height = round(of.original.width * factor), round(of.original.height * factor)
        left, top = (INPUT.width - width) // 2, (INPUT.height - height) // 2
    x = (points[:, 0] + half) * width / of.original.width - half + left
    y = (points[:, 1] + half) * height / of.original.height - half + top
    x = (x + half) * HEATMAP.width / INPUT.width - half
    y = (y + half) * HEATMAP.height / INPUT.height - half
    return np.stack([x, y], -1)


@pytest.mark.parametrize("of", EVERY_FRAME, ids=lambda f: f"{f.original} {f.resize} {f.convention}")
@pytest.mark.parametrize("view", list(View))
def test_a_prediction_in_the_cell_of_its_label_has_no_error(view: View, of: FrameMap) -> None:
    points = spine(view, of.original)
    found = reading(by_hand(points, of)[None])
    record = one(maker(spec(view)).records([sample(points, view)], [image(of.original)], [of], found))
    np.testing.assert_allclose(record.keypoints.pred_px, points, atol=1e-9)
    np.testing.assert_allclose(record.keypoints.error_px, 0.0, atol=1e-9)
    assert record.losses.coord == pytest.approx(0.0, abs=1e-9)
    assert record.radial_error_px == pytest.approx(0.0, abs=1e-9)


@given(of=FRAMES, dx=st.floats(-30, 30), dy=st.floats(-30, 30))
def test_an_error_is_the_distance_in_original_pixels(of: FrameMap, dx: float, dy: float) -> None:
    points = spine(View.AP, of.original)
    found = reading(by_hand(moved(points, dx, dy), of)[None])
    record = one(maker(spec()).records([sample(points)], [image(of.original)], [of], found))
    np.testing.assert_allclose(record.keypoints.error_px, np.hypot(dx, dy), atol=1e-8)
    assert record.max_error_px == pytest.approx(np.hypot(dx, dy), abs=1e-8)


def test_a_coordinate_loss_is_in_the_networks_frame() -> None:
    of = frame(Size(192, 64))
    points = spine(View.AP, of.original)
    found = reading(by_hand(moved(points, 0.0, 6.0), of)[None])
    record = one(maker(spec()).records([sample(points)], [image(of.original)], [of], found))
    # Six original pixels are three of the input, along one axis: Wing is ω·ln(1 + 3/2), averaged with 0.
    assert record.losses.coord == pytest.approx(10 * np.log(2.5) / 2, rel=1e-9)


def test_the_listhesis_code_of_an_endplate_is_that_of_both_its_keypoints() -> None:
    of = frame()
    points = spine(View.LA, of.original)
    codes = (0, 0, 0, 0, 0, 0, 3, 3, 0, 0, 4)
    samples = [replace(sample(points, View.LA), listhesis=codes), sample(points, View.LA, "b.png")]
    found = reading(np.stack([by_hand(points, of)] * 2))
    images = [image(of.original), image(of.original, "b.png")]
    records, _ = maker(spec(View.LA)).records(samples, images, [of, of], found)
    coded, uncoded = (record.keypoints.listhesis for record in records)
    assert coded is not None
    assert uncoded is not None
    assert coded.tolist() == [code for code in codes for _ in range(2)]
    assert np.isnan(uncoded).all()


def test_missing_labels_stay_missing() -> None:
    of = frame()
    points = spine(View.AP, of.original)
    labels = points.copy()
    labels[3] = np.nan
    found = reading(by_hand(moved(points, 3.0, 4.0), of)[None])
    record = one(maker(spec(), 0.5).records([sample(labels)], [image(of.original)], [of], found))
    assert np.flatnonzero(np.isnan(record.keypoints.error_px)).tolist() == [3]
    assert np.flatnonzero(np.isnan(record.keypoints.error_mm)).tolist() == [3]
    assert np.isfinite(record.keypoints.pred_px).all()
    assert record.radial_error_px == pytest.approx(5.0)
    whole = one(maker(spec()).records([sample(points)], [image(of.original)], [of], found))
    assert record.losses.coord == pytest.approx(whole.losses.coord)


def test_no_label_at_all() -> None:
    of = frame()
    points = spine(View.AP, of.original)
    found = replace(reading(by_hand(points, of)[None]), loss_focal=np.array([np.nan]))
    record = one(
        maker(spec()).records([sample(np.full_like(points, np.nan))], [image(of.original)], [of], found)
    )
    assert np.isnan(
        [record.radial_error_px, record.max_error_px, record.losses.total, record.losses.coord]
    ).all()
    assert np.isfinite(record.losses.anatomical)


@pytest.mark.parametrize(
    ("own", "common", "expected"), [(None, None, None), (0.2, None, 0.2), (None, 0.4, 0.4), (0.2, 0.4, 0.2)]
)
def test_millimetres(own: float | None, common: float | None, expected: float | None) -> None:
    of = frame()
    points = spine(View.AP, of.original)
    found = reading(by_hand(moved(points, 3.0, -4.0), of)[None])
    samples = [sample(points, spacing_mm=own)]
    record = one(maker(spec(), common).records(samples, [image(of.original)], [of], found))
    assert record.pixel_spacing_mm == expected
    if expected is None:
        assert np.isnan(record.keypoints.error_mm).all()
    else:
        np.testing.assert_allclose(record.keypoints.error_mm, 5.0 * expected)


def test_what_is_copied() -> None:
    of = frame()
    points = spine(View.AP, of.original)
    flags = np.arange(20)[None]
    found = reading(by_hand(points, of)[None], flags=flags)
    record = one(maker(spec()).records([sample(points, name="x")], [image(of.original, "x")], [of], found))
    assert (record.image, record.image_sha256, record.annotation_sha256) == ("x", "imx", "anx")
    assert (record.width, record.height) == (150, 211)
    assert (record.sex, record.age_years) == ("F", 40)
    np.testing.assert_array_equal(record.keypoints.flags, flags[0])
    np.testing.assert_array_equal(record.keypoints.peak, 0.75)
    assert record.losses.heatmap == 0.25
    assert record.losses.keypoint_share == 0.125
    assert record.findings == ()


def test_violations_of_the_prediction_are_found() -> None:
    of = frame()
    points = spine(View.AP, of.original)
    upside_down = points[::-1].copy()
    found = reading(by_hand(upside_down, of)[None])
    record = one(maker(spec()).records([sample(points)], [image(of.original)], [of], found))
    assert record.findings
    assert record.losses.order > 0


# ---------------------------------------------------------------- σ


@pytest.mark.parametrize("of", EVERY_FRAME, ids=lambda f: f"{f.original} {f.resize} {f.convention}")
def test_sigma_of_a_head_scales_like_the_image(of: FrameMap) -> None:
    points = spine(View.AP, of.original)
    sigma = np.random.default_rng(0).uniform(0.5, 3, (1, 20, 2))
    found = reading(by_hand(points, of)[None], sigma=sigma)
    record = one(maker(spec()).records([sample(points)], [image(of.original)], [of], found))
    per_pixel = of.original_to_input(np.array([[1.0, 1.0]])) - of.original_to_input(np.array([[0.0, 0.0]]))
    np.testing.assert_allclose(record.keypoints.sigma_px * per_pixel, sigma[0], rtol=1e-12)


def test_sigma_of_the_heatmap_scales_like_the_cells() -> None:
    of = frame(Size(192, 128))
    points = spine(View.AP, of.original)
    found = reading(by_hand(points, of)[None], sigma=np.ones((1, 20, 2)))
    of_heatmap = maker(spec(source=UncertaintySource.HEATMAP))
    record = one(of_heatmap.records([sample(points)], [image(of.original)], [of], found))
    # A cell is 4 original pixels wide and 8 high; the spread in cells² is 4, 1, 9.
    np.testing.assert_allclose(record.keypoints.spread_px2, [[64.0, 32.0, 576.0]] * 20)
    np.testing.assert_allclose(record.keypoints.sigma_px, [[8.0, 24.0]] * 20)
    assert np.isnan(record.losses.uncertainty)
    assert not record.keypoints.at_min.any()


def test_sigma_is_that_of_the_map_that_was_averaged() -> None:
    of = frame(Size(192, 128))
    points = spine(View.AP, of.original)
    averaged = np.broadcast_to(np.array([25.0, -2.0, 16.0]), (1, 20, 3))
    found = replace(reading(by_hand(points, of)[None]), averaged=averaged)
    of_heatmap = maker(spec(source=UncertaintySource.HEATMAP))
    record = one(of_heatmap.records([sample(points)], [image(of.original)], [of], found))
    assert record.keypoints.averaged_px2 is not None
    np.testing.assert_allclose(record.keypoints.averaged_px2, [[400.0, -64.0, 1024.0]] * 20)
    np.testing.assert_allclose(record.keypoints.spread_px2, [[64.0, 32.0, 576.0]] * 20)
    np.testing.assert_allclose(record.keypoints.sigma_px, [[20.0, 32.0]] * 20)


@pytest.mark.parametrize("source", [UncertaintySource.NONE, UncertaintySource.AUTO, UncertaintySource.HEAD])
def test_no_sigma(source: UncertaintySource) -> None:
    of = frame()
    points = spine(View.AP, of.original)
    head = None if source is not UncertaintySource.NONE else np.ones((1, 20, 2))
    found = reading(by_hand(points, of)[None], sigma=head)
    record = one(maker(spec(source=source)).records([sample(points)], [image(of.original)], [of], found))
    assert np.isnan(record.keypoints.sigma_px).all()
    assert np.isnan(record.losses.uncertainty)
    parts = record.losses
    total = parts.heatmap + 0.5 * parts.coord + 0.1 * parts.anatomical
    assert parts.total == pytest.approx(total)


def test_sigma_on_a_bound_of_the_loss() -> None:
    of = frame()
    points = spine(View.AP, of.original)
    sigma = np.ones((1, 20, 2))
    sigma[0, 0] = [0.05, 12.0]
    # What a head gives that clamps its own output, as float32 has it.
    sigma[0, 1] = np.float32(0.1), np.float32(10.0)
    clamped = torch.tensor([0.1, 10.0]).log().exp().double()
    sigma[0, 2] = clamped.numpy()
    sigma[0, 3] = [0.1001, 9.99]
    sigma[0, 4] = [0.0, np.inf]
    found = reading(by_hand(points, of)[None], sigma=sigma)
    record = one(maker(spec()).records([sample(points)], [image(of.original)], [of], found))
    assert np.argwhere(record.keypoints.at_min).tolist() == [[0, 0], [1, 0], [2, 0], [4, 0]]
    assert np.argwhere(record.keypoints.at_max).tolist() == [[0, 1], [1, 1], [2, 1], [4, 1]]
    assert np.isfinite(record.losses.uncertainty)
    assert np.isfinite(record.losses.total)


# ---------------------------------------------------------------- own coordinates


def test_own_coordinates_replace_the_heatmaps_places() -> None:
    of = frame()
    points = spine(View.AP, of.original)
    coords = of.original_to_input(moved(points, 1.0, 0.0))[None]
    found = reading(by_hand(moved(points, 0.0, 7.0), of)[None], coords=coords)
    inputs = [sample(points)], [image(of.original)], [of], found
    own = one(maker(spec(own_coords=True)).records(*inputs))
    np.testing.assert_allclose(own.keypoints.error_px, 1.0, atol=1e-9)
    np.testing.assert_allclose(one(maker(spec()).records(*inputs)).keypoints.error_px, 7.0, atol=1e-9)
    without = reading(by_hand(moved(points, 0.0, 7.0), of)[None])
    fallen_back = one(maker(spec(own_coords=True)).records(*inputs[:3], without))
    np.testing.assert_allclose(fallen_back.keypoints.error_px, 7.0, atol=1e-9)


# ---------------------------------------------------------------- outputs that are no numbers


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ([0], "L1 UL"),
        ([5, 19], "L2 UR, L5 LR"),
        ([0, 1, 2, 3], "L1 UL, L1 UR, L1 LL, L1 LR"),
        (list(range(20)), "L1 UL, L1 UR, L1 LL, L1 LR and 16 more"),
    ],
)
def test_an_output_that_is_not_finite_is_a_failure(broken: list[int], said: str) -> None:
    of = frame()
    points = spine(View.AP, of.original)
    places = np.stack([by_hand(points, of)] * 3)
    finite = np.ones((3, 20), dtype=bool)
    finite[1, broken] = False
    places[1, broken] = np.nan
    sigma = np.ones((3, 20, 2))
    found = reading(places, finite=finite, sigma=sigma)
    samples = [sample(points, name=name) for name in "abc"]
    records, failures = maker(spec()).records(
        samples, [image(of.original, n) for n in "abc"], [of] * 3, found
    )
    assert [record.image for record in records] == ["a", "c"]
    (failure,) = failures
    assert (failure.image, failure.image_sha256, failure.annotation_sha256) == ("b", "imb", "anb")
    assert (
        failure.reason
        == f"the network's output is not finite (NaN, infinite or too large to square) for {said}"
    )
    alone, _ = maker(spec()).records(
        samples[2:], [image(of.original, "c")], [of], reading(places[2:], sigma=sigma[2:])
    )
    assert records[1].losses == alone[0].losses


# ---------------------------------------------------------------- losses against rendered targets


def _analysed(
    of: FrameMap, labels: Floats, source: UncertaintySource, weight: FocalWeight
) -> tuple[ModelOutputs, BatchReading]:
    generator = torch.Generator().manual_seed(5)
    shape = (len(labels), labels.shape[1], HEATMAP.height, HEATMAP.width)
    places = torch.from_numpy(np.stack([by_hand(p, of) for p in labels]))
    maps = gaussian_targets(places.nan_to_num(9.0) + 0.7, 2.0, HEATMAP.height, HEATMAP.width)
    maps = (maps + 0.1 * torch.randn(shape, generator=generator)).float()
    outputs = ModelOutputs(maps, None, torch.randn(*shape[:2], 2, generator=generator) * 2)
    read = analyse(
        outputs,
        places.float(),
        spec().decoding,
        input_size=(INPUT.height, INPUT.width),
        uncertainty_kind=UncertaintyKind.LOG_SIGMA if source is UncertaintySource.AUTO else None,
        uncertainty_frame=UncertaintyFrame.INPUT,
        weight=weight,
    )()
    return outputs, read


LOSSES: tuple[Callable[[View], MAHTNetLoss], ...] = (
    lambda view: MAHTNetLoss(view=view, reduction="none"),
    lambda view: MAHTNetLoss(
        0.0, 2.0, use_focal=False, view=view, reduction="none", omega=3.0, min_sigma=0.5, lambda_parallel=4.0
    ),
    lambda view: MAHTNetLoss(
        3.0, 0.1, 1.5, 0.7, True, view, "none", gamma=0.5, emphasis="keypoint", epsilon=0.7, lambda_order=0.3,
        lambda_ratio=0.0, max_sigma=1.2,
    ),
)  # fmt: skip


@pytest.mark.parametrize("make", LOSSES)
@pytest.mark.parametrize("source", [UncertaintySource.AUTO, UncertaintySource.NONE])
@pytest.mark.parametrize("mode", RESIZES)
@pytest.mark.parametrize("view", list(View))
def test_losses_are_those_of_the_training_loss_on_drawn_targets(
    view: View, mode: Resize, source: UncertaintySource, make: Callable[[View], MAHTNetLoss]
) -> None:
    loss = make(view)
    of = frame(mode=mode)
    labels = np.stack([spine(view, of.original, seed) for seed in range(4)])
    labels[1, [2, 7]] = np.nan
    outputs, read = _analysed(of, labels, source, loss.focal_weight)
    records, failures = replace(maker(spec(view, source)), loss=loss).records(
        [sample(p, view) for p in labels], [image(of.original)] * 4, [of] * 4, read
    )
    assert failures == []
    cells = torch.from_numpy(np.stack([by_hand(p, of) for p in labels]))
    target = gaussian_targets(cells, 2.0, HEATMAP.height, HEATMAP.width)
    pred = torch.from_numpy(np.stack([of.heatmap_to_input(p) for p in read.points]))
    truth = torch.from_numpy(np.stack([of.original_to_input(p) for p in labels]))
    head = (
        None
        if outputs.uncertainty is None or source is UncertaintySource.NONE
        else outputs.uncertainty.double()
    )
    expected = loss(outputs.maps.double(), target, pred, truth, head)
    terms = loss.anatomical_loss(pred)
    for i, record in enumerate(records):
        for name in ("heatmap", "coord", "anatomical", "total"):
            assert getattr(record.losses, name) == pytest.approx(expected[name][i].item(), rel=1e-5), name
        for name in ("order", "parallel", "ratio"):
            assert getattr(record.losses, name) == pytest.approx(terms[name][i].item(), rel=1e-9, abs=1e-12)
        if head is None:
            assert np.isnan(record.losses.uncertainty)
        else:
            assert record.losses.uncertainty == pytest.approx(expected["uncertainty"][i].item(), rel=1e-5)


@pytest.mark.parametrize(
    ("step", "error_mm"), [((3.0, 0.0), 0.6), ((0.0, -4.0), 2.0), ((3.0, -4.0), 2.0880613)]
)
def test_errors_use_both_spacings(step: tuple[float, float], error_mm: float) -> None:
    of = frame()
    points = spine(View.AP, of.original)
    of_sample = replace(sample(points), spacing=PixelSpacing(0.2, 0.5))
    found = reading(by_hand(moved(points, *step), of)[None])
    record = one(maker(spec(), 1.0).records([of_sample], [image(of.original)], [of], found))
    np.testing.assert_allclose(record.keypoints.error_mm, error_mm, rtol=1e-5)
    assert record.pixel_spacing_mm is None
    assert (record.pixel_spacing_x_mm, record.pixel_spacing_y_mm) == (0.2, 0.5)


def test_a_network_of_mirrored_images_is_judged_where_the_image_is() -> None:
    of = frame(Size(192, 128))
    mirrored = replace(of, mirrored=True)
    points = spine(View.AP, of.original)
    cells = mirrored.original_to_heatmap(moved(points, 3.0, -2.0))
    found = reading(cells[None], sigma=np.ones((1, 20, 2)))
    record = one(maker(spec()).records([sample(points)], [image(of.original)], [mirrored], found))
    np.testing.assert_allclose(record.keypoints.pred_px, moved(points, 3.0, -2.0), atol=1e-9)
    # What leans to the right in the mirrored image leans to the left in the image.
    np.testing.assert_allclose(record.keypoints.spread_px2, [[64.0, -32.0, 576.0]] * 20)
