"""`mahtdiag anatomy --labels2 DATA`: how far two readers lie apart, and what that makes of success rates."""

import json
import shutil
from pathlib import Path

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
