"""`mahtdiag report`, as a script and a person use it."""

import json

from tests.workflows.report_runs import MISSED, PASSED, write_report_run

from .command import Desk


def test_the_page_of_the_latest_run(desk: Desk) -> None:
    told = write_report_run(desk.path / "run-folder", gates=(PASSED,))
    told.run.rename(desk.path / "runs-a")
    done = desk.run("report", "runs-a", "--data", "run-folder/data")
    megabytes = (desk.path / "runs-a" / "report.html").stat().st_size / 1e6
    assert (done.status, done.errors) == (0, [])
    assert done.text == (
        f"report: runs-a/report.html ({megabytes:.1f} MB, 8 of 8 images shown)\ngates: 0 of 1 failed\n"
    )


def test_json_and_a_failed_gate(desk: Desk) -> None:
    write_report_run(desk.path, 3, gates=(PASSED, MISSED))
    done = desk.run("report", "--out", "page.html", "--images", "worst:2", "--format", "json")
    content = json.loads(done.out)
    assert (done.status, done.errors) == (1, [])
    assert content["report"] == "page.html"
    assert content["run"] == "runs/a"
    assert content["bytes"] == (desk.path / "page.html").stat().st_size
    assert content["images"] == {"evaluated": 3, "failed": 1, "shown": 2, "without_picture": 0}
    assert [gate["passed"] for gate in content["gates"]] == [True, False]
    assert len(content["notes"]) == 1


def test_images_that_have_moved_are_noted(desk: Desk) -> None:
    told = write_report_run(desk.path, 2)
    told.data.rename(desk.path / "moved")
    done = desk.run("report", "--images", "all")
    assert done.status == 0
    assert "note: The images have moved: " in done.text
    assert not [line for line in done.text.splitlines() if line.startswith("gates")]


def test_notes_are_wrapped_at_80_columns(desk: Desk) -> None:
    told = write_report_run(desk.path, 4)
    (told.data / told.names[0]).unlink()
    done = desk.run("report", "--images", "all")
    assert [line.rstrip() for line in done.text.splitlines()][-2:] == [
        "note: 1 image of 4 cannot be shown, so the keypoints are drawn alone (the file",
        "is gone: 0000.jpg).",
    ]
    assert max(map(len, done.text.splitlines())) <= 80


def test_no_gallery(desk: Desk) -> None:
    write_report_run(desk.path, 2)
    assert desk.run("report", "--images", "none").text.endswith("no images shown)\n")


def test_bad_usage(desk: Desk) -> None:
    desk.run("report", "--images", "some").refused(
        "--images some: expected worst:N, all or none, for example worst:12"
    )
    desk.run("report", "nowhere").refused(
        f"{desk.path / 'nowhere'}: no such run folder; check the name, or name latest, the newest run"
    )
    write_report_run(desk.path, 2)
    desk.run("report", "--out", "runs").refused("--out runs: a folder; name a file")
    for name in ("run.json", "images.parquet", "keypoints.parquet"):
        desk.run("report", "--out", f"runs/a/{name}").refused(
            f"--out runs/a/{name}: a file of a run; name another file"
        )


def test_no_run_at_all(desk: Desk) -> None:
    done = desk.run("report")
    assert (done.status, done.text) == (2, "")
    assert "no finished run yet" in done.err


def test_an_interrupted_run(desk: Desk) -> None:
    told = write_report_run(desk.path, 2, complete=False)
    desk.run("report", "runs/a").refused(
        "runs/a: interrupted after 0 of 3 images; finish it with evaluate --out runs/a --resume"
    )
    assert not (told.run / "report.html").exists()
