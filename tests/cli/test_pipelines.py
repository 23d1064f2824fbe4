"""The examples for pipelines: they parse, every command of them exists, and they do what the page says."""

import re
import shlex
import tomllib
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from mahtdiag.cli.commands import app

from .builders import ROOT
from .command import Desk

PAGE = (ROOT / "docs" / "ci.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
LINES = sorted({line.strip().removeprefix("- ").removeprefix("run: ").removeprefix("entry: ")
                for _, block in BLOCKS for line in block.splitlines()})  # fmt: skip
COMMANDS = [line for line in LINES if line.startswith("mahtdiag ") and ": " not in line]
CONFIGURATION = '[model]\ncheckpoint = "ap.pt"\n[data]\npath = "data"\n[gates]\n"images.failed" = "<= 0"\n'


def example(name: str) -> str:
    """The block of the page that begins with the name of its file."""
    block: str
    (block,) = [block for _, block in BLOCKS if block.startswith(f"# {name}\n")]
    return block


def parsed(name: str) -> Any:
    return yaml.safe_load(example(name))


def require_possible(line: str) -> None:
    """The command line is understood: such a command, such options, such values."""
    program, name, *arguments = shlex.split(line, comments=True)
    commands = typer.main.get_command(app)
    assert program == "mahtdiag"
    assert isinstance(commands, typer.core.TyperGroup)
    with commands.make_context("mahtdiag", [name]) as context:
        command = commands.get_command(context, name)
        assert command is not None, f"no command {name}"
        command.make_context(name, arguments, parent=context)


def test_the_commands_of_the_page_are_found() -> None:
    assert len(COMMANDS) >= 4
    assert {line.split()[1] for line in COMMANDS} >= {"evaluate", "anatomy", "report"}


@pytest.mark.parametrize("line", COMMANDS)
def test_every_command_of_the_page_exists(line: str) -> None:
    require_possible(line)


@pytest.mark.parametrize(
    "line", ["mahtdiag guess", "mahtdiag evaluate --junits x", "mahtdiag anatomy --format xml"]
)
def test_a_command_that_does_not_exist_is_found(line: str) -> None:
    with pytest.raises(Exception, match=r"guess|--junits|xml"):
        require_possible(line)


def in_the_project(desk: Desk, line: str, status: int) -> None:
    """Run a command of an example in a project with a configuration."""
    assert desk.run(*shlex.split(line)[1:]).status == status


def test_github_actions(desk: Desk) -> None:
    (desk.path / "mahtdiag.toml").write_text(CONFIGURATION)
    steps = parsed(".github/workflows/checkpoint.yml")["jobs"]["gates"]["steps"]
    evaluate, report = [step for step in steps if step.get("run", "").startswith("mahtdiag ")]
    in_the_project(desk, evaluate["run"], 0)
    in_the_project(desk, report["run"], 0)
    assert (desk.path / "runs/ci/report.html").exists()
    assert report["if"] == "always()"
    (upload,) = [step for step in steps if step.get("uses", "").startswith("actions/upload-artifact@")]
    assert upload["if"] == "always()"
    paths = upload["with"]["path"].split()
    assert [path for path in paths if not (desk.path / path).exists()] == []


def test_gitlab(desk: Desk) -> None:
    (desk.path / "mahtdiag.toml").write_text(CONFIGURATION.replace('"<= 0"', '">= 1"'))
    job = parsed(".gitlab-ci.yml")["checkpoint"]
    install, line = job["script"]
    assert install == 'pip install "$MAHTDIAG"'
    in_the_project(desk, line, 1)
    (report,) = job["after_script"]
    in_the_project(desk, report, 1)
    assert (desk.path / "runs/ci/report.html").exists()
    artifacts = job["artifacts"]
    assert artifacts["when"] == "always"
    paths = [*artifacts["paths"], artifacts["reports"]["junit"]]
    assert [path for path in paths if not (desk.path / path).exists()] == []


def spoil(folder: Path) -> None:
    """Exchange two endplates of one annotation."""
    path = min(folder.glob("*.csv"))
    rows = path.read_text().splitlines()
    rows[4:6] = reversed(rows[4:6])
    path.write_text("\n".join(rows))


def test_label_audit_before_a_commit(desk: Desk) -> None:
    (hook,) = parsed(".pre-commit-config.yaml")["repos"][0]["hooks"]
    assert set(hook) == {"id", "name", "entry", "language", "files", "pass_filenames"}
    assert (hook["language"], hook["pass_filenames"]) == ("system", False)
    settings = example("labels.toml")
    assert "gates" in tomllib.loads(settings)
    (desk.path / "labels.toml").write_text(settings)
    (desk.path / "data" / "LA").rename(desk.path / "LA")
    in_the_project(desk, hook["entry"], 0)
    spoil(desk.path / "data" / "AP")
    in_the_project(desk, hook["entry"], 1)
    next((desk.path / "data" / "AP").glob("*.csv")).unlink()
    in_the_project(desk, hook["entry"], 2)


def test_the_hook_that_this_repository_offers(desk: Desk) -> None:
    (hook,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8"))
    assert hook["id"] in PAGE
    assert (hook["language"], hook["pass_filenames"]) == ("python", False)
    assert all(
        re.search(hook["files"], f"data/a.{kind}") for kind in ("csv", "png", "jpg", "jpeg", "tif", "bmp")
    )
    (desk.path / "mahtdiag.toml").write_text(example("labels.toml"))
    (desk.path / "data" / "LA").rename(desk.path / "LA")
    line = shlex.join([*shlex.split(hook["entry"]), *hook["args"]])
    in_the_project(desk, line, 0)
    spoil(desk.path / "data" / "AP")
    in_the_project(desk, line, 1)
