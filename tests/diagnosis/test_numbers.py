"""Numbers and their intervals by path."""

import pytest

from mahtdiag.diagnosis.numbers import find_interval, find_number, paths_of

CONTENT = {
    "images": {"failed": 0},
    "metrics": {
        "radial_error_px": {"mean": 3.5, "median": 3.0, "ci95": [3.0, 4.0]},
        "radial_error_mm": None,
        "sdr_mm": {"2": 0.5, "2.5": 0.6, "4": 0.9},
        "sdr_mm_ci95": {"2": [0.4, 0.6], "2.5": None},
    },
    "calibration": {
        "mace": 0.02,
        "nll": 2.0,
        "ci95": {"mace": [0.0, 0.1], "nll": None},
        "coverage": {"0.95": {"observed": 0.93, "ci95": [0.9, 0.95]}},
        "ause": None,
        "groups": [
            {"kind": "vertebra", "name": "L5", "mace": 0.1},
            {"kind": "age band", "name": "20 to 39", "mace": 0.2},
            {"kind": "vertebra", "name": "L4", "mace": 0.3},
        ],
        "faults": [{"code": "bias", "value": 1.0}],
        "verdict": "fine",
    },
    "anatomy": {
        "images_with_violations": 0.1,
        "images_with_violations_ci95": [0.0, 0.2],
        "by_code": {"A101": {"images": 2}},
    },
    "shared": {"value": 1.0, "count": 3, "ci95": [0.5, 1.5]},
    "odd": {"value": 1.0, "ci95": [0.5, None]},
}


@pytest.mark.parametrize(
    ("metric", "value"),
    [
        ("images.failed", 0.0),
        ("radial_error_px.mean", 3.5),
        ("metrics.radial_error_px.mean", 3.5),
        ("sdr_mm.2", 0.5),
        ("sdr_mm.2.5", 0.6),
        ("calibration.coverage.0.95.observed", 0.93),
        ("anatomy.by_code.A101.images", 2.0),
        ("calibration.groups.vertebra.L5.mace", 0.1),
        ("calibration.groups.vertebra.L4.mace", 0.3),
        ("calibration.groups.age band.20 to 39.mace", 0.2),
        ("calibration.groups.vertebra.L1.mace", None),
        ("calibration.groups", None),
        ("calibration.faults.value", None),
        ("calibration.verdict", None),
        ("radial_error_mm.mean", None),
        ("calibration.ause", None),
        ("calibration.coverage", None),
        ("radial_error_px.ci95", None),
        ("nonsense", None),
        ("images.failed.", None),
        (".images.failed", None),
        ("", None),
    ],
)
def test_find_number(metric: str, value: float | None) -> None:
    assert find_number(CONTENT, metric) == value


@pytest.mark.parametrize(
    ("metric", "interval"),
    [
        ("radial_error_px.mean", (3.0, 4.0)),
        ("metrics.radial_error_px.mean", (3.0, 4.0)),
        ("radial_error_px.median", None),
        ("sdr_mm.2", (0.4, 0.6)),
        ("sdr_mm.2.5", None),
        ("sdr_mm.4", None),
        ("calibration.mace", (0.0, 0.1)),
        ("calibration.nll", None),
        ("calibration.coverage.0.95.observed", (0.9, 0.95)),
        ("anatomy.images_with_violations", (0.0, 0.2)),
        ("anatomy.by_code.A101.images", None),
        ("shared.value", (0.5, 1.5)),
        ("shared.count", None),
        ("odd.value", None),
        ("images.failed", None),
        ("nonsense", None),
    ],
)
def test_find_interval(metric: str, interval: tuple[float, float] | None) -> None:
    assert find_interval(CONTENT, metric) == interval


def test_every_listed_number_is_found() -> None:
    names = list(paths_of(CONTENT))
    assert "calibration.groups.vertebra.L4.mace" in names
    assert "calibration.ci95.mace" not in names
    assert all(find_number(CONTENT, name) is not None for name in names)
    assert len(set(names)) == len(names) == 17
