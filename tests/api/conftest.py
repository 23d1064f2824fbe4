"""Runs of earlier versions in the current folder."""

import shutil
from pathlib import Path

import pytest

FIXTURES = Path(__file__).parents[1] / "fixtures" / "runs"


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the folder of a user with four runs, as the current folder."""
    folder = tmp_path / "desk"
    shutil.copytree(FIXTURES / "desk", folder)
    monkeypatch.chdir(folder)
    return folder
