"""Spines of several regions: these first, each vertebra where it is asked for."""

from collections.abc import Iterable

import numpy as np
import pytest
from numpy.typing import NDArray

from mahtdiag.diagnosis.columns import Values
from mahtdiag.diagnosis.metrics.losses import LOSS_NAMES
from mahtdiag.diagnosis.metrics.registry import metrics_of
from mahtdiag.diagnosis.numbers import RunNumbers, numbers_of
from mahtdiag.diagnosis.run_table import RunTable
from mahtdiag.reports.tables.evaluation import EvaluationResult, evaluation_parts
from mahtdiag.reports.tables.table import Line, Part, Table, short_name
from mahtdiag.schema.skeleton import AP, LA, Levels, Region, Skeleton, View

WHOLE = Skeleton.of(View.AP, Levels("T1", "L5"))
WEIGHTS = dict.fromkeys(("heatmap", "coord", "anatomical", "uncertainty"), 1.0)
NECK = Skeleton.of(View.LA, Levels("C2", "T2"))


def measured(skeleton: Skeleton) -> tuple[RunNumbers, NDArray[np.float64]]:
    rng = np.random.default_rng(2)
    label = rng.uniform(0, 900, (12, skeleton.keypoints, 2))
    pred = label + rng.normal(0, 5, label.shape)
    label[3, 2] = np.nan
    columns: dict[str, Values] = {
        **{f"loss_{name}": np.full(12, np.nan) for name in (*LOSS_NAMES, "heatmap_keypoint_share")},
        "error_mm": np.full(label.shape[:2], np.nan),
        "radial_error_px": np.nanmean(np.linalg.norm(pred - label, axis=-1), axis=1),
        "max_error_px": np.nanmax(np.linalg.norm(pred - label, axis=-1), axis=1),
        "image": tuple(f"{n}.png" for n in range(12)),
        "pred_px": pred,
        "gt_px": label,
        "error_px": np.linalg.norm(pred - label, axis=-1),
        "width": np.full(12, 900.0),
        "height": np.full(12, 2400.0),
        "flags": np.zeros(label.shape[:2], np.int64),
    }
    return numbers_of(RunTable(skeleton, columns)), np.linalg.norm(pred - label, axis=-1)


@pytest.mark.parametrize("skeleton", [WHOLE, NECK], ids=str)
def test_numbers_of_a_region_are_those_of_its_vertebrae(skeleton: Skeleton) -> None:
    numbers, error = measured(skeleton)
    regions = {str(region) for region in skeleton.regions}
    assert {name.split(".")[1] for name in numbers.found if name.startswith("regions.")} == regions
    for region in regions:
        of_region = [k for k, name in enumerate(skeleton.vertebra_of) if Region.of(name) == region]
        mean = float(np.nanmean(error[:, of_region]))
        assert numbers[f"regions.{region}.radial_error_px.mean"].value == pytest.approx(mean)
        assert numbers[f"by_region.{region}"].value == pytest.approx(mean)
        assert numbers[f"regions.{region}.keypoints"].value == np.isfinite(error[:, of_region]).sum()


@pytest.mark.parametrize("skeleton", [AP, LA, Skeleton.of(View.LA, Levels("C3", "C7"))], ids=str)
def test_a_spine_of_one_region_has_no_numbers_of_regions(skeleton: Skeleton) -> None:
    assert not [name for name in metrics_of(skeleton) if "region" in name]


def tables(numbers: RunNumbers, *, all_levels: bool) -> dict[str, Table]:
    result = EvaluationResult("", "", 12, 0, numbers, WEIGHTS, None, (), (), ())
    parts: Iterable[Part] = evaluation_parts(result, all_levels=all_levels)
    return {part.title: part for part in parts if not isinstance(part, Line)}


def rows(table: Table) -> list[str]:
    return [row.cells[0].text for row in table.rows]


def test_regions_come_first_and_each_vertebra_where_it_is_asked_for() -> None:
    numbers, _ = measured(WHOLE)
    brief, all_of_it = (tables(numbers, all_levels=each) for each in (False, True))
    assert rows(brief["Radial error by region"]) == ["thoracic", "lumbar"]
    assert "Radial error by vertebra" not in brief
    assert rows(all_of_it["Radial error by region"]) == ["thoracic", "lumbar"]
    assert rows(all_of_it["Radial error by vertebra"]) == list(WHOLE.vertebrae)


def test_a_lumbar_spine_shows_its_vertebrae() -> None:
    shown = tables(measured(AP)[0], all_levels=False)
    assert rows(shown["Radial error by vertebra"]) == list(AP.vertebrae)
    assert "Radial error by region" not in shown


@pytest.mark.parametrize(
    ("name", "width", "short"),
    [
        ("AP/0001-F-022Y0.jpg", 16, "0001-F-022Y0.jpg"),
        ("data/training/spine-008 C AP.jpg", 40, "data/training/spine-008 C AP.jpg"),
        ("data/training/spine-008 C AP.jpg", 26, "training/spine-008 C AP.jpg"[9:]),
        ("data/training/spine-008 C AP.jpg", 16, "spine-00… AP.jpg"),
    ],
)
def test_a_name_that_is_too_long_loses_its_folders_first(name: str, width: int, short: str) -> None:
    assert short_name(name, width) == short
