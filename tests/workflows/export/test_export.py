"""What an export holds: which images and points, how files name images, what is left out and said."""

import csv
import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mahtdiag.data.predictions import read_predictions
from mahtdiag.data.readers import open_dataset, reader_of
from mahtdiag.data.writers import WRITERS
from mahtdiag.errors import MahtdiagError
from mahtdiag.runs.reading import open_run
from mahtdiag.schema.frames import Size
from mahtdiag.schema.read_options import ReadOptions
from mahtdiag.schema.records import Failure
from mahtdiag.schema.skeleton import AP, View
from mahtdiag.workflows.export.job import Export, ExportRequest, export_run
from mahtdiag.workflows.export.selection import suspicious
from tests.data.builders import encoded, radiograph, spine
from tests.data.images.test_dicom import dicom
from tests.workflows.exported_runs import SIZE, Floats, Told, write_export_run

ALL = [writer.name for writer in WRITERS]
FOLDERS = [writer.name for writer in WRITERS if writer.ending is None]
FILES = [writer.name for writer in WRITERS if writer.ending is not None]


def export(folder: Path, to: str, file: str = "out", **more: Any) -> Export:
    """The latest run of a folder, to a file in it."""
    return export_run(ExportRequest(None, to, Path(file), folder, **more))


def refused(folder: Path, to: str, file: str = "out", **more: Any) -> str:
    """The one line that says why not; nothing was written."""
    before = sorted(folder.rglob("*"))
    with pytest.raises(MahtdiagError) as caught:
        export(folder, to, file, **more)
    assert sorted(folder.rglob("*")) == before
    (problem,) = caught.value.problems
    return problem


def write_images(folder: Path, *names: str, size: Size = SIZE) -> None:
    """Images of the run, in `data`; DICOM where the ending says so."""
    for name in names:
        place = folder / "data" / name
        place.parent.mkdir(parents=True, exist_ok=True)
        pixels = radiograph(size.height, size.width)
        kind = {".png": "PNG", ".jpg": "JPEG"}.get(place.suffix)
        place.write_bytes(encoded(pixels, kind) if kind else dicom(pixels.astype(np.uint16)))


def table_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_predictions_of_all_images_by_default(tmp_path: Path) -> None:
    pred_px = spine(View.AP) + np.array([0.25, -0.125])
    pred_px[7] = np.nan
    write_export_run(tmp_path, [Told("b.png"), Told("a/a.png", pred_px=pred_px)])
    done = export(tmp_path, "csv", "out.csv")
    assert (done.images, done.keypoints, done.labels, done.notes) == (2, 39, False, ())
    rows = table_of(tmp_path / "out.csv")
    assert [row["image"] for row in rows] == ["a/a.png"] * 19 + ["b.png"] * 20
    table = open_run(None, tmp_path).table()
    known = table.pred_px[np.isfinite(table.pred_px)].reshape(-1, 2)
    np.testing.assert_allclose([[float(row["x"]), float(row["y"])] for row in rows], known, atol=1e-4)
    assert {(row["sigma_x"], row["sigma_y"], row["score"]) for row in rows} == {("2.5", "2.5", "1.0")}
    assert [row["vertebra"] + row["corner"] for row in rows[:19]] == [
        name.replace(" ", "") for k, name in enumerate(AP.keypoint_names) if k != 7
    ]


def test_labels_instead(tmp_path: Path) -> None:
    gt_px = spine(View.AP)
    gt_px[3] = np.nan
    write_export_run(tmp_path, [Told("a.png", gt_px=gt_px)])
    done = export(tmp_path, "csv", "out.csv", labels=True)
    assert (done.keypoints, done.labels) == (19, True)
    rows = table_of(tmp_path / "out.csv")
    assert list(rows[0]) == ["image", "vertebra", "corner", "x", "y"]
    np.testing.assert_allclose(
        [[float(row["x"]), float(row["y"])] for row in rows], np.delete(gt_px, 3, axis=0), atol=1e-4
    )


def off(px: float) -> Floats:
    moved: Floats = spine(View.AP) + np.array([px, 0.0])
    return moved


def test_the_worst_by_mean_error(tmp_path: Path) -> None:
    write_export_run(tmp_path, [Told(f"{n}.png", pred_px=off(px)) for n, px in enumerate((2, 9, 1, 5))])
    done = export(tmp_path, "coco", "out.json", worst=2)
    content = json.loads((tmp_path / "out.json").read_text())
    assert [image["file_name"] for image in content["images"]] == ["1.png", "3.png"]
    assert (done.images, done.chosen, done.labels) == (2, "largest mean error", False)
    more = export(tmp_path, "coco", "more.json", worst=9)
    assert (more.images, more.notes) == (4, ("--worst 9: 4 images in all",))


def test_the_worst_in_millimetres_where_they_are_known(tmp_path: Path) -> None:
    """In pixels it would be the second image; one without a spacing comes last, as it does in tables."""
    spaced = [(2, 0.9), (9, 0.1), (1, 0.5), (99, None)]
    told = [Told(f"{n}.png", pred_px=off(px), spacing_mm=mm) for n, (px, mm) in enumerate(spaced)]
    write_export_run(tmp_path, told)
    done = export(tmp_path, "coco", "out.json", worst=2)
    content = json.loads((tmp_path / "out.json").read_text())
    assert [image["file_name"] for image in content["images"]] == ["0.png", "1.png"]
    assert done.chosen == "largest mean error in mm"


def test_the_worst_without_labels_by_findings(tmp_path: Path) -> None:
    unknown = np.full((AP.keypoints, 2), np.nan)
    swapped = spine(View.AP)
    swapped[8:12] = swapped[[9, 8, 11, 10]]
    told = [Told("a.png", unknown), Told("b.png", unknown, swapped), Told("c.png", unknown)]
    write_export_run(tmp_path, told)
    done = export(tmp_path, "csv", "out.csv", worst=1)
    assert {row["image"] for row in table_of(tmp_path / "out.csv")} == {"b.png"}
    assert done.chosen == "most severe anatomical findings"
    assert done.notes == ("the run has no labels: --worst goes by the severity of anatomical findings",)
    said = "runs/a has no labels; export its predictions without it"
    assert refused(tmp_path, "csv", labels=True) == f"--labels: {said}"
    assert refused(tmp_path, "csv", suspicious=3) == f"--suspicious: {said}"


def swapped_label(vertebra: int) -> Floats:
    label, first = spine(View.AP), 4 * vertebra
    label[first : first + 4] = label[[first + 1, first, first + 3, first + 2]]
    return label


def test_suspicious_labels_are_exported_as_labels(tmp_path: Path) -> None:
    label = swapped_label(2)
    write_export_run(tmp_path, [Told("a.png"), Told("b.png", gt_px=label), Told("c.png")])
    done = export(tmp_path, "labelstudio", "out.json", suspicious=5)
    assert (done.images, done.labels, done.chosen) == (1, True, "most suspicious labels")
    assert done.notes[0] == "suspicious labels: 1 by rules of anatomy, 0 by the network, 0 of them by both"
    assert done.notes[-1] == "--suspicious 5: 1 suspicious label in all"
    (task,) = json.loads((tmp_path / "out.json").read_text())
    (annotation,), (prediction,) = task["annotations"], task["predictions"]
    for made, px in ((annotation, label), (prediction, spine(View.AP) + 1.0)):
        percent = [[region["value"]["x"], region["value"]["y"]] for region in made["result"]]
        np.testing.assert_allclose(np.array(percent) / 100 * SIZE.xy, px, atol=1e-3)
    # The network's own word on them, if asked for.
    as_predictions = export(tmp_path, "csv", "out.csv", suspicious=5, labels=False)
    assert (as_predictions.labels, as_predictions.images) == (False, 1)


def test_the_network_speaks_against_labels_as_well(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    told = []
    for n in range(40):
        label = spine(View.AP) + rng.normal(0, 0.3, (20, 2))
        pred = label + rng.normal(0, 0.6, (20, 2))
        if n == 11:
            label[6] += [7.0, 3.0]
        if n == 30:
            label[8:12] = label[[9, 8, 11, 10]]
        told.append(Told(f"{n:02d}.png", label, pred))
    write_export_run(tmp_path, told)
    table = open_run(None, tmp_path).table()
    chosen = suspicious(table, 40, "runs/a")
    names = [table.image[row] for row in chosen.rows]
    assert {"11.png", "30.png"} <= set(names[:3])
    done = export(tmp_path, "csv", "out.csv", suspicious=2)
    exported = list(dict.fromkeys(row["image"] for row in table_of(tmp_path / "out.csv")))
    assert exported == names[:2]
    assert done.images == 2


def test_no_suspicious_label(tmp_path: Path) -> None:
    write_export_run(tmp_path, [Told("a.png")])
    assert refused(tmp_path, "csv", suspicious=1).startswith(
        "runs/a: no label breaks a rule of anatomy, and the network speaks against none: nothing to export ("
    )


def test_the_table_is_read_as_predictions(tmp_path: Path) -> None:
    """By `evaluate --predictions`: places, σ and score of every keypoint, images told apart by folders."""
    pred_px = spine(View.AP) + np.array([0.25, -0.125])
    pred_px[7], pred_px[0] = np.nan, 0.0
    names = ["x/a.png", "y/a.png"]
    write_images(tmp_path, *names)
    write_export_run(tmp_path, [Told(names[0], pred_px=pred_px), Told(names[1])])
    export(tmp_path, "coco", "data/labels.json", labels=True)
    export(tmp_path, "csv", "out.csv")
    dataset = open_dataset(tmp_path / "data", View.AP, ReadOptions())
    found = read_predictions(tmp_path / "out.csv", dataset, ReadOptions())
    assert (found.format, found.problems) == ("csv", {})
    for name, px in zip(names, (pred_px, spine(View.AP) + 1.0), strict=True):
        prediction, known = found.by_image[name], np.isfinite(px[:, 0])
        np.testing.assert_allclose(prediction.points_px, px, atol=0.01)
        assert prediction.sigma_px is not None
        assert prediction.score is not None
        np.testing.assert_allclose(prediction.sigma_px[known], 2.5)
        np.testing.assert_allclose(prediction.score[known], 1.0)


# Where the images lie


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("kind", ["png", "dcm"])
@pytest.mark.parametrize("view", list(View))
def test_the_whole_way_round(tmp_path: Path, name: str, kind: str, view: View) -> None:
    """A run, an export, images beside it, the reader of the format: the labels of the run."""
    names = [f"x/0001.{kind}", f"y z/0001.{kind}", f"ä#1.{kind}"]
    rng = np.random.default_rng(1)
    labels = [spine(view) + rng.normal(0, 2, spine(view).shape) for _ in names]
    labels[1][2:5] = np.nan
    write_images(tmp_path, *names)
    write_export_run(tmp_path, [Told(*told) for told in zip(names, labels, strict=True)], view)
    file = {"labelme": "data/pre", "slicer": "data", "yolo": "data"}.get(name, f"data/out{ending(name)}")
    if (name, kind) == ("slicer", "dcm"):
        assert refused(tmp_path, name, file, labels=True, force=True) == (
            "runs/a: no image can be exported: x/0001.dcm: millimetres on a .dcm, whose spacing in Slicer is"
            " not known: save the image as PNG and its points on that"
        )
        return
    done = export(tmp_path, name, file, labels=True, force=True)
    assert (done.images, done.left_out) == (3, ())
    prefix = ""
    if name == "yolo":
        prefix = "images/"
        (tmp_path / "moved").mkdir()
        for inner in ("x", "y z", f"ä#1.{kind}"):
            shutil.move(tmp_path / "data" / inner, tmp_path / "moved" / inner)
        shutil.move(tmp_path / "moved", tmp_path / "data/images")
    assert reader_of(tmp_path / "data").name.replace("-", "") in (name, f"{name}pose")
    dataset = open_dataset(tmp_path / "data", view, ReadOptions())
    assert dataset.failures == ()
    found = {sample.image: sample.keypoints_px for sample in dataset.samples}
    for image, label in zip(names, labels, strict=True):
        np.testing.assert_allclose(found[prefix + image], label, atol=0.01)


def ending(name: str) -> str:
    return next(writer.ending for writer in WRITERS if writer.name == name) or ""


def test_a_jpeg_in_slicer_has_its_dots_per_inch(tmp_path: Path) -> None:
    write_images(tmp_path, "b.jpg")
    (tmp_path / "data/a.jpg").write_bytes(encoded(radiograph(220, 160), "JPEG", dpi=(254, 127)))
    write_export_run(tmp_path, [Told("a.jpg"), Told("b.jpg"), Told("gone.jpg")])
    done = export(tmp_path, "slicer", "data", labels=True, force=True)
    assert done.left_out == (
        Failure("gone.jpg", "the JPEG is gone, and its dots per inch, which Slicer heeds, with it"),
    )
    assert (done.images, done.notes[0].partition(",")[0]) == (2, "1 image not exported")
    content = json.loads((tmp_path / "data/a.mrk.json").read_text())
    place_mm = np.array(content["markups"][0]["controlPoints"][0]["position"][:2])
    np.testing.assert_allclose(place_mm, spine(View.AP)[0] * [0.1, 0.2], atol=1e-5)
    for sample in open_dataset(tmp_path / "data", View.AP, ReadOptions()).samples:
        np.testing.assert_allclose(sample.keypoints_px, spine(View.AP), atol=0.01)


def test_labelme_files_lead_to_their_images(tmp_path: Path) -> None:
    write_images(tmp_path, "AP/a.png", "b.png")
    write_export_run(tmp_path, [Told("AP/a.png"), Told("b.png")])
    done = export(tmp_path, "labelme", "deep/out")
    for name in ("AP/a", "b"):
        file = tmp_path / f"deep/out/{name}.json"
        way = json.loads(file.read_text())["imagePath"]
        assert (file.parent / way).samefile(tmp_path / f"data/{name}.png")
        assert not os.path.isabs(way)
    assert done.hint.endswith("\nlabelme data --output deep/out")


def test_label_studio_names_images_from_the_folder_of_data_on(tmp_path: Path) -> None:
    write_export_run(tmp_path, [Told("AP/ä #1.png")], data="/home/somebody/my set")
    export(tmp_path, "labelstudio", "a.json")
    (task,) = json.loads((tmp_path / "a.json").read_text())
    assert task["data"] == {"image": "/data/local-files/?d=my%20set/AP/%C3%A4%20%231.png"}
    for root, link in {
        "https://host/x": "https://host/x/AP/%C3%A4%20%231.png",
        "s3://bucket/": "s3://bucket/AP/ä #1.png",
        "/data/local-files/?d=": "/data/local-files/?d=AP/%C3%A4%20%231.png",
    }.items():
        export(tmp_path, "labelstudio", "a.json", image_root=root, force=True)
        assert json.loads((tmp_path / "a.json").read_text())[0]["data"] == {"image": link}
    assert b"somebody" not in (tmp_path / "a.json").read_bytes()


def test_the_model_is_named_without_its_folder(tmp_path: Path) -> None:
    write_export_run(tmp_path, [Told("a.png")], checkpoint="/home/somebody/nets/best of.pt")
    export(tmp_path, "labelstudio", "a.json")
    (prediction,) = json.loads((tmp_path / "a.json").read_text())[0]["predictions"]
    assert (prediction["model_version"], prediction["score"]) == ("best of abcdef12", 1.0)
    export(tmp_path, "coco", "b.json")
    assert b"somebody" not in (tmp_path / "a.json").read_bytes() + (tmp_path / "b.json").read_bytes()


@pytest.mark.parametrize("name", ["coco", "csv"])
def test_a_root_before_the_names(tmp_path: Path, name: str) -> None:
    write_export_run(tmp_path, [Told("a.png")])
    export(tmp_path, name, image_root="set/images")
    assert b"set/images/a.png" in (tmp_path / "out").read_bytes()


@pytest.mark.parametrize("name", FOLDERS)
def test_no_root_where_files_name_none(tmp_path: Path, name: str) -> None:
    write_export_run(tmp_path, [Told("a.png")])
    assert refused(tmp_path, name, image_root="x").startswith(f"--image-root: {name} tells its images ")


@pytest.mark.parametrize("name", ALL)
def test_data_that_are_gone(tmp_path: Path, name: str) -> None:
    write_export_run(tmp_path, [Told("a/a.png")])
    assert not (tmp_path / "data").exists()
    done = export(tmp_path, name)
    assert done.images == 1
    gone = "data is gone: files name their images alone; --data says where they are"
    assert (gone in done.notes) == (name == "labelme")


def test_data_that_have_moved(tmp_path: Path) -> None:
    write_images(tmp_path, "a.png")
    write_export_run(tmp_path, [Told("a.png")], data="elsewhere")
    done = export(tmp_path, "labelme", data=Path("data"))
    assert json.loads((tmp_path / "out/a.json").read_text())["imagePath"] == "../data/a.png"
    assert done.notes == ()
    assert refused(tmp_path, "csv", data=Path("nowhere")) == (
        "--data nowhere: no such folder; name the folder that holds the images"
    )


# What is left out


@pytest.mark.parametrize("name", ["yolo", "labelstudio"])
def test_points_outside_the_image_are_left_out_and_counted(tmp_path: Path, name: str) -> None:
    beyond, far = spine(View.AP), spine(View.AP) + 1000.0
    beyond[[0, 9]] = [[-0.5, 20.0], [60.0, 220.5]]
    write_export_run(tmp_path, [Told("a.png", pred_px=beyond), Told("b.png", pred_px=far)])
    done = export(tmp_path, name)
    assert (done.images, done.keypoints) == (1, 18)
    assert done.left_out == (Failure("b.png", "every point lies outside the image"),)
    assert done.notes[:2] == (
        "1 image not exported, every point lies outside the image: b.png",
        "2 keypoints left out, outside the image",
    )


def test_images_without_a_point_are_left_out(tmp_path: Path) -> None:
    nothing = np.full((AP.keypoints, 2), np.nan)
    write_export_run(tmp_path, [Told("a.png"), Told("b.png", pred_px=nothing)], failures=[Failure("z", "?")])
    done = export(tmp_path, "coco", "out.json")
    assert done.notes == (
        "1 image not exported, no keypoint is predicted: b.png",
        "1 image failed in the run and not exported",
    )
    assert refused(tmp_path, "csv", "x.csv", labels=False, data=Path("nowhere")).startswith("--data")


def test_a_label_file_for_two_images(tmp_path: Path) -> None:
    write_export_run(
        tmp_path, [Told("a.png"), Told("A.jpg"), Told("b.png"), Told("c/1.2.3"), Told("c/1.2.4")]
    )
    done = export(tmp_path, "yolo")
    reason = "another image has the same label file: rename one"
    assert done.left_out == (Failure("A.jpg", reason), Failure("a.png", reason))
    written = sorted(str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*.txt"))
    assert written == ["labels/b.txt", "labels/c/1.2.3.txt", "labels/c/1.2.4.txt"]
    export(tmp_path, "labelme", "names")
    assert sorted(path.name for path in (tmp_path / "names").glob("*.json")) == [
        "A.jpg.json", "a.png.json", "b.json",
    ]  # fmt: skip


def test_what_tools_would_show_otherwise_is_said(tmp_path: Path) -> None:
    write_export_run(tmp_path, [Told("a.png", orientation=6), Told("b.dcm")])
    assert export(tmp_path, "labelme").notes[:2] == (
        "1 image with an EXIF orientation, which tools heed and points do not: a.png",
        "1 DICOM image, which LabelMe does not show: b.dcm",
    )


# Attacks


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("hostile", ["../x.png", "/etc/x.png", "a/../../x.png", "..\\x.png", "\\x.png", ".."])
def test_names_that_lead_out_write_nothing_there(tmp_path: Path, name: str, hostile: str) -> None:
    inner = tmp_path / "in"
    inner.mkdir()
    write_export_run(inner, [Told("ok.png"), Told(hostile)])
    done = export(inner, name)
    assert done.left_out == (Failure(hostile, "its name leads out of the data folder"),)
    assert [path.name for path in tmp_path.iterdir()] == ["in"]
    assert hostile.encode() not in b"".join(p.read_bytes() for p in inner.glob("out*") if p.is_file())
    written = {
        path.stem.split(".")[0] for path in inner.rglob("*") if path.is_file() and "runs" not in str(path)
    }
    assert written <= {"out", "ok", "data"}


@pytest.mark.parametrize("name", ALL)
def test_absurd_numbers_are_no_places(tmp_path: Path, name: str) -> None:
    labelled, predicted = spine(View.AP), spine(View.AP)
    labelled[:4] = [[1e50, 3], [np.nan, 3], [-1e50, 1e50], [np.nan, 3]]
    predicted[:4] = [[1e50, 3], [np.inf, 3], [-1e50, 1e50], [np.nan, 3]]
    write_export_run(tmp_path, [Told("a.png", labelled, predicted)])
    assert (export(tmp_path, name).keypoints, export(tmp_path, name, "labels", labels=True).keypoints) == (
        16,
        16,
    )


@pytest.mark.parametrize("name", ALL)
def test_names_with_line_breaks_stay_names(tmp_path: Path, name: str) -> None:
    write_export_run(tmp_path, [Told("a\n../b.png"), Told("a\nb.png"), Told("c.png")])
    done = export(tmp_path, name)
    assert done.images == 3
    assert {path.name for path in tmp_path.iterdir()} <= {"runs", "out", "out.interface.xml"}
    assert all("\n" not in note for note in done.notes)


@pytest.mark.parametrize("name", FOLDERS)
def test_a_link_in_the_folder_is_not_followed_out(tmp_path: Path, name: str) -> None:
    write_export_run(tmp_path, [Told("a/a.png")])
    (tmp_path / "victim").mkdir()
    (tmp_path / "out/labels").mkdir(parents=True)
    (tmp_path / "out/a").symlink_to(tmp_path / "victim")
    (tmp_path / "out/labels/a").symlink_to(tmp_path / "victim")
    problem = refused(tmp_path, name, force=True)
    assert problem.startswith(f"--to {name} out: cannot be written (")
    assert "leads out of it" in problem
    assert list((tmp_path / "victim").iterdir()) == []


# What is there already


@pytest.mark.parametrize("name", ALL)
def test_nothing_is_overwritten_without_being_asked(tmp_path: Path, name: str) -> None:
    write_export_run(tmp_path, [Told("a.png")])
    export(tmp_path, name)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    what = "not empty; write into it" if name in FOLDERS else "exists; overwrite it"
    kind = "folder" if name in FOLDERS else "file"
    assert refused(tmp_path, name) == f"out: {what} with --force or name another {kind}"
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    assert export(tmp_path, name, labels=True, force=True).labels
    after = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert (after.keys(), after == before) == (before.keys(), False)


def test_the_interface_is_not_overwritten_either(tmp_path: Path) -> None:
    write_export_run(tmp_path, [Told("a.png")])
    (tmp_path / "out.interface.xml").write_text("mine")
    said = "out.interface.xml: exists; overwrite it with --force"
    assert refused(tmp_path, "labelstudio", "out.json") == said


@pytest.mark.parametrize("name", FOLDERS)
def test_other_files_stay_and_are_told(tmp_path: Path, name: str) -> None:
    write_export_run(tmp_path, [Told("a.png")])
    (tmp_path / "out/sub").mkdir(parents=True)
    mine = tmp_path / f"out/sub/mine.{'txt' if name == 'yolo' else 'json'}"
    for path in (mine, mine.with_suffix(".png")):
        path.write_text("mine")
    done = export(tmp_path, name, force=True)
    assert "1 file of the same kind stayed in the folder, of no image of this export" in done.notes
    assert mine.read_text() == mine.with_suffix(".png").read_text() == "mine"


@pytest.mark.parametrize("name", ALL)
def test_places_that_cannot_be_written(tmp_path: Path, name: str) -> None:
    write_export_run(tmp_path, [Told("a.png")])
    (tmp_path / "file").write_text("")
    assert refused(tmp_path, name, "file/out").startswith(f"--to {name} file/out")
    assert refused(tmp_path, name, "/proc/out").startswith(f"--to {name} /proc/out: cannot be written (")
    assert refused(tmp_path, name, "x" * 300).startswith(f"--to {name} {'x' * 300}: cannot be written (")
    assert refused(tmp_path, name, "runs/a", force=True) == (
        "runs/a: a run folder; name the file to write after it"
    )
    other = (tmp_path / "file") if name in FOLDERS else (tmp_path / "runs")
    assert refused(tmp_path, name, str(other), force=True)


@pytest.mark.parametrize("name", FOLDERS)
@pytest.mark.parametrize("there", [False, True])
def test_a_full_disk_leaves_what_was_there(
    tmp_path: Path, name: str, there: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_export_run(tmp_path, [Told("a.png"), Told("b.png")])
    if there:
        export(tmp_path, name, labels=True)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    write_bytes, seen = Path.write_bytes, list[Path]()

    def full(path: Path, content: bytes) -> int:
        seen.append(path)
        if len(seen) == 2:
            raise OSError(28, "No space left on device")
        return write_bytes(path, content)

    monkeypatch.setattr(Path, "write_bytes", full)
    said = f"--to {name} out: cannot be written (No space left on device); name another folder"
    assert refused(tmp_path, name, force=there) == said
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_runs_that_cannot_be_exported(tmp_path: Path) -> None:
    write_export_run(tmp_path / "1", [Told("a.png")], complete=False)
    with pytest.raises(MahtdiagError, match=r"interrupted after 0 of 1 images; finish it with"):
        export_run(ExportRequest(Path("runs/a"), "csv", Path("x"), tmp_path / "1"))
    write_export_run(tmp_path / "2", [], failures=[Failure("a.png", "gone")])
    assert refused(tmp_path / "2", "csv") == (
        "runs/a: no image was evaluated (1 failed), there is nothing to export; evaluate again"
    )
    with pytest.raises(MahtdiagError, match="no finished run yet"):
        export(tmp_path, "csv")
