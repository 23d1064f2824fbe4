"""What the README claims of the sample sets and their checkpoints."""

import json
import math
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from mahtdiag.data.readers import open_dataset
from mahtdiag.schema.skeleton import View

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
    out = tmp_path / "run"
    checkpoint = SAMPLES / f"mahtnet-{view.lower()}.pt"
    command = [sys.executable, "-m", "mahtdiag", "evaluate", str(checkpoint), str(SAMPLES)]
    done = subprocess.run(
        [*command, "--out", str(out), "--overlays", "none"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    document = json.loads((out / "run.json").read_text(encoding="utf-8"))
    images = pq.read_table(out / "images.parquet").to_pydict()
    shares = [
        error / math.hypot(width, height)
        for error, width, height in zip(
            images["radial_error_px"], images["width"], images["height"], strict=True
        )
    ]
    assert sum(shares) / len(shares) <= 0.007
    calibration = document["calibration"]
    assert calibration["spearman"] >= 0.3
    assert 0.8 <= calibration["sigma_scale"] <= 1.25
    assert calibration["mace"] <= 0.05
