"""The numbers of a run against numpy and loops; their intervals are those of sums over units."""

import math
from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from mahtdiag.diagnosis.metrics.errors import THRESHOLDS, largest_in
from mahtdiag.diagnosis.metrics.losses import LOSS_NAMES
from mahtdiag.diagnosis.metrics.metric import Estimate, GroupKind
from mahtdiag.diagnosis.metrics.registry import metrics_of
from mahtdiag.diagnosis.numbers import estimate, numbers_of
from mahtdiag.diagnosis.run_table import RunTable
from mahtdiag.schema.skeleton import CORNERS, View
from mahtdiag.statistics.intervals import mean_interval, quantile_interval, share_interval

Floats = NDArray[np.float64]


def errors(images: int, view: View = View.AP, seed: int = 0, missing: float = 0.1) -> Floats:
    """Radial errors, some unknown; keypoints of an image go together."""
    rng = np.random.default_rng(seed)
    values = np.abs(rng.normal(4, 2, (images, 1)) + rng.normal(0, 2, (images, view.skeleton.keypoints)))
    values[rng.random(values.shape) < missing] = np.nan
    return values


def losses(images: int, seed: int = 1) -> dict[str, Floats]:
    """Losses by name, of which one cannot be computed at all and one not everywhere."""
    rng = np.random.default_rng(seed)
    found = {name: rng.random(images) for name in LOSS_NAMES}
    found["uncertainty"][:] = np.nan
    found["coord"][0] = np.nan
    return found


def table_of(px: Floats, mm: Floats | None = None, view: View = View.AP) -> RunTable:
    """A run with these errors, and the losses of so many images."""
    return RunTable(
        view.skeleton,
        {
            "image": tuple(f"{i}.png" for i in range(len(px))),
            "error_px": px,
            "error_mm": np.full_like(px, np.nan) if mm is None else mm,
            **{f"loss_{name}": values for name, values in losses(len(px)).items()},
        },
    )


def numbers(px: Floats, mm: Floats | None = None, view: View = View.AP) -> Mapping[str, Estimate]:
    """All numbers of such a run."""
    return estimate(metrics_of(view.skeleton).values(), table_of(px, mm, view))


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
    found = numbers(px, view=view)
    values = known(px)
    mean = sum(values) / len(values)
    expected = {
        "mean": mean,
        "median": quantile(values, 0.5),
        "p90": quantile(values, 0.9),
        "p95": quantile(values, 0.95),
        "max": max(values),
        "std": math.sqrt(sum((v - mean) ** 2 for v in values) / len(values)),
    }
    for name, value in expected.items():
        assert found[f"radial_error_px.{name}"].value == pytest.approx(value)
    assert found["radial_error_px.mean"].count == found["keypoints_measured"].value == len(values)
    assert found["keypoints_missing"].value == px.size - len(values)
    for threshold in THRESHOLDS["px"]:
        rate = found[f"sdr_px.{threshold:g}"]
        assert rate.value == pytest.approx(sum(v <= threshold for v in values) / len(values))
        assert rate.count == len(values)
    assert not [name for name in found if "_mm" in name]


@pytest.mark.parametrize("view", list(View))
def test_groups_against_loops(view: View) -> None:
    px = errors(9, view)
    table = table_of(px, view=view)
    found, by_name = numbers_of(table), numbers(px, view=view)
    for kind, short, names, of in (
        (GroupKind.VERTEBRA, "by_vertebra", view.skeleton.vertebrae, view.skeleton.vertebra_of),
        (GroupKind.CORNER, "by_corner", CORNERS, view.skeleton.corner_of),
    ):
        groups = found.by_group("metrics", kind)
        assert [group.name for group in groups] == list(names)
        for group, told in groups.items():
            values = {
                (i, k): px[i, k]
                for i in range(9)
                for k in range(view.skeleton.keypoints)
                if of[k] == group.name and not np.isnan(px[i, k])
            }
            mean = told["radial_error_px.mean"]
            assert mean.value == pytest.approx(sum(values.values()) / len(values))
            assert mean.value == by_name[f"{short}.{group.name}"].value
            assert mean.count == told["keypoints"].value == len(values)
            assert told["radial_error_px.median"].value == pytest.approx(quantile([*values.values()], 0.5))
            assert told["radial_error_px.p95"].value == pytest.approx(quantile([*values.values()], 0.95))
            assert told["radial_error_px.max"].value == max(values.values())
            assert largest_in(table, group) == f"{max(values, key=lambda place: values[place])[0]}.png"
            assert "radial_error_mm.mean" not in told
            for threshold in THRESHOLDS["px"]:
                share = sum(v <= threshold for v in values.values()) / len(values)
                assert told[f"sdr_px.{threshold:g}"].value == pytest.approx(share)


def test_a_group_is_a_summary_of_its_keypoints_alone() -> None:
    """In both units, with the same intervals: the images are drawn alike."""
    px, members = errors(9), slice(8, 12)
    mm = np.where(np.arange(9)[:, None] % 3 == 0, np.nan, 0.2 * px)
    alone = np.full((2, *px.shape), np.nan)
    alone[0, :, members], alone[1, :, members] = px[:, members], mm[:, members]
    found, whole = numbers(px, mm), numbers(*alone)
    third = {name.removeprefix("vertebrae.L3."): of for name, of in found.items() if ".L3." in name}
    shared = [name for name in third if name in whole]
    # Those of both units, how many they leave out, and the share that is missed.
    assert len(shared) == 2 * (6 + 1 + 4) + 1
    for name in shared:
        assert third[name] == whole[name], name


def test_losses_are_means_over_the_images_that_have_them() -> None:
    found, given = numbers(errors(12)), losses(12)
    told = {name.removeprefix("losses."): of for name, of in found.items() if name.startswith("losses.")}
    assert set(told) == set(LOSS_NAMES) - {"uncertainty"}
    for name, estimated in told.items():
        values = known(given[name])
        assert estimated.value == pytest.approx(sum(values) / len(values))
        assert estimated.count == len(values) == (11 if name == "coord" else 12)


def test_intervals_are_those_of_their_sums_by_image() -> None:
    px = errors(15)
    found, count = numbers(px), np.isfinite(px).sum(axis=1).astype(float)
    third = px[:, 8:12]
    l3 = mean_interval(np.nansum(third, axis=1), np.isfinite(third).sum(axis=1).astype(float))
    assert found["radial_error_px.mean"].ci95 == pytest.approx(mean_interval(np.nansum(px, axis=1), count))
    assert found["vertebrae.L3.radial_error_px.mean"].ci95 == pytest.approx(l3)
    for name, limit in (("sdr_px.4", 4.0), ("sdr_px.16", 16.0)):
        expected = share_interval((px <= limit).sum(axis=1).astype(float), count)
        assert found[name].ci95 == pytest.approx(expected)
    for name, level in (("median", 0.5), ("p90", 0.9)):
        estimated = found[f"radial_error_px.{name}"]
        hits = (px <= estimated.value).sum(axis=1).astype(float)
        expected = quantile_interval(np.sort(px[np.isfinite(px)]), level, hits, count)
        assert estimated.ci95 == expected


def test_images_of_a_patient_are_one_unit() -> None:
    """Four images of each patient that hardly differ say little more than one of them."""
    rng = np.random.default_rng(0)
    px = np.repeat(errors(12), 4, axis=0) + 0.01 * rng.random((48, 20))
    table = table_of(px)
    known = table.with_values(patient=tuple(str(i // 4) for i in range(48)))
    metrics = metrics_of(View.AP.skeleton).values()
    apart, together = estimate(metrics, table), estimate(metrics, known)
    for name in ("radial_error_px.mean", "radial_error_px.median", "sdr_px.4"):
        one, other = (found[name] for found in (apart, together))
        assert one.value == other.value
        assert one.ci95 is not None
        assert other.ci95 is not None
        assert np.diff(other.ci95) > 1.6 * np.diff(one.ci95), name


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_the_order_of_images_has_no_say(seed: int) -> None:
    table = table_of(errors(11))
    mixed = table.taken(np.random.default_rng(seed).permutation(11))
    metrics = metrics_of(View.AP.skeleton).values()
    a, b = (estimate(metrics, each) for each in (table, mixed))
    assert a.keys() == b.keys()
    for name, first in a.items():
        assert b[name].value == pytest.approx(first.value, rel=1e-12), name
        assert b[name].count == first.count
        assert (first.ci95 is None) is (b[name].ci95 is None), name
        if first.ci95 is not None:
            assert b[name].ci95 == pytest.approx(first.ci95, rel=1e-9), name
    for metric in metrics:
        assert largest_in(table, metric.group) == largest_in(mixed, metric.group)


def test_growing_all_errors_grows_their_statistics_alike() -> None:
    px = errors(10)
    one, three = numbers(px), numbers(3 * px)
    for name in ("mean", "median", "std", "p90", "p95", "max"):
        first, other = (found[f"radial_error_px.{name}"] for found in (one, three))
        assert other.value == pytest.approx(3 * first.value, rel=1e-12)
        if first.ci95 is not None:
            assert other.ci95 == pytest.approx(tuple(3 * bound for bound in first.ci95), rel=1e-12)


def test_one_image_has_no_interval() -> None:
    found = numbers(errors(1), errors(1))
    assert "radial_error_mm.mean" in found
    assert all(each.ci95 is None for each in found.values())


def test_few_images_have_intervals_of_shares_alone() -> None:
    found = numbers(errors(9))
    assert {name for name, each in found.items() if each.ci95 is not None} == {
        n for n in found if "sdr_" in n or "miss_rate" in n
    }


def test_millimetres_of_the_images_that_have_them() -> None:
    px = errors(8)
    mm = 0.5 * px
    mm[3:] = np.nan
    found = numbers(px, mm)
    values = known(mm[:3])
    assert found["radial_error_mm.mean"].value == pytest.approx(sum(values) / len(values))
    assert found["radial_error_mm.mean"].count == len(values)
    for threshold in THRESHOLDS["mm"]:
        expected = sum(v <= threshold for v in values) / len(values)
        assert found[f"sdr_mm.{threshold:g}"].value == pytest.approx(expected)
    assert found["radial_error_px.mean"] == numbers(px)["radial_error_px.mean"]


def test_an_error_on_the_threshold_is_a_success() -> None:
    px = np.full((1, 20), np.nan)
    px[0, :5] = [2.0, np.nextafter(2.0, 3.0), 4.0, 8.0, 16.0]
    mm = np.full((1, 20), np.nan)
    mm[0, :5] = [2.0, 2.5, np.nextafter(2.5, 3.0), 3.0, 4.0]
    found = numbers(px, mm)
    for unit, expected in (
        ("px", {"2": 0.2, "4": 0.6, "8": 0.8, "16": 1.0}),
        ("mm", {"2": 0.2, "2.5": 0.4, "3": 0.8, "4": 1.0}),
    ):
        assert {key: found[f"sdr_{unit}.{key}"].value for key in expected} == pytest.approx(expected)


def test_a_group_without_labels_is_left_out() -> None:
    px = errors(4, View.LA, missing=0.0)
    px[:, 20:] = np.nan
    px[:, 4:8] = np.nan
    found = numbers_of(table_of(px, view=View.LA))
    vertebrae, corners = (found.by_group("metrics", kind) for kind in (GroupKind.VERTEBRA, GroupKind.CORNER))
    assert [group.name for group in vertebrae] == ["L1", "L3", "L4", "L5"]
    assert [group.name for group in corners] == list(CORNERS)
    assert found["keypoints_missing"].value == 4 * 6


def test_an_image_without_labels_changes_nothing_but_the_count() -> None:
    px = errors(6)
    a, b = numbers(px), numbers(np.concatenate([px, np.full((1, 20), np.nan)]))
    mean = "radial_error_px.mean"
    assert b[mean].value == pytest.approx(a[mean].value)
    assert b["sdr_px.4"].ci95 == pytest.approx(a["sdr_px.4"].ci95)
    assert b[mean].count == a[mean].count
    assert b["keypoints_missing"].value == a["keypoints_missing"].value + 20


def test_numbers_of_a_table_are_computed_once() -> None:
    table = table_of(errors(4))
    assert numbers_of(table) is numbers_of(table)


def test_nothing_to_say() -> None:
    found = numbers(np.full((3, 20), np.nan))
    assert not [name for name in found if name.startswith(("radial", "sdr", "by_", "vertebrae", "corners"))]
