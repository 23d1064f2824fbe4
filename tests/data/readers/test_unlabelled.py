"""Images without annotations: what is taken for one, which view, and what is left out."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mahtdiag.data.readers import open_dataset, reader_of, require_labels
from mahtdiag.errors import DataError
from mahtdiag.schema.read_options import NO_LABELS, ReadOptions
from mahtdiag.schema.skeleton import View

ALONE = ReadOptions(format=NO_LABELS)


def images(folder: Path, *names: str) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.zeros((9, 7), np.uint8)).save(path)
    return folder


def test_every_image_below_a_folder_is_evaluated_without_labels(tmp_path: Path) -> None:
    images(tmp_path, "b.png", "study/a.jpg", "study/.hidden.png")
    (tmp_path / "pixel_spacing.csv").write_text("b,0.2\n")
    (tmp_path / "Thumbs.db").write_bytes(b"x")
    dataset = open_dataset(tmp_path, View.LA)
    assert (dataset.format, dataset.labelled) == (NO_LABELS, False)
    assert [sample.image for sample in dataset.samples] == ["b.png", "study/a.jpg"]
    assert all(sample.keypoints_px.shape == (22, 2) for sample in dataset.samples)
    assert all(np.isnan(sample.keypoints_px).all() for sample in dataset.samples)
    spacings = [sample.spacing and sample.spacing.either_mm for sample in dataset.samples]
    assert spacings == [0.2, None]
    assert dataset.notes == ("2 images without labels: no error, loss or calibration",)


@pytest.mark.parametrize("name", ["notes.txt", "labels.json", "a.csv", "study/readme"])
def test_a_folder_with_anything_else_is_no_set_of_images_unless_asked_for(tmp_path: Path, name: str) -> None:
    images(tmp_path, "a.png", "study/b.png")
    (tmp_path / name).write_text("{}")
    if name == "a.csv":
        assert reader_of(tmp_path).name != NO_LABELS
    else:
        with pytest.raises(DataError, match=rf"looked at {name}\): .* --no-labels takes the images alone"):
            reader_of(tmp_path)
    assert len(open_dataset(tmp_path, View.AP, ALONE).samples) == 2


def test_images_beside_a_folder_that_is_not_there_are_not_taken(tmp_path: Path) -> None:
    images(tmp_path, "a.png")
    with pytest.raises(DataError, match="spines: no such folder"):
        open_dataset(tmp_path / "spines", View.AP, ALONE)


@pytest.mark.parametrize("name", ["coco", "label-studio", "cvat", "deeplabcut", "aasce"])
def test_a_format_without_a_file_of_it_is_said(tmp_path: Path, name: str) -> None:
    images(tmp_path, "a.png")
    with pytest.raises(DataError, match=rf"no file of the format {name} \("):
        open_dataset(tmp_path, View.AP, ReadOptions(format=name))
    with pytest.raises(DataError, match="no such folder"):
        open_dataset(tmp_path / "spines", View.AP, ReadOptions(format=name))


def test_a_table_that_is_not_understood_is_named_with_its_columns(tmp_path: Path) -> None:
    images(tmp_path, "a.png")
    (tmp_path / "corners.csv").write_text("image;row;col\na.png;1;2\n")
    with pytest.raises(DataError, match=r"looked at corners\.csv with the columns image, row, col\)"):
        open_dataset(tmp_path, View.AP)


def test_a_table_that_is_too_large_is_named_with_its_size(tmp_path: Path) -> None:
    images(tmp_path, "a.png")
    with (tmp_path / "corners.csv").open("wb") as sparse:
        sparse.truncate(6 * 2**30)
    said = r"looked at corners\.csv of 6,442,450,944 bytes, where 1,073,741,824 are read at most\)"
    with pytest.raises(DataError, match=said):
        open_dataset(tmp_path, View.AP)


def test_folders_and_names_tell_the_view(tmp_path: Path) -> None:
    images(tmp_path, "AP/1.png", "LA/2.png", "LA/deep/3.png", "0001-F-037Y0.png", "4.png")
    left = "of the other view left out"
    ap = open_dataset(tmp_path, View.AP, ALONE)
    assert [sample.image for sample in ap.samples] == ["0001-F-037Y0.png", "4.png", "AP/1.png"]
    assert ap.notes[1] == f"2 images {left}"
    la = open_dataset(tmp_path, View.LA, ALONE)
    assert [sample.image for sample in la.samples] == ["4.png", "LA/2.png", "LA/deep/3.png"]
    assert open_dataset(tmp_path / "LA", None, ALONE).view is View.LA
    assert ap.samples[0].patient.identifier is not None
    with pytest.raises(DataError, match="nothing tells the view"):
        open_dataset(tmp_path, None, ALONE)
    with pytest.raises(DataError, match="no image of the view AP"):
        open_dataset(images(tmp_path / "other", "LA/1.png"), View.AP, ALONE)


def test_a_link_out_of_the_folder_is_not_followed(tmp_path: Path) -> None:
    images(tmp_path / "outside", "secret.png")
    inside = images(tmp_path / "inside", "a.png")
    (inside / "link").symlink_to(tmp_path / "outside")
    assert [sample.image for sample in open_dataset(inside, View.AP).samples] == ["a.png"]


def test_where_labels_are_judged_images_alone_are_refused(tmp_path: Path) -> None:
    dataset = open_dataset(images(tmp_path, "a.png"), View.AP)
    with pytest.raises(DataError, match="images without labels: name a folder with annotations"):
        require_labels(dataset)
    (tmp_path / "a.png").unlink()
    with pytest.raises(DataError, match="no image in it"):
        open_dataset(tmp_path, View.AP, ALONE)


def test_one_image_is_a_set(tmp_path: Path) -> None:
    images(tmp_path, "a.png", "b.png")
    (tmp_path / "b.csv").write_text("x")
    dataset = open_dataset(tmp_path / "a.png", View.AP)
    assert [sample.image for sample in dataset.samples] == ["a.png"]
