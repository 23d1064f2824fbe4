"""What `init` makes of a run, without the command line."""

import shutil
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mahtdiag.errors import RunFolderError, UsageError
from mahtdiag.workflows.init.job import Initialised, InitRequest, Source, initialise
from tests.workflows.report_runs import write_report_run

STORED = Path(__file__).parents[2] / "fixtures" / "runs" / "desk"
FILE = Path("mahtdiag.toml")


@pytest.fixture
def request_(tmp_path: Path) -> InitRequest:
    """For the latest run of the folder, `la`, whose network and images are there."""
    shutil.copytree(STORED, tmp_path / "desk")
    return InitRequest(run=None, out=FILE, margin=0.1, force=False, template=False, cwd=tmp_path / "desk")


def content_of(request: InitRequest) -> dict[str, Any]:
    return tomllib.loads((request.cwd / request.out).read_text(encoding="utf-8"))


def test_the_file_names_what_the_run_was_made_of(request_: InitRequest) -> None:
    done = initialise(request_)
    assert done == Initialised(FILE, done.gates, "runs/la", needs_trust=True, notes=(), source=Source())
    content = content_of(request_)
    assert content["model"]["checkpoint"] == "first-la.pt"
    assert content["data"] == {"path": "data", "view": "LA"}
    limits = {name: limit for name, limit in content["gates"].items() if name != "baseline"}
    # A number may have a limit on either side.
    assert sum(1 if isinstance(limit, str) else len(limit) for limit in limits.values()) == done.gates > 0


def test_paths_are_those_of_the_folder_of_the_file(request_: InitRequest) -> None:
    (request_.cwd / "ci").mkdir()
    inside = replace(request_, out=Path("ci") / FILE)
    assert initialise(inside).notes == ()
    content = content_of(inside)
    assert content["model"]["checkpoint"] == "../first-la.pt"
    assert content["data"]["path"] == "../data"


def test_what_is_gone_is_noted(request_: InitRequest) -> None:
    (request_.cwd / "first-la.pt").unlink()
    assert initialise(request_).notes == (
        "[model] checkpoint: first-la.pt is not there; correct it in the file",
    )


def test_a_file_in_the_way_is_kept(request_: InitRequest) -> None:
    (request_.cwd / FILE).write_text("mine")
    with pytest.raises(UsageError, match="exists; overwrite it with --force"):
        initialise(request_)
    assert (request_.cwd / FILE).read_text() == "mine"
    assert initialise(replace(request_, force=True)).file == FILE
    assert "checkpoint" in (request_.cwd / FILE).read_text()


def test_a_template_needs_no_run(request_: InitRequest, tmp_path: Path) -> None:
    empty = replace(request_, cwd=tmp_path / "empty")
    empty.cwd.mkdir()
    with pytest.raises(RunFolderError, match="no finished run in runs"):
        initialise(empty)
    assert initialise(replace(empty, template=True)) == Initialised(FILE, 0, None, False, (), Source())
    assert content_of(empty)["gates"] == {}


def test_an_unfinished_run_is_no_start(tmp_path: Path) -> None:
    write_report_run(tmp_path, complete=False)
    with pytest.raises(RunFolderError, match="the run is not finished"):
        initialise(InitRequest(Path("runs/a"), FILE, 0.1, False, False, tmp_path))
