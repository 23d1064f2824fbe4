"""Folders, images and annotations that cannot be used: a record each, never a crash."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from .builders import Bench
from .command import Desk, columns_of, document_of, failures_of

FOLDER_HINT = "give the folder that holds the images and their annotations"
EMPTY = (
    "no image and no annotation: a set has NAME.jpg, .png, .tif or .bmp beside NAME.csv, in one folder or in "
    "AP and LA"
)


def flat(text: str) -> str:
    """A printed table without its folding."""
    return " ".join(text.split())


def rows_of(desk: Desk, stem: str) -> list[str]:
    return (desk.path / f"data/AP/{stem}.csv").read_text(encoding="utf-8").splitlines()


def test_no_data_and_no_checkpoint(desk: Desk) -> None:
    hint = "name them on the command line or in mahtdiag.toml ([model] checkpoint, [data] path)"
    desk.run("evaluate").refused(f"missing CHECKPOINT and DATA: {hint}")
    desk.run("evaluate", "ap.pt").refused(f"missing DATA: {hint}")


def test_data_that_is_no_folder(desk: Desk) -> None:
    desk.run("evaluate", "ap.pt", "nowhere").refused(f"nowhere: no such folder: {FOLDER_HINT}")
    desk.run("evaluate", "ap.pt", "ap.pt").refused(f"ap.pt: not a folder: {FOLDER_HINT}")


@pytest.mark.parametrize("file", [None, "notes.txt", ".hidden.png"])
def test_an_empty_folder(desk: Desk, file: str | None) -> None:
    (desk.path / "empty").mkdir()
    if file is not None:
        (desk.path / "empty" / file).write_text("x")
    desk.run("evaluate", "ap.pt", "empty", "--out", "run").refused(f"empty: {EMPTY}")
    assert not (desk.path / "run").exists()


def test_nothing_of_the_wanted_view(desk: Desk) -> None:
    shutil.rmtree(desk.path / "data/AP")
    result = desk.run("evaluate", "ap.pt", "data")
    assert result.status == 2
    (line,) = result.err.splitlines()
    assert line.startswith("error: the view is unclear: AP by the network (20 heatmaps), ")


def test_every_kind_of_failure_is_a_record(desk: Desk, bench: Bench) -> None:
    """Six images, each broken in its own way; beside them one that is well."""
    folder = desk.path / "data/AP"
    stems = [truth.stem for truth in bench.ap]
    shutil.copy(folder / f"{stems[5]}.png", folder / "well.png")
    shutil.copy(folder / f"{stems[5]}.csv", folder / "well.csv")
    (folder / f"{stems[0]}.csv").unlink()
    (folder / f"{stems[1]}.png").unlink()
    whole = (folder / f"{stems[2]}.png").read_bytes()
    (folder / f"{stems[2]}.png").write_bytes(whole[:500])
    (folder / f"{stems[3]}.png").write_bytes(b"")
    (folder / f"{stems[4]}.png").write_bytes(b"not an image at all")
    Image.fromarray(np.zeros((1, 1), np.uint8)).save(folder / f"{stems[5]}.png")
    expected = {
        f"AP/{stems[0]}.png": f"no annotation: AP/{stems[0]}.csv is missing",
        f"AP/{stems[1]}.csv": f"annotation without image: no {stems[1]}.png, .jpg, .tif or .bmp beside it",
        f"AP/{stems[2]}.png": "the PNG is truncated after 500 bytes: copy it again",
        f"AP/{stems[3]}.png": "the file is empty (0 bytes)",
        f"AP/{stems[4]}.png": "not a PNG, JPEG, TIFF, BMP, WebP, JPEG 2000 or DICOM image",
        f"AP/{stems[5]}.png": "1x1 pixels (width x height), an image has at least 16 on each side",
    }
    result = desk.lookup("exact")
    first, reason = next(iter(expected.items()))
    assert result.status == 2
    assert result.errors == [
        f"error: 6 of 7 images failed, --allow-failures is 0; the first: {first}: {reason}"
    ]
    assert failures_of(desk.path / "run") == expected
    printed = flat(result.text)
    assert "1 image evaluated, 6 failed" in printed
    for image, why in expected.items():
        assert f"{image} {why}" in printed
    assert document_of(desk.path / "run")["images"] == {
        "total": 7,
        "evaluated": 1,
        "failed": 6,
        "patients": None,
    }


def test_a_mistake_that_images_share_is_said_once(desk: Desk, bench: Bench) -> None:
    """Four labels lack a column, two images are empty: three rows, and a record for each."""
    stems = sorted(truth.stem for truth in bench.ap)
    for stem in stems[:4]:
        rows = [",".join(row.split(",")[:3]) for row in rows_of(desk, stem)]
        (desk.path / f"data/AP/{stem}.csv").write_text("\n".join(rows) + "\n")
    for stem in stems[4:]:
        (desk.path / f"data/AP/{stem}.png").write_bytes(b"")
    images = [f"AP/{stem}.png" for stem in stems]
    columns = "all rows have 3 columns, expected x1,y1,x2,y2,label"
    reasons = [f"AP/{stem}.csv: {columns}" for stem in stems[:4]] + ["the file is empty (0 bytes)"] * 2
    once = [
        f"{images[0]} {reasons[0]}; likewise 3 more: {images[1]}, {images[2]}, …",
        f"{images[4]} {reasons[4]}",
        f"{images[5]} {reasons[5]}",
    ]
    each = [f"{image} {reason}" for image, reason in zip(images, reasons, strict=True)]
    for arguments, expected in (((), once), (("-v",), each)):
        result = desk.lookup("exact", *arguments)
        printed = flat(result.text)
        assert result.status == 2
        _, _, table = printed.partition("Not evaluated: 6 image reason ")
        assert table.partition(" ")[2].startswith(f"{' '.join(expected)} ")
    document = json.loads(desk.lookup("exact", "--format", "json").text)
    assert [(entry["image"], entry["reason"]) for entry in document["failures"]] == list(
        zip(images, reasons, strict=True)
    )
    judged = desk.run("anatomy", "--labels", "data", "--view", "AP")
    assert "Could not be judged: 6" in judged.text
    assert once[0] in flat(judged.text)


def test_lines_of_a_file_that_share_a_mistake_are_one(desk: Desk, bench: Bench) -> None:
    rows = [f"AP/{truth.stem}.png,-{row}" for row, truth in enumerate(bench.ap, start=1)]
    (desk.path / "data/pixel_spacing.csv").write_text("\n".join(["image,mm", *rows]) + "\n")
    why = "is not a spacing between 0.005 and 5 mm"
    desk.lookup("exact").refused(f"data/pixel_spacing.csv: line 2: '-1' {why}; likewise 5 more")


def test_failures_may_be_allowed(desk: Desk, bench: Bench) -> None:
    (desk.path / f"data/AP/{bench.ap[0].stem}.csv").unlink()
    (desk.path / f"data/AP/{bench.ap[1].stem}.png").write_bytes(b"")
    assert desk.lookup("exact", "--allow-failures", "1").status == 2
    result = desk.lookup("exact", "--allow-failures", "2", "--out", "second")
    assert (result.status, result.errors) == (0, [])
    assert len(failures_of(desk.path / "second")) == 2


@pytest.mark.parametrize("output", ["table", "json"])
def test_nothing_evaluated_is_not_done_even_if_failures_are_allowed(desk: Desk, output: str) -> None:
    for image in (desk.path / "data/AP").glob("*.png"):
        image.write_bytes(b"")
    result = desk.lookup("exact", "--allow-failures", "100", "--format", output)
    assert result.status == 2
    first = min(f"AP/{image.name}" for image in (desk.path / "data/AP").glob("*.png"))
    assert result.errors == [
        f"error: data: none of 6 images could be evaluated; the first: {first}: the file is empty (0 bytes)"
    ]
    assert not (desk.path / "run").exists()
    assert not (desk.path / "runs").exists()
    if output == "table":
        assert "Nothing was evaluated." in result.text
        assert "Not evaluated: 6" in result.text
        assert "run folder" not in result.text
        return
    document = json.loads(result.text)
    assert document["metrics"] is document["losses"] is document["anatomy"] is document["calibration"] is None
    assert len(document["failures"]) == 6


def test_of_a_run_without_a_name_nothing_is_left_either(desk: Desk) -> None:
    for image in (desk.path / "data/AP").glob("*.png"):
        image.write_bytes(b"")
    assert desk.run("evaluate", "ap.pt", "data", "--junit", "junit.xml").status == 2
    assert (desk.path / "junit.xml").exists()
    assert not (desk.path / "runs").exists()
    desk.run("evaluate", "ap.pt", "data", "--out", "kept", "--junit", "kept/junit.xml")
    assert [path.name for path in (desk.path / "kept").iterdir()] == ["junit.xml"]


AP_ROWS = "an AP annotation has 10 (L1 upper … L5 lower), an LA annotation 11 (then S1 upper)"


def csv_cases(rows: list[str], stem: str) -> dict[str, tuple[bytes, str]]:
    """Content of an annotation that cannot be used, and the reason that is given."""
    name, rest = f"AP/{stem}.csv", rows[0].split(",", 1)[1]

    def text(lines: list[str]) -> bytes:
        return "".join(f"{line}\n" for line in lines).encode()

    def first_row(cell: str) -> bytes:
        return text([f"{cell},{rest}", *rows[1:]])

    where = f"{name}: row 1 (L1 upper), column 1 (x1)"
    return {
        "9 rows": (text(rows[:9]), f"{name}: 9 rows, {AP_ROWS}"),
        "11 rows": (text([*rows, rows[9]]), f"{name}: the file name says AP (…Y0), its 11 rows say LA"),
        "12 rows": (text([*rows, *rows[8:]]), f"{name}: 12 rows, {AP_ROWS}"),
        "empty": (b"", f"{name}: the annotation is empty"),
        "blank lines alone": (b"\r\n \n\n", f"{name}: the annotation is empty"),
        "text": (first_row("abc"), f"{where}: 'abc' is not a number"),
        "infinity": (first_row("-inf"), f"{where}: '-inf' is not a finite number"),
        "too large a number": (first_row("1e999"), f"{where}: '1e999' is not a finite number"),
        "no keypoint": (text([",,,,0"] * 10), f"{name}: no keypoint is labelled: every coordinate is empty"),
        "four columns": (
            text([rows[0].rsplit(",", 1)[0], *rows[1:]]),
            f"{name}: row 1 (L1 upper): 4 columns, expected x1,y1,x2,y2,label",
        ),
        "unknown label": (
            text([rows[0].rsplit(",", 1)[0] + ",5", *rows[1:]]),
            f"{name}: row 1 (L1 upper), column 5 (label): '5' is not a label: 0 to 4, 0 is normal",
        ),
        "binary": (
            b"\x00\x01\x02" * 40,
            f"{name}: not a text file: an annotation is a CSV of x1,y1,x2,y2,label",
        ),
    }


def test_annotations_that_cannot_be_used(desk: Desk, bench: Bench) -> None:
    """All of them in one set, each under a name of its own."""
    source = bench.ap[0].stem
    rows = rows_of(desk, source)
    folder = desk.path / "data/AP"
    expected = {}
    for number, case in enumerate(csv_cases(rows, "")):
        stem = f"{number + 10:04d}-F-040Y0"
        shutil.copy(folder / f"{source}.png", folder / f"{stem}.png")
        content, reason = csv_cases(rows, stem)[case]
        (folder / f"{stem}.csv").write_bytes(content)
        expected[f"AP/{stem}.png"] = reason
    result = desk.lookup("exact", "--allow-failures", str(len(expected)))
    assert result.status == 0
    assert failures_of(desk.path / "run") == expected
    printed = flat(result.text)
    assert [reason for reason in expected.values() if reason not in printed] == []


@pytest.mark.parametrize(("x", "fails"), [("-0.9", False), ("-1.1", True), ("-50", True), ("99999", True)])
def test_coordinates_outside_the_image(desk: Desk, bench: Bench, x: str, fails: bool) -> None:
    truth = bench.ap[0]
    rows = rows_of(desk, truth.stem)
    _, y, rest = rows[0].split(",", 2)
    path = desk.path / f"data/AP/{truth.stem}.csv"
    path.write_text("\n".join([f"{x},{y},{rest}", *rows[1:]]), encoding="utf-8")
    result = desk.lookup("exact")
    reason = f"L1 UL (x {x}, y {float(y):g}) lies outside the image ({truth.size.width} wide, 160 high)"
    assert result.status == (2 if fails else 0)
    assert failures_of(desk.path / "run") == ({f"AP/{truth.stem}.png": reason} if fails else {})


def rewritten(rows: list[str], way: str) -> bytes:
    """The same annotation as other programs write it."""
    lines = "\n".join(rows) + "\n"
    return {
        "byte order mark": lines.encode("utf-8-sig"),
        "carriage returns": lines.replace("\n", "\r\n").encode(),
        "old Macintosh": lines.replace("\n", "\r").encode(),
        "semicolons": lines.replace(",", ";").encode(),
        "decimal commas": lines.replace(",", ";").replace(".", ",").encode(),
        "tabs": lines.replace(",", "\t").encode(),
        "blank lines": ("\n\n" + lines.replace("\n", "\n\n") + " \n").encode(),
        "no last line end": lines.rstrip("\n").encode(),
        "spaces": lines.replace(",", " , ").encode(),
        "quotes": "\n".join(",".join(f'"{c}"' for c in row.split(",")) for row in rows).encode(),
        "UTF-16": lines.encode("utf-16"),
    }[way]


WAYS = (
    "byte order mark", "carriage returns", "old Macintosh", "semicolons", "decimal commas", "tabs",
    "blank lines", "no last line end", "spaces", "quotes", "UTF-16",
)  # fmt: skip


def test_annotations_written_otherwise_give_the_same_numbers(desk: Desk, bench: Bench) -> None:
    folder = desk.path / "data/AP"
    stem = bench.ap[2].stem
    rows = rows_of(desk, stem)
    (desk.path / "other").mkdir()
    for number, way in enumerate(("as it was", *WAYS)):
        shutil.copy(folder / f"{stem}.png", desk.path / f"other/{number:02d}.png")
        content = rewritten(rows, way) if number else "\n".join(rows).encode()
        (desk.path / f"other/{number:02d}.csv").write_bytes(content)
    result = desk.lookup("exact", data="other")
    assert (result.status, failures_of(desk.path / "run")) == (0, {})
    columns = columns_of(desk.path / "run/keypoints.parquet")
    for name in ("gt_x", "gt_y", "pred_x", "pred_y"):
        assert columns[name] == columns[name][:20] * (1 + len(WAYS))


NAMES = (
    "ünï cödé 脊椎",
    "with two  spaces",
    "[bold]markup[red]",
    "new\nline",
    "-dash",
    "100%s {x}",
    "y" * 251,
)


def test_names_of_every_kind(desk: Desk, bench: Bench) -> None:
    """Names keep their image through table, Parquet, run.json and overlay."""
    folder = desk.path / "odd"
    folder.mkdir()
    for truth, name in zip((*bench.ap, bench.ap[0]), NAMES, strict=True):
        for extension in ("png", "csv"):
            shutil.copy(desk.path / f"data/AP/{truth.stem}.{extension}", folder / f"{name}.{extension}")
    (folder / f"{NAMES[4]}.csv").unlink()
    result = desk.lookup("exact", "--overlays", "worst:2", "--allow-failures", "1", data="odd")
    assert (result.status, result.errors) == (0, [])
    shown = [f"{name.replace(chr(10), chr(92) + 'x0a')}.png" for name in NAMES]
    assert columns_of(desk.path / "run/images.parquet")["image"] == sorted(shown)
    assert failures_of(desk.path / "run") == {"-dash.png": "no annotation: -dash.csv is missing"}
    assert "-dash.png no annotation: -dash.csv is missing" in flat(result.text)
    assert len(list((desk.path / "run/overlays").iterdir())) == 2


def test_a_name_too_long_for_an_overlay(desk: Desk, bench: Bench) -> None:
    folder = desk.path / "long"
    folder.mkdir()
    for end in ("a", "b"):
        for extension in ("png", "csv"):
            source = desk.path / f"data/AP/{bench.ap[0].stem}.{extension}"
            shutil.copy(source, folder / f"{'ü' * 125}{end}.{extension}")
    result = desk.lookup("exact", "--overlays", "all", data="long")
    assert (result.status, result.errors) == (0, [])
    drawn = [path.name for path in (desk.path / "run/overlays").iterdir()]
    assert len(drawn) == 2
    assert all(name.startswith("ü" * 50) for name in drawn)


def test_a_name_that_is_no_text(desk: Desk, bench: Bench) -> None:
    folder = desk.path / "raw"
    folder.mkdir()
    for extension in (b".png", b".csv"):
        source = desk.path / f"data/AP/{bench.ap[0].stem}{extension.decode()}"
        Path(folder.as_posix() + "/\udcff\udcfe" + extension.decode()).write_bytes(source.read_bytes())
    result = desk.lookup("exact", data="raw")
    assert (result.status, result.errors) == (0, [])
    assert columns_of(desk.path / "run/images.parquet")["image"] == [r"\xff\xfe.png"]


def images_of_every_kind(grey: NDArray[np.uint8]) -> dict[str, Image.Image]:
    """The same radiograph as other files hold it."""
    sixteen = grey.astype(np.uint16) * 257
    return {
        "grey.png": Image.fromarray(grey),
        "sixteen.png": Image.fromarray(sixteen),
        "sixteen.tif": Image.fromarray(sixteen),
        "grey.tiff": Image.fromarray(grey),
        "grey.bmp": Image.fromarray(grey),
        "colour.png": Image.fromarray(np.dstack([grey] * 3)),
        "colour.TIF": Image.fromarray(np.dstack([grey] * 3)),
        "transparent.png": Image.fromarray(np.dstack([grey] * 3 + [np.full_like(grey, 128)])),
        "palette.png": Image.fromarray(grey).convert("P"),
    }


def test_images_of_every_kind_give_the_same_numbers(desk: Desk, bench: Bench) -> None:
    """With the built-in network, whose output depends on every pixel."""
    stem = bench.ap[1].stem
    grey = np.asarray(Image.open(desk.path / f"data/AP/{stem}.png"))
    folder = desk.path / "kinds"
    folder.mkdir()
    for name, image in images_of_every_kind(grey).items():
        own_stem = name.replace(".", "-")
        image.save(folder / f"{own_stem}.{name.rpartition('.')[2]}", format=None)
        shutil.copy(desk.path / f"data/AP/{stem}.csv", folder / f"{own_stem}.csv")
    result = desk.run("evaluate", "ap.pt", "kinds", "--out", "run", "--overlays", "none", "--batch-size", "1")
    assert (result.status, failures_of(desk.path / "run")) == (0, {})
    columns = columns_of(desk.path / "run/keypoints.parquet")
    names = columns["image"][::20]
    # Resizing rounds to the integers that the file holds: finer ones where they have 16 bits.
    coarse = np.array(["sixteen" not in name for name in names])
    assert (len(names), coarse.sum()) == (9, 7)
    for column in ("pred_x", "pred_y", "sigma_x", "sigma_y", "peak"):
        values = np.array(columns[column]).reshape(9, 20)
        reference = values[names.index("grey-png.png")]
        assert (values[coarse] == reference).all()
        np.testing.assert_allclose(values[~coarse], reference[None].repeat(2, 0), atol=0.5)
    assert len(set(columns["pred_x"])) > 5


def test_a_set_without_folders_of_its_views(desk: Desk, bench: Bench) -> None:
    """Both views in one folder: those of the other view are left out by their names, with a note."""
    for view in ("AP", "LA"):
        for file in (desk.path / "data" / view).iterdir():
            shutil.copy(file, desk.path / "data" / file.name)
        shutil.rmtree(desk.path / "data" / view)
    result = desk.lookup("exact")
    assert (result.status, result.errors) == (0, [])
    assert columns_of(desk.path / "run/images.parquet")["image"] == [f"{t.stem}.png" for t in bench.ap]
    assert document_of(desk.path / "run")["notes"] == ["6 images of the LA view left out, by file name"]
    assert "note: 6 images of the LA view left out, by file name" in result.text


def test_a_broken_spacing_file(desk: Desk) -> None:
    (desk.path / "data/pixel_spacing.csv").write_text("image,mm\nx.png,far\n")
    desk.run("evaluate", "ap.pt", "data").refused(
        "data/pixel_spacing.csv: line 2: 'far' is not a spacing between 0.005 and 5 mm"
    )
