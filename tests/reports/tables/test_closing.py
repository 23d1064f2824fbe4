"""The last lines of a command: short, and what decides comes first."""

from dataclasses import replace

from mahtdiag.diagnosis.gates import Gate, GateResult
from mahtdiag.reports.ci.record import CiRecord, GateCase, NumberRow
from mahtdiag.reports.tables.closing import closing_parts, with_closing
from mahtdiag.reports.tables.table import Line, Style
from mahtdiag.schema.records import Failure
from mahtdiag.schema.setup import SetupEntry, SetupStatus

GATE = Gate("radial_error_px.mean", "<=", 4.0)
FAILED, PASSED = GateCase(GateResult(GATE, 8.94, False)), GateCase(GateResult(GATE, 3.5, True))
RECORD = CiRecord(
    "evaluate",
    judged=9,
    numbers=(NumberRow("mean radial error, px", "2.47", "2.17 to 2.98"), NumberRow("median", "2")),
    setup=(
        SetupEntry("labels.unit", SetupStatus.WRONG, "ten times too large", "--unit mm"),
        SetupEntry("images.size", SetupStatus.FINE, "all alike"),
    ),
    gates=(PASSED, FAILED, FAILED, FAILED),
    failures=(Failure("a.png", "empty"),) * 3,
    failures_allowed=False,
    next_steps=("one", "two", "three"),
    kept="run folder: run",
)


def lines(record: CiRecord) -> list[str]:
    return [part.text for part in closing_parts(record) if isinstance(part, Line)]


def test_everything_that_can_be_wrong_fits_eight_lines() -> None:
    said = lines(RECORD)
    assert said == [
        "mean radial error, px: 2.47 (95 % interval 2.17 to 2.98), 9 images",
        "setup: 1 wrong, 1 fine (wrong: labels.unit)",
        "gates: 3 of 4 gates failed: radial_error_px.mean: 8.94, limit <= 4; and 2 more",
        "images: 3 of 12 failed",
        "next: one",
        "next: two",
        "run folder: run",
    ]
    assert len(said) <= 8
    assert max(map(len, said)) <= 80


def test_the_verdict_and_the_reason_come_before_a_number() -> None:
    said = replace(RECORD, said="Calibrated.")
    assert lines(said)[0] == "Calibrated."
    assert lines(replace(said, problems=("no image could be judged",)))[0] == "no image could be judged"
    nothing = CiRecord("evaluate")
    assert lines(nothing) == ["done, no gate is set"]


def test_gates_that_pass_and_failures_that_are_allowed() -> None:
    record = replace(RECORD, gates=(PASSED,), failures_allowed=True)
    found = {p.text: p.style for p in closing_parts(record) if isinstance(p, Line)}
    assert found["gates: 1 gate passed"] is Style.GOOD
    assert found["images: 3 of 12 failed (allowed)"] is Style.DOUBTFUL


def test_quiet_is_the_closing_alone() -> None:
    closing = list(closing_parts(RECORD))
    assert list(with_closing(iter([Line("a")]), RECORD, quiet=True)) == closing
    assert list(with_closing(iter([Line("a")]), RECORD, quiet=False)) == [Line("a"), Line(), *closing]
    assert list(with_closing(iter([Line("a\n")]), RECORD, quiet=False)) == [Line("a\n"), *closing]
