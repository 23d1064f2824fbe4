"""The registry of metrics: every name once, whatever the skeleton, and what is said of names."""

from collections import Counter

import numpy as np
import pytest

from mahtdiag.diagnosis.metrics.angles import ANGLE_PATHS
from mahtdiag.diagnosis.metrics.metric import Compared, GroupKind, IntervalKind
from mahtdiag.diagnosis.metrics.registry import (
    FAMILIES,
    is_open,
    known_metrics,
    metric_of,
    metrics_of,
    vertebra_of,
)
from mahtdiag.diagnosis.numbers import numbers_of
from mahtdiag.diagnosis.run_table import RunTable
from mahtdiag.schema.skeleton import AP, LA, Skeleton, View

THORACIC = tuple(f"T{number}" for number in range(1, 13))
WHOLE = Skeleton("whole", View.AP, (*THORACIC, *AP.bodies))


@pytest.mark.parametrize("skeleton", [AP, LA, WHOLE], ids=str)
def test_every_name_is_given_once(skeleton: Skeleton) -> None:
    named = Counter(metric.name for family in FAMILIES for metric in family(skeleton))
    assert max(named.values()) == 1
    assert set(named) == set(metrics_of(skeleton))
    about = {m.group.name for m in metrics_of(skeleton).values() if m.group.kind is GroupKind.VERTEBRA}
    assert about == set(skeleton.vertebrae)


def test_names_are_known_for_all_skeletons_together() -> None:
    names = {metric.name for metric in known_metrics()}
    angles = {".".join(path) for path in ANGLE_PATHS}
    regions = {name for name in names if name.startswith(("regions.", "by_region.", "anatomy.regions."))}
    assert {name.split(".")[-2] for name in regions if name.endswith("keypoints")} == {
        "cervical",
        "thoracic",
        "lumbar",
    }
    assert names == set(metrics_of(AP)) | set(metrics_of(LA)) | angles | regions
    assert not angles & (set(metrics_of(AP)) | set(metrics_of(LA)))
    assert metric_of("metrics.sdr_px.8") is metric_of("sdr_px.8") is not None


@pytest.mark.parametrize(
    ("name", "vertebra"),
    [
        ("vertebrae.L5.radial_error_px.mean", "L5"), ("metrics.by_vertebra.S1", "S1"),
        ("anatomy.vertebrae.L1.violations", "L1"), ("ambiguity.by_vertebra.L2.two_peaks", "L2"),
        ("calibration.groups.vertebra.L5.mace", None), ("radial_error_px.mean", None), ("by_corner.UL", None),
        ("vertebrae.T12.radial_error_px.mean", "T12"), ("nonsense.vertebrae.L5", None),
    ],
)  # fmt: skip
def test_the_vertebra_that_a_number_is_about(name: str, vertebra: str | None) -> None:
    assert vertebra_of(name) == vertebra


def test_what_is_said_of_a_number_fits_together() -> None:
    for metric in known_metrics():
        assert metric_of(metric.name) is metric
        assert not is_open(metric.name)
        assert metric.label
        assert metric.compared is Compared.NEVER or (metric.measure is not None and metric.table), metric.name
        if metric.interval is not IntervalKind.NONE:
            assert metric.place_of_interval[0] == metric.section


def test_a_spine_of_68_keypoints_has_its_numbers() -> None:
    error = np.full((3, WHOLE.keypoints), 2.0)
    error[1, -1] = 10.0
    found = numbers_of(RunTable(WHOLE, {"image": ("a", "b", "c"), "error_px": error, "error_mm": error}))
    assert found["keypoints_measured"].value == 3 * 68
    assert found["vertebrae.L5.radial_error_px.max"].value == 10.0
    assert found["by_vertebra.T1"].value == 2.0
    assert found["vertebrae.L5.sdr_px.2"].value == pytest.approx(11 / 12)
    assert [group.name for group in found.by_group("metrics", GroupKind.VERTEBRA)] == list(WHOLE.vertebrae)
