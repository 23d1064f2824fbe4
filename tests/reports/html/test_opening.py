"""How the page opens: what was found leads, and nothing is said twice."""

import html
from dataclasses import replace
from pathlib import Path

import pytest

from mahtdiag.reports.html.opening import opening_of
from mahtdiag.reports.html.page import render_page, whole_options
from mahtdiag.reports.html.sections import ReportContent, sections_of
from mahtdiag.runs.reading import open_run
from mahtdiag.schema.setup import CAUSE, SetupEntry, SetupStatus
from mahtdiag.workflows.report.screen import content_of
from tests.workflows.report_runs import write_report_run

SHARED = "Everything lies 3 px to the right."
DIFFUSE = "heatmaps are diffuse"
SETUP = (
    SetupEntry("results", SetupStatus.WRONG, "results are not plausible: far off", f"{CAUSE}net: {DIFFUSE}"),
    SetupEntry("net", SetupStatus.WRONG, DIFFUSE, "train longer"),
    SetupEntry("shared", SetupStatus.WARNING, f"{SHARED.rstrip('.')}: 3 px with it, 2 px without it"),
    SetupEntry("axes", SetupStatus.FINE, "x and y are where they belong"),
)


@pytest.fixture
def content(tmp_path: Path) -> ReportContent:
    """A run whose predictions share something."""
    write_report_run(tmp_path, spacing_mm=0.2)
    run = open_run(None, tmp_path)
    found = content_of(run, run.table(), ())
    diagnosis = found.anatomy.diagnosis
    assert diagnosis is not None
    return replace(
        found, anatomy=replace(found.anatomy, diagnosis=replace(diagnosis, sentence=SHARED)), setup=()
    )


def page_of(content: ReportContent) -> str:
    return html.unescape(render_page(content, tuple(sections_of(content)), None).decode())


def test_without_gates_the_first_finding_is_the_headline_and_no_judgement(content: ReportContent) -> None:
    opening = opening_of(content)
    mean = content.numbers["radial_error_mm.mean"].value
    assert opening.verdict.status == "open"
    assert opening.verdict.headline.startswith(f"The mean radial error is {mean:.2f} mm")
    assert opening.verdict.note == "No gate is set, so nothing here has passed or failed."
    assert opening.verdict.headline not in opening.findings
    assert SHARED in opening.findings


def test_every_sentence_is_said_once(content: ReportContent) -> None:
    content = replace(content, setup=SETUP)
    opening, page = opening_of(content), page_of(content)
    assert opening.verdict.headline == "Results are not plausible: far off. Likeliest cause: net."
    assert [sentence.partition(":")[0] for sentence in opening.setup] == ["net", "shared"]
    assert SHARED not in opening.findings, "a check of the set-up has said it"
    for sentence in (opening.verdict.headline, *opening.setup, *opening.findings[:-1], DIFFUSE, SHARED[:-1]):
        assert page.count(sentence) == 1, sentence
    assert "x and y are where they belong" in page
    assert page.count("said at the top of the page") >= 3


def test_a_cause_that_nobody_names(content: ReportContent) -> None:
    lost = SetupEntry(
        "results", SetupStatus.WRONG, "results are not plausible: far off", "no check names a cause"
    )
    opening = opening_of(replace(content, setup=(lost,)))
    assert opening.verdict.headline == "Results are not plausible: far off. No check names a cause."
    assert (lost.cause, SETUP[0].cause) == (None, "net")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "see mahtdiag anatomy --labels DATA",
            'see mahtdiag anatomy <span class="whole">--labels</span> DATA',
        ),
        ("--pixel-spacing <b>", '<span class="whole">--pixel-spacing</span> &lt;b&gt;'),
        ("a---b, well-known -- and 3 - 2", "a---b, well-known -- and 3 - 2"),
        ("", ""),
    ],
)
def test_no_end_of_a_line_parts_the_name_of_an_option(text: str, expected: str) -> None:
    assert str(whole_options(text)) == expected
