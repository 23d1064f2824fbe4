"""`--levels`: networks and sets of other vertebrae than the usual ones, from the command line."""

import json
import re
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from mahtdiag.data.readers.aasce import VERTEBRAE
from mahtdiag.models.mahtnet import MahtNet, MahtNetConfig
from mahtdiag.models.native import save_checkpoint
from mahtdiag.schema.choices import DecodeMethod, UncertaintyKind
from mahtdiag.schema.frames import Size
from mahtdiag.schema.model_spec import Decoding, ModelInput, ModelSpec, UncertaintySpec
from mahtdiag.schema.skeleton import Skeleton, View, skeleton_said


def network(folder: Path, name: str, levels: str, view: View = View.AP) -> None:
    skeleton: Skeleton = skeleton_said(view, levels)
    torch.manual_seed(3)
    built = MahtNet(MahtNetConfig(str(view), width=8, attention_layers=1, encoder_layers=1, levels=levels))
    spec = ModelSpec(
        skeleton,
        ModelInput(Size(64, 32), 1),
        Decoding(1.5, DecodeMethod.LOCAL),
        UncertaintySpec(kind=UncertaintyKind.LOG_SIGMA),
    )
    save_checkpoint(folder / name, built.eval(), spec)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four whole spines in the layout of AASCE, and networks of several skeletons."""
    root = tmp_path_factory.mktemp("levels")
    images, labels = root / "whole" / "data" / "training", root / "whole" / "labels" / "training"
    images.mkdir(parents=True)
    labels.mkdir(parents=True)
    rng = np.random.default_rng(1)
    rows = []
    for number in range(4):
        cv2.imwrite(str(images / f"{number}.png"), rng.integers(0, 255, (900, 300)).astype(np.uint8))
        y = 20 + 50 * np.arange(17)[:, None] + np.array([0, 0, 35, 35])
        x = np.broadcast_to(np.array([120, 170, 120, 170]), (17, 4)) + rng.integers(-2, 3, (17, 4))
        rows.append(np.concatenate([(x / 300).ravel(), (y / 900).ravel()]))
    np.savetxt(labels / "landmarks.csv", rows, delimiter=",", fmt="%.8f")
    (labels / "filenames.csv").write_text("".join(f"{number}.png\n" for number in range(4)))
    network(root, "whole.pt", "T1-L5")
    network(root, "lumbar.pt", "lumbar")
    network(root, "neck.pt", "C2-C7", View.LA)
    return root


def run(folder: Path, *arguments: str) -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "-m", "mahtdiag", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize(
    ("checkpoint", "levels", "judged"),
    [
        ("whole.pt", (), "T1-L5"),
        ("whole.pt", ("--levels", "T10-L2"), "T10-L2"),
        ("lumbar.pt", (), "L1-L5"),
        ("lumbar.pt", ("--levels", "L3-L5"), "L3-L5"),
    ],
)
def test_levels_in_common_are_judged_and_told(
    folder: Path, checkpoint: str, levels: tuple[str, ...], judged: str
) -> None:
    out = f"run-{checkpoint}-{judged}"
    status, printed, problem = run(
        folder, "evaluate", checkpoint, "whole", *levels, "--out", out, "--overlays", "none"
    )
    assert status == 0, problem
    document = json.loads((folder / out / "run.json").read_bytes())
    assert (document["view"], document["levels"], document["images"]["evaluated"]) == ("AP", judged, 4)
    names = list(VERTEBRAE[VERTEBRAE.index(judged.split("-")[0]) : VERTEBRAE.index(judged.split("-")[1]) + 1])
    assert list(document["metrics"]["vertebrae"]) == names
    assert (f"AP view, {judged}" in printed) == (judged != "L1-L5")
    marked = {"whole.pt": "T1-L5", "lumbar.pt": "L1-L5"}[checkpoint]
    note = f"the network marks {marked}: {judged} of it is judged"
    assert (note in printed) == (judged != marked)
    if judged == "T1-L5":
        assert re.search(r"^thoracic +192 ", printed, re.MULTILINE)
        assert not re.search(r"^T12 +16 ", printed, re.MULTILINE)


def test_all_of_it_works_on_a_run_of_a_whole_spine(folder: Path) -> None:
    out = "whole-run"
    assert run(folder, "evaluate", "whole.pt", "whole", "--out", out, "--overlays", "worst:1")[0] == 0
    for command in (
        ("anatomy", out, "--all-levels"), ("calibration", out), ("report", out), ("compare", out, out),
        ("export", out, "--to", "coco", "out.json"), ("runs", "."), ("figures", out, "--out", "figures"),
    ):  # fmt: skip
        status, printed, problem = run(folder, *command)
        assert status in (0, 1), (command, problem)
        assert "Traceback" not in problem
        if command[0] == "anatomy":
            assert "T11/T12" in printed
    assert len(json.loads((folder / "out.json").read_text())["images"]) == 4


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("whole.pt", "whole", "--levels", "L5-L1"), "the upper one comes first, L5 lies below L1"),
        (("whole.pt", "whole", "--levels", "C1-C7"), "no vertebra 'C1': levels are C2 to S1"),
        (("whole.pt", "whole", "--levels", "L1,L3"), "levels follow each other from above without a gap"),
        (("whole.pt", "whole", "--levels", "cervical"), "--levels C2-C7: the network marks T1-L5"),
        (
            ("whole.pt", "whole", "--levels", "T10-S1"),
            "--levels T10-S1: the network marks T1-L5; --levels T10-L5",
        ),
        (
            ("lumbar.pt", "whole", "--levels", "T1-L5"),
            "--levels T1-L5: the network marks L1-L5; --levels L1-L5",
        ),
        (("neck.pt", "whole"), "no level in common: the labels are of T1-L5, the network marks C2-C7"),
        (("whole.pt,lumbar.pt", "whole"), "no ensemble: levels T1-L5 and L1-L5"),
    ],
)
def test_levels_that_do_not_fit_end_before_any_work(
    folder: Path, arguments: tuple[str, ...], problem: str
) -> None:
    status, _, said = run(folder, "evaluate", *arguments, "--out", "nothing")
    assert (status, problem in said, "Traceback" in said) == (2, True, False), said
    assert len(said.strip().splitlines()) == 1
    assert not (folder / "nothing").exists()


def test_runs_of_other_levels_are_not_compared(folder: Path) -> None:
    for name, levels in (("long", ()), ("short", ("--levels", "T10-L2"))):
        done = run(folder, "evaluate", "whole.pt", "whole", "--out", name, "--overlays", "none", *levels)
        assert done[0] == 0
    status, _, said = run(folder, "compare", "long", "short")
    assert status == 2
    assert said == (
        "error: short: a run of the levels T10-L2, long is one of T1-L5: evaluate both with --levels T10-L2, "
        "which they have in common, then compare\n"
    )


def test_labels_alone(folder: Path) -> None:
    status, printed, _ = run(folder, "anatomy", "--labels", "whole", "--levels", "T1-L5")
    assert (status, "AP view, T1-L5, labels of 4 images" in printed) == (0, True)
    status, printed, _ = run(folder, "anatomy", "--labels", "whole")
    assert "AP view, labels of 4 images" in printed
    assert "not of the skeleton AP and left out: T1-T12" in printed
    status, _, said = run(folder, "anatomy", "--labels", "whole", "--levels", "C2-C7")
    assert (status, said) == (
        2,
        f"error: {folder}/whole: labels T1-L5, --levels C2-C7 has none of them: name others\n",
    )
