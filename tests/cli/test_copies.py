"""`mahtdiag anatomy --labels DATA --against TRAINING_DATA`: leaks, and images that are in a set twice."""

import json
import shutil
from pathlib import Path

import cv2
import pytest

from tests.test_sample_data import SAMPLES

from .command import Desk

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
