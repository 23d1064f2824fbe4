"""JUnit XML: valid for those who read it, the same every time, whatever a name holds."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta, timezone
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mahtdiag.reports.ci.junit import junit_xml
from mahtdiag.reports.ci.record import CiRecord
from mahtdiag.schema.records import Failure
from mahtdiag.schema.safe_text import one_line
from tests.reports.ci.ci_records import FAILED, HOSTILE, NOT_DONE, PASSED, PLAIN, RESULT, STARTED, hostile
from tests.reports.ci.junit_subset import problems

TIMED = replace(RESULT, started=STARTED, seconds=1.0)
RECORDS = {"result": RESULT, "not done": NOT_DONE, "plain": PLAIN}


def suite_of(record: CiRecord) -> ET.Element:
    """The one test suite of the file, which keeps to the common schema."""
    root = ET.fromstring(junit_xml(replace(record, started=STARTED, seconds=12.3456)))
    assert problems(root) == []
    (suite,) = root
    return suite


def outcomes(suite: ET.Element) -> dict[str | None, str]:
    """`passed`, `failure` or `error` of every test case."""
    cases = suite.findall("testcase")
    found = {case.get("name"): case[0].tag if len(case) else "passed" for case in cases}
    assert len(found) == len(cases)
    return found


@pytest.mark.parametrize("record", RECORDS.values(), ids=RECORDS)
def test_counts_are_those_of_the_cases(record: CiRecord) -> None:
    suite = suite_of(record)
    found = list(outcomes(suite).values())
    assert suite.get("tests") == str(len(found)) == str(1 + len(record.gates))
    assert suite.get("failures") == str(found.count("failure"))
    assert suite.get("errors") == str(found.count("error"))
    assert (found.count("passed") == len(found)) == record.passed


def test_one_case_per_gate_and_one_for_the_images() -> None:
    suite = suite_of(RESULT)
    assert outcomes(suite) == {
        "images evaluated": "failure",
        "images.failed <= 0": "passed",
        "radial_error_px.mean <= 4": "failure",
        "radial_error_mm.mean <= 2": "failure",
        "calibration.mace upper <= 0.05 (LA)": "failure",
        "sdr_px.4 − baseline lower >= -0.01": "failure",
    }
    assert {case.get("classname") for case in suite.findall("testcase")} == {"mahtdiag.evaluate"}
    assert (suite.get("timestamp"), suite.get("time")) == ("2026-11-23T10:15:00", "12.346")


def test_a_failed_gate_says_value_limit_and_images() -> None:
    failure = suite_of(RESULT).findall("testcase")[2][0]
    assert failure.get("message") == (
        "radial_error_px.mean: 8.94, limit <= 4; largest mean radial error: b.png 15.20 px, a.png 9.10 px"
    )
    assert failure.text == (
        "radial_error_px.mean: 8.94, limit <= 4\n95 % interval: 5.61 to 12.3\n\n"
        "largest mean radial error:\n  b.png  15.20 px\n  a.png  9.10 px\n"
    )


def test_what_could_not_be_done_is_an_error() -> None:
    (case,) = suite_of(NOT_DONE).findall("testcase")
    (error,) = case
    assert (case.get("name"), error.tag, error.get("type")) == ("images evaluated", "error", "not done")
    assert error.get("message") == "no such run; and another line"
    assert error.text == "no such run\nand another line\n"


def test_images_whose_failure_is_allowed_pass_and_are_named() -> None:
    suite = suite_of(replace(RESULT, failures_allowed=True, gates=(PASSED,)))
    assert set(outcomes(suite).values()) == {"passed"}
    assert "c.png: the file is empty\n" in suite.findtext("system-out", "")


def test_many_failed_images_are_counted() -> None:
    many = tuple(Failure(f"{n}.png", "empty") for n in range(1_234))
    (failure,) = suite_of(replace(PLAIN, failures=many, failures_allowed=False)).findall("testcase")[0]
    lines = (failure.text or "").splitlines()
    assert (lines[0], lines[99], lines[100:]) == ("0.png: empty", "99.png: empty", ["and 1,134 more"])
    assert failure.get("message") == "1,234 of 1,235 images failed"


def test_equal_records_give_equal_files() -> None:
    assert junit_xml(TIMED) == junit_xml(replace(TIMED))
    elsewhere = STARTED.astimezone(timezone(timedelta(hours=9)))
    assert junit_xml(replace(TIMED, started=elsewhere)) == junit_xml(TIMED)


@given(st.sampled_from(HOSTILE) | st.text(st.characters(codec=None, categories=None)))
def test_no_name_breaks_the_file(name: str) -> None:
    shown = one_line(name)
    for record in (hostile(name), replace(hostile(name), problems=())):
        content = junit_xml(replace(record, started=STARTED))
        assert content.decode("utf-8").encode() == content
        suite = ET.fromstring(content)[0]
        images, gate = suite.findall("testcase")
        assert gate.get("name") == f"{shown} − baseline <= 1"
        assert f"  {shown}  1.00" in (gate[0].text or "").split("\n")
        assert f"{shown}: {shown}" in (images[0].text or "").split("\n")


@pytest.mark.parametrize("name", [name for name in HOSTILE if name.strip()])
def test_hostile_names_keep_to_the_schema(name: str) -> None:
    assert "failure" in outcomes(suite_of(hostile(name))).values()


def test_the_schema_can_be_broken() -> None:
    root = ET.fromstring(junit_xml(TIMED))
    spoils: tuple[Callable[[ET.Element], object], ...] = (
        lambda suite: suite.set("timestamp", "2026-11-23T10:15:00Z"),
        lambda suite: suite.attrib.pop("errors"),
        lambda suite: suite.append(ET.Element("testcase")),
        lambda suite: suite.remove(suite[0]),
        lambda suite: suite[1].append(ET.Element("system-out")),
        lambda suite: suite[1].set("file", "x"),
        lambda suite: suite.set("name", ""),
    )
    for spoil in spoils:
        copy = ET.fromstring(ET.tostring(root))
        spoil(copy[0])
        assert problems(copy) != []


def test_a_long_message_is_cut_and_the_text_is_whole() -> None:
    long = "x" * 5_000
    failure = suite_of(replace(hostile(long), problems=())).findall("testcase")[1][0]
    assert len(failure.get("message", "")) == 500
    assert long in (failure.text or "")


def test_gates_that_pass_say_nothing() -> None:
    suite = suite_of(replace(PLAIN, gates=(replace(FAILED, result=replace(FAILED.result, passed=True)),)))
    assert set(outcomes(suite).values()) == {"passed"}
