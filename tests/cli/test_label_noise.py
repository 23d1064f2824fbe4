"""`mahtdiag anatomy --labels2 DATA`: how far two readers lie apart, and what that makes of success rates."""

import json
import shutil
from pathlib import Path

import cv2
import pytest

from tests.test_sample_data import SAMPLES

from .command import Desk


@pytest.fixture
def second(desk: Desk) -> Path:
    """The samples labelled a second time: every point 3 px further right and 4 px further down."""
    folder = desk.path / "second" / "AP"
    folder.mkdir(parents=True)
    for path in sorted((SAMPLES / "AP").glob("*.csv"))[:12]:
        rows = [line.split(",") for line in path.read_text().split()]
        moved = [[str(float(v) + (3, 4)[k % 2]) if k < 4 else v for k, v in enumerate(row)] for row in rows]
        (folder / path.name).write_text("".join(",".join(row) + "\n" for row in moved))
        shutil.copy(next(path.parent.glob(f"{path.stem}.[jp]*")), folder)
    return folder.parent


def test_labels_beside_a_second_labelling(desk: Desk, second: Path) -> None:
    arguments = ("anatomy", "--view", "AP", "--no-copies", "--labels", str(SAMPLES), "--labels2", "second")
    done = desk.run(*arguments, "--format", "json")
    assert done.status == 0
    noise = json.loads(done.out)["label_noise"]
    assert (noise["images"], noise["unmatched"], noise["labels2"]) == (12, 12, "second")
    assert noise["whole"][0]["mean"]["value"] == pytest.approx(5)
    assert noise["whole"][0]["bias"] == [pytest.approx(3), pytest.approx(4)]
    assert {"unit": "px", "threshold": 4.0} in noise["below_noise"]
    assert len(noise["keypoints"]) == 20
    shown = desk.run(*arguments)
    assert "Two readers: 12 images" in shown.text
    assert "12 images without a second labelling." in shown.text
    assert max(map(len, shown.text.splitlines())) <= 80


def test_rates_of_a_run_below_the_noise_are_marked(desk: Desk, second: Path) -> None:
    made = desk.run("evaluate", str(SAMPLES / "mahtnet-ap.pt"), str(SAMPLES), "--overlays", "none")
    assert made.status == 0, made.err
    done = desk.run("anatomy", "--no-pictures", "--labels2", "second")
    lines = {line[:12].strip(): line for line in done.text.splitlines() if line.startswith("within ")}
    assert "label noise" in lines["within 4 px"]
    assert "above the noise" in lines["within 8 px"]


def test_another_set_is_no_second_labelling(desk: Desk, second: Path) -> None:
    for path in list((second / "AP").iterdir()):
        path.rename(path.with_name(f"9{path.name[1:]}"))
    done = desk.run("anatomy", "--view", "AP", "--labels", str(SAMPLES), "--labels2", "second")
    assert done.status == 2
    assert "no image is called like one of those that are judged" in " ".join(done.err.split())


def test_evaluate_keeps_the_second_labelling(desk: Desk, second: Path) -> None:
    made = ("evaluate", str(SAMPLES / "mahtnet-ap.pt"), str(SAMPLES), "--overlays", "none")
    plain = desk.run(*made, "--out", "plain", "--format", "json")
    done = desk.run(*made, "--out", "run", "--labels2", "second")
    assert (plain.status, done.status) == (0, 0), done.err
    without, document = json.loads(plain.out), json.loads((desk.path / "run" / "run.json").read_text())
    # Errors and measurements are those of the labels that judge.
    for section in ("metrics", "clean_labels", "losses", "anatomy", "error_types", "calibration"):
        assert document[section] == without[section]
    assert without["label_noise"] is None
    noise = document["label_noise"]
    assert noise["floor"] == {"px": pytest.approx(5)}
    assert [each["threshold"] for each in noise["below_noise"] if each["unit"] == "px"] == [2.0, 4.0]
    text = " ".join(done.text.split())
    assert "success detection rate, 4 px (label noise)" in text
    assert "success detection rate, 8 px (label noise)" not in text
    assert "Label noise: the threshold is below the mean distance of two readers, 5.00 px." in text
    assert max(map(len, done.text.splitlines())) <= 80
    # The run tells the same afterwards, without the second set.
    shutil.rmtree(second)
    told = desk.run("anatomy", "run", "--no-pictures", "--format", "json")
    assert json.loads(told.out)["label_noise"] == noise
    assert desk.run("report", "run", "--out", "page.html").status == 0
    page = (desk.path / "page.html").read_text()
    assert "Disagreement of two readers" in page
    assert "success detection rate, 4 px (label noise)" in page


def test_evaluate_refuses_another_set_as_second_labelling(desk: Desk, second: Path) -> None:
    for path in list((second / "AP").iterdir()):
        path.rename(path.with_name(f"9{path.name[1:]}"))
    done = desk.run("evaluate", str(SAMPLES / "mahtnet-ap.pt"), str(SAMPLES), "--labels2", "second")
    assert done.status == 2
    assert "no image is called like one of those that are judged" in " ".join(done.err.split())


def test_an_image_of_another_size_is_refused(desk: Desk, second: Path) -> None:
    image = next((second / "AP").glob("*.jpg"))
    pixels = cv2.imread(str(image))
    assert pixels is not None
    cv2.imwrite(str(image), pixels[::2, ::2])
    height, width = pixels.shape[:2]
    for arguments in (
        ("evaluate", str(SAMPLES / "mahtnet-ap.pt"), str(SAMPLES)),
        ("anatomy", "--view", "AP", "--no-copies", "--labels", str(SAMPLES)),
    ):
        done = desk.run(*arguments, "--labels2", "second")
        assert done.status == 2
        said = f"second: AP/{image.name} is {-(-width // 2)}x{-(-height // 2)} (width x height) there"
        assert f"{said}, and {width}x{height} here" in " ".join(done.err.split())


def test_a_second_labelling_is_no_other_setting(desk: Desk, second: Path) -> None:
    made = ("evaluate", str(SAMPLES / "mahtnet-ap.pt"), str(SAMPLES), "--overlays", "none")
    assert desk.run(*made, "--out", "a").status == 0
    assert desk.run(*made, "--out", "b", "--labels2", "second").status == 0
    done = desk.run("compare", "a", "b")
    assert done.status == 0, done.err
    assert "settings that differ" not in done.text + done.err
    assert "--labels2" not in done.text + done.err
