"""`evaluate` of images alone: everything that needs no label, and nothing that does."""

import json
import re

import numpy as np
import pytest
import torch

from .builders import Bench
from .command import Desk, columns_of, document_of

AP = "data/AP"


@pytest.fixture
def unlabelled(desk: Desk) -> Desk:
    for annotation in (desk.path / AP).glob("*.csv"):
        annotation.unlink()
    return desk


def test_the_same_predictions_as_with_labels_and_no_number_that_needs_one(desk: Desk, bench: Bench) -> None:
    assert desk.lookup("exact", "--out", "labelled", data=AP).status == 0
    done = desk.lookup("exact", "--no-labels", data=AP)
    assert done.status == 0, done.err
    both = [columns_of(desk.path / run / "keypoints.parquet") for run in ("labelled", "run")]
    for name in ("image", "pred_x", "pred_y", "sigma_x", "sigma_y", "peak", "spread_xx"):
        assert both[0][name] == both[1][name], name
    assert all(value is None for name in ("gt_x", "error_px", "error_mm") for value in both[1][name])
    document = document_of(desk.path / "run")
    assert document["keypoints"] == {"total": 120, "labelled": 0}
    assert document["anatomy"] == document_of(desk.path / "labelled")["anatomy"]
    for section in ("metrics", "losses", "clean_labels", "error_types", "calibration", "subgroups"):
        assert document[section] is None, section
    stored = columns_of(desk.path / "run" / "images.parquet")
    for name in ("loss_total", "loss_heatmap", "loss_coord", "loss_uncertainty", "radial_error_px"):
        assert stored[name] == [None] * 6, name
    assert document["data"]["format"] == "images"
    assert "No labels: no error, loss, success rate or calibration can be told." in done.text
    assert "Radial error" not in done.text
    checks = {entry["check"]: entry["status"] for entry in document["setup"]}
    assert checks["results"] == "not checked"
    assert not [name for name in checks if name.startswith(("labels.", "order.", "together."))]


def test_a_folder_of_images_is_evaluated_so_by_itself(unlabelled: Desk) -> None:
    done = unlabelled.lookup("exact", data=AP)
    assert done.status == 0, done.err
    assert "note: 6 images without labels: no error, loss or calibration" in done.text


def test_gates_on_what_needs_labels_fail_closed(unlabelled: Desk) -> None:
    (unlabelled.path / "mahtdiag.toml").write_text(
        "[gates]\n"
        '"radial_error_px.mean" = "<= 100"\n"losses.total" = "<= 100"\n"calibration.mace" = "<= 1"\n'
        '"error_types.by_type.jitter.keypoints" = "<= 1000"\n"anatomy.images_with_violations" = "<= 1"\n'
    )
    done = unlabelled.lookup("exact", data=AP)
    assert done.status == 1
    passed = {gate["metric"]: gate["passed"] for gate in document_of(unlabelled.path / "run")["gates"]}
    assert [metric for metric, kept in passed.items() if kept] == ["anatomy.images_with_violations"]
    assert len(passed) == 5


def test_the_other_commands_on_such_a_run(unlabelled: Desk) -> None:
    assert unlabelled.lookup("exact", data=AP).status == 0
    anatomy = unlabelled.run("anatomy", "run", "--format", "json")
    assert anatomy.status == 0, anatomy.err
    assert json.loads(anatomy.text)["view"] == "AP"
    shown = unlabelled.run("anatomy", "run")
    assert "Measurements of the predictions" in shown.text
    assert "labels" not in shown.text.replace("Not checked against labels.", "")
    unlabelled.run("calibration", "run").refused(
        f"{unlabelled.path}/run: its images have no labels, so σ cannot be judged; evaluate annotated images"
    )
    assert unlabelled.run("report", "run").status == 0
    page = (unlabelled.path / "run" / "report.html").read_text()
    assert "Measurements of the predictions" in page
    assert not re.search(r"mean error, (px|mm)", page)
    compared = unlabelled.run("compare", "run", "run")
    assert compared.status == 0, compared.err
    assert "further off" not in compared.text


def test_a_network_that_ignores_the_image_is_told_without_labels(unlabelled: Desk) -> None:
    right = torch.load(unlabelled.path / "lookup-ap.pt", weights_only=True)
    torch.save(right | {"points": right["points"][:1].expand_as(right["points"]).clone()}, "lookup-blind.pt")
    done = unlabelled.lookup("exact", data=AP, view="blind")
    document = document_of(unlabelled.path / "run")
    status = {entry["check"]: entry["status"] for entry in document["setup"]}
    assert (done.status, status["network.follows"]) == (0, "wrong")
    assert unlabelled.lookup("exact", "--out", "other", data=AP).status == 0
    seeing = {entry["check"]: entry["status"] for entry in document_of(unlabelled.path / "other")["setup"]}
    assert seeing["network.follows"] == "fine"


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (("--complete-only",), "--complete-only"),
        (("--data-format", "coco"), "--data-format"),
        (("--labels2", "data", "--complete-only"), "--complete-only and --labels2"),
    ],
)
def test_what_needs_labels_contradicts_no_labels(desk: Desk, options: tuple[str, ...], named: str) -> None:
    done = desk.lookup("exact", "--no-labels", *options, data=AP)
    done.refused(f"--no-labels with {named}: of images alone none is read; leave one out")


def test_labels_that_are_not_there_are_not_judged(unlabelled: Desk) -> None:
    data = unlabelled.path / AP
    said = f"{data}: images without labels: name a folder with annotations"
    unlabelled.run("anatomy", "--labels", AP).refused(said)
    assert np.array_equal(sorted(unlabelled.path.glob("run*")), [])
