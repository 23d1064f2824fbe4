"""Every name that anything prints is explained, by one record each, and the documentation says the same."""

import json
import re
from pathlib import Path

import pytest

from mahtdiag.anatomy.error_types import ErrorType
from mahtdiag.anatomy.rules import LIMIT_BY_KEY, RULES
from mahtdiag.diagnosis.metrics.registry import known_metrics
from mahtdiag.diagnosis.setup.registry import CHECKS, RESULTS
from mahtdiag.errors import UsageError
from mahtdiag.reports.rendering import FORMATS as RENDERERS
from mahtdiag.reports.rendering import Result, named
from mahtdiag.reports.tables.explained import Explained, explained_content, explained_parts, rules_parts
from mahtdiag.schema.column_words import COLUMN_GROUPS
from mahtdiag.schema.glossary import TERM_BY_NAME, TERMS
from mahtdiag.schema.headings import HEADINGS
from mahtdiag.schema.skeleton import View
from mahtdiag.workflows.explain import look_up

DOCS = Path(__file__).parents[2] / "docs"


def printed(found: Explained) -> str:
    text = named(RENDERERS, "table").render(Result(lambda _: explained_parts(found), dict))
    assert isinstance(text, str)
    return text


def test_every_rule_number_check_and_word_is_found_by_its_name() -> None:
    for rule in RULES:
        assert look_up(rule.code.lower(), {}).rules == (rule,)
    for key in LIMIT_BY_KEY:
        assert len(look_up(key, {}).rules) == 1
    for check in CHECKS:
        assert look_up(check.name, {}).checks == (check,)
    for term in TERMS:
        assert look_up(f" {term.name.upper()} ", {}).terms == (term,)
    for metric in known_metrics():
        (found,) = look_up(metric.name, {}).metrics
        assert found.name == metric.name
        assert metric.name in printed(Explained(metrics=(found,))).replace("\n", "")


def test_a_number_is_found_by_what_tables_call_it() -> None:
    (found,) = look_up("Success detection rate, 4 px", {}).metrics
    assert found.name == "sdr_px.4"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("A2", "did you mean A201 or A202 or A203?"),
        ("a401x", "did you mean A401?"),
        ("radial_error_px.maen", "did you mean radial_error_px.mean?"),
        ("network.heatmap", "did you mean network.heatmaps?"),
        ("calibration.groups.vertebra.L5.mace", "is known only once a run has it"),
        ("", "nothing that is printed has this name"),
        ("x" * 2000, "nothing that is printed has this name"),
        ("[red]\x1b[31m\n", "nothing that is printed has this name"),
    ],
)
def test_what_has_no_such_name_is_one_line_with_the_nearest(name: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        look_up(name, {})
    (problem,) = caught.value.problems
    assert said in problem
    assert len(problem) < 300


def test_limits_of_the_project_are_shown() -> None:
    limits = {View.AP: {"A201": 12.0}, View.LA: {}}
    assert "Set here: 12° in AP." in printed(look_up("A201", limits))
    text = named(RENDERERS, "table").render(Result(lambda _: rules_parts(limits), dict))
    assert isinstance(text, str)
    assert "AP above 12°; LA above 32°" in text
    assert all(rule.code in text for rule in RULES)
    (content,) = json.loads(json.dumps(explained_content(look_up("A201", limits))))["rules"]
    assert content["limits"]["A201"]["in_force"] == {"AP": 12.0, "LA": 32.0}


def test_words_are_defined_once_and_as_the_documentation_says() -> None:
    assert len(TERM_BY_NAME) == len(TERMS)
    rows = re.findall(r"^\| (.+?) \| (.+) \|$", (DOCS / "glossary.md").read_text(encoding="utf-8"), re.M)
    shown = [(name.replace("\\|", "|"), meaning) for name, meaning in rows if "---" not in name]
    heads = {("word", "meaning"), ("printed", "meaning")}
    assert [row for row in shown if row not in heads] == [
        (", ".join((term.name, *term.also)), term.meaning) for term in (*TERMS, *HEADINGS)
    ]


def test_columns_of_files_are_those_of_the_documentation() -> None:
    rows = re.findall(r"^\| (`.+?`) \| (.+) \|$", (DOCS / "files.md").read_text(encoding="utf-8"), re.M)
    assert [(re.findall(r"`([^`]+)`", names), said) for names, said in rows] == [
        ([*group.names], group.meaning) for group in COLUMN_GROUPS
    ]


def test_kinds_of_errors_and_the_first_line_of_setup_are_words() -> None:
    for error_type in ErrorType:
        if error_type is not ErrorType.UNKNOWN:
            assert [term.name for term in look_up(error_type.title, {}).terms] == [error_type.title]
    assert look_up("Level shift -1", {}).terms == look_up("level shift −1", {}).terms
    assert [term.name for term in look_up(RESULTS, {}).terms] == [RESULTS]


def test_checks_look_at_what_the_documentation_says() -> None:
    rows = re.findall(r"^\| `([a-z_.]+)` \| (.+) \|$", (DOCS / "setup.md").read_text(encoding="utf-8"), re.M)
    said = {name: text.replace("`", "") for name, text in rows}
    assert {check.name: check.title for check in CHECKS} == {check.name: said[check.name] for check in CHECKS}
