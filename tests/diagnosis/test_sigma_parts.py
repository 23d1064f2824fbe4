"""The two parts of σ, and factors on it, in original pixels."""

from dataclasses import astuple, replace

import numpy as np
import pytest

from mahtdiag.diagnosis.records import RecordMaker
from mahtdiag.schema.choices import UncertaintySource
from mahtdiag.schema.frames import FrameMap, Size
from mahtdiag.schema.records import BatchReading, ImageRecord
from mahtdiag.schema.skeleton import View

from .builders import Floats, frame, image, maker, reading, sample, spec, spine

OF = frame(Size(192, 128))  # 2 original pixels per input pixel in x, 2 in y
RNG = np.random.default_rng(5)
HEAD, BETWEEN = RNG.uniform(0.5, 3, (1, 20, 2)), RNG.uniform(0.1, 4, (1, 20, 2))
FACTORS = RNG.uniform(0.5, 2, 20)


def record_of(found: BatchReading, made_by: RecordMaker, of: FrameMap = OF) -> ImageRecord:
    points = spine(View.AP, of.original)
    records, failures = made_by.records([sample(points)], [image(of.original)], [of], found)
    assert failures == []
    return records[0]


def read(sigma: Floats | None, between: Floats | None) -> BatchReading:
    points = spine(View.AP, OF.original)
    return reading(OF.original_to_heatmap(points + 3.0)[None], sigma=sigma, between=between)


def per_input() -> Floats:
    """Original pixels per input pixel, from two points rather than from the map's own factors."""
    ends: Floats = OF.input_to_original(np.array([[0.0, 0.0], [1.0, 1.0]]))
    distance: Floats = ends[1] - ends[0]
    return distance


def test_sigma_is_made_of_both_parts() -> None:
    keypoints = record_of(read(HEAD, BETWEEN), maker(spec())).keypoints
    assert keypoints.sigma_aleatoric_px is not None
    assert keypoints.sigma_epistemic_px is not None
    for k in range(20):
        for axis in (0, 1):
            within, between = (part[0, k, axis] * per_input()[axis] for part in (HEAD, BETWEEN))
            assert keypoints.sigma_aleatoric_px[k, axis] == pytest.approx(within)
            assert keypoints.sigma_epistemic_px[k, axis] == pytest.approx(between)
            assert keypoints.sigma_px[k, axis] == pytest.approx((within**2 + between**2) ** 0.5)


def test_without_a_head_it_is_what_lies_between() -> None:
    keypoints = record_of(read(None, BETWEEN), maker(spec(source=UncertaintySource.NONE))).keypoints
    assert keypoints.sigma_aleatoric_px is None
    assert keypoints.sigma_epistemic_px is not None
    np.testing.assert_array_equal(keypoints.sigma_px, keypoints.sigma_epistemic_px)
    np.testing.assert_allclose(keypoints.sigma_px, BETWEEN[0] * per_input())


def test_the_spread_of_heatmaps_is_the_part_within() -> None:
    of_heatmap = maker(spec(source=UncertaintySource.HEATMAP))
    keypoints = record_of(read(None, BETWEEN), of_heatmap).keypoints
    single = record_of(read(None, None), of_heatmap).keypoints
    assert keypoints.sigma_aleatoric_px is not None
    np.testing.assert_allclose(keypoints.sigma_aleatoric_px, single.sigma_px)
    expected = np.sqrt(single.sigma_px**2 + (BETWEEN[0] * per_input()) ** 2)
    np.testing.assert_allclose(keypoints.sigma_px, expected)


def test_a_single_pass_has_no_parts_and_nothing_between_changes_nothing() -> None:
    single, nothing = (
        record_of(read(HEAD, between), maker(spec())) for between in (None, np.zeros_like(BETWEEN))
    )
    assert single.keypoints.sigma_aleatoric_px is None
    assert single.keypoints.sigma_epistemic_px is None
    np.testing.assert_array_equal(single.keypoints.sigma_px, nothing.keypoints.sigma_px)
    assert single.losses == nothing.losses


@pytest.mark.parametrize("source", [UncertaintySource.HEAD, UncertaintySource.HEATMAP])
@pytest.mark.parametrize("between", [None, BETWEEN], ids=["single", "repeated"])
def test_factors_multiply_sigma_and_its_parts_and_nothing_else(
    source: UncertaintySource, between: Floats | None
) -> None:
    plain = maker(spec(source=source))
    before = record_of(read(HEAD, between), plain)
    after = record_of(read(HEAD, between), replace(plain, sigma_factors=FACTORS))
    for name in ("sigma_px", "sigma_aleatoric_px", "sigma_epistemic_px"):
        ours, theirs = getattr(after.keypoints, name), getattr(before.keypoints, name)
        assert (ours is None) == (theirs is None)
        if ours is not None:
            np.testing.assert_allclose(ours, theirs * FACTORS[:, None], rtol=1e-12)
    for name in ("pred_px", "error_px", "spread_px2", "at_min", "at_max"):
        np.testing.assert_array_equal(getattr(after.keypoints, name), getattr(before.keypoints, name))
    np.testing.assert_equal(astuple(after.losses), astuple(before.losses))
