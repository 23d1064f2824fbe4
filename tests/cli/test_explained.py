"""`mahtdiag explain` knows every name that is printed; names are collected from what prints them."""

import re
import shutil
from collections.abc import Callable, Iterator
from html import unescape
from pathlib import Path

import pytest
import typer

from mahtdiag.anatomy.error_types import ErrorType
from mahtdiag.anatomy.rules import LIMIT_BY_KEY, RULES
from mahtdiag.calibration.verdict import FAULTS
from mahtdiag.cli.commands import app
from mahtdiag.config.settings import KEYS
from mahtdiag.diagnosis.comparison import Outcome, Verdict
from mahtdiag.diagnosis.metrics.registry import known_metrics
from mahtdiag.diagnosis.setup.registry import CHECKS
from mahtdiag.errors import UsageError
from mahtdiag.reports.figures.registry import FIGURES
from mahtdiag.reports.json import CSV_COLUMNS
from mahtdiag.reports.tables import table as tables
from mahtdiag.runs.tables import images_schema, keypoints_schema
from mahtdiag.schema.choices import DecodeMethod
from mahtdiag.schema.setup import SetupStatus
from mahtdiag.schema.skeleton import View
from mahtdiag.workflows.explain import look_up

from .command import Finished
from .test_stored_runs import COMMANDS, FIXTURES

PRINTING = (
    "evaluate-la", "anatomy-a-limits", "anatomy-b", "anatomy-la", "anatomy-labels", "calibration-a",
    "calibration-la", "compare-a-b", "compare-b-a-margins",
)  # fmt: skip
REPORTS = ("report-a", "report-b", "report-la", "report-earlier")
ROOT_COMMAND = typer.main.get_command(app)
# What stands in the first column and is no name: files, values of a column, levels of confidence, factors.
VALUES = re.compile(
    r".*\.(jpg|png|pt)|[FM]( \*)?|\d\d (to \d\d|and older)( \*)?|\d\d %|× .+|--.+|\d+|\.|.* data: .*"
)


def unknown(names: Iterator[str]) -> list[str]:
    """Those that nothing explains."""
    found = []
    for name in dict.fromkeys(names):
        try:
            look_up(name, {}, ())
        except UsageError:
            found.append(name)
    return found


def collected(tables_shown: list[tables.Table]) -> Iterator[str]:
    """Titles, columns, and what rows are called."""
    for shown in tables_shown:
        # Of runs the title is the data, of a checkpoint its file.
        if not re.search(r"\.pt$|: (AP|LA) view", shown.title):
            yield shown.title
        yield from (column.name for column in shown.columns if column.name)
        names = (row.cells[0].text.strip() for row in shown.rows)
        yield from (name for name in names if name and not VALUES.fullmatch(name))


def test_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: Callable[..., Finished]) -> None:
    shown: list[tables.Table] = []
    original = tables._for_terminal

    def noted(table: tables.Table) -> object:
        shown.append(table)
        return original(table)

    monkeypatch.setattr(tables, "_for_terminal", noted)
    folder = tmp_path / "desk"
    shutil.copytree(FIXTURES / "desk", folder)
    monkeypatch.chdir(folder)
    for arguments in (
        *(COMMANDS[name] for name in PRINTING),
        ("runs",),
        ("rules",),
        ("inspect", "first-la.pt"),
    ):
        command(*arguments)
    assert len(shown) > 70
    assert unknown(collected(shown)) == []


@pytest.mark.parametrize("name", REPORTS)
def test_pages(name: str) -> None:
    """Cards, columns and headings of tables."""
    text = (FIXTURES / "expected" / f"{name}.txt").read_text(encoding="utf-8")
    found = re.findall(
        r"<dt>(.+?)</dt>|<th scope=\"col\"[^>]*>(.+?)</th>|<caption[^>]*>(.+?)</caption>", text
    )
    names = [unescape(re.sub("<[^>]+>", "", "".join(each))).strip() for each in found]
    assert len(names) > 30
    assert unknown(iter(names)) == []


def test_registries() -> None:
    names = [
        *(rule.code for rule in RULES), *LIMIT_BY_KEY, *(metric.name for metric in known_metrics()),
        *(check.name for check in CHECKS), *FAULTS, *(figure.name for figure in FIGURES),
        *(figure.title for figure in FIGURES), *SetupStatus, *Outcome, *Verdict, *DecodeMethod,
        *(kind.title for kind in ErrorType if kind is not ErrorType.UNKNOWN), "calibrated", "faulty",
        *("verdict", "baseline", "margin", "z", "σ", "sigma", "ECE", "MACE", "Cobb", "latest", "headline"),
        "gate", "inconclusive",
    ]  # fmt: skip
    assert unknown(iter(names)) == []


def test_columns_of_files() -> None:
    schemas = [schema(view.skeleton) for schema in (images_schema, keypoints_schema) for view in View]
    assert unknown(name for schema in schemas for name in schema.names) == []
    assert unknown(iter(CSV_COLUMNS)) == []


def test_settings() -> None:
    keys = [
        name for table, keys in KEYS.items() for key in keys for name in (key.name, f"{table}.{key.name}")
    ]
    assert len(keys) > 60
    assert unknown(iter(keys)) == []


def test_options(command: Callable[..., Finished]) -> None:
    """Every option of every command, each of which is asked once."""
    names = {
        name
        for of in vars(ROOT_COMMAND)["commands"].values()
        for each in of.params
        for name in (*each.opts, *each.secondary_opts)
        if name.startswith("--") and not getattr(each, "hidden", False)
    }
    assert len(names) > 60
    for name in sorted(names):
        done = command("explain", "--", name)
        if name not in ("--format", "--config", "--help"):
            assert command("explain", name) == done, "also as it is printed"
        assert (done.status, done.err) == (0, ""), name
        assert done.text.startswith(name) or f"{name} " in done.text or f", {name}" in done.text
    done = command("explain", "--format", "json", "--", "--decode")
    assert '"--decode"' in done.text


def test_words_of_pictures_notes_and_verdicts(command: Callable[..., Finished]) -> None:
    for word in ("failure rate", "Holm", "interrupted", "Heavy tails"):
        assert command("explain", word).status == 0, word
    # Said of each of them, however many they are.
    assert " ".join(command("explain", "impossible").text.split()).startswith(
        "impossible (word) Said of a predicted spine in which a rule of anatomy fires. Where most"
    )


def test_nothing_wild_is_suggested(command: Callable[..., Finished]) -> None:
    for word in ("banana", "qqq", "runs/latest/run.json"):
        done = command("explain", word)
        assert done.status == 2
        assert "did you mean" not in done.err
        assert "glossary" in done.err
    assert "did you mean verdict?" in command("explain", "verdikt").err
    assert "did you mean --decode?" in command("explain", "--", "--decod").err
