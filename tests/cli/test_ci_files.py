"""`--junit` and `--markdown`: whole files, whatever ends the command and whatever the images are called."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from mahtdiag.schema.skeleton import View
from tests.anatomy.spines import natural_spines
from tests.reports.ci.junit_subset import problems
from tests.workflows.anatomy_runs import write_run

from . import networks
from .command import Desk, Finished, environment, finish, start
from .test_interruption import PAUSE, SLOW, interrupted_at, wait_until

EXPECTED = Path(__file__).parent / "expected_ci"
HOSTILE = 'a<b>&"c|d`]]>\n😀--->*_.png'
SHOWN = 'a<b>&"c|d`]]>\\x0a😀--->*_.png'
GATES = """\
[gates]
"radial_error_px.mean" = ["<= 4.0", "upper <= 100"]
"radial_error_px.max" = ">= 0"
"sdr_px.8" = ">= 0.90"
"radial_error_mm.mean" = "<= 2"
"vertebrae.L5.radial_error_px.mean" = "lower <= 5"
"losses.coord" = "<= 1"
"anatomy.images_with_violations" = "upper <= 0.02"
"calibration.mace" = "<= 0.05"
"images.failed" = "<= 0"
"""
FILES = ("--junit", "ci.xml", "--markdown", "ci.md")


def masked(text: str) -> str:
    """JUnit without the two times and the version."""
    text = re.sub(r'timestamp="\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d"', 'timestamp="…"', text)
    text = re.sub(r'time="\d+\.\d{3}"', 'time="…"', text)
    return re.sub(r'(name="mahtdiag" value=")[^"]+', r"\1…", text)


def suite_of(path: Path) -> ET.Element:
    """The one test suite of a file that keeps to the common schema."""
    root = ET.parse(path).getroot()
    assert problems(root) == []
    (suite,) = root
    return suite


def outcomes(path: Path) -> dict[str, str]:
    """What became of every test case."""
    cases = suite_of(path).findall("testcase")
    return {case.get("name", ""): case[0].tag if len(case) else "passed" for case in cases}


def error_of(path: Path) -> str:
    """The message of the one test case, which is an error."""
    suite = suite_of(path)
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("1", "0", "1")
    return suite.findall("testcase")[0][0].get("message", "")


def as_expected(desk: Desk, name: str) -> None:
    """Both files, to the last letter. To renew them: copy what is printed, and read every line."""
    for path, kind in (("ci.xml", "xml"), ("ci.md", "md")):
        text = masked((desk.path / path).read_text(encoding="utf-8"))
        assert text == (EXPECTED / f"{name}.{kind}").read_text(encoding="utf-8"), text
    assert problems(ET.parse(desk.path / "ci.xml").getroot()) == []


def hostile(folder: Path) -> None:
    """Give the worst image of a set a name that is hard on every format, and empty another one."""
    for extension in (".png", ".csv"):
        (worst,) = folder.glob(f"0006-*{extension}")
        worst.rename(worst.with_name(HOSTILE).with_suffix(extension))
    next(folder.glob("0002-*.png")).write_bytes(b"")


def test_the_whole_files_of_an_evaluation(desk: Desk) -> None:
    hostile(desk.path / "data/AP")
    (desk.path / "mahtdiag.toml").write_text(GATES)
    done = desk.lookup("exact", "--allow-failures", "1", *FILES)
    assert (done.status, done.errors) == (1, [])
    as_expected(desk, "evaluate")


def test_failed_images_that_are_not_allowed(desk: Desk) -> None:
    hostile(desk.path / "data/AP")
    done = desk.lookup("exact", *FILES)
    assert done.status == 2
    (case,) = suite_of(desk.path / "ci.xml").findall("testcase")
    assert (case[0].tag, case[0].get("message")) == ("failure", "1 of 6 images failed")
    (line,) = (case[0].text or "").splitlines()
    assert line.startswith("AP/0002-M-084Y0.png: ")
    heading = (desk.path / "ci.md").read_text(encoding="utf-8").splitlines()[0]
    assert heading == "## ❌ mahtdiag evaluate: 1 image failed"


def test_the_whole_files_of_judged_predictions(desk: Desk) -> None:
    labels = natural_spines(View.AP, 3)
    predictions = labels.copy()
    predictions[1, 8:12] = predictions[1, [9, 8, 11, 10]]
    write_run(desk.path / "runs" / "a", labels, predictions, View.AP)
    (desk.path / "mahtdiag.toml").write_text(
        '[gates]\n"anatomy.images_with_violations" = "<= 0.02"\n"anatomy.level_shifts" = "<= 0"\n'
        '"anatomy.by_code.A402.images" = "<= 0"\n"anatomy.vertebrae.L3.violations" = "<= 0"\n'
        '"radial_error_px.mean" = "<= 1"\n'
    )
    done = desk.run("anatomy", "--no-pictures", *FILES)
    assert (done.status, done.err) == (1, "")
    as_expected(desk, "anatomy")


def test_the_whole_files_of_judged_labels(desk: Desk) -> None:
    folder = desk.path / "data" / "AP"
    hostile(folder)
    rows = (folder / HOSTILE).with_suffix(".csv").read_text().splitlines()
    rows[4:6] = reversed(rows[4:6])
    (folder / HOSTILE).with_suffix(".csv").write_text("\n".join(rows))
    (desk.path / "labels.toml").write_text(
        '[gates]\n"anatomy.images_with_violations" = "<= 0"\n"anatomy.level_shifts" = "<= 0"\n'
    )
    done = desk.run("anatomy", "--labels", "data/AP", "--config", "labels.toml", *FILES)
    assert done.status == 2
    as_expected(desk, "labels")
    next(folder.glob("0002-*.csv")).unlink()
    next(folder.glob("0002-*.png")).unlink()
    done = desk.run("anatomy", "--labels", "data/AP", "--config", "labels.toml", *FILES)
    assert done.status == 1
    assert outcomes(desk.path / "ci.xml") == {
        "images evaluated": "passed", "anatomy.images_with_violations <= 0": "failure",
    }  # fmt: skip


def test_the_whole_files_of_a_calibration(desk: Desk) -> None:
    assert desk.lookup("exact").status == 0
    (desk.path / "mahtdiag.toml").write_text(
        '[gates]\n"calibration.mace" = "<= 0.05"\n"calibration.sharpness_px" = "<= 10"\n'
        '"calibration.groups.vertebra.L5.mace" = "<= 0.05"\n"images.failed" = "<= 0"\n'
    )
    done = desk.run("calibration", "--no-pictures", *FILES)
    assert (done.status, done.err) == (1, "")
    as_expected(desk, "calibration")


def test_without_gates_there_is_one_test_case(desk: Desk) -> None:
    assert desk.lookup("exact", *FILES).status == 0
    assert outcomes(desk.path / "ci.xml") == {"images evaluated": "passed"}
    heading = (desk.path / "ci.md").read_text(encoding="utf-8").splitlines()[0]
    assert heading == "## ✅ mahtdiag evaluate: done, no gate is set"


def test_the_same_twice_gives_the_same_files(desk: Desk) -> None:
    (desk.path / "mahtdiag.toml").write_text(GATES)
    assert desk.lookup("exact", *FILES).status == 1
    first = [masked((desk.path / name).read_text(encoding="utf-8")) for name in ("ci.xml", "ci.md")]
    assert desk.lookup("exact", *FILES, "--resume").status == 1
    assert [masked((desk.path / name).read_text(encoding="utf-8")) for name in ("ci.xml", "ci.md")] == first


def empty_images(desk: Desk) -> Finished:
    for path in (desk.path / "data/AP").glob("*.png"):
        path.write_bytes(b"")
    return desk.lookup("exact", *FILES, data="data/AP")


CANNOT = {
    "no checkpoint": ("evaluate", "none.pt", "data"),
    "no data": ("evaluate", "ap.pt", "nowhere"),
    "bad setting": ("evaluate", "ap.pt", "data", "--input-size", "huge"),
    "nothing to resume": ("evaluate", "ap.pt", "data", "--resume"),
    "bad configuration": ("evaluate", "ap.pt", "data", "--config", "none.toml"),
    "no run": ("anatomy",),
    "no labels": ("anatomy", "--labels", "nowhere"),
    "no run to calibrate": ("calibration",),
}


@pytest.mark.parametrize("case", CANNOT)
def test_what_cannot_be_done_is_an_error(desk: Desk, case: str) -> None:
    done = desk.run(*CANNOT[case], *FILES)
    assert (done.status, done.text) == (2, "")
    said = "; ".join(line.removeprefix("error: ") for line in done.err.splitlines())
    assert error_of(desk.path / "ci.xml") == said
    text = (desk.path / "ci.md").read_text(encoding="utf-8")
    assert text.startswith(f"## ❌ mahtdiag {CANNOT[case][0]}: could not be done\n\n- ")


def test_nothing_evaluated_is_an_error(desk: Desk) -> None:
    done = empty_images(desk)
    assert done.status == 2
    assert error_of(desk.path / "ci.xml").startswith(
        "data/AP: none of 6 images could be evaluated; the first: "
    )
    text = (desk.path / "ci.md").read_text(encoding="utf-8")
    assert text.startswith("## ❌ mahtdiag evaluate: could not be done\n")
    assert "### Failed images: 6\n" in text


def test_a_defect_of_ours_is_an_error(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("over\nzero")

    monkeypatch.setattr("mahtdiag.workflows.evaluate.job.prepare", broken)
    assert desk.run("evaluate", "ap.pt", "data", *FILES).status == 2
    assert error_of(desk.path / "ci.xml") == "internal error: ZeroDivisionError: over\\x0azero"


def test_an_interruption_is_an_error(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.cli.test_interruption.SLOW", (*SLOW, *FILES))
    done = interrupted_at(desk, "image-2", signal.SIGTERM)
    assert done.status == 130
    assert error_of(desk.path / "ci.xml") == "interrupted; run can be finished with --resume"


@pytest.mark.parametrize("files", [FILES, ()])
def test_an_interruption_of_what_reads_runs_is_told_too(tmp_path: Path, files: tuple[str, ...]) -> None:
    code = (
        "import signal, sys; from mahtdiag.workflows.calibration import job\n"
        "job.calibrate = lambda *_: signal.raise_signal(signal.SIGINT)\n"
        f"from mahtdiag.cli.app import main; sys.argv = {['mahtdiag', 'calibration', *files]!r}; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment(), capture_output=True, text=True
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "interrupted\n")
    if files:
        assert error_of(tmp_path / "ci.xml") == "interrupted"


def test_a_killed_command_leaves_no_success_behind(desk: Desk) -> None:
    assert desk.lookup("exact", *FILES).status == 0
    marks = desk.path / "marks"
    marks.mkdir()
    more = {networks.PAUSE: PAUSE, networks.MARKS: str(marks)}
    process = start(desk.path, "evaluate", "lookup-ap.pt", "data", *SLOW, "--out", "other", *FILES, **more)
    wait_until((marks / "image-1").exists, process)
    process.kill()
    finish(process)
    assert error_of(desk.path / "ci.xml").startswith("not finished: ")
    assert "could not be done" in (desk.path / "ci.md").read_text(encoding="utf-8")


UNWRITABLE = {
    "data": "a folder; name a file",
    "ap.pt/ci.xml": "a file stands where a folder is needed; name another",
    "ap.pt/deeper/ci.xml": "a file stands where a folder is needed; name another",
    "/dev/full": "cannot be written (No space left on device); name another file",
    "/proc/ci.xml": "cannot be written (No such file or directory); name another file",
    "x" * 300: "cannot be written (File name too long); name another file",
}


@pytest.mark.parametrize("option", ["--junit", "--markdown"])
@pytest.mark.parametrize("path", UNWRITABLE)
def test_a_file_that_cannot_be_written_is_refused(desk: Desk, option: str, path: str) -> None:
    done = desk.lookup("exact", option, path)
    assert done.status == 2
    assert done.errors == [f"error: {option} {path}: {UNWRITABLE[path]}"]
    # Nothing has been evaluated in vain.
    assert (path == "/dev/full") == (desk.path / "run").exists()


def test_a_read_only_folder(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "replace", refuse)
    desk.run("anatomy", "--junit", "ci.xml").refused(
        "--junit ci.xml: cannot be written (Permission denied); name another file"
    )
    assert not [path for path in desk.path.iterdir() if path.name.startswith((".tmp", "ci.xml"))]


def test_a_file_that_cannot_be_written_at_the_end(desk: Desk) -> None:
    """The tables are printed, the other file is written, and the status says that not all was done."""
    done = desk.lookup("exact", "--junit", "run/run.json/ci.xml", "--markdown", "ci.md")
    assert done.status == 2
    assert done.errors == [
        "error: --junit run/run.json/ci.xml: a file stands where a folder is needed; name another"
    ]
    assert "Radial error" in done.text
    assert (desk.path / "ci.md").read_text(encoding="utf-8").startswith("## ✅")


def test_files_in_new_folders_and_in_the_run_folder(desk: Desk) -> None:
    done = desk.lookup("exact", "--junit", "new/folder/ci.xml", "--markdown", "run/ci.md")
    assert (done.status, done.errors) == (0, [])
    assert outcomes(desk.path / "new/folder/ci.xml") == {"images evaluated": "passed"}
    assert (desk.path / "run/ci.md").read_text(encoding="utf-8").startswith("## ✅")


def test_devices_and_links_stay_what_they_are(desk: Desk) -> None:
    (desk.path / "link.xml").symlink_to("real.xml")
    done = desk.lookup("exact", "--junit", "link.xml", "--markdown", "/dev/null")
    assert (done.status, done.errors) == (0, [])
    assert (desk.path / "link.xml").is_symlink()
    assert outcomes(desk.path / "real.xml") == {"images evaluated": "passed"}
    assert Path("/dev/null").is_char_device()


@pytest.mark.parametrize(
    ("option", "first"), [("--junit", "<?xml "), ("--markdown", "## ✅ mahtdiag evaluate")]
)
def test_standard_output_instead_of_tables(desk: Desk, option: str, first: str) -> None:
    done = desk.lookup("exact", option, "-")
    assert (done.status, done.errors) == (0, [])
    assert done.text.startswith(first)
    assert "Radial error" not in done.text
    assert not (desk.path / "-").exists()
    failed = desk.run("evaluate", "none.pt", "data", option, "-")
    assert failed.status == 2
    assert "none.pt" in failed.text


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("--junit", "-", "--format", "json"), "--junit -: --format json has standard output; name a file"),
        (
            ("--markdown", "-", "--format", "json"),
            "--markdown -: --format json has standard output; name a file",
        ),
        (("--junit", "-", "--markdown", "-"), "--junit and --markdown -: name two files"),
        (("--junit", "a", "--markdown", "./a"), "--junit and --markdown a: name two files"),
    ],
)
def test_one_place_for_two_results(desk: Desk, arguments: tuple[str, ...], problem: str) -> None:
    desk.run("anatomy", *arguments).refused(problem)


@pytest.mark.parametrize("name", ["run.json", "images.parquet", "keypoints.parquet"])
def test_a_slip_does_not_cost_the_run(desk: Desk, name: str) -> None:
    """What is begun before the run is read must not be the run."""
    assert desk.lookup("exact").status == 0
    content = (desk.path / "run" / name).read_bytes()
    desk.run("anatomy", "run", "--junit", f"run/{name}").refused(
        f"--junit run/{name}: the name of a run's own file; name another"
    )
    assert (desk.path / "run" / name).read_bytes() == content
