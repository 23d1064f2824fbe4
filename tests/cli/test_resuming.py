"""--resume on runs that are complete, that were made with other settings, or that are none."""

import json
import shutil

import pytest

from .command import Desk, columns_of, document_of


def complete_run(desk: Desk, *arguments: str) -> bytes:
    """A finished run; its document."""
    assert desk.lookup("exact", *arguments).status == 0
    return (desk.path / "run/run.json").read_bytes()


def interrupted_run(desk: Desk, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    """A run that is interrupted after all its images, before its overlays."""

    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("mahtdiag.workflows.evaluate.job.write_overlays", interrupt)
        assert desk.lookup("exact", *arguments).status == 130


def test_a_complete_run_is_printed_again(desk: Desk) -> None:
    before = complete_run(desk)
    result = desk.lookup("exact", "--resume", "--format", "json")
    assert (result.status, result.errors, result.out) == (0, [], before)
    assert (desk.path / "run/run.json").read_bytes() == before
    assert "evaluating" not in result.err


def test_a_complete_run_may_get_other_overlays(desk: Desk) -> None:
    before = complete_run(desk)
    result = desk.lookup("exact", "--resume", "--overlays", "worst:1")
    assert result.status == 0
    assert result.text.splitlines()[-1] == "run folder: run, 1 overlays in run/overlays"
    assert (desk.path / "run/run.json").read_bytes() == before


def test_every_difference_is_listed(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    interrupted_run(desk, monkeypatch)
    before = (desk.path / "run/run.json").read_bytes()
    result = desk.lookup(
        "exact", "--resume", "--heatmap-sigma", "2", "--decode", "argmax", "--batch-size", "2",
        "--pixel-spacing", "0.3",
    )  # fmt: skip
    result.refused(
        "run: cannot be resumed with other settings; give the old ones or choose another --out",
        "run: heatmap_sigma: 1.5 → 2.0",
        "run: decode: network → argmax",
        "run: pixel_spacing_mm: none → 0.3",
        "run: batch_size: 16 → 2",
    )
    assert (desk.path / "run/run.json").read_bytes() == before


def test_other_data_and_weights_are_differences(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    interrupted_run(desk, monkeypatch)
    (desk.path / "data/AP/more.png").write_bytes(b"")
    with (desk.path / "lookup-ap.pt").open("ab") as file:
        file.write(b" ")
    result = desk.lookup("exact", "--resume")
    assert (result.status, result.text) == (2, "")
    names = [line.split(": ")[2] for line in result.err.splitlines()[1:]]
    assert names == ["checkpoint sha256", "images", "image names and annotations (sha256)"]


def test_how_a_run_is_executed_may_change(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    (desk.path / "data/AP/more.png").write_bytes(b"")
    interrupted_run(desk, monkeypatch, "--workers", "1", "--overlays", "all")
    result = desk.lookup("exact", "--resume", "--workers", "3", "--allow-failures", "1")
    assert (result.status, result.errors) == (0, [])
    assert result.text.splitlines()[-1] == "run folder: run"
    settings = document_of(desk.path / "run")["settings"]
    assert (settings["workers"], settings["overlays"], settings["allow_failures"]) == (3, "none", 1)
    assert columns_of(desk.path / "run/images.parquet")["image"][-1] == "AP/more.png"


def test_the_seconds_of_both_sessions_count(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    interrupted_run(desk, monkeypatch)
    first = document_of(desk.path / "run")
    assert desk.lookup("exact", "--resume").status == 0
    second = document_of(desk.path / "run")
    assert second["started"] == first["started"]
    assert second["seconds"]["total"] > first["seconds"]["total"] > 0
    assert second["seconds"]["forward"] == first["seconds"]["forward"]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "run/run.json: not valid JSON ("),
        (b'{"schema": 2, "mahtdiag": "9.0"}', "run/run.json: schema version 2, written by mahtdiag 9.0; "),
        (b"[]", "run/run.json: not a run.json of mahtdiag; the file is damaged"),
    ],
)
def test_a_damaged_document(desk: Desk, content: bytes, problem: str) -> None:
    complete_run(desk)
    (desk.path / "run/run.json").write_bytes(content)
    result = desk.lookup("exact", "--resume")
    assert (result.status, result.text, len(result.err.splitlines())) == (2, "", 1)
    assert result.err.startswith(f"error: {problem}")


def test_a_complete_run_that_lost_a_table(desk: Desk) -> None:
    complete_run(desk)
    (desk.path / "run/keypoints.parquet").unlink()
    desk.lookup("exact", "--resume").refused(
        "run/keypoints.parquet: missing from the run folder; evaluate again"
    )


def test_an_image_that_vanished_before_its_overlay(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    interrupted_run(desk, monkeypatch)
    image = max((desk.path / "data/AP").glob("*.png"))
    shutil.move(image, desk.path / "elsewhere.png")
    (desk.path / f"data/AP/{image.name}").symlink_to("nowhere")
    result = desk.lookup("exact", "--resume", "--overlays", "worst:2")
    assert result.status == 0
    assert f"note: AP/{image.name}: no overlay, the image cannot be read any more" in result.err
    assert result.text.splitlines()[-1] == "run folder: run, 1 overlays in run/overlays"


def test_a_complete_run_is_judged_by_the_gates_of_now(desk: Desk) -> None:
    gates = desk.path / "mahtdiag.toml"
    gates.write_text('[gates]\n"radial_error_px.mean" = "<= 100"\n"calibration.nll" = "<= -100"\n')
    assert desk.lookup("exact").status == 1
    before = document_of(desk.path / "run")
    gates.write_text('[gates]\n"radial_error_px.mean" = "<= 1"\n"radial_error_mm.mean" = "<= 9"\n')
    for _ in range(2):
        result = desk.lookup("exact", "--resume", "--format", "json")
        now = document_of(desk.path / "run")
        assert (result.status, json.loads(result.text)) == (1, now)
        assert [(gate["metric"], gate["passed"]) for gate in now["gates"]] == [
            ("radial_error_px.mean", False),
            ("radial_error_mm.mean", False),
        ]
        spacing = "not known in this run: no image has a pixel spacing; give --pixel-spacing"
        assert now["notes"] == [*before["notes"], f"gate radial_error_mm.mean fails: {spacing}"]
    gates.unlink()
    assert desk.lookup("exact", "--resume").status == 0
    now = document_of(desk.path / "run")
    assert now["checksums"].pop("run_json") != before["checksums"].pop("run_json")
    assert now == {**before, "gates": []}
