"""What the README claims of the sample sets and their checkpoints."""

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest

from mahtdiag.anatomy.findings import check_anatomy
from mahtdiag.data.readers import open_dataset, reader_of
from mahtdiag.data.readers.aasce import read_points
from mahtdiag.schema.skeleton import NAMED, View
from training.annotations import aasce_matlab
from training.make_sample_data import FIRST_SEED, WHOLE
from training.radiographs import draw_whole_spine

SAMPLES = Path(__file__).parent.parent / "sample_data"
LARGEST_CHECKPOINT = 8_000_000


@pytest.mark.parametrize("view", View)
def test_set_is_complete(view: View) -> None:
    dataset = open_dataset(SAMPLES, view)
    assert len(dataset.samples) >= 16
    assert dataset.failures == ()
    assert (SAMPLES / f"mahtnet-{view.lower()}.pt").stat().st_size <= LARGEST_CHECKPOINT
    slipped = sum(any(sample.listhesis) for sample in dataset.samples)
    assert slipped >= (3 if view is View.LA else 1)


@pytest.mark.slow
@pytest.mark.parametrize("view", View)
def test_checkpoint_is_as_good_as_claimed(view: View, tmp_path: Path) -> None:
    document, images = evaluated(SAMPLES / f"mahtnet-{view.lower()}.pt", SAMPLES, tmp_path)
    assert share_of_diagonal(images) <= 0.007
    calibration = document["calibration"]
    assert calibration["spearman"] >= 0.3
    assert 0.8 <= calibration["sigma_scale"] <= 1.25
    assert calibration["mace"] <= 0.05


@pytest.mark.slow
def test_the_network_of_whole_spines_is_as_good_as_claimed(tmp_path: Path) -> None:
    """Without an option: the checkpoint says that it marks T1 to L5."""
    document, images = evaluated(SAMPLES / "mahtnet-whole.pt", SAMPLES / "whole", tmp_path)
    assert document["levels"] == "T1-L5"
    assert len(images["width"]) == 12
    assert share_of_diagonal(images) <= 0.003
    calibration = document["calibration"]
    assert calibration["spearman"] >= 0.2
    assert 0.8 <= calibration["sigma_scale"] <= 1.25
    keypoints = pq.read_table(tmp_path / "run" / "keypoints.parquet").to_pydict()
    error_px = np.array(keypoints["error_px"])
    assert len(error_px) == 12 * 68
    assert error_px.max() < 20.0, "levels lie more than 40 px from each other"


def evaluated(checkpoint: Path, data: Path, folder: Path) -> tuple[dict[str, Any], dict[str, list[Any]]]:
    """`run.json` and the table of images of a run in `folder`."""
    out = folder / "run"
    command = [sys.executable, "-m", "mahtdiag", "evaluate", str(checkpoint), str(data)]
    done = subprocess.run(
        [*command, "--out", str(out), "--overlays", "none"], cwd=folder, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    document = json.loads((out / "run.json").read_text(encoding="utf-8"))
    return document, pq.read_table(out / "images.parquet").to_pydict()


def share_of_diagonal(images: dict[str, list[Any]]) -> float:
    """Mean radial error over the diagonal of the image."""
    rows = zip(images["radial_error_px"], images["width"], images["height"], strict=True)
    return float(np.mean([error / math.hypot(width, height) for error, width, height in rows]))


def test_whole_spines_are_a_set_of_their_own() -> None:
    """Below a folder that is a set of another format, which stays one."""
    assert reader_of(SAMPLES).name == "buu-lspine"
    assert reader_of(SAMPLES / "whole").name == "aasce"
    assert (SAMPLES / "mahtnet-whole.pt").stat().st_size <= LARGEST_CHECKPOINT
    dataset = open_dataset(SAMPLES / "whole", View.AP, levels=NAMED["thoracolumbar"])
    assert dataset.failures == ()
    assert len(dataset.samples) == 12
    assert dataset.skeleton.keypoints == 68
    points_px = np.stack([sample.keypoints_px for sample in dataset.samples])
    assert np.isfinite(points_px).all()
    assert len(check_anatomy(points_px, dataset.skeleton, image_size_px=None)) == 0


def test_stored_whole_spines_are_what_is_drawn() -> None:
    pictures, labels = (SAMPLES / WHOLE / kind / "training" for kind in ("data", "labels"))
    rows = (labels / "landmarks.csv").read_text(encoding="ascii").splitlines()
    names = (labels / "filenames.csv").read_text(encoding="ascii").splitlines()
    for number in (0, 5, 11):
        drawn = draw_whole_spine(FIRST_SEED + number)
        stored = cv2.imread(str(pictures / names[number]), cv2.IMREAD_GRAYSCALE)
        assert stored is not None
        assert np.abs(stored.astype(float) - drawn.image.astype(float)).mean() < 4.0
        matlab = (labels / f"{names[number]}.mat").read_bytes()
        np.testing.assert_allclose(read_points(matlab), drawn.keypoints_px, atol=0.051)
        assert matlab == aasce_matlab(drawn.keypoints_px)
        shares = np.array(rows[number].split(","), dtype=float).reshape(2, 68).T
        np.testing.assert_allclose(shares * stored.shape[::-1], drawn.keypoints_px, atol=0.051)
