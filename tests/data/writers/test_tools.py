"""What is written is what the tools read: by a reader of theirs, or by the facts of their formats."""

import contextlib
import io
import json
import re
import xml.etree.ElementTree
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from mahtdiag.data.writers import writer_named
from mahtdiag.schema.frames import Size
from mahtdiag.schema.skeleton import AP, LA, Skeleton
from tests.data.builders import spine

from .outgoing_sets import Floats, outgoing

# Its stubs know no keypoints.
COCO: Any = import_module("pycocotools.coco").COCO
SIZE = Size(220, 160)
MISSING = 5


def points(skeleton: Skeleton) -> Floats:
    """A spine, of which one keypoint is missing."""
    px = spine(skeleton.view)
    px[MISSING] = np.nan
    return px


def written(name: str, skeleton: Skeleton = AP, *, labels: bool = False) -> dict[str, bytes]:
    """The files of two images."""
    px = [points(skeleton), points(skeleton) + 3.25]
    made = outgoing(skeleton, px, ["AP/a.png", "b.png"], SIZE, labels=labels)
    return writer_named(name).write(made, "out.json").files


@pytest.mark.parametrize("skeleton", [AP, LA], ids=str)
def test_pycocotools_loads_annotations_and_results(tmp_path: Path, skeleton: Skeleton) -> None:
    (tmp_path / "out.json").write_bytes(written("coco", skeleton)["out.json"])
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(tmp_path / "out.json")
        results = coco.loadRes(coco.dataset["annotations"])
    assert [image["file_name"] for image in coco.loadImgs(coco.getImgIds())] == ["AP/a.png", "b.png"]
    (category,) = coco.loadCats(coco.getCatIds())
    assert category["keypoints"] == [name.replace(" ", "_") for name in skeleton.keypoint_names]
    # Edges count from 1 and join keypoints of one vertebra.
    edges = np.array(category["skeleton"]) - 1
    assert edges.min() == 0
    assert edges.max() == skeleton.keypoints - 1
    assert (skeleton.vertebra_index[edges[:, 0]] == skeleton.vertebra_index[edges[:, 1]]).all()
    for loaded in (coco, results):
        for number, shift in ((1, 0.0), (2, 3.25)):
            (annotation,) = loaded.loadAnns(loaded.getAnnIds(imgIds=[number]))
            triples = np.array(annotation["keypoints"]).reshape(-1, 3)
            expected = points(skeleton) + shift
            assert annotation["num_keypoints"] == skeleton.keypoints - 1
            assert triples[MISSING].tolist() == [0, 0, 0]
            assert (np.delete(triples[:, 2], MISSING) == 2).all()
            known = np.isfinite(expected[:, 0])
            np.testing.assert_allclose(triples[known, :2], expected[known], atol=1e-4)
            low, high = np.nanmin(expected, axis=0), np.nanmax(expected, axis=0)
            np.testing.assert_allclose(annotation["bbox"], [*low, *(high - low)], atol=1e-3)
            assert 0 <= annotation["score"] <= 1


def test_labels_have_no_score() -> None:
    content = json.loads(written("coco", labels=True)["out.json"])
    assert all("score" not in annotation for annotation in content["annotations"])


@pytest.mark.parametrize("skeleton", [AP, LA], ids=str)
def test_yolo_labels_pass_the_checks_of_ultralytics(skeleton: Skeleton) -> None:
    """Its documented checks: columns, shares within 0 and 1, whole classes below their number."""
    files = written("yolo", skeleton)
    said = yaml.safe_load(files.pop("data.yaml"))
    assert {"train", "val", "names", "kpt_shape", "flip_idx"} <= said.keys()
    assert "path" not in said
    count, dims = said["kpt_shape"]
    assert (count, dims, len(said["flip_idx"])) == (skeleton.keypoints, 3, skeleton.keypoints)
    assert [said["flip_idx"][k] for k in said["flip_idx"]] == list(range(count))
    names = said["kpt_names"][0]
    for name, k in zip(names, said["flip_idx"], strict=True):
        assert names[k] == name[:-1] + {"L": "R", "R": "L"}[name[-1]]
    # Labels lie where the last `images` of the path of an image is `labels`.
    assert sorted(files) == ["labels/AP/a.txt", "labels/b.txt"]
    for content in files.values():
        (line,) = content.decode().splitlines()
        row = np.array(line.split(), dtype=np.float32)
        assert len(row) == 5 + count * dims
        assert 0 <= row[0] < len(said["names"])
        values = row[5:].reshape(count, dims)
        assert (row[1:5] > 0).all()
        assert (row[1:5] <= 1).all()
        assert ((values[:, :2] >= 0) & (values[:, :2] <= 1)).all()
        assert values[MISSING].tolist() == [0, 0, 0]
        assert (np.delete(values[:, 2], MISSING) == 2).all()


def labelme_shapes(content: dict[str, Any]) -> list[str]:
    """What LabelMe requires of a file, by its reader: the labels, or AssertionError."""
    assert {
        "imagePath",
        "imageData",
        "shapes",
        "imageHeight",
        "imageWidth",
        "version",
        "flags",
    } <= content.keys()
    assert isinstance(content["imagePath"], str)
    for shape in content["shapes"]:
        assert isinstance(shape["label"], str)
        assert all(len(place) == 2 and all(isinstance(v, float) for v in place) for place in shape["points"])
        assert len(shape["points"]) == 1
        assert shape["shape_type"] == "point"
        assert shape["group_id"] is None or isinstance(shape["group_id"], int)
    return [shape["label"] for shape in content["shapes"]]


def test_labelme_files_have_what_labelme_requires() -> None:
    files = written("labelme")
    assert sorted(files) == ["AP/a.json", "b.json"]
    content = json.loads(files["b.json"])
    names = [name.replace(" ", "_") for name in AP.keypoint_names]
    assert labelme_shapes(content) == [name for k, name in enumerate(names) if k != MISSING]
    assert (content["imageHeight"], content["imageWidth"]) == (SIZE.height, SIZE.width)


@pytest.mark.parametrize("labels", [False, True])
def test_label_studio_tasks_fit_their_interface(labels: bool) -> None:
    """The checks that the import makes: tags, types, labels of the interface, percent, scores."""
    files = written("labelstudio", labels=labels)
    view = xml.etree.ElementTree.fromstring(files["out.interface.xml"])
    (control,), (shown,) = view.findall("KeyPointLabels"), view.findall("Image")
    choices = [label.attrib["value"] for label in control.findall("Label")]
    assert choices == [name.replace(" ", "_") for name in AP.keypoint_names]
    assert control.attrib["toName"] == shown.attrib["name"]
    tasks = json.loads(files["out.json"])
    assert [task["data"] for task in tasks] == [{"image": "AP/a.png"}, {"image": "b.png"}]
    assert shown.attrib["value"] == "$image"
    for task in tasks:
        (made,) = task["annotations" if labels else "predictions"]
        assert labels or (0 <= made["score"] <= 1 and made["model_version"] == "net abcdef12")
        regions = made["result"]
        assert len({region["id"] for region in regions}) == len(regions) == AP.keypoints - 1
        for region in regions:
            assert region["from_name"] == control.attrib["name"]
            assert region["to_name"] == shown.attrib["name"]
            assert region["type"] == "keypointlabels"
            assert (region["original_width"], region["original_height"]) == (SIZE.width, SIZE.height)
            assert set(region["value"]["keypointlabels"]) <= set(choices)
            assert all(0 <= region["value"][axis] <= 100 for axis in "xy")


def test_slicer_markups_keep_their_schema() -> None:
    """The facts of the markups schema, version 1.0.3, that touch a list of points."""
    files = written("slicer")
    assert sorted(files) == ["AP/a.mrk.json", "b.mrk.json"]
    content = json.loads(files["b.mrk.json"])
    assert re.fullmatch(
        r"https://raw\.githubusercontent\.com/.*/markups-schema-v1\.0\.3\.json#", content["@schema"]
    )
    (node,) = content["markups"]
    assert node["type"] == "Fiducial"
    assert (node["coordinateSystem"], node["coordinateUnits"]) == ("LPS", "mm")
    controls = node["controlPoints"]
    assert len({control["id"] for control in controls}) == len(controls) == AP.keypoints
    for k, control in enumerate(controls):
        assert all(
            isinstance(control[key], str) for key in ("id", "label", "description", "associatedNodeID")
        )
        assert all(isinstance(control[key], bool) for key in ("selected", "locked", "visibility"))
        assert control["positionStatus"] == ("undefined" if k == MISSING else "defined")
        if k == MISSING:
            assert "position" not in control
        else:
            np.testing.assert_allclose(control["position"], [*(points(AP)[k] + 3.25), 0.0], atol=1e-4)


@pytest.mark.parametrize("labels", [False, True])
def test_the_table_has_the_columns_that_evaluate_reads(labels: bool) -> None:
    header, first, *rest = written("csv", labels=labels)["out.json"].decode().splitlines()
    more = "" if labels else ",sigma_x,sigma_y,score"
    assert header == f"image,vertebra,corner,x,y{more}"
    assert first == "AP/a.png,L1,UL,60.0,20.0" + ("" if labels else ",2.5,2.5,0.2")
    assert len(rest) == 2 * (AP.keypoints - 1) - 1
