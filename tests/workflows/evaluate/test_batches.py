"""With what batches a run goes on that began on a GPU, where what fits is a matter of the moment."""

from pathlib import Path

import pytest

from mahtdiag.config.settings import EvaluateSettings, Settings
from mahtdiag.runs.folder import RunFolder
from mahtdiag.workflows.evaluate.job import _with_stored_batches
from tests.runs.builders import header


def begun(folder: Path, device: str, batch_size: object) -> Path:
    """A run that was interrupted."""
    start = header()
    environment = start.environment.model_copy(update={"device": device})
    settings = {**start.settings, "batch_size": batch_size}
    RunFolder.create(
        folder / "run", start.model_copy(update={"environment": environment, "settings": settings})
    )
    return folder / "run"


@pytest.mark.parametrize("asked", [None, "auto"])
def test_auto_goes_on_with_the_batches_of_the_run(tmp_path: Path, asked: str | None) -> None:
    settings = Settings(evaluate=EvaluateSettings(batch_size=asked))
    found = _with_stored_batches(settings, begun(tmp_path, "cuda:0", 48))
    assert found.evaluate.batch_size == 48


@pytest.mark.parametrize(
    ("asked", "device", "stored"),
    [
        (8, "cuda:0", 48),
        (None, "cpu", 48),
    ],
)
def test_nothing_else_changes(tmp_path: Path, asked: int | None, device: str, stored: object) -> None:
    settings = Settings(evaluate=EvaluateSettings(batch_size=asked))
    assert _with_stored_batches(settings, begun(tmp_path, device, stored)) == settings


def test_no_run_to_go_on_with_is_told_elsewhere(tmp_path: Path) -> None:
    assert _with_stored_batches(Settings(), tmp_path / "none") == Settings()
