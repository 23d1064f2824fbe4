"""Files of others are opened in one way, which waits for nothing and fills from nothing endless."""

import ast
import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from mahtdiag.opening import is_archive, open_file, read_bytes, read_head, require_regular

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "mahtdiag"
OPENS = {"open", "read_bytes", "read_text", "fromfile", "memmap", "loadtxt"}
OPENS |= {"genfromtxt", "imread", "ZipFile", "is_zipfile", "safe_open", "OSFile", "File", "dcmread"}
# What else opens something, each by what makes it safe.
OTHERS = {
    # Their own content: an archive in a file that is open, or bytes in memory.
    "zipfile.ZipFile(file)", "self.zip.open(entry)", "archive.open(entry)",
    # Behind `require_regular`.
    "pa.OSFile(str(path), 'rb')", "safe_open(str(self.path), framework=self.framework)",
    # In another process, after its first bytes were read by `open_file`.
    "h5py.File(file, 'r')",
    # Nothing of others.
    "open(os.devnull, 'wb')", "open(os.devnull, 'w', encoding='utf-8')", "entry.read_bytes()",
    "open(descriptor, 'w', errors='backslashreplace', closefd=False)",
    "(folder / PLANTED).read_text(encoding='utf-8')",
    "files('mahtdiag.reports.html').joinpath(FOLDER, name).read_text(encoding='utf-8')",
    # To write, or to sync a folder.
    "temporary.open('xb')", "self._summary.open('ab')", "os.open(folder, os.O_RDONLY)",
}  # fmt: skip


def opened_by(source: str) -> Iterator[str]:
    """Calls that open a file by its name, as they would be written."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            own = isinstance(node.func, ast.Name) and name in ("read_bytes", "open_file")
            if name in OPENS and not own:
                yield ast.unparse(node)


def test_only_one_place_opens_files() -> None:
    found = {
        call
        for file in PACKAGE.rglob("*.py")
        if file != PACKAGE / "opening/__init__.py"
        for call in opened_by(file.read_text(encoding="utf-8"))
    }
    assert found == OTHERS


@pytest.mark.parametrize(
    "source", ["path.open('rb')", "Path(x).read_bytes()", "np.memmap(p)", "open(p)", "cv2.imread(p)"]
)
def test_another_way_is_found(source: str) -> None:
    assert [*opened_by(source)] == [source]


@pytest.fixture
def special(tmp_path: Path) -> Iterator[dict[str, Path]]:
    """Links to what is no file, by what each is called."""
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "inner").mkdir()
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket"))
        ends = {"a pipe": "fifo", "a folder": "inner", "a device": "/dev/zero", "a socket": "socket"}
        for what, end in ends.items():
            (tmp_path / f"to-{what[2:]}").symlink_to(end)
        yield {what: tmp_path / f"to-{what[2:]}" for what in ends}


def test_what_is_no_file_is_named_at_once(special: dict[str, Path]) -> None:
    for what, path in special.items():
        for way in (require_regular, open_file, read_bytes, is_archive, lambda p: read_head(p, 1)):
            with pytest.raises(OSError, match=f"{what}, not a file") as caught:
                way(path)
            assert caught.value.strerror == f"{what}, not a file"


def test_a_pipe_that_takes_the_place_of_a_file_does_not_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "file").write_bytes(b"1")
    status = os.stat(tmp_path / "file")
    monkeypatch.setattr("mahtdiag.opening.os.stat", lambda _: status)
    with pytest.raises(OSError, match="a pipe, not a file"):
        open_file(tmp_path / "fifo")


def test_size_comes_first(tmp_path: Path) -> None:
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(6 * 2**30)
    with pytest.raises(OSError, match=r"6,442,450,944 bytes, at most 1,073,741,824 are read"):
        read_bytes(tmp_path / "sparse")
    assert read_head(tmp_path / "sparse", 3) == b"\0\0\0"
    (tmp_path / "small").write_bytes(b"12345")
    assert read_bytes(tmp_path / "small", 5) == b"12345"
    with pytest.raises(OSError, match="5 bytes, at most 4 are read"):
        read_bytes(tmp_path / "small", 4)
    # Files of the system say that they have no bytes, and have some.
    with pytest.raises(OSError, match="at most 4 are read"):
        read_bytes("/proc/self/status", 4)


def test_links_are_followed_and_descriptors_given_back(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"1")
    (tmp_path / "link").symlink_to("file")
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        assert read_bytes(tmp_path / "link") == b"1"
        with pytest.raises(OSError, match="at most 0"):
            read_bytes(tmp_path / "link", 0)
    with pytest.raises(FileNotFoundError):
        read_bytes(tmp_path / "none")
    assert len(os.listdir("/proc/self/fd")) == before
    assert not stat.S_ISLNK(os.stat(tmp_path / "link").st_mode)
