"""The verdict of a command in words."""

from dataclasses import replace

import pytest

from mahtdiag.reports.ci.record import CiRecord, images_in_words
from mahtdiag.schema.records import Failure
from tests.reports.ci.ci_records import (
    BASELINE,
    BOUND,
    FAILED,
    MISSING,
    NOT_DONE,
    PASSED,
    PLAIN,
    RESULT,
    WORST,
)

ONE = (Failure("a.png", "x"),)


@pytest.mark.parametrize(
    ("record", "headline", "passed"),
    [
        (PLAIN, "done, no gate is set", True),
        (replace(PLAIN, gates=(PASSED,)), "1 gate passed", True),
        (replace(PLAIN, gates=(PASSED, PASSED)), "2 gates passed", True),
        (replace(PLAIN, gates=(PASSED, FAILED)), "1 of 2 gates failed", False),
        (replace(PLAIN, failures=ONE), "1 image failed (allowed)", True),
        (replace(PLAIN, gates=(PASSED,), failures=ONE), "1 gate passed, 1 image failed (allowed)", True),
        (replace(PLAIN, failures=ONE * 2, failures_allowed=False), "2 images failed", False),
        (RESULT, "4 of 5 gates failed, 1 image failed", False),
        (NOT_DONE, "could not be done", False),
        (CiRecord("evaluate", problems=("p",), failures=ONE, gates=(MISSING,)), "could not be done", False),
    ],
)
def test_headline(record: CiRecord, headline: str, passed: bool) -> None:
    assert (record.headline, record.passed) == (headline, passed)


def test_names_of_gates_do_not_change_with_what_was_measured() -> None:
    other = replace(FAILED, result=replace(FAILED.result, value=None, ci95=None, passed=True))
    assert FAILED.name == other.name == "radial_error_px.mean <= 4"
    assert BOUND.name == "calibration.mace upper <= 0.05 (LA)"
    assert BASELINE.name == "sdr_px.4 − baseline lower >= -0.01"


def test_what_was_measured_and_the_limit() -> None:
    assert FAILED.sentence == "radial_error_px.mean: 8.94, limit <= 4"
    assert MISSING.sentence == ("radial_error_mm.mean: not measured, limit <= 2; the run has no such number")
    assert BOUND.sentence == "calibration.mace: 0.0503 (estimate 0.0402), limit upper <= 0.05"
    assert BASELINE.sentence == ("sdr_px.4 − baseline: -0.0800 (estimate -0.0500), limit lower >= -0.01")


def test_images_in_words() -> None:
    assert images_in_words(WORST) == "largest mean radial error: b.png 15.20 px, a.png 9.10 px"
