"""What stands on top of the page."""

import pytest

from mahtdiag.diagnosis.gates import Gate, GateResult
from mahtdiag.diagnosis.worst_images import RankedImage, WorstImages
from mahtdiag.reports.ci.record import GateCase
from mahtdiag.reports.html.opening import Ruling, verdict_of
from mahtdiag.reports.html.page import look_at

BEHIND = WorstImages("largest mean radial error", (RankedImage("a.jpg", 12.5, "px"),))


def case(gate: Gate, value: float | None, passed: bool, worst: WorstImages | None = None) -> GateCase:
    return GateCase(GateResult(gate, value, passed, reason=None if value else "no pixel spacing"), worst)


PASSED = case(Gate("sdr_px.8", ">=", 0.9), 0.95, True)
FAILED = case(Gate("radial_error_px.mean", "<=", 4.0), 4.25, False, BEHIND)
MISSING = case(Gate("radial_error_mm.mean", "<", 4.0), None, False)


def test_no_gate_promises_nothing() -> None:
    assert verdict_of(()) is None


def test_all_passed() -> None:
    assert verdict_of((PASSED,)) == Ruling("passed", "The gate passed.", ())
    assert verdict_of((PASSED, PASSED)) == Ruling("passed", "All 2 gates passed.", ())


def test_failed_ones_are_put_in_words() -> None:
    verdict = verdict_of((PASSED, FAILED, MISSING))
    assert verdict is not None
    assert (verdict.status, verdict.headline) == ("failed", "2 of 3 gates failed.")
    assert [(gate.sentence, look_at(gate.result.gate.metric), gate.worst) for gate in verdict.failed] == [
        ("radial_error_px.mean: 4.25, limit <= 4", "sort:error", BEHIND),
        ("radial_error_mm.mean: not measured, limit < 4; no pixel spacing", "sort:error", None),
    ]


@pytest.mark.parametrize(
    ("metric", "look"),
    [
        ("anatomy.images_with_violations", "code:any"),
        ("anatomy.by_code.A201.images", "code:A201"),
        ("calibration.mace", "sort:sigma"),
        ("images.failed", "status:failed"),
        ("losses.coord", "sort:coord"),
        ("error_types.level_shifts", "type:shift"),
        ("metrics.sdr_px.8", "sort:error"),
        ("vertebrae.L5.radial_error_px.mean", "sort:error"),
    ],
)
def test_where_to_look(metric: str, look: str) -> None:
    assert look_at(metric) == look
