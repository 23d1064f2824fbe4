"""Angles of whole spines as numbers of a run, and the table of curves: against loops over images."""

import math

import numpy as np
import pytest

from mahtdiag.anatomy.aasce_angles import aasce_angles
from mahtdiag.anatomy.coronal import coronal_curves
from mahtdiag.diagnosis.anatomy import diagnose_predictions
from mahtdiag.diagnosis.gates import Gate, judge_gates
from mahtdiag.diagnosis.metrics.angles import ANGLE_PATHS, SMAPE
from mahtdiag.diagnosis.metrics.registry import images_behind, metrics_of
from mahtdiag.diagnosis.numbers import find_interval, find_number, numbers_of
from mahtdiag.diagnosis.run_table import RunTable
from mahtdiag.reports.tables.curves import CurveCounts, curve_content, curve_counts, curve_parts
from mahtdiag.reports.tables.table import Table
from mahtdiag.schema.skeleton import AP, LA, WHOLE, Levels, Skeleton, View
from tests.anatomy.spines import Floats, natural_spines
from tests.anatomy.test_coronal import S_CURVE, naive_midlines, naive_tilt, scoliotic_spines, spine_with
from tests.anatomy.test_whole_spine import whole_spine

from .builders import table_of

SPINE = Skeleton.of(View.AP, Levels("T1", "L5"))
HEIGHT = 1500.0
MAIN = "anatomy.angles.main_thoracic"


def run_of(pred: Floats, label: Floats, skeleton: Skeleton = SPINE) -> RunTable:
    table = table_of([f"{n:02}.png" for n in range(len(label))], pred, label, skeleton=skeleton)
    size = np.full(len(label), HEIGHT)
    return table.with_values(height=size, width=size, flags=np.zeros(label.shape[:2], dtype=np.int64))


@pytest.fixture(scope="module")
def run() -> RunTable:
    label = scoliotic_spines(5, 24)
    pred = label + np.random.default_rng(1).normal(0, 4, label.shape)
    label[3, 8], pred[5, 40] = np.nan, np.nan
    return run_of(pred, label)


def naive_regions(points: Floats) -> dict[tuple[int, bool], float]:
    """The largest curve by region and side."""
    found: dict[tuple[int, bool], float] = {}
    curves = coronal_curves(points[None], SPINE)
    for region, angle in zip(curves.region.tolist(), curves.midline_deg.tolist(), strict=True):
        key = region, angle > 0
        found[key] = max(found.get(key, 0.0), abs(angle))
    return found


def test_mean_errors_and_shares(run: RunTable) -> None:
    content = numbers_of(run).content()
    whole = [n for n in range(24) if n not in (3, 5)]
    midline, cobb = [], []
    for n in whole:
        largest, plates = [], []
        for points in (run.gt_px[n], run.pred_px[n]):
            tilts = naive_midlines(points)
            largest.append(max(tilts) - min(tilts))
            ends = [naive_tilt(points[k], points[k + 1]) for k in range(0, 68, 2)]
            pairs = [(a, b) for a in range(17) for b in range(a + 1, 17)]
            plates.append(max(abs(ends[2 * a] - ends[2 * b + 1]) for a, b in pairs))
        midline.append(abs(largest[1] - largest[0]))
        cobb.append(abs(plates[1] - plates[0]))
    for name, errors in (("midline_cobb", midline), ("cobb", cobb)):
        path = f"anatomy.angles.{name}.mean_absolute_error_deg"
        assert find_number(content, path) == pytest.approx(np.mean(errors))
        low, high = find_interval(content, path) or (math.nan, math.nan)
        assert low < np.mean(errors) < high
    for region, name in enumerate(("proximal_thoracic", "main_thoracic", "thoracolumbar")):
        found, errors = [], []
        for n in whole:
            labelled, predicted = naive_regions(run.gt_px[n]), naive_regions(run.pred_px[n])
            sides = [
                (labelled[region, right], right) for right in (False, True) if (region, right) in labelled
            ]
            if sides:
                size, right = max(sides)
                found.append((region, right) in predicted)
                errors += [abs(predicted[region, right] - size)] if found[-1] else []
        assert 0 < sum(found) <= len(found)
        place = f"anatomy.angles.{name}"
        assert find_number(content, f"{place}.found_share") == pytest.approx(np.mean(found))
        assert find_number(content, f"{place}.mean_absolute_error_deg") == pytest.approx(np.mean(errors))
        counts = list(curve_counts(diagnose_predictions(run).measured).values())[region]
        assert (counts.labelled, counts.found) == (len(found), sum(found))


def test_smape_is_the_mean_over_images(run: RunTable) -> None:
    found = []
    for n in range(24):
        p, t = (
            aasce_angles(of[n : n + 1], SPINE, np.array([HEIGHT])).angle_deg[0]
            for of in (run.pred_px, run.gt_px)
        )
        if n not in (3, 5):
            found.append(100 * sum(abs(p - t)) / sum([*p, *t]))
    content = numbers_of(run).content()
    assert find_number(content, SMAPE) == pytest.approx(np.mean(found))
    smape = diagnose_predictions(run).smape
    assert smape is not None
    assert smape.value == pytest.approx(np.mean(found))
    assert smape.count == 22
    assert smape.ci95 == find_interval(content, SMAPE)
    worst = images_behind(SMAPE, run, too_high=True)
    assert worst is not None
    whole = [n for n in range(24) if n not in (3, 5)]
    assert worst.images[0].image == f"{whole[int(np.argmax(found))]:02}.png"


def test_a_gate_holds_them(run: RunTable) -> None:
    content = numbers_of(run).content()
    gates = (Gate(SMAPE, "<=", 90.0), Gate(SMAPE, "<=", 0.1), Gate(f"{MAIN}.found_share", ">=", 0.2))
    assert [result.passed for result in judge_gates(gates, content)] == [True, False, True]


@pytest.mark.parametrize("skeleton", [AP, LA], ids=str)
def test_the_lumbar_spine_has_none(skeleton: Skeleton) -> None:
    assert not {".".join(path) for path in ANGLE_PATHS} & set(metrics_of(skeleton))
    label = natural_spines(skeleton, 12)
    table = run_of(label + 1.0, label, skeleton)
    assert "angles" not in numbers_of(table).content()["anatomy"]  # type: ignore[operator]
    diagnosis = diagnose_predictions(table)
    assert diagnosis.smape is None
    assert list(curve_parts(diagnosis.measured, diagnosis.smape)) == []
    assert curve_content(diagnosis.measured, diagnosis.smape) == {}


def test_lateral_angles_are_as_far_off_whichever_way_the_patient_faces() -> None:
    label, pred = np.split(whole_spine(2, 24), 2)
    content = numbers_of(run_of(pred, label, WHOLE[1])).content()
    for name, upper, lower in (("thoracic_kyphosis", 34, 68), ("cervical_lordosis", 0, 20)):
        names = WHOLE[1].keypoint_names
        assert (names[upper], names[lower]) == {
            "thoracic_kyphosis": ("T4 UL", "T12 LL"),
            "cervical_lordosis": ("C2 LL", "C7 LL"),
        }[name]
        bends = [
            [naive_tilt(p[lower], p[lower + 1]) - naive_tilt(p[upper], p[upper + 1]) for p in points]
            for points in (label, pred)
        ]
        apart = [abs(predicted - labelled) for labelled, predicted in zip(*bends, strict=True)]
        expected = np.mean(apart)
        assert find_number(content, f"anatomy.angles.{name}.mean_absolute_error_deg") == pytest.approx(
            expected
        )
    assert find_number(content, SMAPE) is None


def test_the_table_of_curves() -> None:
    steep, straight = spine_with(S_CURVE), spine_with((0,) * 17)
    unknown = steep.copy()
    unknown[0] = np.nan
    label = np.stack([steep, steep, straight, unknown, steep])
    pred = np.stack([steep, straight, steep, steep, unknown])
    diagnosis = diagnose_predictions(run_of(pred, label))
    regions = ("proximal thoracic", "main thoracic", "thoracolumbar/lumbar")
    assert curve_counts(diagnosis.measured) == dict.fromkeys(regions, CurveCounts(2, 1, 1))
    (table,) = curve_parts(diagnosis.measured, diagnosis.smape)
    assert isinstance(table, Table)
    assert table.title == "Curves of 10° and more: images"
    assert "SMAPE of the three AASCE angles: 66.7 %, 3 images" in table.note
    content = curve_content(diagnosis.measured, diagnosis.smape)
    assert content["curves"][0] == {  # type: ignore[index]
        "region": "proximal thoracic", "labelled": 2, "found": 1, "only_predicted": 1
    }  # fmt: skip
    assert content["smape_percent"] == pytest.approx(200 / 3)
    assert content["smape_percent_ci95"] is None
    share = find_number(numbers_of(run_of(pred, label)).content(), f"{MAIN}.found_share")
    assert share == 0.5
