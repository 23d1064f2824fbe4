"""A full or a read-only disk: what a command advises then is an option that it has."""

import errno
import os
import re

import pytest

from .command import Desk

WRITING = [
    ("anatomy", "run"),
    ("anatomy", "run", "--csv", "a.csv"),
    ("anatomy", "--labels", "data", "--out", "drawn", "--overlays", "worst:2"),
    ("anatomy", "--labels", "data", "--report", "labels.html"),
    ("calibration", "run"),
    ("calibration", "run", "--fit", "factors.json"),
    ("compare", "run", "other", "--out", "pairs"),
    ("report", "run"),
    ("report", "run", "--out", "page.html"),
    ("figures", "run", "--figure", "losses"),
    ("export", "run", "--to", "coco", "out.json"),
    ("init", "run"),
]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES, errno.EIO], ids=["full", "locked", "broken"])
def test_every_command_advises_what_it_has(desk: Desk, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    monkeypatch.setenv("COLUMNS", "500")
    desk.lookup("exact")
    desk.lookup("exact", "--out", "other", "--pixel-spacing", "0.5")
    helps = {call[0]: desk.run(call[0], "--help").text for call in WRITING}

    def refuse(_: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", refuse)
    told = 0
    for call in WRITING:
        done = desk.run(*call)
        lines = [line for line in (done.text + done.err).splitlines() if _is_about_writing(line)]
        told += bool(lines)
        for line in lines:
            # After the file that an option names.
            advised = re.findall(r"--[a-z-]+", line.partition(";")[2])
            assert [option for option in advised if option not in helps[call[0]]] == [], (call, line)
            assert "--resume" not in advised
    # Not every one has something to draw here, or waits for the disk.
    assert told >= 8


def _is_about_writing(line: str) -> bool:
    return any(word in line for word in ("no space", "No space", "writable", "written", "ermission"))


def test_init_removes_what_a_killed_one_left(desk: Desk) -> None:
    left = desk.path / ".tmp-999999999-mahtdiag.toml"
    left.write_bytes(b"half")
    assert desk.run("init", "--template").status == 0
    assert not left.exists()
