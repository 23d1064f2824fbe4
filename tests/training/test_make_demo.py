"""The sample of the demo is what the script makes, and a training that is cut off is."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from mahtdiag.models.mahtnet import MahtNet
from mahtdiag.schema.skeleton import AP, Skeleton
from training.make_demo import draw
from training.train import Schedule, train

SAMPLE = Path(__file__).parents[2] / "mahtdiag" / "workflows" / "demo" / "sample"
SMALL = Schedule(width=4, blocks=1, layers=1, images=8, validation_images=2, epochs=2, batch=2)


def test_the_sample_is_what_is_drawn(tmp_path: Path) -> None:
    draw(tmp_path)
    made = sorted(file.relative_to(tmp_path) for file in tmp_path.rglob("*") if file.is_file())
    stored = {file.relative_to(SAMPLE) for file in SAMPLE.rglob("*") if file.is_file()}
    assert stored - {*made} == {Path("healthy.pt"), Path("short.pt"), Path("mahtdiag.toml")}
    for name in made:
        if name.suffix == ".jpg":  # encoders of other versions differ by a grey value here and there
            ours, theirs = (
                cv2.imread(str(folder / name), cv2.IMREAD_GRAYSCALE) for folder in (tmp_path, SAMPLE)
            )
            assert ours is not None
            assert theirs is not None
            assert np.abs(ours.astype(float) - theirs.astype(float)).mean() < 1.0
        else:
            assert (tmp_path / name).read_bytes() == (SAMPLE / name).read_bytes()


def drawn(
    skeleton: Skeleton, first_seed: int, count: int, console: object
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Noise, with keypoints anywhere."""
    rng = np.random.default_rng(first_seed)
    images = rng.integers(0, 256, (count, 256, 192), dtype=np.uint8)
    points = rng.uniform((20, 20), (170, 230), (count, skeleton.keypoints, 2))
    return images, points.astype(np.float32)


def batches_seen(network: MahtNet) -> int:
    return int(network.state_dict()["backbone.stem.1.num_batches_tracked"])


@pytest.mark.parametrize("stop_after", [1, 3, 4, 5])
def test_a_training_is_cut_off_after_so_many_batches(
    monkeypatch: pytest.MonkeyPatch, stop_after: int
) -> None:
    monkeypatch.setattr("training.train.draw_training_set", drawn)
    assert batches_seen(train(AP, replace(SMALL, stop_after=stop_after), bf16=False)) == stop_after


def test_a_training_that_is_not_cut_off_goes_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.train.draw_training_set", drawn)
    assert batches_seen(train(AP, SMALL, bf16=False)) == 8
