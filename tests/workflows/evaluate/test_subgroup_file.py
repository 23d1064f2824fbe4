"""What a subgroup file may look like, and what is said of one that does not."""

import time
from pathlib import Path

import numpy as np
import pytest

from fuzz.answers import require_line
from mahtdiag.data.files import Dataset
from mahtdiag.errors import DataError
from mahtdiag.schema.records import Patient, Sample
from mahtdiag.schema.skeleton import AP
from mahtdiag.workflows.evaluate.subgroup_file import parse_subgroups, with_subgroups


def _set(names: list[str], patients: list[str | None] | None = None) -> Dataset:
    points = np.zeros((AP.keypoints, 2))
    samples = [
        Sample(f"AP/{name}.jpg", name, AP, points, "0" * 64, patient=Patient(patient))
        for name, patient in zip(names, patients or [None] * len(names), strict=True)
    ]
    return Dataset(Path("set"), "test", AP, tuple(samples), ())


def _file(folder: Path, text: str) -> str:
    (folder / "g.csv").write_text(text, encoding="utf-8")
    return str(folder / "g.csv")


def test_values_reach_the_samples_and_notes_say_what_did_not_fit(tmp_path: Path) -> None:
    file = _file(tmp_path, "image,scanner,bmi [25 30]\na,X,22\na,X,22\nb.jpg,Y,\nother,X,31\n")
    found, sha256 = with_subgroups(_set(["a", "b", "c"]), file)
    assert [s.subgroups for s in found.samples] == [
        ("scanner=X", "bmi [25 30]=22"),
        ("scanner=Y", "bmi [25 30]="),
        ("scanner=", "bmi [25 30]="),
    ]
    assert sha256 is not None
    assert [note.removeprefix(f"{file}: ") for note in found.notes] == [
        "1 row twice with the same values, counted once",
        "1 image not in the set, left out: other",
        "no row for 1 of 3 images, in no group: AP/c.jpg",
    ]


def test_patients_are_found_as_they_are_kept_and_never_named(tmp_path: Path) -> None:
    hashed = "2c26b46b68ffc68f"
    file = _file(tmp_path, "patient,ward\nfoo,N\nP7,S\nP9,S\n")
    found, _ = with_subgroups(_set(["a", "b"], [hashed, "P7"]), file)
    assert [s.subgroups for s in found.samples] == [("ward=N",), ("ward=S",)]
    assert found.notes == (f"{file}: 1 patient not in the set, left out",)
    with pytest.raises(DataError, match="of no image the patient is known"):
        with_subgroups(_set(["a"]), file)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "empty"),
        ("name,scanner\na,X\n", "no column image or patient"),
        ("image,patient,scanner\na,p,X\n", "both columns"),
        ("image\na\n", "no column besides image"),
        ("image,s,s\na,X,Y\n", "stands there twice"),
        ("image,bmi [30 25]\na,22\n", "ascending"),
        ("image,bmi [x]\na,22\n", "ascending"),
        ("image,scanner\na\n", "1 cells, the first line has 2"),
        ("image,scanner\n,X\n", "no image"),
        ("image,scanner\na,X\na,Y\n", "named twice, with other values"),
        ("image,a=b\na,X\n", "without ="),
        (f"image,s\na,{'x' * 61}\n", "up to 60"),
    ],
)
def test_a_file_that_cannot_be_used(text: str, said: str) -> None:
    with pytest.raises(DataError, match=said):
        parse_subgroups(text.encode(), "g.csv")


@pytest.mark.parametrize(
    "text",
    [
        f"image,{'x' * 5000}\na,1\n",
        f"image,bmi [25 {'9' * 5000}]\na,1\n",
        f"image,{'x' * 5000},{'x' * 5000}\na,1,1\n",
        f"image,s\n{'a' * 5000},X\n{'a' * 5000},Y\n",
        "image,\x1b[31m [x]\na,1\n",
        "image,s\n\x1b[31m,X\n\x1b[31m,Y\n",
    ],
)
def test_long_and_odd_names_are_one_short_line_each(text: str) -> None:
    with pytest.raises(DataError) as caught:
        parse_subgroups(text.encode(), "g.csv")
    for problem in caught.value.problems:
        require_line(problem)
        assert len(problem) < 200


def test_names_are_no_groups(tmp_path: Path) -> None:
    names = [f"n{i}" for i in range(30)]
    file = _file(tmp_path, "image,name\n" + "".join(f"{n},person {n}\n" for n in names))
    with pytest.raises(DataError, match="30 different texts, no groups"):
        with_subgroups(_set(names), file)
    file = _file(tmp_path, "image,bmi [20]\nn0,thin\n")
    with pytest.raises(DataError, match="bands and values that are no numbers"):
        with_subgroups(_set(names), file)
    with pytest.raises(DataError, match="none of its 1 rows names an image"):
        with_subgroups(_set(names), _file(tmp_path, "image,s\nzzz,1\n"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("image" + "," * 200 + "\n", "201 columns, at most 200 are read"),
        ("image,a\n" + "\n" * 1_500_000, "1,500,001 lines, at most 1,500,000 are read"),
        ("image,a\r\n" + "\r\n" * 1_500_000, "1,500,001 lines, at most 1,500,000 are read"),
        ("image" + "," * 10_000_001, "10,000,001 commas, at most 10,000,000 are read"),
    ],
    ids=["columns", "lines", "lines of two signs", "commas"],
)
def test_a_file_of_nothing_but_signs_is_refused_in_one_line(text: str, said: str) -> None:
    with pytest.raises(DataError) as caught:
        parse_subgroups(text.encode(), "g.csv")
    assert caught.value.problems == (f"g.csv: {said}",)


def test_of_many_wrong_rows_the_first_are_told() -> None:
    with pytest.raises(DataError) as caught:
        parse_subgroups(b"image,a\n" + b"x\n" * 200, "g.csv")
    assert caught.value.problems[:-1] == tuple(
        f"g.csv: line {number}: 1 cells, the first line has 2" for number in range(2, 102)
    )
    assert caught.value.problems[-1] == "g.csv: what is behind line 101 was not looked at"


def test_many_rows_take_no_longer_for_many_images(tmp_path: Path) -> None:
    names = [f"n{number}" for number in range(2_000)]
    patients: list[str | None] = [*names]
    rows = "".join(f"{name},{number % 2}\n" for number, name in enumerate(names))
    began = time.process_time()
    by_image, _ = with_subgroups(_set(names), _file(tmp_path, f"image,a\n{rows}"))
    by_patient, _ = with_subgroups(_set(names, patients), _file(tmp_path, f"patient,a\n{rows}"))
    # Looking through all rows for each patient takes longer.
    assert time.process_time() - began < 1.5
    wanted = [(f"a={number % 2}",) for number in range(2_000)]
    assert [sample.subgroups for sample in by_image.samples] == wanted
    assert [sample.subgroups for sample in by_patient.samples] == wanted
