"""Names of new runs and the pointer to the newest finished one."""

import os
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuzz.answers import require_line
from mahtdiag.errors import RunFolderError
from mahtdiag.runs.reading import default_run_path, inner_folders, is_latest, latest_run, publish_latest

NOW = datetime(2026, 11, 23, 10, 15, 7, tzinfo=UTC)


def test_a_new_run_is_named_by_utc_time_and_checkpoint(tmp_path: Path) -> None:
    assert default_run_path("ckpt", NOW, tmp_path) == Path("runs/20261123T101507Z-ckpt")
    tokyo = NOW.astimezone(timezone(timedelta(hours=9)))
    assert default_run_path("ckpt", tokyo, tmp_path) == Path("runs/20261123T101507Z-ckpt")


def test_a_name_is_never_used_twice(tmp_path: Path) -> None:
    names = []
    for _ in range(3):
        path = default_run_path("ckpt", NOW, tmp_path)
        (tmp_path / path).mkdir(parents=True)
        names.append(path.name)
    assert names == ["20261123T101507Z-ckpt", "20261123T101507Z-ckpt-2", "20261123T101507Z-ckpt-3"]


@pytest.mark.parametrize(
    ("stem", "shown"),
    [
        ("modèle v2.1", "modèle-v2.1"),
        ("../../etc/passwd", "etc-passwd"),
        ("a:b*c?", "a-b-c"),
        ("...", "checkpoint"),
        ("", "checkpoint"),
        ("epoch=3-loss=0.1", "epoch-3-loss-0.1"),
        ("x" * 300, "x" * 60),
    ],
)
def test_a_checkpoint_name_becomes_a_safe_folder_name(tmp_path: Path, stem: str, shown: str) -> None:
    assert default_run_path(stem, NOW, tmp_path).name == f"20261123T101507Z-{shown}"


@given(st.text())
def test_any_checkpoint_name_gives_one_folder_below_runs(stem: str) -> None:
    path = default_run_path(stem, NOW, Path("/nonexistent"))
    assert path.parent == Path("runs")
    assert len(path.name.encode()) < 255
    assert path.name.isprintable()


def test_a_run_below_runs_is_stored_relative_so_that_the_folder_can_be_moved(tmp_path: Path) -> None:
    (tmp_path / "a/runs/deep/x é").mkdir(parents=True)
    assert publish_latest(Path("runs/deep/x é"), tmp_path / "a") is None
    assert os.readlink(tmp_path / "a/runs/latest") == "deep/x é"
    (tmp_path / "a").rename(tmp_path / "b")
    assert latest_run(tmp_path / "b") == tmp_path / "b/runs/deep/x é"


def test_a_run_elsewhere_is_stored_absolute(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "project").mkdir()
    for run in (tmp_path / "elsewhere", Path("../elsewhere")):
        assert publish_latest(run, tmp_path / "project") is None
        assert os.readlink(tmp_path / "project/runs/latest") == str(tmp_path / "elsewhere")
        assert latest_run(tmp_path / "project") == tmp_path / "elsewhere"


def test_where_the_system_has_no_links_a_text_file_names_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(1314, "A required privilege is not held by the client")

    (tmp_path / "runs/x").mkdir(parents=True)
    publish_latest(Path("runs/y"), tmp_path)
    monkeypatch.setattr(os, "symlink", refuse)
    assert publish_latest(Path("runs/x"), tmp_path) is None
    assert (tmp_path / "runs/latest").read_text(encoding="utf-8") == "x\n"
    assert latest_run(tmp_path) == tmp_path / "runs/x"
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == ["latest", "x"]


def test_a_link_is_the_latest_by_its_name_and_no_run_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "runs/x").mkdir(parents=True)
    publish_latest(Path("runs/x"), tmp_path)
    assert is_latest(Path("latest"), tmp_path) is is_latest(Path("runs/latest"), tmp_path) is True
    assert [path.name for path in inner_folders(tmp_path / "runs")] == ["x"]


def test_a_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "runs/x").mkdir(parents=True)
    (tmp_path / "runs/latest").symlink_to("x")
    assert latest_run(tmp_path) == tmp_path / "runs/x"


def test_the_missing_pointer_and_the_missing_run_are_explained(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="no finished run yet; run `mahtdiag evaluate CHECKPOINT DATA`"):
        latest_run(tmp_path)
    (tmp_path / "runs/x").mkdir(parents=True)
    publish_latest(Path("runs/x"), tmp_path)
    (tmp_path / "runs/x").rmdir()
    with pytest.raises(RunFolderError, match="names 'x', which is gone; name another run or evaluate again"):
        latest_run(tmp_path)
    (tmp_path / "runs/latest").unlink()
    for content in (b"", b"\n", b"x" * 5000, b"a\0b"):
        (tmp_path / "runs/latest").write_bytes(content)
        with pytest.raises(RunFolderError, match="which is gone"):
            latest_run(tmp_path)
    for content in (b"x" * 60_000, b"a\nb", b"\x1b[31m"):
        (tmp_path / "runs/latest").write_bytes(content)
        with pytest.raises(RunFolderError, match="which is gone") as caught:
            latest_run(tmp_path)
        require_line(str(caught.value))
    for content in (b"\xff\xfe",):
        (tmp_path / "runs/latest").write_bytes(content)
        with pytest.raises(RunFolderError, match="cannot be read"):
            latest_run(tmp_path)


def test_a_pointer_to_or_of_another_kind_is_told_as_what_it_is(tmp_path: Path) -> None:
    pointer = tmp_path / "runs" / "latest"
    pointer.parent.mkdir()
    os.mkfifo(tmp_path / "runs" / "pipe")
    pointer.symlink_to("pipe")
    with pytest.raises(RunFolderError) as caught:
        latest_run(tmp_path)
    line = "names 'pipe', which is no run folder; name another run or evaluate again"
    assert str(caught.value) == f"{pointer}: {line}"
    pointer.unlink()

    def require_reason(reason: str) -> None:
        with pytest.raises(RunFolderError) as caught:
            latest_run(tmp_path)
        assert str(caught.value) == f"{pointer}: cannot be read ({reason}); name a run folder"

    os.mkfifo(pointer)
    require_reason("a pipe, not a file")
    pointer.unlink()
    pointer.mkdir()
    require_reason("a folder, not a file")
    pointer.rmdir()
    pointer.write_bytes(b"x" * 70_000)
    require_reason("70,000 bytes, at most 65,536 are read")
    pointer.write_bytes(b"\xff")
    require_reason("not UTF-8")


def test_a_pointer_that_cannot_be_written_is_a_note(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("a file")
    note = publish_latest(tmp_path / "x", tmp_path)
    assert note is not None
    assert note.startswith(f"{tmp_path / 'runs/latest'} not updated (")
    assert note.endswith("name the run folder in the next command")
    assert (tmp_path / "runs").read_text() == "a file"
