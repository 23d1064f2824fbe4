"""What is exported, read by the annotation tools themselves; too heavy for every test run (`make tools`).

Slicer's schema is fetched from where its files name it, or read from the file in MARKUPS_SCHEMA.
"""

import json
import os
import urllib.request
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from mahtdiag.data.outgoing import Written
from mahtdiag.data.writers import writer_named
from mahtdiag.schema.frames import Size
from mahtdiag.schema.skeleton import AP, LA, Skeleton
from tests.data.builders import spine
from tests.data.writers.outgoing_sets import Floats, lay_out, outgoing

SIZE = Size(220, 160)
MISSING = 5
NAMES = ("AP/a 1.png", "ä#.png")
BOTH = pytest.mark.parametrize("skeleton", [AP, LA], ids=str)


def points(skeleton: Skeleton) -> Floats:
    """A spine, of which one keypoint is missing."""
    px = spine(skeleton.view) + 1.0 / 3.0
    px[MISSING] = np.nan
    return px


def written(
    name: str, skeleton: Skeleton, links: tuple[str, ...] = NAMES, *, labels: bool = False
) -> Written:
    """Two images."""
    px = [points(skeleton), points(skeleton) + 2.0]
    made = outgoing(skeleton, px, NAMES, SIZE, labels=labels, links=links)
    return writer_named(name).write(made, "out.json")


@BOTH
def test_labelme_opens_every_file(tmp_path: Path, skeleton: Skeleton) -> None:
    label_file = import_module("labelme._label_file").LabelFile
    resolve = import_module("labelme.app")._resolve_label_path
    lay_out(
        tmp_path / "out", written("labelme", skeleton, ("../../images/AP/a 1.png", "../images/ä#.png")), {}
    )
    lay_out(tmp_path / "images", Written({}), dict.fromkeys(NAMES, SIZE))
    for file, shift in (("AP/a 1.json", 0.0), ("ä#.json", 2.0)):
        opened = label_file(str(tmp_path / "out" / file))
        # `labelme IMAGES --output FILE` finds the file of an image as well.
        image = (tmp_path / "images" / file).with_suffix(".png")
        place = (tmp_path / "out" / file).parent
        assert resolve(image_or_label_path=str(image), output_dir=place) == str(tmp_path / "out" / file)
        assert len(opened.image_data) > 0
        expected = points(skeleton) + shift
        known = np.flatnonzero(np.isfinite(expected[:, 0]))
        names = [skeleton.keypoint_names[k].replace(" ", "_") for k in known]
        assert [shape["label"] for shape in opened.shapes] == names
        assert {shape["shape_type"] for shape in opened.shapes} == {"point"}
        found = np.array([shape["points"][0] for shape in opened.shapes])
        np.testing.assert_allclose(found, expected[known], atol=1e-3)


@BOTH
@pytest.mark.parametrize("labels", [False, True])
def test_label_studio_accepts_every_task(skeleton: Skeleton, labels: bool) -> None:
    sdk = import_module("label_studio_sdk.label_interface")
    files = written("labelstudio", skeleton, labels=labels).files
    interface = sdk.LabelInterface(files["out.interface.xml"].decode())
    tasks: list[dict[str, Any]] = json.loads(files["out.json"])
    assert len(tasks) == 2
    for task in tasks:
        assert interface.validate_task({"data": task["data"]})
        for prediction in task.get("predictions", ()):
            assert interface.validate_prediction(prediction, return_errors=True) == []
        for annotation in task.get("annotations", ()):
            assert interface.validate_annotation(annotation)
        made = task["annotations" if labels else "predictions"]
        assert [len(each["result"]) for each in made] == [skeleton.keypoints - 1]
    # What another interface would not accept, is not accepted.
    wrong = json.loads(json.dumps(tasks[0]["annotations" if labels else "predictions"][0]))
    wrong["result"][0]["value"]["keypointlabels"] = ["L9_UL"]
    assert not interface.validate_annotation(wrong)


@BOTH
def test_ultralytics_finds_every_label_without_complaint(tmp_path: Path, skeleton: Skeleton) -> None:
    utils = import_module("ultralytics.data.utils")
    images = {f"images/{name}": SIZE for name in NAMES}
    lay_out(tmp_path, written("yolo", skeleton), images)
    said = utils.check_det_dataset(str(tmp_path / "data.yaml"), autodownload=False)
    assert Path(said["train"]) == tmp_path / "images"
    assert said["names"] == {0: "spine"}
    assert said["kpt_shape"] == yaml.safe_load((tmp_path / "data.yaml").read_text())["kpt_shape"]
    paths = [str(tmp_path / image) for image in images]
    labels = utils.img2label_paths(paths)
    for image, label, shift in zip(paths, labels, (0.0, 2.0), strict=True):
        count, dims = said["kpt_shape"]
        _, box, _, _, keypoints, *counts, message = utils.verify_image_label(
            (image, label, "", True, 1, count, dims, False)
        )
        missing, found, empty, corrupt = counts
        assert (missing, found, empty, corrupt, message) == (0, 1, 0, 0, "")
        expected = points(skeleton) + shift
        known = np.isfinite(expected[:, 0])
        np.testing.assert_allclose(keypoints[0, known, :2] * SIZE.xy, expected[known], atol=1e-3)
        assert (keypoints[0, :, 2] == np.where(known, 2, 0)).all()
        low, high = np.nanmin(expected, axis=0), np.nanmax(expected, axis=0)
        np.testing.assert_allclose(box[0, 1:3] * SIZE.xy, (low + high) / 2, atol=1e-3)
        np.testing.assert_allclose(box[0, 3:] * SIZE.xy, high - low, atol=1e-3)


@BOTH
def test_slicer_markups_fit_slicers_schema(skeleton: Skeleton) -> None:
    jsonschema = import_module("jsonschema")
    files = written("slicer", skeleton).files
    contents = [json.loads(content) for content in files.values()]
    stored = os.environ.get("MARKUPS_SCHEMA")
    if stored:
        schema = json.loads(Path(stored).read_text(encoding="utf-8"))
    else:
        with urllib.request.urlopen(contents[0]["@schema"].removesuffix("#"), timeout=60) as answer:
            schema = json.load(answer)
    for content in contents:
        jsonschema.validate(content, schema)
    contents[0]["markups"][0]["controlPoints"][0]["position"] = [1.0, 2.0]
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(contents[0], schema)
