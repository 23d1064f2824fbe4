"""A set is opened by the reader that recognises it."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from mahtdiag.data import readers
from mahtdiag.data.files import Dataset, ViewEvidence
from mahtdiag.data.readers import open_dataset, reader_of
from mahtdiag.data.readers.buu_lspine import BuuLspine
from mahtdiag.errors import DataError
from mahtdiag.schema.read_options import ReadOptions
from mahtdiag.schema.skeleton import LA, Levels, View
from tests.data.builders import write_pair


@dataclass(frozen=True)
class Marked:
    """A format of folders with a certain file in them; it holds no image."""

    name: str

    def recognises(self, path: Path) -> str | None:
        return self.name if (path / self.name).exists() else None

    @property
    def title(self) -> str:
        return self.name

    def read(self, path: Path, options: ReadOptions) -> "MarkedSet":
        return MarkedSet(path, self.name)


@dataclass(frozen=True)
class MarkedSet:
    path: Path
    name: str

    def view_evidence(self) -> tuple[ViewEvidence, ...]:
        return (ViewEvidence(View.LA, "the mark"),)

    def levels(self) -> Levels | None:
        return None

    def of_view(self, view: View | None, levels: Levels | None = None) -> Dataset:
        return Dataset(self.path, self.name, LA, (), ())


@pytest.fixture(autouse=True)
def _more_readers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readers, "READERS", (*readers.READERS, Marked("one"), Marked("two")))


def test_the_content_tells_the_reader(tmp_path: Path) -> None:
    write_pair(tmp_path / "buu", "a", View.AP)
    write_pair(tmp_path / "views" / "LA", "a", View.LA)
    (tmp_path / "marked").mkdir()
    (tmp_path / "marked" / "two").touch()
    # No proof: an image, a table, an annotation without image, an empty CSV beside an image.
    write_pair(tmp_path / "marked", "a", View.AP)
    (tmp_path / "marked" / "a.csv").rename(tmp_path / "marked" / "b.csv")
    (tmp_path / "marked" / "a.csv").touch()
    (tmp_path / "marked" / "table.csv").write_text("image,age\n")
    found = {name: open_dataset(tmp_path / name, None).format for name in ("buu", "views", "marked")}
    assert found == {"buu": "buu-lspine", "views": "buu-lspine", "marked": "two"}


def test_a_set_in_two_formats_is_refused(tmp_path: Path) -> None:
    write_pair(tmp_path / "AP", "a", View.AP)
    (tmp_path / "one").touch()
    with pytest.raises(DataError) as caught:
        reader_of(tmp_path)
    assert caught.value.problems == (
        f"{tmp_path}: annotated in 2 formats, buu-lspine (AP/a.csv) and one (one): keep one of them, or name"
        " it with --data-format",
    )


@pytest.mark.parametrize("content", [b"", b"{}", b"x,2,3,4,0\n", b"patient,sex,age\n"])
def test_the_first_reader_opens_what_none_recognises(tmp_path: Path, content: bytes) -> None:
    assert isinstance(reader_of(tmp_path / "none"), BuuLspine)
    write_pair(tmp_path, "a", View.AP)
    (tmp_path / "a.csv").write_bytes(content)
    assert BuuLspine().recognises(tmp_path) is None
    dataset = open_dataset(tmp_path, View.AP)
    assert (dataset.format, dataset.samples, len(dataset.failures)) == ("buu-lspine", (), 1)


def test_one_broken_annotation_does_not_hide_the_format(tmp_path: Path) -> None:
    for stem in ("a", "b", "c"):
        write_pair(tmp_path, stem, View.AP)
    (tmp_path / "a.csv").write_bytes(b"\0\0")
    (tmp_path / "b.csv").unlink()
    (tmp_path / "b.csv").symlink_to(tmp_path / "nowhere")
    assert BuuLspine().recognises(tmp_path) == "c.csv"
