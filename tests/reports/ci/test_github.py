"""Annotations, read back as the runner of GitHub Actions reads them."""

import re
from dataclasses import dataclass, replace

from hypothesis import given
from hypothesis import strategies as st

from mahtdiag.reports.ci.github import annotations
from mahtdiag.reports.ci.record import CiRecord
from mahtdiag.schema.records import Failure
from mahtdiag.schema.safe_text import one_line
from tests.reports.ci.ci_records import FAILED, HOSTILE, NOT_DONE, PASSED, PLAIN, RESULT, hostile


@dataclass(frozen=True)
class Shown:
    """What the runner makes of a line."""

    kind: str
    title: str
    message: str


def shown(line: str) -> Shown:
    """A workflow command: `::NAME KEY=VALUE,…::MESSAGE`, undone in the order that the runner undoes it."""
    assert len(line.splitlines()) == 1
    found = re.fullmatch(r"::(\w+) (.*?)::(.*)", line)
    assert found is not None
    properties = dict(part.split("=", 1) for part in found[2].split(","))
    assert list(properties) == ["title"]
    title = properties["title"]
    for escaped, sign in (("%0D", "\r"), ("%0A", "\n"), ("%3A", ":"), ("%2C", ","), ("%25", "%")):
        title = title.replace(escaped, sign)
    message = found[3].replace("%0D", "\r").replace("%0A", "\n").replace("%25", "%")
    return Shown(found[1], title, message)


def all_shown(record: CiRecord) -> list[Shown]:
    return [shown(line) for line in annotations(record)]


def test_failed_gates_and_images_are_errors() -> None:
    assert all_shown(replace(RESULT, gates=(PASSED, FAILED))) == [
        Shown(
            "error",
            "mahtdiag evaluate: radial_error_px.mean <= 4",
            "radial_error_px.mean: 8.94, limit <= 4\n"
            "largest mean radial error: b.png 15.20 px, a.png 9.10 px",
        ),
        Shown("error", "mahtdiag evaluate: image failed", "c.png: the file is empty"),
    ]


def test_allowed_failures_are_one_warning() -> None:
    many = tuple(Failure(f"{n}.png", "empty") for n in range(12))
    named = ", ".join(f"{n}.png" for n in range(10))
    assert all_shown(replace(PLAIN, failures=many)) == [
        Shown("warning", "mahtdiag calibration: 12 images failed, which is allowed", f"{named}, …")
    ]


def test_nothing_where_all_is_well() -> None:
    assert annotations(replace(PLAIN, gates=(PASSED,))) == ()


def test_what_could_not_be_done() -> None:
    assert all_shown(NOT_DONE) == [
        Shown("error", "mahtdiag anatomy could not be done", "no such run"),
        Shown("error", "mahtdiag anatomy could not be done", "and another line"),
    ]


def test_a_step_shows_ten() -> None:
    ten = replace(PLAIN, gates=(FAILED,) * 10)
    assert [each.title for each in all_shown(ten)] == ["mahtdiag calibration: radial_error_px.mean <= 4"] * 10
    more = all_shown(replace(ten, gates=(FAILED,) * 11))
    assert (len(more), more[9].message) == (10, "and 2 more errors")


@given(st.sampled_from(HOSTILE) | st.text(st.characters(codec=None, categories=None), max_size=300))
def test_no_name_breaks_a_line(name: str) -> None:
    line = one_line(name)
    problem, gate, image = all_shown(hostile(name))
    assert problem.message == line
    assert gate.title == f"mahtdiag evaluate: {line} − baseline <= 1"
    assert gate.message == f"{line} − baseline: 2.00, limit <= 1; {line}\nlargest loss: {line} 1.00"
    assert image.message == f"{line}: {line}"
