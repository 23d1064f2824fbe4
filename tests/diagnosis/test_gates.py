"""Gates: any number of a run or a bound of its interval; what is missing fails and says why."""

import math
from operator import eq, ge, gt, le, lt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mahtdiag.diagnosis.gates import Bound, Gate, GateKind, GateResult, judge_gates
from mahtdiag.schema.skeleton import View

CONTENT = {
    "images": {"failed": 0},
    "metrics": {
        "radial_error_px": {"mean": 3.5, "max": 9.0, "ci95": [3.0, 4.0]},
        "radial_error_mm": None,
        "vertebrae": {"L5": {"radial_error_px": {"mean": 5.0, "ci95": [4.0, 6.0]}}},
    },
    "calibration": {"mace": 0.02, "ci95": {"mace": [0.01, 0.03]}, "ause": None},
}
SPACING = "no image has a pixel spacing; give --pixel-spacing"
NUMBERS = st.floats(-1e6, 1e6)


def judge(gate: Gate, view: View | None = None) -> GateResult:
    """The result of one gate on the content above."""
    (result,) = judge_gates([gate], CONTENT, view)
    return result


@given(NUMBERS, NUMBERS, NUMBERS, NUMBERS)
def test_the_estimate_or_the_end_that_was_asked_for_is_compared(
    value: float, low: float, high: float, limit: float
) -> None:
    compared = {Bound.ESTIMATE: value, Bound.LOWER: low, Bound.UPPER: high}
    for text, compare in (("<=", le), (">=", ge), ("<", lt), (">", gt), ("==", eq)):
        for bound, expected in compared.items():
            gate = Gate("x", text, limit, bound)
            (result,) = judge_gates([gate], {"x": value, "x_ci95": [low, high]})
            assert result == GateResult(gate, expected, compare(expected, limit), value, (low, high))


def test_a_bound_of_each_kind_of_number() -> None:
    for metric, low, high in (
        ("radial_error_px.mean", 3.0, 4.0),
        ("metrics.radial_error_px.mean", 3.0, 4.0),
        ("vertebrae.L5.radial_error_px.mean", 4.0, 6.0),
        ("calibration.mace", 0.01, 0.03),
    ):
        assert judge(Gate(metric, "<=", high, Bound.UPPER)).passed
        assert not judge(Gate(metric, "<", high, Bound.UPPER)).passed
        assert judge(Gate(metric, ">=", low, Bound.LOWER)).passed
        assert not judge(Gate(metric, ">", low, Bound.LOWER)).passed


@pytest.mark.parametrize(
    ("metric", "reason"),
    [
        ("radial_error_mm.mean", f"not known in this run: {SPACING}"),
        ("vertebrae.L5.sdr_mm.4", f"not known in this run: {SPACING}"),
        ("calibration.maec", "the run has no such number; did you mean calibration.mace?"),
        ("radial_eror_px.mean", "the run has no such number; did you mean radial_error_px.mean?"),
        ("calibration.ause", "not known in this run"),
        ("zzz", "the run has no such number"),
    ],
)
@pytest.mark.parametrize("bound", list(Bound))
@pytest.mark.parametrize("comparison", ["<=", ">="])
def test_a_number_that_is_missing_fails_whatever_the_limit(
    metric: str, reason: str, bound: Bound, comparison: str
) -> None:
    gate = Gate(metric, comparison, 0.0, bound)
    assert judge(gate) == GateResult(gate, None, False, reason=reason)


@pytest.mark.parametrize("bound", [Bound.UPPER, Bound.LOWER])
def test_a_bound_that_is_missing_fails_and_tells_the_estimate(bound: Bound) -> None:
    gate = Gate("radial_error_px.max", "<=", 100.0, bound)
    expected = GateResult(gate, None, False, 9.0, reason="its 95 % interval is not known in this run")
    assert judge(gate) == expected


def test_a_run_without_uncertainty_is_told_how_to_get_one() -> None:
    (result,) = judge_gates([Gate("calibration.mace", "<=", 1.0)], {**CONTENT, "calibration": None})
    assert result.reason == "not known in this run: it has no σ; evaluate with --uncertainty heatmap"


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, None, "3", [3], True])
def test_only_finite_numbers_are_compared(value: object) -> None:
    (result,) = judge_gates([Gate("x", ">=", 0.0)], {"x": value})
    assert (result.value, result.passed) == ((1.0, True) if value is True else (None, False))


def test_gates_of_another_view_are_left_out() -> None:
    gates = [Gate("images.failed", "<=", 0.0, view=view) for view in (None, View.AP, View.LA)]
    for view in View:
        judged = judge_gates(gates, CONTENT, view)
        assert [result.gate.view for result in judged] == [None, view]
    assert len(judge_gates(gates, CONTENT)) == 3


def test_the_plain_form_says_everything() -> None:
    gate = Gate("vertebrae.L5.radial_error_px.mean", "<=", 5.5, Bound.UPPER, View.AP)
    assert judge(gate).as_json() == {
        "metric": "vertebrae.L5.radial_error_px.mean",
        "comparison": "<=",
        "limit": 5.5,
        "value": 6.0,
        "passed": False,
        "bound": "upper",
        "view": "AP",
        "vertebra": "L5",
        "kind": "limit",
        "estimate": 5.0,
        "ci95": [4.0, 6.0],
        "baseline": None,
        "reason": None,
    }
    assert gate.condition == "upper <= 5.5"
    assert Gate("images.failed", "<", 1.0, kind=GateKind.BASELINE).condition == "< 1"
