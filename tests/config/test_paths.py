"""Paths in a settings file begin at its folder."""

import os
from pathlib import Path

import pytest

from mahtdiag.config.project_file import read_settings

TEXT = """
[model]
checkpoint = "nets/a.pt"
[data]
path = "data"
[evaluate]
recalibration = "sub/factors.json"
[gates.baseline]
run = "runs/good"
"radial_error_px.mean" = "+0.3"
"""


def write(path: Path, text: str = TEXT) -> Path:
    """A settings file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def paths_of(path: Path | None, cwd: Path) -> tuple[str | None, ...]:
    """All paths that the settings hold."""
    settings = read_settings(path, cwd)
    baseline = settings.gates.baseline
    return (
        settings.model.checkpoint, settings.data.path, settings.evaluate.recalibration,
        baseline.run if baseline else None,
    )  # fmt: skip


AS_WRITTEN = ("nets/a.pt", "data", "sub/factors.json", "runs/good")


def test_a_file_in_the_current_folder_says_what_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "mahtdiag.toml")
    other = write(tmp_path / "other.toml")
    (tmp_path / "link").symlink_to(tmp_path)
    for named in (None, Path("other.toml"), other, Path("link/other.toml"), Path("./other.toml")):
        assert paths_of(named, tmp_path) == AS_WRITTEN


def test_a_file_elsewhere_speaks_of_its_own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    for named in (write(tmp_path / "project/mahtdiag.toml"), Path("../project/mahtdiag.toml")):
        seen = paths_of(named, here)
        assert seen == tuple(str(named.parent / path) for path in AS_WRITTEN)
        assert [os.path.relpath(str(path), "../project") for path in seen] == list(AS_WRITTEN)


def test_an_absolute_path_stays(tmp_path: Path) -> None:
    text = '[model]\ncheckpoint = "/nets/a.pt,/nets/b.pt"\n[data]\npath = "/data"\n'
    named = write(tmp_path / "project/mahtdiag.toml", text)
    assert paths_of(named, tmp_path) == ("/nets/a.pt,/nets/b.pt", "/data", None, None)


def test_each_member_of_an_ensemble(tmp_path: Path) -> None:
    named = write(tmp_path / "project/x.toml", '[model]\ncheckpoint = "a.pt, sub/b.pt"\n')
    folder = tmp_path / "project"
    assert read_settings(named, tmp_path).model.checkpoint == f"{folder / 'a.pt'},{folder / 'sub/b.pt'}"
    (folder / "a.pt, sub").mkdir()
    (folder / "a.pt, sub/b.pt").touch()
    assert read_settings(named, tmp_path).model.checkpoint == str(folder / "a.pt, sub/b.pt")


def test_what_is_not_set_stays_so(tmp_path: Path) -> None:
    named = write(tmp_path / "project/x.toml", "[evaluate]\nworkers = 2\n")
    assert paths_of(named, tmp_path) == (None, None, None, None)
