"""Records: what is derived from them."""

import dataclasses

import numpy as np
import pytest

from mahtdiag.schema.records import Finding, ImageLosses, ImageRecord, KeypointResults, RuleGroup

LOSSES = ImageLosses(*(0.0,) * len(dataclasses.fields(ImageLosses)))


def record(errors: list[float]) -> ImageRecord:
    count = len(errors)
    pairs, singles = np.full((count, 2), np.nan), np.full(count, np.nan)
    keypoints = KeypointResults(
        gt_px=pairs,
        pred_px=pairs,
        error_px=np.array(errors),
        error_mm=singles,
        sigma_px=pairs,
        spread_px2=np.full((count, 3), np.nan),
        peak=singles,
        at_min=np.zeros((count, 2), np.bool_),
        at_max=np.zeros((count, 2), np.bool_),
        flags=np.zeros(count, np.int64),
    )
    return ImageRecord("a.png", "", "", 10, 20, None, None, None, LOSSES, keypoints, ())


def test_errors_of_an_image_skip_what_is_missing() -> None:
    some = record([1.0, np.nan, 4.0, 1.0])
    assert some.radial_error_px == 2.0
    assert some.max_error_px == 4.0


@pytest.mark.parametrize("errors", [[], [np.nan], [np.nan, np.nan]])
def test_an_image_without_errors_has_none(errors: list[float]) -> None:
    assert np.isnan(record(errors).radial_error_px)
    assert np.isnan(record(errors).max_error_px)


def test_records_cannot_be_changed() -> None:
    finding = Finding("A101", 0, "L1", 1.0, "deg", 0.5, 2.0, (0, 1))
    with pytest.raises(dataclasses.FrozenInstanceError):
        finding.code = "A102"  # type: ignore[misc]


def test_groups_are_in_the_order_of_every_table() -> None:
    assert [str(group) for group in RuleGroup][:3] == ["ordering", "parallelism", "aspect ratio"]
