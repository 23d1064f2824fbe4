"""Help, version, schema, bad usage: what needs no data."""

import importlib
import json
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from mahtdiag import __version__

from .builders import ROOT
from .command import Desk, environment

OPTIONS = (
    "--view", "--out", "--model", "--trust", "--input-size", "--resize", "--normalize", "--channels",
    "--coords", "--decode", "--heatmap-sigma", "--softargmax-beta", "--uncertainty", "--uncertainty-as",
    "--uncertainty-frame", "--recalibration", "--device", "--batch-size", "--workers", "--precision",
    "--pixel-spacing",
    "--overlays", "--resume", "--allow-failures", "--format", "--config",
)  # fmt: skip
CHOICES = (
    "AP|LA|auto", "stretch|letterbox", "unit|imagenet|MEAN/STD", "1|3", "half-pixel|scale",
    "argmax|local|dark|soft-argmax|expectation", "auto|head|heatmap|none", "log_sigma|sigma|log_var|var|cov",
    "input|heatmap|unit|signed-unit|original",
    "auto|cpu|cuda|cuda:N|mps", "N|auto", "fp32|bf16|fp16", "worst:N|all|none", "table|json",
)  # fmt: skip
BAD_USAGE = {
    "another command": (("evaluat",), "no such command 'evaluat'"),
    "another option": (("--bogus",), "no such option: --bogus"),
    "another option of evaluate": (("evaluate", "a", "b", "--bogus"), "no such option: --bogus"),
    "a third argument": (("evaluate", "a", "b", "c"), "got unexpected extra argument"),
    "another view": (("evaluate", "a", "b", "--view", "ap"), "'ap' is not one of 'AP', 'LA', 'auto'"),
    "another format": (("evaluate", "a", "b", "--format", "xml"), "'xml' is not one of 'table', 'json'"),
    "another convention": (
        ("evaluate", "a", "b", "--coords", "px"),
        "'px' is not one of 'half-pixel', 'scale'",
    ),
    "a word for a number": (("evaluate", "a", "b", "--heatmap-sigma", "x"), "'--heatmap-sigma'"),
    "no value": (("evaluate", "a", "b", "--out"), "'--out' requires an argument"),
}


def test_the_console_script_is_this_command() -> None:
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["scripts"]
    module, function = scripts["mahtdiag"].split(":")
    assert callable(getattr(importlib.import_module(module), function))
    code = f"from {module} import {function}; {function}()"
    result = subprocess.run(
        [sys.executable, "-c", code, "--version"],
        env=environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (result.returncode, result.stdout, result.stderr) == (0, f"mahtdiag {__version__}\n", "")


def test_version(desk: Desk) -> None:
    result = desk.run("--version")
    assert (result.status, result.text, result.err) == (0, f"mahtdiag {__version__}\n", "")


def test_no_command_shows_the_commands_and_is_bad_usage(desk: Desk) -> None:
    result = desk.run()
    assert result.status == 2
    assert result.err == ""
    assert "evaluate" in result.text
    assert desk.run("--help").text.split() == result.text.split()


@pytest.mark.parametrize("arguments", [("--help",), ("-h",), ("evaluate", "--help"), ("schema", "--help")])
def test_help(desk: Desk, arguments: tuple[str, ...]) -> None:
    result = desk.run(*arguments)
    assert (result.status, result.err) == (0, "")
    assert "Usage: mahtdiag" in result.text


def test_the_help_of_evaluate_names_every_option_and_choice(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    narrow = desk.run("evaluate", "--help").text
    assert [option for option in OPTIONS if not re.search(rf"{option}\s", narrow)] == []
    monkeypatch.setenv("COLUMNS", "200")
    wide = desk.run("evaluate", "--help").text
    assert [choice for choice in CHOICES if choice not in wide] == []
    # Square brackets are markup to the help: what stands in them must not get lost.
    for default in ("runs/<UTC time>-<checkpoint>", "worst:12", "./mahtdiag.toml", "tool.mahtdiag"):
        assert default in wide


HELPS = (
    *("evaluate", "anatomy", "calibration", "compare", "report", "runs", "figures", "export", "init"),
    *("inspect", "rules", "explain", "demo", "schema"),
)


@pytest.mark.parametrize("name", HELPS)
def test_help_shows_no_types_of_python_and_two_examples_that_are_understood(
    desk: Desk, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The demo types all the others.
    monkeypatch.setattr("mahtdiag.workflows.demo.job.STEPS", ())
    text = desk.run(name, "--help").text
    assert re.findall(r"<(?:bool|str|int|float|Path|list)\b", text) == []
    examples = re.findall(r"^ (mahtdiag .*?) *$", text.partition("Examples:")[2], re.M)
    assert len(examples) == 2
    for example in examples:
        typed = shlex.split(example.partition(" > ")[0])[1:]
        assert typed[0] == name
        # Whatever is not there is named, but no option or value is misunderstood.
        assert "--help)" not in desk.run(*typed).err


def test_every_command_has_examples(desk: Desk) -> None:
    listed = re.findall(r"^│ ([a-z]+) ", desk.run("--help").text.partition("Commands")[2], re.M)
    assert listed == list(HELPS)


def test_the_shell_completes_commands_and_options(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_MAHTDIAG_COMPLETE", "complete_bash")
    for typed, found in (("mahtdiag cal", "calibration"), ("mahtdiag evaluate --quie", "--quiet")):
        monkeypatch.setenv("COMP_WORDS", typed)
        monkeypatch.setenv("COMP_CWORD", str(len(typed.split()) - 1))
        result = desk.run()
        assert (result.status, result.text.split()) == (0, [found])


def test_schema(desk: Desk) -> None:
    result = desk.run("schema")
    assert (result.status, result.err) == (0, "")
    assert json.loads(result.text)["$schema"] == "https://json-schema.org/draft/2020-12/schema"


@pytest.mark.parametrize("case", BAD_USAGE)
def test_bad_usage_is_one_line(desk: Desk, case: str) -> None:
    arguments, problem = BAD_USAGE[case]
    result = desk.run(*arguments)
    assert (result.status, result.text) == (2, "")
    (line,) = result.err.splitlines()
    assert line.startswith("error: ")
    assert problem in line
    assert line.endswith("--help)")


def test_a_defect_of_ours_is_one_line_too(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("over\nzero")

    monkeypatch.setattr("mahtdiag.workflows.evaluate.job.prepare", broken)
    result = desk.run("evaluate", "ap.pt", "data")
    assert (result.status, result.text) == (2, "")
    assert result.err == (
        "internal error: ZeroDivisionError: over zero; set MAHTDIAG_DEBUG=1 to see where, and report it\n"
    )


def test_a_defect_shows_where_it_is_to_whoever_asks(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("mahtdiag.workflows.evaluate.job.prepare", broken)
    monkeypatch.setenv("MAHTDIAG_DEBUG", "1")
    with pytest.raises(ZeroDivisionError):
        desk.run("evaluate", "ap.pt", "data")


def test_a_folder_that_was_removed_under_us(tmp_path: Path) -> None:
    code = (
        "import os, sys; os.mkdir('gone'); os.chdir('gone'); os.rmdir('../gone')\n"
        "from mahtdiag.cli.app import main; sys.argv = ['mahtdiag', 'evaluate', 'a.pt', 'data']; main()"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment(), capture_output=True, text=True
    )
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == (
        "error: the current folder has been removed; change to another one and start again\n"
    )


def test_help_does_not_load_what_is_slow(tmp_path: Path) -> None:
    code = (
        "import sys; from mahtdiag.cli.app import main; sys.argv = ['mahtdiag', 'evaluate', '--help']\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "print([name for name in ('torch', 'cv2', 'pyarrow', 'scipy', 'matplotlib') if name in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout.splitlines()[-1] == "[]"
