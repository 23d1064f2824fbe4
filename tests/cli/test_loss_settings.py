"""`[loss]`: `evaluate` judges by the loss that the network was trained with."""

import numpy as np
import pytest

from .command import Desk, columns_of, document_of
from .test_resuming import interrupted_run

PARTS = ("heatmap", "coord", "anatomical", "uncertainty")
TRAINED_WITH = """
[loss]
lambda_heatmap = 300
lambda_coord = 0.25
lambda_anatomical = 2.0
lambda_uncertainty = 0.0
use_focal = false
omega = 5.0
lambda_parallel = 40
min_sigma = 0.5
max_sigma = 3
"""


def write(desk: Desk, text: str) -> None:
    """The configuration of a project."""
    (desk.path / "mahtdiag.toml").write_text(text, encoding="utf-8")


def test_the_parameters_are_used_and_recorded(desk: Desk) -> None:
    write(desk, TRAINED_WITH)
    result = desk.lookup("exact")
    assert (result.status, result.errors) == (0, [])
    loss = document_of(desk.path / "run")["settings"]["loss"]
    assert loss == {
        "lambda_heatmap": 300.0, "lambda_coord": 0.25, "lambda_anatomical": 2.0, "lambda_uncertainty": 0.0,
        "use_focal": False, "omega": 5.0, "epsilon": 2.0, "lambda_order": 1.0, "lambda_parallel": 40.0,
        "lambda_ratio": 0.1, "min_sigma": 0.5, "max_sigma": 3.0,
    }  # fmt: skip
    columns = {name: np.array(values) for name, values in columns_of(desk.path / "run/images.parquet").items()
               if name.startswith("loss_")}  # fmt: skip
    total = sum(loss[f"lambda_{part}"] * columns[f"loss_{part}"] for part in PARTS)
    np.testing.assert_allclose(columns["loss_total"], total, rtol=1e-12)
    anatomical = sum(loss[f"lambda_{t}"] * columns[f"loss_{t}"] for t in ("order", "parallel", "ratio"))
    np.testing.assert_allclose(columns["loss_anatomical"], anatomical, rtol=1e-12)
    (row,) = [line.split() for line in result.text.splitlines() if line.startswith("heatmap  ")]
    assert row[-3] == "300"


def test_mse_is_the_focal_loss_without_emphasis(desk: Desk) -> None:
    found = {}
    for name, text in (("mse", "use_focal = false"), ("flat", "gamma = 0"), ("focal", "gamma = 2.0")):
        write(desk, f"[loss]\n{text}\n")
        assert desk.lookup("exact", "--out", name).status == 0
        found[name] = columns_of(desk.path / name / "images.parquet")["loss_heatmap"]
    assert found["mse"] == found["flat"]
    assert all(focal < mse for focal, mse in zip(found["focal"], found["mse"], strict=True))


def test_what_is_not_set_is_what_was_published(desk: Desk) -> None:
    assert desk.lookup("exact").status == 0
    write(desk, "[loss]\n")
    assert desk.lookup("exact", "--out", "again").status == 0
    first, second = (document_of(desk.path / name) for name in ("run", "again"))
    assert first["settings"]["loss"] == second["settings"]["loss"]
    assert first["losses"] == second["losses"]


def test_the_clamp_bounds_are_those_of_the_loss(desk: Desk) -> None:
    write(desk, "[loss]\nmin_sigma = 0.7\nmax_sigma = 0.8\n")
    assert desk.lookup("exact").status == 0
    keypoints = columns_of(desk.path / "run/keypoints.parquet")
    clamped = np.array(keypoints["at_min_x"]) | np.array(keypoints["at_max_x"])
    assert clamped.mean() > 0.5
    text = desk.run("calibration", "run", "--no-pictures").text
    assert "σ at or below 0.7 model-input px" in text
    assert "σ at or above 0.8 model-input px" in text


def test_a_run_is_not_resumed_with_another_loss(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    interrupted_run(desk, monkeypatch)
    write(desk, "[loss]\nlambda_coord = 1.0\ngamma = 1.0\n")
    desk.lookup("exact", "--resume").refused(
        "run: cannot be resumed with other settings; give the old ones or choose another --out",
        "run: loss.lambda_coord: 0.5 → 1.0",
        "run: loss.gamma: 2.0 → 1.0",
    )


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("gamma = -1", "loss.gamma = -1: input should be greater than or equal to 0"),
        ("use_focal = 1", "loss.use_focal = 1: input should be a valid boolean"),
        ("gama = 1", "unknown key loss.gama; did you mean gamma?"),
        ("omega = nan", "loss.omega = nan: input should be a finite number"),
        ('emphasis = "both"', "loss.emphasis = 'both': input should be 'background' or 'keypoint'"),
        (
            "use_focal = false\ngamma = 2",
            "[loss]: gamma and emphasis belong to the focal loss; leave them out or set use_focal",
        ),
        ("min_sigma = 2\nmax_sigma = 2", "[loss]: min_sigma 2 must be below max_sigma 2"),
        ("min_sigma = 20", "[loss]: min_sigma 20 must be below max_sigma 10"),
    ],
)
def test_what_makes_no_loss_is_refused_before_any_work(desk: Desk, text: str, problem: str) -> None:
    write(desk, f"[loss]\n{text}\n")
    result = desk.lookup("exact")
    assert (result.status, result.text) == (2, "")
    assert result.errors == [f"error: mahtdiag.toml: {problem}"]
    assert not (desk.path / "run").exists()
