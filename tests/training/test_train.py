"""What is trained: films that keep their keypoints, and checkpoints that say what they mark."""

import sys
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from mahtdiag.models.checkpoint import Checkpoint
from mahtdiag.models.formats import format_of
from mahtdiag.models.native import save_checkpoint
from mahtdiag.schema.skeleton import Skeleton
from training.images import FILMS, augment, draw_training_set
from training.train import Schedule, main, specification


@pytest.mark.parametrize("skeleton", FILMS, ids=str)
def test_a_checkpoint_says_what_it_marks(skeleton: Skeleton, tmp_path: Path) -> None:
    file = tmp_path / "net.pt"
    save_checkpoint(file, Schedule(width=4, blocks=1, layers=1).network(skeleton), specification(skeleton))
    checkpoint = Checkpoint(file)
    spec = format_of(checkpoint).inspect(checkpoint)
    assert spec is not None
    assert spec.skeleton is skeleton
    assert spec.input.size == FILMS[skeleton].input


@pytest.mark.parametrize("skeleton", FILMS, ids=str)
def test_keypoints_stay_inside_whatever_is_changed(skeleton: Skeleton) -> None:
    size = FILMS[skeleton].input
    images, points = draw_training_set(skeleton, 0, 4, Console(file=StringIO()))
    assert images.shape[1:] == (size.height, size.width)
    rng = np.random.default_rng(0)
    repeated = np.repeat(images, 50, axis=0), np.repeat(points, 50, axis=0)
    _, moved = augment(*repeated, FILMS[skeleton].augmentation, rng)
    inside = (moved >= -0.5) & (moved <= moved.new_tensor([size.width, size.height]) - 0.5)
    assert float(inside.double().mean()) > 0.999


def test_levels_of_which_nothing_is_drawn_are_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for levels, said in (("C2-C7", "no radiographs of AP C2-C7"), ("X1", "no vertebra 'X1'")):
        monkeypatch.setattr(sys, "argv", ["train", "AP", str(tmp_path / "net.pt"), "--levels", levels])
        with pytest.raises(SystemExit, match="2"):
            main()
        assert said in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
