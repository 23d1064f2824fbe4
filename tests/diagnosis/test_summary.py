"""Summaries of a run against numpy and loops; intervals that resample images."""

import math
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from mahtdiag.diagnosis.summary import LOSS_NAMES, SDR_MM, SDR_PX, ErrorSummary, success, summarise
from mahtdiag.schema.skeleton import CORNERS, View

Floats = NDArray[np.float64]
RESAMPLES = 300


def errors(images: int, view: View = View.AP, seed: int = 0, missing: float = 0.1) -> Floats:
    """Radial errors, some unknown; keypoints of an image go together."""
    rng = np.random.default_rng(seed)
    values = np.abs(rng.normal(4, 2, (images, 1)) + rng.normal(0, 2, (images, view.keypoints)))
    values[rng.random(values.shape) < missing] = np.nan
    return values


def losses(images: int, seed: int = 1) -> dict[str, Floats]:
    """Losses by name, of which one cannot be computed at all and one not everywhere."""
    rng = np.random.default_rng(seed)
    found = {name: rng.random(images) for name in LOSS_NAMES}
    found["uncertainty"][:] = np.nan
    found["coord"][0] = np.nan
    return found


def summary(px: Floats, mm: Floats | None = None, view: View = View.AP, seed: int = 0) -> ErrorSummary:
    """With few resamples."""
    names = [f"{i}.png" for i in range(len(px))]
    unknown = np.full_like(px, np.nan)
    return summarise(
        view, names, px, unknown if mm is None else mm, losses(len(px)), resamples=RESAMPLES, seed=seed
    )


def known(values: Floats) -> list[float]:
    """What is known, as plain numbers."""
    return [float(v) for v in values.ravel() if not math.isnan(v)]


def quantile(values: list[float], q: float) -> float:
    """Linear interpolation between ranks, written out."""
    ordered = sorted(values)
    place = q * (len(ordered) - 1)
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (place - below) * (ordered[above] - ordered[below])


@pytest.mark.parametrize("view", list(View))
@pytest.mark.parametrize("images", [1, 2, 23])
def test_statistics_against_loops(images: int, view: View) -> None:
    px = errors(images, view)
    found = summary(px, view=view)
    values = known(px)
    mean = sum(values) / len(values)
    statistics = found.radial_error_px
    assert statistics.mean == pytest.approx(mean)
    assert statistics.median == pytest.approx(quantile(values, 0.5))
    assert statistics.p90 == pytest.approx(quantile(values, 0.9))
    assert statistics.p95 == pytest.approx(quantile(values, 0.95))
    assert statistics.max == max(values)
    assert statistics.std == pytest.approx(math.sqrt(sum((v - mean) ** 2 for v in values) / len(values)))
    assert statistics.count == len(values)
    assert found.missing == px.size - len(values)
    for threshold in SDR_PX:
        rate = found.sdr_px[f"{threshold:g}"]
        assert rate.value == pytest.approx(sum(v <= threshold for v in values) / len(values))
        assert rate.count == len(values)
    assert found.radial_error_mm is None
    assert found.sdr_mm is None


@pytest.mark.parametrize("view", list(View))
def test_groups_against_loops(view: View) -> None:
    px = errors(9, view)
    found = summary(px, view=view)
    assert [group.name for group in found.by_vertebra] == list(view.vertebrae)
    assert [group.name for group in found.by_corner] == list(CORNERS)
    for group, of in [(g, view.vertebra_of) for g in found.by_vertebra] + [
        (g, view.corner_of) for g in found.by_corner
    ]:
        values = {
            (i, k): px[i, k]
            for i in range(9)
            for k in range(view.keypoints)
            if of[k] == group.name and not np.isnan(px[i, k])
        }
        assert group.mean.value == pytest.approx(sum(values.values()) / len(values))
        assert group.mean.count == len(values)
        assert group.median == pytest.approx(quantile(list(values.values()), 0.5))
        assert group.p95 == pytest.approx(quantile(list(values.values()), 0.95))
        assert group.max == max(values.values())
        assert group.worst_image == f"{max(values, key=lambda place: values[place])[0]}.png"
        assert group.radial_error_mm is None
        for threshold in SDR_PX:
            rate = group.sdr_px[f"{threshold:g}"]
            assert rate.value == pytest.approx(sum(v <= threshold for v in values.values()) / len(values))


def test_a_group_is_a_summary_of_its_keypoints_alone() -> None:
    """In both units, with the same intervals: the images are drawn alike."""
    px, members = errors(9), slice(8, 12)
    mm = np.where(np.arange(9)[:, None] % 3 == 0, np.nan, 0.2 * px)
    alone = np.full((2, *px.shape), np.nan)
    alone[0, :, members], alone[1, :, members] = px[:, members], mm[:, members]
    third = summary(px, mm).by_vertebra[2]
    whole = summary(*alone)
    assert third.radial_error_px == whole.radial_error_px
    assert third.radial_error_mm == whole.radial_error_mm is not None
    assert third.sdr_px == whole.sdr_px
    assert third.sdr_mm == whole.sdr_mm is not None


def test_losses_are_means_over_the_images_that_have_them() -> None:
    found = summary(errors(12)).losses
    given = losses(12)
    assert set(found) == set(LOSS_NAMES) - {"uncertainty"}
    for name, estimate in found.items():
        values = known(given[name])
        assert estimate.value == pytest.approx(sum(values) / len(values))
        assert estimate.count == len(values) == (11 if name == "coord" else 12)


def test_intervals_are_those_of_a_bootstrap_over_images() -> None:
    """The same draws, the images of each draw really put together."""
    px = errors(15)
    found = summary(px, seed=7)
    draws = np.random.default_rng(7).multinomial(15, np.full(15, 1 / 15), size=RESAMPLES)
    means, rates, l3 = [], [], []
    for draw in draws:
        pooled = np.concatenate([np.tile(px[i], n) for i, n in enumerate(draw)])
        values = known(pooled)
        means.append(sum(values) / len(values))
        rates.append(sum(v <= 4 for v in values) / len(values))
        third = known(np.concatenate([np.tile(px[i, 8:12], n) for i, n in enumerate(draw)]))
        l3.append(sum(third) / len(third))
    for interval, values in (
        (found.radial_error_px.ci95, means),
        (found.sdr_px["4"].ci95, rates),
        (found.by_vertebra[2].mean.ci95, l3),
    ):
        assert interval == pytest.approx((quantile(values, 0.025), quantile(values, 0.975)))


def test_intervals_cover_the_truth() -> None:
    """Images of 20 keypoints that share most of their error: resampling keypoints would cover far less."""
    hits = 0
    for trial in range(200):
        rng = np.random.default_rng(trial)
        px = rng.gamma(4.0, 1.0, (40, 1)) + 0.2 * rng.random((40, 20))
        interval = summarise(
            View.AP, [""] * 40, px, px, losses(40), resamples=200, seed=trial
        ).radial_error_px.ci95
        assert interval is not None
        hits += interval[0] <= 4.1 <= interval[1]
    assert 0.87 <= hits / 200 <= 0.99


def test_the_same_seed_gives_the_same_numbers() -> None:
    px = errors(10)
    assert summary(px) == summary(px)
    assert summary(px, seed=1).radial_error_px.ci95 != summary(px, seed=2).radial_error_px.ci95


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_the_order_of_images_has_no_say(seed: int) -> None:
    px = errors(11)
    order = np.random.default_rng(seed).permutation(11)
    names = [f"{i}.png" for i in range(11)]
    unknown = np.full_like(px, np.nan)
    a = summarise(View.AP, names, px, unknown, losses(11), resamples=50)
    mixed = {name: values[order] for name, values in losses(11).items()}
    b = summarise(View.AP, [names[i] for i in order], px[order], unknown, mixed, resamples=50)
    for name, first in asdict(a.radial_error_px).items():
        if name != "ci95":
            assert getattr(b.radial_error_px, name) == pytest.approx(first, rel=1e-12), name
    for ours, theirs in ((a.sdr_px, b.sdr_px), (a.losses, b.losses)):
        assert ours.keys() == theirs.keys()
        for name, estimate in ours.items():
            assert theirs[name].value == pytest.approx(estimate.value, rel=1e-12), name
            assert theirs[name].count == estimate.count
    assert [g.worst_image for g in a.by_corner] == [g.worst_image for g in b.by_corner]


def test_growing_all_errors_grows_their_statistics_alike() -> None:
    px = errors(10)
    one, three = summary(px), summary(3 * px)
    for name in ("mean", "median", "std", "p90", "p95", "max", "ci95"):
        expected = np.multiply(3, getattr(one.radial_error_px, name))
        np.testing.assert_allclose(getattr(three.radial_error_px, name), expected, rtol=1e-12)


def test_one_image_has_no_interval() -> None:
    found = summary(errors(1), errors(1))
    assert found.radial_error_px.ci95 is None
    assert found.radial_error_mm is not None
    assert found.radial_error_mm.ci95 is None
    estimates = (*found.sdr_px.values(), *found.losses.values(), *(g.mean for g in found.by_corner))
    assert all(estimate.ci95 is None for estimate in estimates)


def test_millimetres_of_the_images_that_have_them() -> None:
    px = errors(8)
    mm = 0.5 * px
    mm[3:] = np.nan
    found = summary(px, mm)
    assert found.radial_error_mm is not None
    assert found.sdr_mm is not None
    values = known(mm[:3])
    assert found.radial_error_mm.mean == pytest.approx(sum(values) / len(values))
    assert found.radial_error_mm.count == len(values)
    for threshold in SDR_MM:
        expected = sum(v <= threshold for v in values) / len(values)
        assert found.sdr_mm[f"{threshold:g}"].value == pytest.approx(expected)
    assert found.radial_error_px == summary(px).radial_error_px


def test_an_error_on_the_threshold_is_a_success() -> None:
    px = np.full((1, 20), np.nan)
    px[0, :5] = [2.0, np.nextafter(2.0, 3.0), 4.0, 8.0, 16.0]
    mm = np.full((1, 20), np.nan)
    mm[0, :5] = [2.0, 2.5, np.nextafter(2.5, 3.0), 3.0, 4.0]
    found = summary(px, mm)
    assert {name: rate.value for name, rate in found.sdr_px.items()} == pytest.approx(
        {"2": 0.2, "4": 0.6, "8": 0.8, "16": 1.0}
    )
    assert found.sdr_mm is not None
    assert {name: rate.value for name, rate in found.sdr_mm.items()} == pytest.approx(
        {"2": 0.2, "2.5": 0.4, "3": 0.8, "4": 1.0}
    )
    np.testing.assert_array_equal(success(np.array([1.0, 2.0, 3.0, np.nan]), 2.0), [1.0, 1.0, 0.0, np.nan])


def test_a_group_without_labels_is_left_out() -> None:
    px = errors(4, View.LA, missing=0.0)
    px[:, 20:] = np.nan
    px[:, 4:8] = np.nan
    found = summary(px, view=View.LA)
    assert [group.name for group in found.by_vertebra] == ["L1", "L3", "L4", "L5"]
    assert [group.name for group in found.by_corner] == list(CORNERS)
    assert found.missing == 4 * 6


def test_an_image_without_labels_changes_nothing_but_the_count() -> None:
    px = errors(6)
    more = np.concatenate([px, np.full((1, 20), np.nan)])
    a, b = summary(px), summary(more)
    assert b.radial_error_px.mean == pytest.approx(a.radial_error_px.mean)
    assert b.radial_error_px.count == a.radial_error_px.count
    assert b.missing == a.missing + 20


def test_nothing_to_say() -> None:
    with pytest.raises(ValueError, match="no annotated keypoint"):
        summary(np.full((3, 20), np.nan))
