"""Which patient an image shows: by pattern, by table, by the reader; never half of them."""

from pathlib import Path

import pytest

from mahtdiag.data.patients import parse_patients
from mahtdiag.data.readers import open_dataset
from mahtdiag.errors import DataError
from mahtdiag.schema.read_options import ReadOptions
from mahtdiag.schema.skeleton import View
from tests.data.builders import annotation

NAMES = ("0001-F-037Y0", "0002-M-040Y0", "p7_a", "p7_b")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in NAMES:
        (tmp_path / f"{name}.png").write_bytes(b"")
        (tmp_path / f"{name}.csv").write_text(annotation(View.AP))
    return tmp_path


def patients(folder: Path, pattern: str | None = None) -> list[str | None]:
    return [s.patient.identifier for s in open_dataset(folder, View.AP, ReadOptions(patient=pattern)).samples]


def test_file_names_tell_them(folder: Path) -> None:
    assert patients(folder) == ["0001", "0002", None, None]


def test_a_pattern_tells_them(folder: Path) -> None:
    assert patients(folder, "^[^-_]+") == ["0001", "0002", "p7", "p7"]
    assert patients(folder, "^p?0*([0-9]+)") == ["1", "2", "7", "7"]


def test_a_table_tells_them_without_their_names(folder: Path) -> None:
    rows = "".join(f"{name},{'Smith' if name[0] == 'p' else 'Doe'}\n" for name in NAMES)
    (folder / "patients.csv").write_text(f"image,patient\n{rows}")
    found = patients(folder)
    assert found[0] == found[1] != found[2] == found[3]
    assert all(code is not None and len(code) == 16 for code in found)
    assert not {"Smith", "Doe"} & set(found)
    assert patients(folder, "^[^-_]+")[2] == "p7"


def test_a_pattern_without_end_is_one_line(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Repeats within repeats take longer than anybody waits, and it may be somebody else's settings."""
    monkeypatch.setattr("mahtdiag.data.patients._LONGEST_SECONDS", 0.5)
    for ending in ("png", "csv"):
        (folder / f"{NAMES[0]}.{ending}").rename(folder / f"{'a' * 60}.{ending}")
    with pytest.raises(
        DataError, match=r"^--patient '\(a\+\)\+\$': takes more than 0.5 s .* in 4 names: write it"
    ):
        patients(folder, "(a+)+$")


def test_names_that_are_no_text_are_searched_as_they_are(folder: Path) -> None:
    for name in NAMES:
        for ending in ("png", "csv"):
            (folder / f"{name}.{ending}").rename(folder / f"\udcff{name}.{ending}")
    assert patients(folder, r"^[^0p]+(....)") == ["0001", "0002", "p7_a", "p7_b"]


@pytest.mark.parametrize("pattern", ["^00..", "^(x)?"])
def test_a_pattern_that_leaves_images_out(folder: Path, pattern: str) -> None:
    count = 2 if pattern == "^00.." else 4
    with pytest.raises(DataError, match=rf"names no patient in {count} of 4 images, such as "):
        patients(folder, pattern)


def test_a_table_that_leaves_images_out(folder: Path) -> None:
    (folder / "patients.csv").write_text(f"image,patient\n{NAMES[0]}.png,A\n")
    with pytest.raises(DataError, match=r"names no patient for 3 of 4 images, such as 0002-M-040Y0\.png"):
        patients(folder)


def test_all_problems_of_a_table_come_at_once() -> None:
    with pytest.raises(DataError) as caught:
        parse_patients(b"image,patient\na,1\nb\n,2\na,3\n", "p.csv")
    assert caught.value.problems == (
        "p.csv: line 3: expected an image and its patient",
        "p.csv: line 4: expected an image and its patient",
        "p.csv: line 5: a is named twice",
    )


@pytest.mark.parametrize("content", [b"", b"name,who\na,b\n", b"a\xe4,1\n", b"image,patient\n"])
def test_something_else_than_a_table(content: bytes) -> None:
    with pytest.raises(DataError, match=r"p\.csv: "):
        parse_patients(content, "p.csv")
