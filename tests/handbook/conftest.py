"""A folder as a reader has it: checkpoints, sets, runs by the names that the pages use."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.command import environment
from tests.cli.conftest import clean_process as clean_process
from tests.cli.conftest import command as command

SAMPLES = Path(__file__).parents[2] / "sample_data"
IMAGES = 12


def mahtdiag(folder: Path, *arguments: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mahtdiag", *arguments],
        cwd=folder, env=environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def part(names: list[Path], folder: Path) -> None:
    folder.mkdir()
    for name in names:
        shutil.copy(name, folder)
        shutil.copy(name.with_suffix(".csv"), folder)


@pytest.fixture(scope="session")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made once; each page works on a copy."""
    folder = tmp_path_factory.mktemp("reader")
    names = sorted((SAMPLES / "AP").glob("*.jpg"))
    for data in ("data", "first", "second"):
        part(names[:IMAGES], folder / data)
    part(names[:3], folder / "test")
    part(names[3:6], folder / "train")
    for table in (folder / "second").glob("*.csv"):  # the second reader sets each left end a pixel lower
        rows = [row.split(",") for row in table.read_text().splitlines()]
        table.write_text("".join(f"{x},{int(y) + 1},{','.join(rest)}\n" for x, y, *rest in rows))
    for name in ("ckpt.pt", "net.pt", "new.pt", "model.pt"):
        shutil.copy(SAMPLES / "mahtnet-ap.pt", folder / name)
    shutil.copytree(SAMPLES / "whole", folder / "whole")
    shutil.copy(SAMPLES / "mahtnet-whole.pt", folder / "whole.pt")
    part(names[IMAGES:], folder / "others")
    mahtdiag(folder, "evaluate", "ckpt.pt", "others", "--overlays", "none", "--out", "other-run")
    plain = ("evaluate", "ckpt.pt", "data", "--overlays", "none")
    mahtdiag(folder, *plain, "--decode", "dark", "--out", "runs/dark")
    part(names[:IMAGES], folder / "spoilt")
    exchanged = min((folder / "spoilt").glob("*.csv"))
    lines = exchanged.read_text().splitlines(keepends=True)
    lines[4:6] = reversed(lines[4:6])
    exchanged.write_text("".join(lines))
    mahtdiag(folder, "evaluate", "ckpt.pt", "spoilt", "--overlays", "none", "--out", "runs/spoilt")
    mahtdiag(folder, *plain, "--out", "runs/a")
    for name in ("runs/b", "runs/good"):
        shutil.copytree(folder / "runs" / "a", folder / name)
    mahtdiag(folder, "export", "runs/a", "--to", "csv", "preds.csv")
    return folder
