"""`mahtdiag anatomy --labels DATA --against TRAINING_DATA`: leaks, and images that are in a set twice."""

import json
import math
import re
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.test_sample_data import SAMPLES

from .command import Desk

Grey = NDArray[np.uint8]
Floats = NDArray[np.float64]

ANATOMY = ("anatomy", "--view", "AP", "--labels")


@pytest.fixture
def sets(desk: Desk) -> Desk:
    """`test/AP`: two images of `train/AP` (one as it is, one smaller, cropped and mirrored) and a new one."""
    names = sorted(path.stem for path in (SAMPLES / "AP").glob("*.jpg"))[:6]
    train, test = desk.path / "train" / "AP", desk.path / "test" / "AP"
    for folder, chosen in ((train, names[:5]), (test, (names[0], names[5]))):
        folder.mkdir(parents=True)
        for name in chosen:
            for suffix in (".jpg", ".csv"):
                shutil.copy(SAMPLES / "AP" / f"{name}{suffix}", folder)
    image = cv2.imread(str(train / f"{names[1]}.jpg"), cv2.IMREAD_GRAYSCALE)
    assert image is not None
    height, width = image.shape
    part = image[: round(0.9 * height), round(0.1 * width) :][:, ::-1]
    cv2.imwrite(
        str(test / "0900-F-040Y0.png"), cv2.resize(part, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    )
    shutil.copy(train / f"{names[1]}.csv", test / "0900-F-040Y0.csv")
    return desk


def copies(desk: Desk, *arguments: str) -> tuple[int, dict[str, object]]:
    done = desk.run(*ANATOMY, "test", "--format", "json", *arguments)
    content = json.loads(done.out)["copies"]
    assert isinstance(content, dict)
    return done.status, content


def test_leaks_are_named_with_what_kind_they_are(sets: Desk) -> None:
    status, found = copies(sets, "--against", "train", "--out", "out", "--overlays", "none")
    assert status == 0
    assert (found["images"], found["against"], found["against_images"]) == (3, "train", 5)
    pairs = found["pairs"]
    assert isinstance(pairs, list)
    first, second = pairs
    assert (first["identical"], first["against"], first["likeness"]) == (True, True, 1.0)
    assert Path(first["image"]).stem == Path(first["other"]).stem
    assert second["image"].endswith("0900-F-040Y0.png")
    assert (second["identical"], second["mirrored"]) == (False, True)
    assert (second["scale_x"], second["scale_y"]) == (pytest.approx(2, rel=0.02), pytest.approx(2, rel=0.02))
    assert second["image_share"] == pytest.approx(1, abs=0.02)
    assert second["other_share"] == pytest.approx(0.81, abs=0.02)
    patients = found["patients"]
    assert isinstance(patients, list)
    assert [each["images"] for each in patients] == [[first["image"]]]
    for pair in pairs:
        picture = cv2.imread(str(sets.path / pair["picture"]))
        assert picture is not None
        assert picture.shape[0] > 800


def test_tables_show_the_pairs_and_strict_fails(sets: Desk) -> None:
    done = sets.run(*ANATOMY, "test", "--against", "train", "--strict-copies")
    assert done.status == 1
    assert "Copies in train: 2 images" in done.text
    assert "identical file" in done.text
    assert "scaled to 200 %" in done.text
    assert "mirrored" in done.text
    assert "Patients with images in train too: 1 (1 image)" in done.text
    assert "No image is a copy of another one of this set (3 images)." in done.text
    assert max(map(len, done.text.splitlines())) <= 80
    # Each search is told once, when it is done, and where.
    told = re.findall(r"^searching for copies(.*): (\d+)/(\d+),", done.err, re.MULTILINE)
    assert told == [(" in the other set", "3", "3"), (" of the other set", "5", "5"), ("", "3", "3")]


def test_within_a_set_and_not_at_all(sets: Desk) -> None:
    status, found = copies(sets, "--strict-copies")
    assert (status, found["pairs"], found["against"], found["patients"]) == (0, [], None, None)
    shutil.copy(
        sets.path / "test" / "AP" / "0900-F-040Y0.png", sets.path / "test" / "AP" / "0901-F-040Y0.png"
    )
    shutil.copy(
        sets.path / "test" / "AP" / "0900-F-040Y0.csv", sets.path / "test" / "AP" / "0901-F-040Y0.csv"
    )
    status, found = copies(sets, "--strict-copies")
    assert status == 1
    assert isinstance(found["pairs"], list)
    assert [(pair["identical"], pair["against"]) for pair in found["pairs"]] == [(True, False)]
    done = sets.run(*ANATOMY, "test", "--no-copies", "--format", "json")
    assert (done.status, "copies" in json.loads(done.out)) == (0, False)


def test_what_cannot_be_read_there_was_not_searched(sets: Desk) -> None:
    broken = sorted((sets.path / "train" / "AP").glob("*.jpg"))[-1]
    broken.write_bytes(broken.read_bytes()[:500])
    done = sets.run(*ANATOMY, "test", "--against", "train")
    assert done.status == 2
    assert f"{broken.name} of train could not be read: not searched." in " ".join(done.text.split())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--against", "train"), "go with --labels"),
        (("--labels", "test", "--no-copies", "--strict-copies"), "--no-copies contradicts"),
        (("--labels", "test", "--against", "nowhere"), "nowhere: no such folder"),
    ],
)
def test_what_cannot_be_obeyed_is_said(sets: Desk, arguments: tuple[str, ...], message: str) -> None:
    done = sets.run("anatomy", "--view", "AP", *arguments)
    assert done.status == 2
    assert message in " ".join(done.err.split())


SIGMA_PX = 3.0


@pytest.fixture
def read_twice(desk: Desk) -> Desk:
    """`first/AP` and `second/AP`: the samples, and copies of them made in four ways, each with labels that
    are the truth and normal errors of `SIGMA_PX` pixels of the first image along x and y."""
    rng = np.random.default_rng(8)
    for folder in ("first", "second"):
        (desk.path / folder / "AP").mkdir(parents=True)
    for number, path in enumerate(sorted((SAMPLES / "AP").glob("*.csv"))):
        rows = [line.split(",") for line in path.read_text().split()]
        truth = np.array([row[:4] for row in rows], dtype=np.float64).reshape(-1, 2, 2)
        image = cv2.imread(str(next(path.parent.glob(f"{path.stem}.[jp]*"))), cv2.IMREAD_GRAYSCALE)
        assert image is not None
        first, second = (truth + rng.normal(0, SIGMA_PX, truth.shape) for _ in range(2))
        copy, labels = copied(np.asarray(image, dtype=np.uint8), second, number % 4)
        for folder, name, pixels, points in (
            ("first", path.stem, image, first),
            # Names of its own, as in a set that was collected elsewhere.
            ("second", f"9{path.stem[1:]}", copy, labels),
        ):
            place = desk.path / folder / "AP" / name
            cv2.imwrite(f"{place}.png", pixels)
            lines = [
                [*(f"{v:.4f}" for v in ends.ravel()), *row[4:]]
                for ends, row in zip(points, rows, strict=True)
            ]
            place.with_suffix(".csv").write_text("".join(",".join(line) + "\n" for line in lines))
    return desk


def copied(image: Grey, ends: Floats, way: int) -> tuple[Grey, Floats]:
    """A copy of a picture with its labels, `[endplates, 2, 2]`, left end first."""
    height, width = image.shape
    if way == 0:
        half = cv2.resize(image, (width // 2, height // 2), interpolation=cv2.INTER_AREA)
        factor = np.array([(width // 2) / width, (height // 2) / height])
        return np.asarray(half, dtype=np.uint8), (ends + 0.5) * factor - 0.5
    if way == 1:
        left, top = round(0.08 * width), round(0.05 * height)
        return image[top:, left:], ends - (left, top)
    if way == 2:
        return np.ascontiguousarray(image[:, ::-1]), ((width - 1, 0) + ends * (-1, 1))[:, ::-1]
    return np.clip(image * 0.8 + 40, 0, 255).astype(np.uint8), ends


def test_images_labelled_twice_say_how_far_readers_lie_apart(read_twice: Desk) -> None:
    arguments = (*ANATOMY, "first", "--against", "second")
    done = read_twice.run(*arguments, "--format", "json")
    assert done.status == 0
    noise = json.loads(done.out)["label_noise"]
    images = len(list((read_twice.path / "first" / "AP").glob("*.png")))
    assert (noise["images"], noise["labels2"]) == (images, None)
    assert noise["copies_left_out"] == {"same_labels": 0, "too_few": 0}
    # Two readers with errors of σ along each axis are σ√π apart on average.
    assert noise["floor"]["px"] == pytest.approx(SIGMA_PX * math.sqrt(math.pi), rel=0.06)
    assert noise["whole"][0]["sem"] == pytest.approx([SIGMA_PX, SIGMA_PX], rel=0.08)
    # Held against each other the other way round, a quarter of the images have half the pixels a side.
    back = read_twice.run(*ANATOMY, "second", "--against", "first", "--format", "json")
    turned = json.loads(back.out)["label_noise"]
    assert turned["images"] == images
    assert turned["floor"]["px"] == pytest.approx(noise["floor"]["px"] * 3.5 / 4, rel=0.04)
    shown = read_twice.run(*arguments)
    assert f"Labelled twice: {images} pairs found" in shown.text
    assert "L3 UL" in shown.text
    assert max(map(len, shown.text.splitlines())) <= 80


def test_copied_labels_are_no_second_labelling(read_twice: Desk) -> None:
    """Four images, one of every kind, have the first labels again, rounded, as a copy of a set has."""
    first, second = read_twice.path / "first" / "AP", read_twice.path / "second" / "AP"
    for number, path in enumerate(sorted(first.glob("*.csv"))):
        rows = [line.split(",") for line in path.read_text().split()]
        ends = np.array([row[:4] for row in rows], dtype=np.float64).reshape(-1, 2, 2)
        image = cv2.imread(str(path.with_suffix(".png")), cv2.IMREAD_GRAYSCALE)
        assert image is not None
        _, labels = copied(np.asarray(image, dtype=np.uint8), ends, number % 4)
        lines = [[*(f"{v:.0f}" for v in at.ravel()), *row[4:]] for at, row in zip(labels, rows, strict=True)]
        if number < 4:
            (second / f"9{path.name[1:]}").write_text("".join(",".join(line) + "\n" for line in lines))
        else:
            (second / f"9{path.stem[1:]}.png").unlink()
            (second / f"9{path.name[1:]}").unlink()
    done = read_twice.run(*ANATOMY, "first", "--against", "second", "--format", "json")
    content = json.loads(done.out)
    assert len(content["copies"]["pairs"]) == 4
    assert "label_noise" not in content
    assert "Labelled twice" not in read_twice.run(*ANATOMY, "first", "--against", "second").text


def test_a_named_second_labelling_wins(read_twice: Desk) -> None:
    shutil.copytree(read_twice.path / "first", read_twice.path / "again")
    done = read_twice.run(*ANATOMY, "first", "--against", "second", "--labels2", "again", "--format", "json")
    noise = json.loads(done.out)["label_noise"]
    assert (noise["labels2"], noise["floor"]["px"]) == ("again", 0)
