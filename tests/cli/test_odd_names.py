"""Names that are no UTF-8, and names that are escaped or drawn alike: found again, and kept apart."""

import os
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mahtdiag.workflows.pictures import picture_names

from .builders import INPUT_OPTIONS
from .command import Desk, columns_of, document_of

ODD = os.fsdecode(b"d\xff")


def evaluate(desk: Desk, data: str, *more: str) -> list[str]:
    """The notes of an evaluation into `run`."""
    done = desk.run(
        "evaluate", "lookup-ap.pt", data, "--view", "AP", "--model", "nets:exact", "--trust", *INPUT_OPTIONS,
        "--out", "run", *more,
    )  # fmt: skip
    assert done.status == 0, done.err
    return done.lasting


def test_a_data_folder_whose_name_is_no_text_is_found_again(desk: Desk) -> None:
    os.rename("data", ODD)
    assert evaluate(desk, ODD, "--overlays", "worst:2") == []
    assert document_of(desk.path / "run")["data"]["path"] == "d\\xff"
    limit = "mahtdiag.toml"
    (desk.path / limit).write_text("[anatomy.limits]\nA201 = 1.01\n")
    anatomy = desk.run("anatomy", "run", "--overlays", "worst:2")
    (desk.path / limit).unlink()
    assert (anatomy.status, "is gone" in anatomy.text + anatomy.err) == (0, False)
    assert len(list((desk.path / "run/anatomy/overlays").glob("*.png"))) == 2
    report = desk.run("report", "run")
    assert (report.status, report.lasting) == (0, [])
    page = (desk.path / "run/report.html").read_text(encoding="utf-8")
    assert "have moved" not in page
    assert page.count("data:image/jpeg") >= 6
    again = desk.run("evaluate", "lookup-ap.pt", ODD, "--view", "AP", "--model", "nets:exact", "--trust",
                     *INPUT_OPTIONS, "--out", "run", "--resume")  # fmt: skip
    assert (again.status, "6 of 6" in again.text + again.err or again.errors == []) == (0, True)
    export = desk.run("export", "run", "--to", "labelme", "out")
    assert export.status == 0
    assert "is gone" not in export.text


@pytest.mark.parametrize("start", [os.fsdecode(b"\xdcber"), "\x1b[31m", "\n"])
def test_images_whose_names_begin_with_what_is_escaped(desk: Desk, start: str) -> None:
    image = sorted(Path("data/AP").glob("*.png"))[0]
    for file in Path("data/AP").glob(f"{image.stem}.*"):
        file.rename(file.with_name(f"{start}{file.name}"))
    evaluate(desk, "data/AP", "--overlays", "all")
    assert len(list((desk.path / "run/overlays").glob("*.png"))) == 6
    report = desk.run("report", "run", "--images", "all")
    page = (desk.path / "run/report.html").read_text(encoding="utf-8")
    assert (report.status, report.lasting, "is gone" in page) == (0, [], False)
    export = desk.run("export", "run", "--to", "csv", "e.csv")
    assert (export.status, "leads out" in export.text + export.err) == (0, False)


@pytest.mark.parametrize("folder", [".", "sub", os.fsdecode(b"s\xff")])
def test_init_of_names_that_are_no_text(desk: Desk, folder: str) -> None:
    checkpoint, run = os.fsdecode(b"m\xff.pt"), os.fsdecode(b"r\xff")
    os.rename("data", ODD)
    shutil.copy("lookup-ap.pt", checkpoint)
    options = ("--view", "AP", "--model", "nets:exact", "--trust", *INPUT_OPTIONS, "--overlays", "none")
    assert desk.run("evaluate", checkpoint, ODD, *options, "--out", run).status == 0
    os.makedirs(folder, exist_ok=True)
    file = f"{folder}/made.toml"
    done = desk.run("init", run, "--out", file)
    assert (done.status, done.lasting) == (0, [])
    above = "" if folder == "." else "../"
    written = Path(file).read_text(encoding="utf-8")
    assert f'checkpoint = "{above}m\\\\xff.pt"' in written
    assert f'path = "{above}d\\\\xff"' in written
    again = desk.run("evaluate", "--trust", "--config", file, "--out", "again", "--overlays", "none")
    assert (again.status, again.errors) == (0, [])
    both = document_of(desk.path / run), document_of(desk.path / "again")
    assert both[0]["metrics"] == both[1]["metrics"]
    assert both[0]["data"]["sha256"] == both[1]["data"]["sha256"]


def test_names_with_a_backslash_of_their_own_in_a_file(desk: Desk) -> None:
    """What looks like an escape is one only where such a file is there."""
    os.rename("data", "d\\xff")
    evaluate(desk, "d\\xff", "--overlays", "none")
    done = desk.run("init", "run")
    assert (done.status, done.lasting) == (0, [])
    again = desk.run("evaluate", "--trust", "--out", "again", "--overlays", "none")
    assert (again.status, document_of(desk.path / "again")["data"]["path"]) == (0, "d\\xff")


def test_init_of_predictions_whose_name_is_no_text(desk: Desk) -> None:
    evaluate(desk, "data", "--overlays", "none")
    file = os.fsdecode(b"p\xff'.csv")
    rows = ["image,index,x,y"]
    for image in columns_of(desk.path / "run/images.parquet")["image"]:
        rows += [f"{image},{number},{10 + number},{20 + number}" for number in range(20)]
    for name in (file, file.replace("'", "")):
        Path(name).write_text("\n".join(rows) + "\n")
        made = (
            "evaluate",
            "--predictions",
            name,
            "data",
            "--view",
            "AP",
            "--out",
            "of-file",
            "--overlays",
            "none",
        )
        assert desk.run(*made, "--accept", "labels.unit").status == 0
        done = desk.run("init", "of-file", "--force")
        assert done.status == 0
        shutil.rmtree("of-file")
    assert done.text.endswith("now `mahtdiag evaluate --predictions $'p\\xff.csv'` is enough\n")


def test_names_that_are_escaped_alike_are_two_images(desk: Desk) -> None:
    folder = desk.path / "data/AP"
    stems = sorted({file.stem for file in folder.iterdir()})
    names = ["a\x1b", "a\\x1b", "a\\x5cx1b"]
    for stem, name in zip(stems, names, strict=False):
        for ending in (".png", ".csv"):
            (folder / f"{stem}{ending}").rename(folder / f"{name}{ending}")
    evaluate(desk, "data", "--overlays", "worst:9")
    recorded = ["AP/a\\x1b.png", "AP/a\\x5cx1b.png", "AP/a\\x5cx5cx1b.png"]
    images = columns_of(desk.path / "run/images.parquet")
    assert [image for image in images["image"] if "/a" in image] == recorded
    assert len(set(images["image_sha256"])) == 6
    drawn = {file.read_bytes() for file in (desk.path / "run/overlays").iterdir()}
    assert len(drawn) == 6
    # Predictions of that run are those of these images, each with its own error.
    done = desk.run("evaluate", "--predictions", "run", "data", "--view", "AP", "--out", "again",
                    "--overlays", "none")  # fmt: skip
    assert done.status == 0, done.err
    again = columns_of(desk.path / "again/images.parquet")
    assert again["image"] == images["image"]
    assert again["radial_error_px"] == pytest.approx(images["radial_error_px"], abs=1e-3)


@pytest.mark.parametrize(
    "images",
    [
        ("a/1.png", "b/1.png", "2.png"),
        ("1.png", "1.jpg"),
        ("A.png", "a.png"),
        ("e\u0301.png", "é.png"),
        ("x" * 240 + "1.png", "x" * 240 + "2.png"),
    ],
)
def test_images_that_are_called_alike_have_overlays_of_their_own(images: tuple[str, ...]) -> None:
    names = picture_names(images)
    assert list(names) == list(images)
    assert len({name.casefold() for name in names.values()}) == len(images)
    assert names.get("2.png", "2.png") == "2.png"
    assert all(len(name.encode()) <= 240 for name in names.values())


def test_a_name_that_looks_like_one_with_a_digest_replaces_none() -> None:
    first = picture_names(["a/1.png", "b/1.png"])
    posing = f"c/{Path(first['a/1.png']).stem}.png"
    names = picture_names(["a/1.png", "b/1.png", posing])
    assert len(set(names.values())) == 3


@given(st.lists(st.text("abAB/.1é", min_size=1, max_size=6), unique=True))
def test_every_image_has_an_overlay_of_its_own(images: list[str]) -> None:
    names = picture_names(images)
    assert set(names) == set(images)
    assert len({name.casefold() for name in names.values()}) == len(images)
    assert not any("/" in name for name in names.values())
