"""BUU-LSPINE: which files make up the set, which cannot be used, and what is said about the rest."""

import hashlib
import os
import random
import unicodedata
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mahtdiag.data.files import Dataset, RecordedFiles, ViewEvidence, list_folder
from mahtdiag.data.images import read_image_size
from mahtdiag.data.readers import open_dataset
from mahtdiag.data.readers.buu_lspine import BuuLspine
from mahtdiag.errors import DataError
from mahtdiag.opening import read_bytes
from mahtdiag.schema.read_options import ReadOptions
from mahtdiag.schema.records import Patient
from mahtdiag.schema.safe_text import shown
from mahtdiag.schema.skeleton import View

from .builders import annotation, encoded, radiograph, spine, write_pair

AP, LA = View.AP, View.LA
Form = Literal["NFC", "NFD"]


def evidence(path: Path) -> tuple[ViewEvidence, ...]:
    return BuuLspine().read(path, ReadOptions()).view_evidence()


def problem_of(path: Path, view: View | None = AP) -> str:
    with pytest.raises(DataError) as caught:
        open_dataset(path, view)
    (problem,) = caught.value.problems
    assert problem.startswith(str(path))
    assert "\n" not in problem
    return problem.removeprefix(str(path)).removeprefix(": ")


def names(dataset: Dataset) -> list[str]:
    return [sample.image for sample in dataset.samples]


def reasons(dataset: Dataset) -> dict[str, str]:
    assert all("\n" not in failure.reason for failure in dataset.failures)
    return {failure.image: failure.reason for failure in dataset.failures}


@pytest.mark.parametrize("view", list(View))
def test_a_flat_folder(tmp_path: Path, view: View) -> None:
    digit = "0" if view is AP else "1"
    write_pair(tmp_path, f"0002-M-061Y{digit}", view, ".JPG")
    write_pair(tmp_path, f"0001-F-037Y{digit}", view, ".tif")
    dataset = open_dataset(tmp_path, None)
    assert (dataset.view, dataset.format, dataset.failures, dataset.notes) == (view, "buu-lspine", (), ())
    assert names(dataset) == [f"0001-F-037Y{digit}.tif", f"0002-M-061Y{digit}.JPG"]
    first = dataset.samples[0]
    assert first.patient == Patient("0001", "F", 37)
    assert first.path == str(tmp_path / first.image)
    assert first.spacing is None
    assert first.listhesis == (0,) * view.skeleton.endplates
    np.testing.assert_array_equal(first.keypoints_px, spine(view))
    content = (tmp_path / f"0001-F-037Y{digit}.csv").read_bytes()
    assert first.annotation_sha256 == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize("spelling", [("AP", "LA"), ("ap", "la")])
def test_folders_of_the_views(tmp_path: Path, spelling: tuple[str, str]) -> None:
    write_pair(tmp_path / spelling[0], "a", AP)
    write_pair(tmp_path / spelling[1], "b", LA)
    assert names(open_dataset(tmp_path, AP)) == [f"{spelling[0]}/a.png"]
    assert names(open_dataset(tmp_path, LA)) == [f"{spelling[1]}/b.png"]
    # Pointed at one of them, the names are relative to it.
    assert names(open_dataset(tmp_path / spelling[1], None)) == ["b.png"]
    assert evidence(tmp_path) == ()
    assert problem_of(tmp_path, None) == "nothing tells the view: pass --view AP or --view LA"


def test_a_view_that_has_no_folder(tmp_path: Path) -> None:
    write_pair(tmp_path / "AP", "a", AP)
    assert problem_of(tmp_path, LA) == "there is a folder AP but none for LA: pass --view AP"


def test_two_folders_for_a_view(tmp_path: Path) -> None:
    write_pair(tmp_path / "AP", "a", AP)
    write_pair(tmp_path / "ap", "a", AP)
    if len(list(tmp_path.iterdir())) == 1:
        # This file system does not tell AP from ap.
        assert names(open_dataset(tmp_path, AP)) == ["AP/a.png"]
    else:
        assert problem_of(tmp_path) == "two folders for AP, AP and ap: keep one"


def test_images_beside_the_folders_of_the_views_are_noted(tmp_path: Path) -> None:
    write_pair(tmp_path / "AP", "a", AP)
    write_pair(tmp_path, "b", AP)
    dataset = open_dataset(tmp_path, AP)
    assert names(dataset) == ["AP/a.png"]
    assert dataset.notes == (f"1 image in {tmp_path} itself left out, the set lies in AP",)


def test_evidence_names_its_source(tmp_path: Path) -> None:
    write_pair(tmp_path / "AP", "0001-F-037Y1", LA)
    found = {item.source: item.view for item in evidence(tmp_path)}
    assert found == {
        f"the folder {tmp_path / 'AP'}": AP,
        "the file names (…Y1)": LA,
        "the annotations (11 rows)": LA,
    }
    assert evidence(tmp_path / "AP") == evidence(tmp_path)
    assert problem_of(tmp_path, None) == (
        f"the view is unclear, AP by the folder {tmp_path / 'AP'}, LA by the file names (…Y1), LA by the"
        " annotations (11 rows): pass --view AP or --view LA"
    )


def test_one_wrong_annotation_does_not_blur_the_view(tmp_path: Path) -> None:
    for number in range(40):
        write_pair(tmp_path, f"{number:04d}", LA, rows=10 if number == 0 else 11)
    dataset = open_dataset(tmp_path, None)
    assert dataset.view is LA
    assert len(dataset.samples) == 39
    assert reasons(dataset) == {
        "0000.png": "0000.csv: 10 rows, an LA annotation has 11 (L1 upper … S1 upper)",
    }


def test_as_many_of_one_view_as_of_the_other_is_no_evidence(tmp_path: Path) -> None:
    write_pair(tmp_path, "a", AP)
    write_pair(tmp_path, "b", LA)
    assert evidence(tmp_path) == ()


def test_a_flat_folder_of_both_views_by_file_name(tmp_path: Path) -> None:
    for patient in ("0001-F-037Y", "0002-M-061Y"):
        write_pair(tmp_path, patient + "0", AP)
        write_pair(tmp_path, patient + "1", LA)
    (tmp_path / "0003-M-061Y1.png").write_bytes(encoded(radiograph(), "PNG"))
    assert evidence(tmp_path) == ()
    dataset = open_dataset(tmp_path, AP)
    assert names(dataset) == ["0001-F-037Y0.png", "0002-M-061Y0.png"]
    assert dataset.failures == ()
    assert dataset.notes == ("3 images of the LA view left out, by file name",)
    other = open_dataset(tmp_path, LA)
    assert names(other) == ["0001-F-037Y1.png", "0002-M-061Y1.png"]
    assert list(reasons(other)) == ["0003-M-061Y1.png"]
    assert other.notes == ("2 images of the AP view left out, by file name",)


@pytest.mark.parametrize("view", list(View))
def test_a_file_name_that_contradicts_the_rows_fails_in_both_views(tmp_path: Path, view: View) -> None:
    write_pair(tmp_path, "0001-F-037Y0", LA)
    assert reasons(open_dataset(tmp_path, view)) == {
        "0001-F-037Y0.png": "0001-F-037Y0.csv: the file name says AP (…Y0), its 11 rows say LA",
    }


def test_the_other_view_inside_a_folder_of_one_view_fails(tmp_path: Path) -> None:
    write_pair(tmp_path / "AP", "0001-F-037Y1", LA)
    reason = "0001-F-037Y1.csv: 11 rows, an AP annotation has 10 (L1 upper … L5 lower)"
    assert reasons(open_dataset(tmp_path, AP)) == {"AP/0001-F-037Y1.png": "AP/" + reason}
    assert reasons(open_dataset(tmp_path / "AP", AP)) == {"0001-F-037Y1.png": reason}


def test_nothing_of_the_wanted_view(tmp_path: Path) -> None:
    write_pair(tmp_path, "0001-F-037Y1", LA)
    assert problem_of(tmp_path) == "no AP image, but 1 named for the other view: pass the other --view"


@pytest.mark.parametrize(
    ("view", "rows", "reason"),
    [
        (AP, 9, "9 rows, an AP annotation has 10 (L1 upper … L5 lower), an LA annotation 11 (then S1 upper)"),
        (AP, 11, "11 rows, an AP annotation has 10 (L1 upper … L5 lower)"),
        (LA, 10, "10 rows, an LA annotation has 11 (L1 upper … S1 upper)"),
        (
            LA,
            12,
            "12 rows, an AP annotation has 10 (L1 upper … L5 lower), an LA annotation 11 (then S1 upper)",
        ),
    ],
)
def test_wrong_numbers_of_rows(tmp_path: Path, view: View, rows: int, reason: str) -> None:
    write_pair(tmp_path, "0042", LA, rows=rows)
    write_pair(tmp_path, "0043", view)
    dataset = open_dataset(tmp_path, view)
    assert names(dataset) == ["0043.png"]
    assert reasons(dataset) == {"0042.png": "0042.csv: " + reason}
    assert dataset.failures[0].annotation_sha256 is not None


def test_all_problems_of_an_annotation_stand_in_one_line(tmp_path: Path) -> None:
    write_pair(tmp_path, "a", AP)
    (tmp_path / "a.csv").write_text("x,2,3,4,0\n" + annotation(AP, 8), encoding="utf-8")
    reason = reasons(open_dataset(tmp_path, AP))["a.png"]
    assert [part.split(":")[0] for part in reason.split("; ")] == ["a.csv", "a.csv"]


def test_files_without_their_other_half(tmp_path: Path) -> None:
    write_pair(tmp_path / "AP", "a", AP)
    (tmp_path / "AP" / "0042.png").write_bytes(encoded(radiograph(), "PNG"))
    (tmp_path / "AP" / "0043.csv").write_text(annotation(AP), encoding="utf-8")
    (tmp_path / "AP" / "0044.csv").write_bytes(b"")
    dataset = open_dataset(tmp_path, AP)
    assert names(dataset) == ["AP/a.png"]
    assert reasons(dataset) == {
        "AP/0042.png": "no annotation: AP/0042.csv is missing",
        "AP/0043.csv": "annotation without image: no 0043.png, .jpg, .tif or .bmp beside it",
        "AP/0044.csv": "annotation without image: no 0044.png, .jpg, .tif or .bmp beside it",
    }


def test_several_files_of_one_name(tmp_path: Path) -> None:
    write_pair(tmp_path, "0001", AP, ".png")
    write_pair(tmp_path, "0001", AP, ".jpg")
    write_pair(tmp_path, "0002", AP)
    (tmp_path / "0002.CSV").write_text(annotation(AP), encoding="utf-8")
    dataset = open_dataset(tmp_path, AP)
    if len(list(tmp_path.glob("0002.*"))) == 3:
        assert (
            reasons(dataset).pop("0002.png")
            == "several annotations of one name, 0002.CSV and 0002.csv: keep one"
        )
    both = "several images of one name, 0001.jpg and 0001.png: keep one"
    assert reasons(dataset)["0001.jpg"] == reasons(dataset)["0001.png"] == both


def test_other_files_are_not_part_of_the_set(tmp_path: Path) -> None:
    write_pair(tmp_path, "a", AP)
    for name in ("README", "README.md", ".DS_Store", "._a.png", "._a.csv", ".b.csv", "Thumbs.db", "a.txt"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "more").mkdir()
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "metadata.csv").write_text("image,age\na,37\n", encoding="utf-8")
    (tmp_path / "long.csv").write_text("image,age\n" * 20_000, encoding="utf-8")
    dataset = open_dataset(tmp_path, AP)
    assert names(dataset) == ["a.png"]
    assert dataset.failures == ()
    assert dataset.notes == (
        "2 CSV files left out, neither annotation nor named like an image: long.csv, metadata.csv",
    )


def test_missing_empty_and_wrong_folders(tmp_path: Path) -> None:
    hint = ": give the folder that holds the images and their annotations"
    assert problem_of(tmp_path / "none") == "no such folder" + hint
    (tmp_path / "file").write_bytes(b"")
    assert problem_of(tmp_path / "file") == "not a folder" + hint
    (tmp_path / "empty").mkdir()
    nothing = (
        "no image and no annotation: a set has NAME.jpg, .png, .tif or .bmp beside NAME.csv,"
        " in one folder or in AP and LA"
    )
    assert problem_of(tmp_path / "empty") == nothing
    (tmp_path / "empty" / "notes.txt").write_bytes(b"")
    (tmp_path / "empty" / "ages.csv").write_text("image,age\n", encoding="utf-8")
    assert problem_of(tmp_path / "empty") == nothing
    (tmp_path / "empty" / "LA").mkdir()
    assert problem_of(tmp_path / "empty", LA) == "/LA: " + nothing
    with pytest.raises(DataError, match="no such folder"):
        evidence(tmp_path / "none")


def test_unreadable_files_and_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for stem in ("a", "b"):
        write_pair(tmp_path, stem, AP)
    (tmp_path / "c.csv").symlink_to(tmp_path / "nowhere")
    (tmp_path / "d.csv").symlink_to(tmp_path / "nowhere")
    (tmp_path / "d.png").symlink_to(tmp_path / "a.png")

    # Permissions do not stop a superuser, who may well run these tests.
    def refuse(path: Path) -> bytes:
        if path.name == "a.csv":
            raise PermissionError(13, "Permission denied")
        return read_bytes(path)

    with monkeypatch.context() as patched:
        patched.setattr("mahtdiag.data.files.read_bytes", refuse)
        dataset = open_dataset(tmp_path, None)
    assert names(dataset) == ["b.png"]
    assert reasons(dataset) == {
        "a.png": "a.csv: cannot be read: Permission denied",
        "c.csv": "annotation without image; c.csv: cannot be read: No such file or directory",
        "d.png": "d.csv: cannot be read: No such file or directory",
    }

    def forbidden(path: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "scandir", forbidden)
    assert problem_of(tmp_path) == "cannot be listed: Permission denied"


def test_a_link_to_itself_is_one_failed_image(tmp_path: Path) -> None:
    for stem in ("a", "b"):
        write_pair(tmp_path, stem, AP)
    (tmp_path / "b.png").unlink()
    (tmp_path / "b.png").symlink_to(tmp_path / "b.png")
    (tmp_path / "c.csv").symlink_to(tmp_path / "c.csv")
    dataset = open_dataset(tmp_path, AP)
    assert names(dataset) == ["a.png", "b.png"]
    assert list(reasons(dataset)) == ["c.csv"]
    with pytest.raises(DataError, match=r"^b\.png: cannot be read: "):
        read_image_size(dataset.samples[1].path, "b.png")


def test_linked_images_belong_to_the_set(tmp_path: Path) -> None:
    write_pair(tmp_path / "store", "a", AP)
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "x.png").symlink_to(tmp_path / "store" / "a.png")
    (tmp_path / "set" / "x.csv").symlink_to(tmp_path / "store" / "a.csv")
    assert names(open_dataset(tmp_path / "set", AP)) == ["x.png"]


@pytest.mark.parametrize(("image_form", "annotation_form"), [("NFC", "NFD"), ("NFD", "NFC"), ("NFD", "NFD")])
def test_composed_and_decomposed_names_match(tmp_path: Path, image_form: Form, annotation_form: Form) -> None:
    stem = "Müller, Jörg 腰椎 å"
    image = unicodedata.normalize(image_form, stem) + ".png"
    (tmp_path / image).write_bytes(encoded(radiograph(), "PNG"))
    (tmp_path / (unicodedata.normalize(annotation_form, stem) + ".csv")).write_text(
        annotation(AP), encoding="utf-8"
    )
    dataset = open_dataset(tmp_path, AP)
    assert [unicodedata.normalize("NFC", name) for name in names(dataset)] == [stem + ".png"]
    assert os.path.exists(dataset.samples[0].path)


def test_names_that_no_record_can_carry_are_escaped() -> None:
    assert shown("plain.png") == "plain.png"
    assert shown("Müller 腰椎.png") == "Müller 腰椎.png"
    assert shown(os.fsdecode(b"M\xfcller\n.png")) == "M\\xfcller\\x0a.png"
    shown(os.fsdecode(b"M\xfcller.png")).encode()


def test_files_are_found_by_the_names_of_records(tmp_path: Path) -> None:
    folder = tmp_path / "AP"
    folder.mkdir()
    names = ["plain.png", "new\nline.png", os.fsdecode(b"M\xfcller.png"), "literal\\x0a.png"]
    for name in names:
        (folder / name).write_text(name.encode("utf-8", "surrogateescape").hex())
    files = RecordedFiles(tmp_path)
    assert [files.path(f"AP/{shown(name)}") for name in names] == [folder / name for name in names]
    for missing in ("AP/gone.png", "AP/gone\\x0a.png", "LA/new\\x0aline.png"):
        assert files.path(missing) == tmp_path / missing


def test_spacings_come_from_the_folder_and_its_view_folder(tmp_path: Path) -> None:
    for stem in ("a", "b", "c"):
        write_pair(tmp_path / "AP", stem, AP)
    (tmp_path / "pixel_spacing.csv").write_text(
        "AP/a.png,0.1\nAP/b.png,0.2\nLA/z.png,0.3\n", encoding="utf-8"
    )
    (tmp_path / "AP" / "pixel_spacing.csv").write_text("AP/a.png,0.4\n", encoding="utf-8")
    dataset = open_dataset(tmp_path, AP)
    assert [s.spacing and s.spacing.either_mm for s in dataset.samples] == [0.4, 0.2, None]
    assert dataset.notes == ("pixel_spacing.csv names 2 of 3 images",)
    assert dataset.failures == ()
    (tmp_path / "pixel_spacing.csv").write_text("AP/a.png,wide\n", encoding="utf-8")
    assert (
        problem_of(tmp_path) == "/pixel_spacing.csv: line 1: 'wide' is not a spacing between 0.005 and 5 mm"
    )


@settings(max_examples=25, deadline=None)
@given(st.permutations(["b", "a", "C", "é", "10", "9", "B"]))
def test_order_on_disk_does_not_matter(tmp_path_factory: pytest.TempPathFactory, order: list[str]) -> None:
    path = tmp_path_factory.mktemp("set")
    for stem in order:
        write_pair(path, stem + "_", AP)
    assert names(open_dataset(path, AP)) == [f"{stem}_.png" for stem in ("10", "9", "B", "C", "a", "b", "é")]


def test_listing_a_folder_asks_nothing_of_its_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stems = [f"{number:05d}" for number in range(2000)]
    random.Random(0).shuffle(stems)
    for stem in stems:
        (tmp_path / f"{stem}.png").touch()
        (tmp_path / f"{stem}.csv").touch()

    def stat(*_: object, **__: object) -> None:
        raise AssertionError("a file was asked for its state")

    monkeypatch.setattr(os, "stat", stat)
    listing = list_folder(tmp_path, ".csv")
    monkeypatch.undo()
    assert list(listing.entries) == sorted(stems)
