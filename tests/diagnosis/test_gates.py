"""Gates: any number of a run, missing numbers fail, one line per limit that makes no sense."""

import math
from operator import ge, gt, le, lt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mahtdiag.diagnosis.gates import Gate, find_number, judge_gates, nearest_metric, parse_gates
from mahtdiag.errors import UsageError

CONTENT = {
    "images": {"failed": 0},
    "metrics": {
        "radial_error_px": {"mean": 3.5, "ci95": [3.0, 4.0]},
        "radial_error_mm": None,
        "sdr_mm": {"2": 0.5, "2.5": 0.6, "4": 0.9},
    },
    "calibration": {"mace": 0.02, "coverage": {"0.95": {"observed": 0.93}}, "ause": None},
    "anatomy": {"by_code": {"A101": {"images": 2}}},
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
        ("radial_error_mm.mean", None),
        ("calibration.ause", None),
        ("calibration.coverage", None),
        ("radial_error_px.ci95", None),
        ("nonsense", None),
        ("", None),
    ],
)
def test_find_number(metric: str, value: float | None) -> None:
    assert find_number(CONTENT, metric) == value


def test_a_number_that_is_not_there_or_not_finite_fails() -> None:
    gates = parse_gates({"radial_error_mm.mean": "<= 100", "calibration.mace": "<= 0.05", "x": ">= 0"})
    results = judge_gates(gates, {**CONTENT, "x": math.nan})
    assert [(result.value, result.passed) for result in results] == [
        (None, False),
        (0.02, True),
        (None, False),
    ]


@given(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6))
def test_comparisons(value: float, limit: float) -> None:
    for text, compare in (("<=", le), (">=", ge), ("<", lt), (">", gt)):
        (result,) = judge_gates([Gate("x", text, limit)], {"x": value})
        assert result.passed == compare(value, limit)


@pytest.mark.parametrize("text", ["<=4", "<= 4.0", "  >= 1e-3 ", "< -.5", "== 0", "> 10."])
def test_limits_that_can_be_read(text: str) -> None:
    (gate,) = parse_gates({"a": text})
    assert f"{gate.comparison}{gate.limit:g}" == f"{text.split()[0][:2].strip('0123456789')}{gate.limit:g}"


def test_all_limits_that_cannot_be_read_at_once() -> None:
    with pytest.raises(UsageError) as caught:
        parse_gates({"a": "4.0", "b": "<= four", "c": "<= 1", "d": "=< 1"})
    assert [problem.split('"')[1] for problem in caught.value.problems] == ["a", "b", "d"]


def test_the_nearest_name_helps() -> None:
    assert nearest_metric(CONTENT, "calibration.maec") == "calibration.mace"
    assert nearest_metric(CONTENT, "radial_eror_px.mean") == "radial_error_px.mean"
    assert nearest_metric(CONTENT, "zzz") is None
