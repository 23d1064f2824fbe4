"""YOLO pose sets as Ultralytics, Roboflow, sleap-io and people write them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from numpy.typing import NDArray

from mahtdiag.data.files import Dataset
from mahtdiag.data.readers import open_dataset, reader_of
from mahtdiag.errors import DataError
from mahtdiag.schema.read_options import ReadOptions
from mahtdiag.schema.skeleton import AP, LUMBAR, View
from tests.data.builders import encoded, radiograph

HEIGHT, WIDTH = 200, 100
IMAGE = encoded(radiograph(HEIGHT, WIDTH), "png")
POINTS = np.array([[10.0 + 40 * (c % 2), 20.0 + 30 * v + 20 * (c // 2)] for v in range(5) for c in range(4)])
SPINE: dict[str, Any] = {
    "path": "/home/someone/else",
    "train": "images/train",
    "names": {0: "spine"},
    "kpt_shape": [20, 3],
    "kpt_names": {0: [name.replace(" ", "_") for name in AP.keypoint_names]},
}
LEVELS: dict[str, Any] = {"val": "images/val", "names": list(LUMBAR[::-1]), "kpt_shape": [4, 3]}


def line(points: NDArray[np.float64], label: float = 0, visible: Sequence[float] | None = None) -> str:
    """A line of a label file; a visibility for each point, or none at all."""
    shares = points / (WIDTH, HEIGHT)
    if visible is not None:
        shares = np.column_stack([shares, visible])
    return " ".join([f"{label}", "0.5 0.5 0.5 0.5", *(f"{number:.6f}" for number in shares.ravel())])


def write(folder: Path, said: Any, labels: str | bytes, name: str = "train/a") -> None:
    content = said if isinstance(said, bytes) else yaml.safe_dump(said).encode()
    image, text = folder / f"images/{name}.png", folder / f"labels/{name}.txt"
    for file in (image, text):
        file.parent.mkdir(parents=True, exist_ok=True)
    (folder / "data.yaml").write_bytes(content)
    image.write_bytes(IMAGE)
    text.write_bytes(labels if isinstance(labels, bytes) else labels.encode())


def opened(folder: Path, view: View | None = View.AP, own: Mapping[str, str] | None = None) -> Dataset:
    return open_dataset(folder, view, ReadOptions(keypoints=own or {}))


def keypoints(folder: Path) -> NDArray[np.float64]:
    dataset = opened(folder)
    assert not dataset.failures
    return dataset.samples[0].keypoints_px


def refusal(folder: Path) -> str:
    with pytest.raises(DataError) as caught:
        opened(folder)
    return "; ".join(caught.value.problems)


def reason(folder: Path) -> str:
    dataset = opened(folder)
    assert not dataset.samples
    return dataset.failures[0].reason


def per_level() -> list[str]:
    return [line(POINTS[4 * i : 4 * i + 4], 4 - i, [2] * 4) for i in range(5)]


def test_shares_become_pixels_and_visibility_0_is_not_labelled(tmp_path: Path) -> None:
    visible = [2] * 20
    visible[7], visible[9] = 0, 1
    write(tmp_path, SPINE, line(POINTS, 0, visible))
    dataset = opened(tmp_path, None)
    assert (dataset.format, dataset.view, dataset.notes) == (
        "yolo-pose",
        View.AP,
        ("annotations read as YOLO pose",),
    )
    assert [sample.image for sample in dataset.samples] == ["images/train/a.png"]
    points = dataset.samples[0].keypoints_px
    assert np.flatnonzero(np.isnan(points[:, 0])).tolist() == [7]
    np.testing.assert_allclose(np.delete(points, 7, 0), np.delete(POINTS, 7, 0), atol=1e-4)


def test_points_without_visibility_at_0_0_are_not_labelled_and_counted(tmp_path: Path) -> None:
    points = POINTS.copy()
    points[[3, 8]] = 0
    points[11] = -WIDTH, -HEIGHT
    write(tmp_path, {**SPINE, "kpt_shape": [20, 2]}, line(points))
    assert np.flatnonzero(np.isnan(keypoints(tmp_path)[:, 0])).tolist() == [3, 8, 11]
    assert "3 keypoints at 0, 0 taken as not labelled (kpt_shape [20, 2])" in opened(tmp_path).notes


def test_a_class_per_level_in_any_order_and_missing_ones(tmp_path: Path) -> None:
    lines = per_level()
    write(tmp_path, LEVELS, "\n".join([lines[3], lines[0], lines[2], lines[4]]), "val/a")
    points = keypoints(tmp_path)
    assert np.flatnonzero(np.isnan(points[:, 0])).tolist() == [4, 5, 6, 7]
    np.testing.assert_allclose(
        np.delete(points, range(4, 8), 0), np.delete(POINTS, range(4, 8), 0), atol=1e-4
    )


def test_one_class_of_vertebrae_is_counted_from_above(tmp_path: Path) -> None:
    lines = [each.replace(each[0], "0", 1) for each in per_level()]
    said = {**LEVELS, "names": ["vertebra"]}
    write(tmp_path, said, "\n".join([*lines[::-1], lines[0]]), "val/a")
    np.testing.assert_allclose(keypoints(tmp_path), POINTS, atol=1e-4)
    assert "1 repeated line left out" in opened(tmp_path).notes
    write(tmp_path, said, "\n".join(lines[1:]), "val/a")
    assert "4 vertebrae without a level" in reason(tmp_path)


@pytest.mark.parametrize("key", ["node_names", "keypoint_names", "kpt_names"])
def test_names_of_keypoints_under_other_keys(tmp_path: Path, key: str) -> None:
    said = {k: v for k, v in SPINE.items() if k != "kpt_names"}
    write(tmp_path, {**said, key: SPINE["kpt_names"][0]}, line(POINTS, 0, [2] * 20))
    np.testing.assert_allclose(keypoints(tmp_path), POINTS, atol=1e-4)


def test_keypoints_without_names_are_asked_for(tmp_path: Path) -> None:
    said = {k: v for k, v in SPINE.items() if k != "kpt_names"}
    write(tmp_path, said, line(POINTS, 0, [2] * 20))
    assert "no name means a keypoint of AP, such as L1 UL: found 0, 1, 10" in refusal(tmp_path)
    own = {str(k): name for k, name in enumerate(AP.keypoint_names)}
    np.testing.assert_allclose(opened(tmp_path, own=own).samples[0].keypoints_px, POINTS, atol=1e-4)


def test_labels_beside_their_images_and_in_split_folders(tmp_path: Path) -> None:
    said = {**SPINE, "train": "../train/images", "val": "../valid/images", "test": "images/test"}
    write(tmp_path, said, line(POINTS, 0, [2] * 20), "x")
    for place in ("train", "valid"):
        (tmp_path / place).mkdir()
        for kind in ("images", "labels"):
            (tmp_path / kind).rename(tmp_path / place / kind)
        write(tmp_path, said, line(POINTS, 0, [2] * 20), "y")
    for kind, ending in (("images", "png"), ("labels", "txt")):
        (tmp_path / kind / f"y.{ending}").rename(tmp_path / f"z.{ending}")
        (tmp_path / kind).rmdir()
    (tmp_path / "notes.txt").write_text("no labels")
    (tmp_path / "train" / "labels" / "classes.txt").write_text("spine")
    dataset = opened(tmp_path)
    assert [sample.image for sample in dataset.samples] == [
        "train/images/x.png",
        "valid/images/y.png",
        "z.png",
    ]
    assert dataset.failures == ()
    assert dataset.notes[1:] == (
        "data.yaml: test: no labelled images in images/test",
        "splits read together: images of train 1, val 1",
    )


def test_a_folder_that_is_named_for_two_splits_is_one(tmp_path: Path) -> None:
    write(tmp_path, {**SPINE, "val": SPINE["train"]}, line(POINTS, 0, [2] * 20))
    assert not [note for note in opened(tmp_path).notes if "splits" in note]


def test_what_is_without_its_other_half_is_told(tmp_path: Path) -> None:
    write(tmp_path, SPINE, line(POINTS, 0, [2] * 20))
    (tmp_path / "labels/train/b.txt").write_text("")
    (tmp_path / "images/train/c.png").write_bytes(IMAGE)
    dataset = opened(tmp_path)
    assert [failure.reason for failure in dataset.failures] == [
        f"labels/train/b.txt: no such image in {tmp_path}"
    ]
    assert dataset.notes[1:] == ("1 image left out, not mentioned in data.yaml",)


@pytest.mark.parametrize(
    ("labels", "problem"),
    [
        ("", "no keypoint of it is labelled"),
        ("0 0.5 0.5 0.1 0.1", "line 1: 5 numbers, a box alone, kpt_shape [20, 3] makes 65"),
        (line(POINTS), "line 1: 45 numbers, kpt_shape [20, 3] makes 65"),
        (line(POINTS, 0, [2] * 20) + " 0.9", "66 numbers, a confidence too,"),
        ("\n" + line(POINTS, 3, [2] * 20), "line 2: class 3, data.yaml has 1 from 0"),
        (line(POINTS, 0.5, [2] * 20), "line 1: class 0.5, data.yaml has 1 from 0"),
        (line(POINTS * 100, 0, [2] * 20), "line 1: 80 is no share of the image, 0 to 1: divide pixels"),
        (line(POINTS, 0, [2] * 20).replace("0.100000", "nan", 1), "line 1: 'nan' is not a number"),
        (line(POINTS, 0, [2] * 20).replace("0.100000", "1e999", 1), "line 1: '1e999' is not a number"),
        (line(POINTS, 0, [2] * 20).replace("0.100000", "1_0", 1), "line 1: '1_0' is not a number"),
        (line(POINTS, 0, [2] * 20).replace("0.100000", "0,1", 1), "line 1: '0,1' is not a number"),
        (b"\xff\xfe0\0 ", "a.txt: not UTF-16 at byte 4"),
        (b"0 \xff", "a.txt: not UTF-8 at byte 2"),
        (b"0" * (5 * 2**20), "larger than the 4194304 bytes"),
    ],
)
def test_a_wrong_label_file_fails_its_image(tmp_path: Path, labels: str | bytes, problem: str) -> None:
    write(tmp_path, SPINE, labels)
    write(tmp_path, SPINE, line(POINTS, 0, [2] * 20), "train/good")
    dataset = opened(tmp_path)
    assert [sample.image for sample in dataset.samples] == ["images/train/good.png"]
    (failure,) = dataset.failures
    assert failure.reason.startswith("labels/train/a.txt: ")
    assert problem in failure.reason


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        ({**SPINE, "kpt_shape": [20]}, "kpt_shape is not [number of keypoints, 2 or 3]"),
        ({**SPINE, "kpt_shape": [20, 4]}, "kpt_shape is not"),
        ({**SPINE, "kpt_shape": [10**9, 3]}, "kpt_shape is not"),
        ({**SPINE, "kpt_shape": [[20], 3]}, "kpt_shape is not"),
        ({**SPINE, "kpt_names": {0: ["a"]}}, "1 names of keypoints, kpt_shape says 20"),
        ({**SPINE, "kpt_names": {7: ["a"] * 20}}, "kpt_names: there is no class 7"),
        (b"kpt_shape: [20, 3]\nval: x\nnames: [\n", "not YAML"),
        (b"kpt_shape: [20, 3]\nval: \xff\n", "not YAML"),
        (b"val: x\nkpt_shape: " + b"[" * 5000, "nested too deeply"),
        (b"- x\n- {val: x, kpt_shape: [20, 3]}", "not a mapping"),
        (b"val: x\nkpt_shape: [20, 3]\n" + b"#" * 200_000, "larger than the 131072 bytes"),
    ],
)
def test_a_wrong_description_is_refused(tmp_path: Path, said: Any, problem: str) -> None:
    write(tmp_path, said, line(POINTS, 0, [2] * 20))
    assert refusal(tmp_path).startswith("data.yaml: ")
    assert problem in refusal(tmp_path)


def test_no_object_is_made_and_no_alias_multiplies(tmp_path: Path) -> None:
    bomb = b"a: &a [x, x, x, x, x, x, x, x, x]\n" + b"".join(
        b"%c: &%c [%s]\n" % (i + 1, i + 1, b", ".join([b"*%c" % i] * 9)) for i in range(ord("a"), ord("p"))
    )
    said = yaml.safe_dump(SPINE).encode() + bomb + b"names: *p\nmark: !!python/object/apply:os.mkdir [made]\n"
    write(tmp_path, said.replace(b"names:\n  0: spine\n", b""), line(POINTS, 0, [2] * 20))
    np.testing.assert_allclose(keypoints(tmp_path), POINTS, atol=1e-4)
    assert not Path("made").exists()


def test_two_descriptions_that_differ_are_refused(tmp_path: Path) -> None:
    write(tmp_path, SPINE, line(POINTS, 0, [2] * 20))
    (tmp_path / "more.yaml").write_text(yaml.safe_dump({**SPINE, "path": "/here"}))
    assert len(opened(tmp_path).samples) == 1
    (tmp_path / "more.yaml").write_text(yaml.safe_dump(LEVELS))
    assert refusal(tmp_path).endswith("data.yaml and more.yaml say different things: keep one")


def test_what_is_recognised(tmp_path: Path) -> None:
    write(tmp_path, SPINE, "")
    reader = reader_of(tmp_path)
    assert (reader.name, reader.recognises(tmp_path)) == ("yolo-pose", "data.yaml")
    assert reader.recognises(tmp_path / "data.yaml") == "data.yaml"
    # A network's own file has a kpt_shape too, a set for detection has none.
    for said in ({"nc": 1, "kpt_shape": [17, 3], "backbone": []}, {"train": "x", "names": ["a"]}):
        (tmp_path / "data.yaml").write_text(yaml.safe_dump(said))
        assert reader.recognises(tmp_path) is None
    with pytest.raises(DataError, match="no YAML file with kpt_shape"):
        open_dataset(tmp_path, View.AP, ReadOptions(format="yolo-pose"))
