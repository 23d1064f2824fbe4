"""Folders are listed once while a set is opened, and never what is no file."""

import os
from pathlib import Path

import pytest

from mahtdiag.data.folders import content_of, one_look
from mahtdiag.data.image_index import ImageIndex
from mahtdiag.data.json_files import files_with
from mahtdiag.data.readers import open_dataset
from mahtdiag.errors import DataError
from mahtdiag.schema.skeleton import View


def names(path: Path, *endings: str) -> list[str]:
    return [file.relative_to(path).as_posix() for file in files_with(path, endings)]


def test_files_by_their_endings(tmp_path: Path) -> None:
    for name in ("b.JSON", "a.json", "c.mrk.json", "d.txt", "e", ".hidden.json", "below/a.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert names(tmp_path, ".json") == ["a.json", "b.JSON", "c.mrk.json", "below/a.json"]
    assert names(tmp_path, ".mrk.json", ".txt") == ["c.mrk.json", "d.txt"]
    assert content_of(tmp_path).files[""] == ("e",)
    assert content_of(tmp_path).count == 5


def test_only_files_are_listed(tmp_path: Path) -> None:
    """A pipe would be read for ever; a link to a folder may lead back to this one."""
    os.mkfifo(tmp_path / "pipe.json")
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "link.json").symlink_to(tmp_path / "pipe.json")
    (tmp_path / "folder.json").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "nowhere.json").symlink_to(tmp_path / "none")
    assert names(tmp_path, ".json") == ["nowhere.json"]
    assert ImageIndex.of(tmp_path).images == []
    with pytest.raises(DataError, match="no image and no annotation"):
        open_dataset(tmp_path, View.AP)


def test_one_look(tmp_path: Path) -> None:
    with one_look():
        before = content_of(tmp_path), ImageIndex.of(tmp_path)
        (tmp_path / "a.png").touch()
        with one_look():
            assert (content_of(tmp_path), ImageIndex.of(tmp_path)) == before
        assert content_of(tmp_path).count == 0
    assert content_of(tmp_path).count == 1
    assert ImageIndex.of(tmp_path).images == ["a.png"]
