"""A run folder that somebody edited shows nothing from elsewhere and writes nothing elsewhere."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.test_sample_data import SAMPLES

CHECKPOINT = str(SAMPLES / "mahtnet-ap.pt")


def mahtdiag(folder: Path, *arguments: str) -> tuple[int, str, str]:
    command = [sys.executable, "-m", "mahtdiag", *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    return done.returncode, done.stdout, done.stderr


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("edited")
    (root / "data" / "AP").mkdir(parents=True)
    for file in sorted((SAMPLES / "AP").iterdir())[:20]:
        shutil.copy(file, root / "data" / "AP")
    status, _, said = mahtdiag(root, "evaluate", CHECKPOINT, "data", "--out", "run", "--overlays", "none")
    assert status == 0, said
    return root


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    """The run and its data, to be edited."""
    shutil.copytree(made / "data", tmp_path / "data")
    shutil.copytree(made / "run", tmp_path / "run")
    return tmp_path


def edited(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """The document changed, and without checksums, as those of earlier versions are."""
    file = folder / "run" / "run.json"
    content = json.loads(file.read_bytes())
    content["checksums"] = None
    change(content)
    file.write_text(json.dumps(content))


def renamed(folder: Path, old: str, new: str) -> None:
    """Another name for an image in both tables."""
    for name in ("images.parquet", "keypoints.parquet"):
        file = folder / "run" / name
        table = pq.read_table(file)
        images = [new if image == old else image for image in table.column("image").to_pylist()]
        position = table.schema.get_field_index("image")
        pq.write_table(table.set_column(position, table.schema.field("image"), pa.array(images)), file)


@pytest.mark.parametrize("command", [("anatomy", "run"), ("report", "run"), ("calibration", "run")])
def test_links_in_a_run_folder_are_not_written_through(folder: Path, command: tuple[str, ...]) -> None:
    (folder / "elsewhere").mkdir()
    for name in ("anatomy", "calibration", "overlays"):
        (folder / "run" / name).symlink_to(folder / "elsewhere")
    (folder / "mine.html").write_text("mine")
    (folder / "run" / "report.html").symlink_to(folder / "mine.html")
    status, printed, said = mahtdiag(folder, *command)
    assert status == 0, said
    assert (folder / "mine.html").read_text() == "mine"
    assert not any((folder / "elsewhere").iterdir())
    if command[0] != "report":
        refused = "link in a run folder, which is not followed; remove it"
        assert refused in " ".join(f"{printed} {said}".split())


def test_a_lock_or_parts_that_lead_elsewhere(folder: Path) -> None:
    (folder / "mine").write_text("mine")
    (folder / "elsewhere").mkdir()
    edited(folder, lambda content: content.update(status="interrupted"))
    resume = ("evaluate", CHECKPOINT, "data", "--out", "run", "--overlays", "none", "--resume")
    for name, target in ((".lock", "mine"), ("parts", "elsewhere")):
        (folder / "run" / name).symlink_to(folder / target)
        status, _, said = mahtdiag(folder, *resume)
        assert (status, said.splitlines()[-1]) == (
            2,
            f"error: run/{name}: a link in a run folder, which is not followed; remove it",
        )
        (folder / "run" / name).unlink()
    assert (folder / "mine").read_text() == "mine"
    assert not any((folder / "elsewhere").iterdir())


@pytest.mark.parametrize("name", ["../secret.jpg", "AP/../../secret.jpg", "ABSOLUTE"])
def test_images_outside_the_data_folder_are_gone(folder: Path, name: str) -> None:
    name = str(folder / "secret.jpg") if name == "ABSOLUTE" else name
    first = sorted((folder / "data/AP").glob("*.jpg"))[0]
    first.rename(folder / "secret.jpg")
    edited(folder, lambda content: None)
    renamed(folder, first.name, name)
    renamed(folder, f"AP/{first.name}", name)
    status, printed, said = mahtdiag(folder, "anatomy", "run", "--overlays", "all")
    assert status == 0, said
    assert "the image is gone or another one now" in " ".join(printed.split())
    assert len([*(folder / "run/anatomy/overlays").iterdir()]) == 9
    assert not [path for path in (folder / "run").rglob("*.png") if "secret" in path.name]
    assert os.path.exists(folder / "secret.jpg")
