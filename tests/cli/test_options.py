"""Views, devices, run folders: options that contradict the data, the machine or each other."""

import errno
import os
import re
from pathlib import Path

import pytest
import typer

from mahtdiag.cli.commands import app
from mahtdiag.config.settings import KEYS

from .command import Desk, columns_of, document_of

UNCLEAR = "the view is unclear: "
GIVE = "; give data and a checkpoint of one view"


def test_a_view_that_the_checkpoint_contradicts(desk: Desk) -> None:
    desk.run("evaluate", "ap.pt", "data", "--view", "LA").refused(
        f"{UNCLEAR}LA by --view, AP by the network (20 heatmaps), AP by the checkpoint's metadata{GIVE}"
    )


def test_a_view_that_the_data_contradict(desk: Desk) -> None:
    result = desk.run("evaluate", "la.pt", "data/AP")
    assert (result.status, result.text, len(result.err.splitlines())) == (2, "", 1)
    assert result.err.startswith(f"error: {UNCLEAR}LA by the network (22 heatmaps), ")
    assert "AP by the folder data/AP" in result.err
    assert "the annotations (10 rows)" in result.err


@pytest.mark.parametrize(("view", "keypoints"), [("AP", 20), ("LA", 22)])
@pytest.mark.parametrize("data", ["data", "data/{}"])
def test_the_view_is_found(desk: Desk, view: str, keypoints: int, data: str) -> None:
    result = desk.run(
        "evaluate", f"{view.lower()}.pt", data.format(view), "--out", "run", "--overlays", "none"
    )
    assert (result.status, result.errors) == (0, [])
    assert document_of(desk.path / "run")["view"] == view
    assert columns_of(desk.path / "run/keypoints.parquet")["index"] == list(range(keypoints)) * 6


@pytest.mark.parametrize("device", ["cuda", "cuda:0", "cuda:99", "mps", "tpu", "CPU", "cuda:-1"])
def test_a_device_that_is_not_there(desk: Desk, monkeypatch: pytest.MonkeyPatch, device: str) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr("torch.backends.mps.is_available", lambda: False)
    result = desk.run("evaluate", "ap.pt", "data", "--device", device)
    result.refused(f"--device {device}: not available here; available: auto, cpu")


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision(desk: Desk, precision: str) -> None:
    for name in ("fp32", precision):
        result = desk.run(
            "evaluate", "ap.pt", "data", "--precision", name, "--device", "cpu", "--out", name,
            "--overlays", "none",
        )  # fmt: skip
        assert (result.status, result.errors) == (0, [])
    assert document_of(desk.path / precision)["settings"]["precision"] == precision
    exact, half = (columns_of(desk.path / name / "keypoints.parquet") for name in ("fp32", precision))
    assert exact["peak"] != half["peak"]
    assert exact["peak"] == pytest.approx(half["peak"], rel=0.05)


def test_every_impossible_value_is_named_at_once(desk: Desk) -> None:
    result = desk.run(
        "evaluate", "ap.pt", "data", "--input-size", "10", "--pixel-spacing", "nan", "--batch-size", "0",
        "--workers", "0", "--overlays", "best", "--allow-failures", "-1", "--channels", "2",
    )  # fmt: skip
    result.refused(
        "--input-size 10: expected HEIGHTxWIDTH in pixels, for example 512x256",
        "--channels 2: input should be 1 or 3",
        "--pixel-spacing nan: input should be a finite number",
        "--batch-size 0: expected auto or a whole number above 0",
        "--workers 0: input should be greater than 0",
        "--overlays best: expected worst:N, all or none, for example worst:12",
        "--allow-failures -1: input should be greater than or equal to 0",
    )


@pytest.mark.parametrize(
    ("size", "problem"),
    [
        ("0x0", "height and width must lie between 1 and 8192"),
        ("9000x64", "height and width must lie between 1 and 8192"),
        ("-1x64", "expected HEIGHTxWIDTH in pixels, for example 512x256"),
        ("64x64x3", "expected HEIGHTxWIDTH in pixels, for example 512x256"),
    ],
)
def test_an_impossible_input_size(desk: Desk, size: str, problem: str) -> None:
    result = desk.run("evaluate", "ap.pt", "data", "--input-size", size)
    result.refused(f"--input-size {size}: {problem}")


def test_a_normalisation_for_other_channels(desk: Desk) -> None:
    result = desk.run("evaluate", "ap.pt", "data", "--normalize", "imagenet")
    result.refused("--normalize imagenet is for 3 channels, the network takes 1")


def test_uncertainty_from_a_head_that_is_not_there(desk: Desk) -> None:
    desk.lookup("heatmaps", "--uncertainty", "head").refused(
        "--uncertainty head: the network returns no log_sigma, sigma, uncertainty or log_var; "
        "use --uncertainty heatmap or none"
    )


def test_pixel_spacing_for_all(desk: Desk) -> None:
    assert desk.lookup("exact", "--pixel-spacing", "0.5").status == 0
    metrics = document_of(desk.path / "run")["metrics"]
    for name in ("mean", "median", "max"):
        assert metrics["radial_error_mm"][name] == pytest.approx(0.5 * metrics["radial_error_px"][name])


def test_patients_are_counted(desk: Desk) -> None:
    result = desk.lookup("exact", "--patient", "[MF]-")
    assert result.status == 0
    document = document_of(desk.path / "run")
    assert (document["images"]["evaluated"], document["images"]["patients"]) == (6, 2)
    assert document["settings"]["patient"] == "[MF]-"
    assert "6 images of 2 patients evaluated" in " ".join(result.text.split())


def test_a_pattern_of_patients_that_is_none(desk: Desk) -> None:
    desk.lookup("exact", "--patient", "(").refused(
        "--patient (: not a regular expression: missing ), unterminated subpattern at position 0"
    )


def test_a_run_folder_that_holds_a_run(desk: Desk) -> None:
    assert desk.lookup("exact").status == 0
    before = (desk.path / "run/run.json").read_bytes()
    desk.lookup("exact").refused("run: holds a run; continue it with --resume or choose another --out")
    assert (desk.path / "run/run.json").read_bytes() == before


def test_a_run_folder_that_holds_something_else(desk: Desk) -> None:
    (desk.path / "run").mkdir()
    (desk.path / "run/thesis.tex").write_text("x")
    desk.lookup("exact").refused("run: exists and is not empty; choose another --out")
    assert [path.name for path in (desk.path / "run").iterdir()] == ["thesis.tex"]


def test_an_empty_run_folder_is_used(desk: Desk) -> None:
    (desk.path / "run").mkdir()
    assert desk.lookup("exact").status == 0


def test_a_file_in_the_way(desk: Desk) -> None:
    desk.lookup("exact", "--out", "ap.pt").refused("ap.pt: a file, not a folder; choose another --out")
    desk.lookup("exact", "--out", "ap.pt/run").refused(
        "ap.pt/run: a file stands where a folder is needed; choose another place with --out"
    )


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM, errno.EROFS])
def test_a_place_that_cannot_be_written(desk: Desk, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(number, "no")

    monkeypatch.setattr(Path, "mkdir", refuse)
    desk.lookup("exact").refused("run: not writable; choose another place with --out")


def test_the_default_run_folder(desk: Desk) -> None:
    result = desk.run("evaluate", "ap.pt", "data", "--overlays", "none")
    assert result.status == 0
    (run,) = (path for path in (desk.path / "runs").iterdir() if not path.is_symlink())
    assert re.fullmatch(r"\d{8}T\d{6}Z-ap", run.name)
    assert os.readlink(desk.path / "runs/latest") == run.name
    assert result.text.splitlines()[-1] == f"run folder: runs/{run.name}"


def test_a_run_elsewhere_is_the_latest_too(desk: Desk) -> None:
    assert desk.lookup("exact").status == 0
    assert os.readlink(desk.path / "runs/latest") == str(desk.path / "run")


def test_runs_that_cannot_be_written_cost_a_note_only(desk: Desk) -> None:
    (desk.path / "runs").write_text("a file")
    result = desk.lookup("exact")
    assert (result.status, result.errors) == (0, [])
    assert "note: " in result.err
    assert "not updated" in result.err


def test_resume_needs_a_run_folder(desk: Desk) -> None:
    desk.run("evaluate", "ap.pt", "data", "--resume").refused(
        "--resume needs --out DIR, the run folder to continue"
    )
    desk.run("evaluate", "ap.pt", "data", "--resume", "--out", "none").refused(
        "none: no such run folder to resume; leave out --resume to start it"
    )


@pytest.mark.parametrize("number", ["0", "3", "100"])
def test_overlays_of_the_worst(desk: Desk, number: str) -> None:
    result = desk.lookup("exact", "--overlays", f"worst:{number}")
    assert result.status == 0
    drawn = sorted(path.name for path in (desk.path / "run").glob("overlays/*.png"))
    images = sorted(path.name for path in (desk.path / "data/AP").glob("*.png"))
    assert drawn == images[6 - min(6, int(number)) :]
    last = result.text.splitlines()[-1]
    assert last == "run folder: run" + (f", {len(drawn)} overlays in run/overlays" if drawn else "")


@pytest.mark.parametrize(
    ("name", "told"),
    [
        *((name, name) for name in ("with space", "päth/脊椎", "file:x", "[bold]", "-run")),
        ("\udcff\udcfe", "\\xff\\xfe"),
    ],
)
def test_run_folders_of_every_name(desk: Desk, name: str, told: str) -> None:
    result = desk.lookup("exact", f"--out={name}")
    assert (result.status, result.errors) == (0, [])
    assert columns_of(desk.path / name / "images.parquet")["status"] == ["ok"] * 6
    assert result.text.splitlines()[-1] == f"run folder: {told}"


def test_every_option_that_is_a_setting_is_read_by_its_name() -> None:
    """What a key says it is called on the command line is what the command takes."""
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    names = {p.opts[0] for name in ("evaluate", "anatomy") for p in commands[name].params}
    asked = {key.option for keys in KEYS.values() for key in keys if key.option is not None}
    assert asked - {"CHECKPOINT", "DATA"} <= names
    assert {"checkpoint", "data"} <= names
