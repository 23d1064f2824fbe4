"""Errors in input pixels and by diagonal, vertebra and spine: against loops; what must not change them."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from mahtdiag.anatomy.rules import Limits
from mahtdiag.diagnosis.conditions import Conditions
from mahtdiag.diagnosis.error_scales import mean_width, spine_height
from mahtdiag.diagnosis.gates import Gate, judge_gates
from mahtdiag.diagnosis.metrics.error_units import ERROR_UNITS
from mahtdiag.diagnosis.metrics.metric import Compared
from mahtdiag.diagnosis.metrics.registry import metric_of
from mahtdiag.diagnosis.numbers import numbers_of
from mahtdiag.diagnosis.run_table import RunTable
from mahtdiag.runs.settings import RunSettings
from mahtdiag.schema.choices import CoordinateConvention
from mahtdiag.schema.frames import NetworkFrames, Size
from mahtdiag.schema.preprocessing import Resize, ResizeMode
from mahtdiag.schema.skeleton import View
from tests.anatomy.spines import CERVICAL_LA, GAP, HEIGHT, WIDTH, natural_spines, straight_spine

Floats = NDArray[np.float64]

INPUT = Size(256, 128)
STRETCHED = NetworkFrames(INPUT, Size(64, 32))
LETTERBOX = NetworkFrames(INPUT, INPUT, Resize.LETTERBOX, CoordinateConvention.SCALE)
NORMALISED = ("diagonal_pct", "width_pct", "height_pct")
STEP = np.array([30.0, 40.0])


def run(
    images: int = 40,
    view: View = View.AP,
    network: NetworkFrames | None = STRETCHED,
    seed: int = 0,
    missing: float = 0.1,
) -> RunTable:
    """Spines in images of several sizes, some keypoints without label."""
    rng = np.random.default_rng(seed)
    label = 700 + 250 * natural_spines(view, images) / np.ptp(natural_spines(view, images)[..., 1])
    pred = label + rng.normal(0, 9, label.shape)
    label[rng.random(label.shape[:2]) < missing] = np.nan
    sizes = np.array([[900, 1500], [1000, 1400], [1000, 2000]])[rng.integers(0, 3, images)].astype(float)
    return table_of(label, pred, sizes, view, network)


def table_of(
    label: Floats, pred: Floats, sizes: Floats, view: View, network: NetworkFrames | None
) -> RunTable:
    error_px = np.linalg.norm(pred - label, axis=-1)
    known = np.isfinite(error_px)
    mean = np.array([row[of].mean() if of.any() else np.nan for row, of in zip(error_px, known, strict=True)])
    return RunTable(
        view.skeleton,
        {
            "image": tuple(f"{i}.png" for i in range(len(label))),
            "gt_px": label,
            "pred_px": pred,
            "width": sizes[:, 0],
            "height": sizes[:, 1],
            "error_px": error_px,
            "error_mm": np.full_like(error_px, np.nan),
            "radial_error_px": mean,
        },
        conditions=Conditions(Limits.of(view), input_frames=network),
    )


def in_input(x: float, y: float, width: float, height: float, network: NetworkFrames) -> tuple[float, float]:
    """A place of the original in the input, written out."""
    to_x, to_y = 128 / width, 256 / height
    left = top = 0
    if network.resize.mode is ResizeMode.LETTERBOX:
        factor = min(to_x, to_y)
        inner_w, inner_h = round(width * factor), round(height * factor)
        left, top = (128 - inner_w) // 2, (256 - inner_h) // 2
        to_x, to_y = inner_w / width, inner_h / height
    if network.convention is CoordinateConvention.SCALE:
        return x * to_x + left, y * to_y + top
    return (x + 0.5) * to_x - 0.5 + left, (y + 0.5) * to_y - 0.5 + top


def naive(table: RunTable, network: NetworkFrames) -> dict[str, list[list[float]]]:
    """Every error in every unit by loops; NaN where unknown."""
    found: dict[str, list[list[float]]] = {key: [] for key in ("input_px", *NORMALISED)}
    for i in range(len(table)):
        label, pred = table.gt_px[i].tolist(), table.pred_px[i].tolist()
        width, height = float(table.width[i]), float(table.height[i])
        bodies = []
        for body in range(len(label) // 4):
            ul, ur, ll, lr = label[4 * body : 4 * body + 4]
            ends = [d for d in (math.dist(ul, ur), math.dist(ll, lr)) if not math.isnan(d)]
            bodies += [sum(ends) / len(ends)] if ends else []
        wide = sum(bodies) / len(bodies) if bodies else math.nan
        first = [(label[0][axis] + label[1][axis]) / 2 for axis in (0, 1)]
        last = [(label[-2][axis] + label[-1][axis]) / 2 for axis in (0, 1)]
        scales = (math.hypot(width, height), wide, math.dist(first, last))
        rows: list[list[float]] = [[], [], [], []]
        for p, q in zip(pred, label, strict=True):
            there = [in_input(x, y, width, height, network) for x, y in (p, q)]
            rows[0].append(math.dist(*there))
            for row, scale in zip(rows[1:], scales, strict=True):
                row.append(100 * math.dist(p, q) / scale)
        for key, row in zip(found, rows, strict=True):
            found[key].append(row)
    return found


@pytest.mark.parametrize("view", list(View))
@pytest.mark.parametrize("network", [STRETCHED, LETTERBOX], ids=["stretched", "letterbox"])
def test_errors_against_loops(view: View, network: NetworkFrames) -> None:
    table = run(view=view, network=network)
    expected, numbers = naive(table, network), numbers_of(table)
    for unit in ERROR_UNITS[2:]:
        values = np.array(expected[unit.key])
        np.testing.assert_allclose(unit.errors(table), values, rtol=1e-12)
        known = sorted(v for row in expected[unit.key] for v in row if not math.isnan(v))
        assert 0 < len(known) < table.error_px.size
        mean = numbers[f"radial_error_{unit.key}.mean"]
        assert mean.value == pytest.approx(sum(known) / len(known))
        assert mean.ci95 is not None
        assert mean.ci95[0] < mean.value < mean.ci95[1]
        assert numbers[f"radial_error_{unit.key}.max"].value == pytest.approx(known[-1])
        for threshold in unit.thresholds:
            rate = numbers[f"sdr_{unit.key}.{threshold:g}"].value
            assert rate == pytest.approx(sum(v <= threshold for v in known) / len(known))
        of_l3 = [v for row in expected[unit.key] for v in row[8:12] if not math.isnan(v)]
        name = f"vertebrae.L3.radial_error_{unit.key}.mean"
        assert numbers[name].value == pytest.approx(sum(of_l3) / len(of_l3))
        by_image = [[v for v in row if not math.isnan(v)] for row in expected[unit.key]]
        means = [sum(row) / len(row) if row else math.nan for row in by_image]
        np.testing.assert_allclose(getattr(table, f"radial_error_{unit.key}"), means, rtol=1e-12)


def test_a_stretch_weighs_both_directions_by_their_own_factor() -> None:
    label = np.full((1, 20, 2), 100.0)
    table = table_of(label, label + STEP, np.array([[512.0, 512.0]]), View.AP, STRETCHED)
    np.testing.assert_allclose(table.error_input_px, math.hypot(30 / 4, 40 / 2))
    table = table_of(label, label + STEP, np.array([[512.0, 512.0]]), View.AP, LETTERBOX)
    np.testing.assert_allclose(table.error_input_px, 50 / 4)


@settings(max_examples=40, deadline=None)
@given(
    factor=st.sampled_from([0.25, 0.5, 2.0, 3.0]), seed=st.integers(0, 99), view=st.sampled_from(list(View))
)
def test_the_resolution_of_an_image_changes_none_of_them(factor: float, seed: int, view: View) -> None:
    table = run(view=view, seed=seed, network=replace(STRETCHED, convention=CoordinateConvention.SCALE))
    larger = table_of(
        factor * table.gt_px,
        factor * table.pred_px,
        factor * table.sizes_px,
        view,
        table.conditions.input_frames,
    )
    for unit in ERROR_UNITS[2:]:
        np.testing.assert_allclose(unit.errors(larger), unit.errors(table), rtol=1e-9)
    np.testing.assert_allclose(larger.vertebra_width_px, factor * table.vertebra_width_px, rtol=1e-9)
    np.testing.assert_allclose(larger.spine_height_px, factor * table.spine_height_px, rtol=1e-9)


@settings(max_examples=25, deadline=None)
@given(shift=st.tuples(st.floats(-50, 50), st.floats(-50, 50)), seed=st.integers(0, 99))
def test_where_the_spine_lies_and_the_order_of_images_change_none_of_them(
    shift: tuple[float, float], seed: int
) -> None:
    table = run(seed=seed)
    order = np.random.default_rng(seed).permutation(len(table))
    moved = table_of(
        (table.gt_px + shift)[order],
        (table.pred_px + shift)[order],
        table.sizes_px[order],
        View.AP,
        STRETCHED,
    )
    for unit in ERROR_UNITS[2:]:
        np.testing.assert_allclose(unit.errors(moved), unit.errors(table)[order], rtol=1e-6)


def test_what_a_label_lacks_decides_what_it_is_measured_by() -> None:
    table = run(images=1, missing=0.0, view=View.LA)
    whole = float(table.vertebra_width_px[0])
    for keypoint, width_known, height_known in ((0, True, False), (21, True, False), (9, True, True)):
        label = table.gt_px.copy()
        label[0, keypoint] = np.nan
        part = table_of(label, table.pred_px, table.sizes_px, View.LA, STRETCHED)
        assert np.isfinite(part.vertebra_width_px[0]) == width_known
        assert np.isfinite(part.spine_height_px[0]) == height_known
        # The last endplate alone is no body.
        assert (part.vertebra_width_px[0] == whole) == (keypoint == 21)
    # No endplate is whole: of no use as a scale, and not 0.
    label = table.gt_px.copy()
    label[0, ::2] = np.nan
    nothing = table_of(label, table.pred_px, table.sizes_px, View.LA, STRETCHED)
    assert np.isnan(nothing.vertebra_width_px[0])
    assert "radial_error_width_pct.mean" not in numbers_of(nothing).found
    assert "radial_error_diagonal_pct.mean" in numbers_of(nothing).found
    # Points on one another have no length.
    same = table_of(np.zeros_like(label), table.pred_px, table.sizes_px, View.LA, STRETCHED)
    assert np.isnan(same.vertebra_width_px[0])
    assert np.isnan(same.spine_height_px[0])


def test_an_endplate_above_the_bodies_is_no_body() -> None:
    """C2 alone is twice as wide: the mean is that of C3 to C7, the spine begins with it."""
    points = straight_spine(CERVICAL_LA)[None]
    points[0, 1, 0] += WIDTH
    assert mean_width(points, CERVICAL_LA).tolist() == pytest.approx([WIDTH])
    height = math.hypot(5 * (HEIGHT + GAP), WIDTH / 2)
    assert spine_height(points, CERVICAL_LA).tolist() == pytest.approx([height])


def test_nothing_is_made_up_where_sizes_are_not_known() -> None:
    table = run(network=None)
    found = numbers_of(table).found
    assert not any("input_px" in name for name in found)
    (result,) = judge_gates([Gate("radial_error_input_px.mean", "<=", 5.0)], numbers_of(table).content())
    assert not result.passed
    assert result.reason is not None
    assert result.reason.endswith("give --input-size")
    unsized = table_of(table.gt_px, table.pred_px, np.full((40, 2), np.nan), View.AP, STRETCHED)
    found = numbers_of(unsized).found
    assert not any("input_px" in name or "diagonal" in name for name in found)
    assert "radial_error_width_pct.mean" in found


@pytest.mark.parametrize("view", list(View))
def test_of_no_image_nothing_is_known(view: View) -> None:
    nothing = run(view=view).taken(np.arange(0))
    for unit in ERROR_UNITS[2:]:
        assert unit.errors(nothing).shape == (0, view.skeleton.keypoints)
        assert getattr(nothing, f"radial_error_{unit.key}").shape == (0,)


@pytest.mark.parametrize("factor", [1e300, 1e-300])
def test_astronomic_numbers_are_no_errors(factor: float) -> None:
    table = run(missing=0.0)
    with np.errstate(all="ignore"):
        wild = table_of(factor * table.gt_px, -factor * table.pred_px, table.sizes_px, View.AP, STRETCHED)
    for unit in ERROR_UNITS[2:]:
        assert not np.isinf(unit.errors(wild)).any()


def test_settings_tell_the_frame_of_files_of_predictions_too() -> None:
    stored = {"input_size": "256x128", "resize": "letterbox", "coords": "scale", "predictions": "csv"}
    of_file = RunSettings({**stored})
    assert of_file.frames is None
    assert of_file.input_frames == LETTERBOX
    assert RunSettings({"predictions": "csv"}).input_frames is None
    of_network = RunSettings({**stored, "heatmap_size": "64x32"})
    assert of_network.frames == of_network.input_frames == replace(LETTERBOX, heatmap=Size(64, 32))


def test_they_are_compared_where_they_are_asked_for() -> None:
    for unit in ERROR_UNITS:
        metric = metric_of(f"radial_error_{unit.key}.mean")
        assert metric is not None
        always = unit.key in ("px", "mm")
        assert metric.compared is (Compared.ALWAYS if always else Compared.ASKED)
