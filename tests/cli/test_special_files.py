"""Pipes, devices and endless files in the place of every file that a command reads: one line, at once."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.test_sample_data import SAMPLES

CHECKPOINT = str(SAMPLES / "mahtnet-ap.pt")
EVALUATE = ("evaluate", CHECKPOINT, "AP", "--out", "new", "--overlays", "none")
KINDS = {"pipe": "a pipe, not a file", "zero": "a device, not a file", "sparse": "6,442,450,944 bytes"}


def mahtdiag(folder: Path, *arguments: str) -> tuple[int, str]:
    command = [sys.executable, "-m", "mahtdiag", *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    return done.returncode, done.stderr


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four images, a run of them, and what is no file."""
    root = tmp_path_factory.mktemp("special")
    (root / "AP").mkdir()
    for file in sorted((SAMPLES / "AP").iterdir())[:8]:
        shutil.copy(file, root / "AP")
    os.mkfifo(root / "pipe")
    (root / "zero").symlink_to("/dev/zero")
    with (root / "sparse").open("wb") as sparse:
        sparse.truncate(6 * 2**30)
    status, said = mahtdiag(root, "evaluate", CHECKPOINT, "AP", "--out", "run", "--overlays", "none")
    assert status == 0, said
    return root


@pytest.mark.parametrize(
    ("place", "command", "kinds"),
    [
        ("c.pt", ("inspect", "c.pt"), ["pipe", "zero"]),
        ("AP/pixel_spacing.csv", EVALUATE, ["sparse"]),
        ("mahtdiag.toml", ("anatomy", "run"), ["pipe", "sparse"]),
        ("groups.csv", (*EVALUATE, "--subgroups", "groups.csv"), ["zero"]),
        ("fit.json", (*EVALUATE, "--recalibration", "fit.json"), ["pipe"]),
        ("guess", ("evaluate", "--predictions", "guess", "AP", "--out", "new"), ["zero"]),
        ("run/run.json", ("report", "run"), ["pipe", "sparse"]),
        ("run/keypoints.parquet", ("calibration", "run"), ["pipe"]),
    ],
)
def test_one_line_names_it(folder: Path, place: str, command: tuple[str, ...], kinds: list[str]) -> None:
    for kind in kinds:
        require_one_line(folder, place, command, kind)


def require_one_line(folder: Path, place: str, command: tuple[str, ...], kind: str) -> None:
    path, kept = folder / place, folder / "kept"
    if path.exists():
        path.rename(kept)
    path.symlink_to(folder / kind)
    try:
        status, said = mahtdiag(folder, *command)
    finally:
        path.unlink()
        if kept.exists():
            kept.rename(path)
    assert (status, said.count("\n")) == (2, 1)
    assert said.startswith("error: ")
    assert KINDS[kind] in said
    assert Path(place).name in said
    assert not (folder / "new").exists()


def test_images_are_failures(folder: Path) -> None:
    data = folder / "some"
    shutil.copytree(folder / "AP", data)
    images = sorted(path for path in data.iterdir() if path.suffix == ".jpg")
    for path, kind in zip(images, KINDS, strict=False):
        path.unlink()
        path.symlink_to(folder / kind)
    status, said = mahtdiag(folder, "evaluate", CHECKPOINT, "some", "--out", "of-some", "--overlays", "none")
    assert status == 2
    assert "3 of 4 images failed" in said
    table = pq.read_table(folder / "of-some/images.parquet").to_pydict()
    reasons = dict(zip(table["image"], table["reason"], strict=True))
    for path, reason in zip(images, KINDS.values(), strict=False):
        assert reason in reasons[path.name]
