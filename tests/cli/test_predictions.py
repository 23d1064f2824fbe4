"""`evaluate --predictions FILE DATA`: no network, and every number but those of heatmaps."""

import csv
import errno
import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from .builders import INPUT, Bench
from .command import Desk, columns_of, document_of, failures_of

AP = "data/AP"
SHARED = ("metrics", "clean_labels", "error_types", "anatomy")


def same(ours: Any, theirs: Any, path: str = "") -> None:
    """Numbers agree to the last digits that a map into the network's frame and back leaves."""
    if isinstance(ours, dict):
        assert ours.keys() == theirs.keys(), path
        for name in ours:
            same(ours[name], theirs[name], f"{path}.{name}")
    elif isinstance(ours, list):
        assert len(ours) == len(theirs), path
        for at, pair in enumerate(zip(ours, theirs, strict=True)):
            same(*pair, path=f"{path}.{at}")
    elif isinstance(ours, float):
        assert ours == pytest.approx(theirs, rel=1e-9, abs=1e-12), path
    else:
        assert ours == theirs, path


def without(content: Any, unit: str) -> Any:
    """The same without errors in a unit."""
    if not isinstance(content, dict):
        return content
    return {name: without(value, unit) for name, value in content.items() if unit not in name}


@pytest.fixture
def predicted(desk: Desk) -> Desk:
    """With the run of a network in `full`."""
    assert desk.lookup("exact", "--out", "full", data=AP).status == 0
    return desk


def evaluate(desk: Desk, file: str, *options: str, data: str = AP) -> Any:
    return desk.run("evaluate", "--predictions", file, data, "--out", "run", "--overlays", "none", *options)


def test_the_table_of_a_run_gives_its_numbers_without_the_network(predicted: Desk) -> None:
    done = evaluate(predicted, "full/keypoints.parquet", "--input-size", f"{INPUT.height}x{INPUT.width}")
    assert done.status == 0, done.err
    full, own = (document_of(predicted.path / run) for run in ("full", "run"))
    for section in SHARED:
        same(own[section], full[section], section)
    for name in ("coord", "anatomical", "order", "parallel", "ratio", "uncertainty"):
        same(own["losses"][name], full["losses"][name], name)
    assert [own["losses"][name] for name in ("heatmap", "total", "heatmap_keypoint_share")] == [None] * 3
    for name in ("mace", "nll", "crps_px", "sharpness_px", "spearman", "coverage", "radial", "sigma_scale"):
        same(own["calibration"][name], full["calibration"][name], name)
    assert (own["ambiguity"], own["checkpoint"]["format"]) == (None, "mahtdiag")
    tables = [columns_of(predicted.path / run / "keypoints.parquet") for run in ("full", "run")]
    for name in ("pred_x", "pred_y", "sigma_x", "sigma_y", "peak", "error_px"):
        assert tables[1][name] == pytest.approx(tables[0][name], rel=1e-9), name
    assert "note: no heatmaps: no heatmap loss, no total loss, no ambiguous heatmaps" in done.text
    assert "AP view, predictions of a file" in done.text
    assert "None" not in done.text


def test_without_the_size_of_the_input_losses_are_in_original_pixels(predicted: Desk, bench: Bench) -> None:
    done = evaluate(predicted, "full")
    assert done.status == 0, done.err
    assert "Loss (mean over images, original pixels)" in done.text
    assert "--input-size HxW gives those in the network's frame" in " ".join(done.text.split())
    full, own = (document_of(predicted.path / run) for run in ("full", "run"))
    same(without(own["metrics"], "input_px"), without(full["metrics"], "input_px"))
    assert own["losses"]["coord"] > full["losses"]["coord"]


def test_other_commands_take_such_a_run(predicted: Desk) -> None:
    assert evaluate(predicted, "full").status == 0
    assert predicted.run("anatomy", "run").status == 0
    shown = predicted.run("calibration", "run")
    assert (shown.status, "σ: from the file of predictions" in shown.text) == (0, True), shown.err
    assert predicted.run("report", "run").status == 0
    compared = json.loads(predicted.run("compare", "full", "run", "--format", "json").text)
    assert compared["metrics"]["radial_error_px.mean"]["difference"] == pytest.approx(0, abs=1e-9)
    assert not [name for name in compared["metrics"] if name.startswith("losses.")]


def write_table(path: Path, bench: Bench, images: int = 6, missing: bool = False) -> None:
    """The truth, three pixels to the right, with a σ of four."""
    names = bench.ap[0].keypoints_px.shape[0]
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "index", "x", "y", "sigma"])
        for number, truth in enumerate(bench.ap[:images]):
            for k in range(names):
                if not (missing and number == 0 and k in (3, 4)):
                    writer.writerow([truth.stem, k, *(truth.keypoints_px[k] + (3, 0)), 4])


@pytest.mark.parametrize("known", [(), (5,), (0, 1, 2, 3), range(2, 20, 5)])
@pytest.mark.parametrize("labelled", [True, False])
def test_commands_on_runs_of_few_keypoints(
    desk: Desk, bench: Bench, known: Sequence[int], labelled: bool
) -> None:
    """The first image has all of them, the others these alone."""
    with (desk.path / "p.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "index", "x", "y"])
        for number, truth in enumerate(bench.ap[:6]):
            for k in range(20) if number == 0 else known:
                writer.writerow([truth.stem, k, *truth.keypoints_px[k]])
    without = () if labelled else ("--no-labels",)
    done = evaluate(desk, "p.csv", "--allow-failures", "9", *without)
    assert (done.status, "Warning" in done.err) == (0, False)
    for typed in ("report", "figures", "anatomy", "calibration", "compare run", "runs .", "init"):
        name, *more = typed.split()
        told = desk.run(name, *(more if name == "runs" else ("run", *more)))
        said = [line for line in told.err.splitlines() if line.startswith("error: ")]
        assert (typed, "Warning" in told.err, "internal error" in told.err) == (typed, False, False)
        assert (typed, told.status in (0, 1, 2), len(said) <= 1) == (typed, True, True)


def test_predictions_that_may_not_be_read(predicted: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mahtdiag.data.predictions.run_tables.head", lambda path: b"")
    monkeypatch.setattr("os.access", lambda path, mode: Path(path).name != "keypoints.parquet")
    said = f"full/keypoints.parquet: cannot be read: {os.strerror(errno.EACCES)}"
    evaluate(predicted, "full").refused(said)


def test_factors_fitted_without_images_say_so(desk: Desk, bench: Bench) -> None:
    write_table(desk.path / "p.csv", bench)
    (desk.path / AP / f"{bench.ap[0].stem}.png").rename(desk.path / "kept.png")
    assert evaluate(desk, "p.csv", "--overlays", "none").status == 0
    fit = ("calibration", "run", "--no-pictures", "--fit")
    done = desk.run(*fit, "some.json", "--factors", "likelihood")
    assert done.status == 0, done.err
    said = "nothing tells whether others are the same, so use the factors on images of other patients alone"
    assert done.lasting == [f"note: some.json: fitted on 1 image that was not there: {said}"]
    some = json.loads((desk.path / "some.json").read_text())
    assert (some["unknown_images"], len(some["image_sha256"])) == (1, 5)
    for image in (desk.path / AP).glob("*.png"):
        image.unlink()
    shutil.rmtree("run")
    assert evaluate(desk, "p.csv", "--overlays", "none").status == 0
    done = desk.run(*fit, "none.json", "--factors", "likelihood")
    note = f"note: none.json: fitted on 6 images that were not there: {said}"
    assert done.lasting == [note]
    none = json.loads((desk.path / "none.json").read_text())
    assert (none["unknown_images"], none["image_sha256"]) == (6, [])
    # Of data that are otherwise another set nothing tells that they are not the same images.
    (desk.path / AP / f"{bench.ap[0].stem}.csv").unlink()
    shutil.rmtree("run")
    evaluate(desk, "p.csv", "--overlays", "none")
    applied = desk.run("calibration", "run", "--no-pictures", "--apply", "none.json")
    assert (applied.status, applied.lasting) == (0, [note])


def test_images_are_optional(desk: Desk, bench: Bench) -> None:
    write_table(desk.path / "p.csv", bench)
    with_images = evaluate(desk, "p.csv")
    assert with_images.status == 0, with_images.err
    first = document_of(desk.path / "run")
    for image in (desk.path / AP).glob("*.png"):
        image.unlink()
    done = desk.run("evaluate", "--predictions", "p.csv", AP, "--out", "alone")
    assert done.status == 0, done.err
    alone = document_of(desk.path / "alone")
    assert alone["metrics"]["radial_error_px"]["mean"] == pytest.approx(3.0, abs=1e-9)
    # Without images nobody knows how large they are.
    assert alone["metrics"]["radial_error_diagonal_pct"] is None
    for section in ("metrics", "losses", "calibration"):
        known, all_of_it = (without(document[section], "diagonal_pct") for document in (alone, first))
        assert known == all_of_it, section
    assert "note: 6 images not there: no overlay and no check of their pixels" in done.text
    assert not (desk.path / "alone" / "overlays").exists()
    stored = columns_of(desk.path / "alone" / "images.parquet")
    assert (stored["width"], stored["image_sha256"]) == ([None] * 6, [None] * 6)
    for command in ("anatomy", "calibration", "report"):
        finished = desk.run(command, "alone")
        assert finished.status == 0, finished.err


def test_a_keypoint_that_is_not_predicted_is_missed_and_an_image_fails(desk: Desk, bench: Bench) -> None:
    write_table(desk.path / "p.csv", bench, images=5, missing=True)
    done = evaluate(desk, "p.csv")
    assert done.status == 2
    assert failures_of(desk.path / "run") == {f"{bench.ap[5].stem}.png": "no prediction for it in p.csv"}
    assert evaluate(desk, "p.csv", "--out", "other", "--allow-failures", "1").status == 0
    metrics = document_of(desk.path / "other")["metrics"]
    assert metrics["miss_rate"] == pytest.approx(2 / 100)
    assert metrics["radial_error_px"]["missed"] == 2
    assert metrics["sdr_px"]["4"] == pytest.approx(98 / 100)
    assert "mean, px, without 2 missed" in done.text


def test_images_without_labels_and_predictions_from_a_file(desk: Desk, bench: Bench) -> None:
    write_table(desk.path / "p.csv", bench)
    done = evaluate(desk, "p.csv", "--no-labels")
    assert done.status == 0, done.err
    document = document_of(desk.path / "run")
    assert (document["metrics"], document["keypoints"]["labelled"]) == (None, 0)
    assert document["anatomy"] is not None


def test_predictions_in_the_pixels_of_the_network_are_told(desk: Desk, bench: Bench) -> None:
    write_table(desk.path / "p.csv", bench)
    rows = list(csv.reader((desk.path / "p.csv").read_text().splitlines()))
    sizes = {truth.stem: truth.size for truth in bench.ap}
    for row in rows[1:]:
        size = sizes[row[0]]
        row[2:4] = [str(float(row[2]) * 64 / size.width), str(float(row[3]) * 64 / size.height)]
    with (desk.path / "p.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    evaluate(desk, "p.csv")
    entries = {e["check"]: e for e in document_of(desk.path / "run")["setup"]}
    assert entries["results"]["status"] == "wrong"
    assert np.isfinite(document_of(desk.path / "run")["metrics"]["radial_error_px"]["mean"])


def test_what_contradicts_predictions_is_refused(desk: Desk, bench: Bench) -> None:
    write_table(desk.path / "p.csv", bench)
    both = desk.run("evaluate", "ap.pt", AP, "--predictions", "p.csv")
    both.refused("--predictions with the checkpoint ap.pt: leave one of them out")
    desk.run("evaluate", AP, "--predictions", "p.csv", "--decode", "dark", "--trust").refused(
        "--predictions with --decode, --trust: no network is run; leave it out"
    )
    desk.run("evaluate", "--predictions", "p.csv").refused(
        "missing DATA: name it on the command line or in mahtdiag.toml ([data] path)"
    )
    gone = evaluate(desk, "gone.csv")
    gone.refused("gone.csv: cannot be read: No such file or directory")


def test_the_data_of_the_settings_and_a_checkpoint_there_do_not_disturb(desk: Desk, bench: Bench) -> None:
    write_table(desk.path / "p.csv", bench)
    (desk.path / "mahtdiag.toml").write_text(f'[model]\ncheckpoint = "ap.pt"\n[data]\npath = "{AP}"\n')
    done = desk.run("evaluate", "--predictions", "p.csv", "--out", "run", "--overlays", "none")
    assert done.status == 0, done.err
    assert document_of(desk.path / "run")["checkpoint"]["path"] == "p.csv"


def test_an_interrupted_run_goes_on(desk: Desk, bench: Bench) -> None:
    write_table(desk.path / "p.csv", bench)
    assert evaluate(desk, "p.csv").status == 0
    done = evaluate(desk, "p.csv", "--resume")
    assert done.status == 0, done.err
