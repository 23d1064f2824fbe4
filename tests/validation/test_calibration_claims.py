"""The study of what is said about σ, in short: its promises hold, and would be seen to fail."""

import pytest

from validation.calibration_claims import MODELS, chance, interval_of_factor, refused, regions


@pytest.mark.parametrize(("errors", "images"), [("normal", 10), ("skewed", 20)])
def test_the_interval_of_the_core_holds(errors: str, images: int) -> None:
    found = interval_of_factor(errors, images, 0.5, sets=120)
    assert found.without == 0.0
    assert found.held >= 0.88
    assert max(found.above, found.below) <= 0.09


def test_mace_by_chance_is_that_of_calibrated_models() -> None:
    seen, said, above = chance(30, sets=100)
    assert said == pytest.approx(seen, rel=0.15)
    assert above <= 0.13


@pytest.mark.parametrize("model", MODELS)
def test_harmful_factors_are_refused_and_others_are_not(model: str) -> None:
    share = refused(model, 20, sets=30)
    assert share >= 0.9 if MODELS[model][2] else share <= 0.15


@pytest.mark.parametrize(("images", "coverage"), [(3, 0.68), (20, 0.9), (50, 0.95)])
def test_regions_hold_keypoints_and_whole_images(images: int, coverage: float) -> None:
    keypoint, image, infinite = regions("skewed", images, coverage, sets=100)
    assert infinite == 0.0
    assert keypoint >= coverage - 0.02
    assert image >= coverage - 0.04
    assert image <= coverage + 1.5 / (images + 1) + 0.04


def test_three_images_promise_no_more_than_they_can() -> None:
    assert regions("normal", 3, 0.9, sets=5) == (1.0, 1.0, 1.0)
