"""`mahtdiag export`: what it prints and leaves behind, formats that are registered, bad usage."""

import json
import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from mahtdiag.data import writers
from mahtdiag.data.outgoing import OutgoingSet, Written

from .builders import ROOT
from .command import Desk

ROOT_SAID = "next: images are named from data/AP on, or with --image-root before that\n"
PRINTED = {
    "coco": ("out.json", "COCO keypoints", ROOT_SAID),
    "yolo": (
        "out",
        "YOLO pose, 7 files",
        "next: lay the images beside the labels, in the same folders\nln -s ../data/AP out/images\n",
    ),
    "csv": ("out.csv", "a table (CSV)", ROOT_SAID),
    "labelme": (
        "out",
        "LabelMe, 6 files",
        "next: open one of the files, or the images with all of them\nlabelme data/AP --output out\n",
    ),
    "labelstudio": (
        "out.json",
        "Label Studio, 2 files",
        "next: paste the .interface.xml beside it into Labeling Interface, then import it\n",
    ),
    "slicer": (
        "out",
        "3D Slicer markups, 6 files",
        "next: load an image into Slicer, then the .mrk.json of its name\n",
    ),
}


@dataclass(frozen=True)
class CountWriter:
    """How many points there are of each image, a line each."""

    name: str = "count"
    title: str = "numbers of points"
    ending: str | None = ".txt"
    prefix: str | None = "{data}/"
    needs_size: bool = False
    in_mm: bool = False
    beside: bool = False
    hint: str = "read {file}"

    def write(self, outgoing: OutgoingSet, name: str) -> Written:
        lines = [f"{image.link} {image.points.known.sum()}\n" for image in outgoing.images]
        return Written({name: "".join(lines).encode()})


@pytest.fixture
def run(desk: Desk) -> Desk:
    """A desk with a finished run, `run`, the latest."""
    assert desk.lookup("exact", data="data/AP").status == 0
    return desk


@pytest.mark.parametrize("name", PRINTED)
def test_what_is_printed(run: Desk, name: str) -> None:
    file, kind, then = PRINTED[name]
    done = run.run("export", "--to", name, file)
    assert (done.status, done.err) == (0, "")
    written = sorted(run.path.glob("out*"))
    files = [path for place in written for path in (place, *place.rglob("*")) if path.is_file()]
    size = f"{sum(path.stat().st_size for path in files) / 1e3:.1f} kB"
    said = f"export: {file} ({kind}, {size})\npredictions of 6 images of run, 120 keypoints\n{then}"
    assert done.text == said


def test_every_format_is_printed_and_in_the_help(run: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    assert list(PRINTED) == [writer.name for writer in writers.WRITERS]
    monkeypatch.setenv("COLUMNS", "160")
    assert "|".join(PRINTED) in run.run("export", "--help").text
    assert f"--to {'|'.join(PRINTED)}".replace("|", "\\|") in (ROOT / "docs" / "export.md").read_text(
        encoding="utf-8"
    )


def test_a_line_break_in_a_name_is_no_line(run: Desk) -> None:
    done = run.run("export", "--to", "csv", "x\n::error::y.csv")
    assert done.text.splitlines()[0].startswith("export: x\\x0a::error::y.csv (a table (CSV), ")
    assert (run.path / "x\n::error::y.csv").is_file()


def test_json(run: Desk) -> None:
    done = run.run("export", "run", "out.csv", "--to", "csv", "--worst", "2", "--labels", "--format", "json")
    assert (done.status, done.err) == (0, "")
    assert json.loads(done.text) == {
        "export": "out.csv", "to": "csv", "run": "run", "points": "labels", "chosen": "largest mean error",
        "images": 2, "keypoints": 40, "files": 1, "bytes": (run.path / "out.csv").stat().st_size,
        "left_out": [], "notes": [],
    }  # fmt: skip


def test_a_writer_that_is_registered_is_used(run: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writers, "WRITERS", (*writers.WRITERS, CountWriter()))
    done = run.run("export", "--to", "count", "out.txt")
    assert done.text.splitlines()[0] == "export: out.txt (numbers of points, 0.1 kB)"
    assert done.text.splitlines()[-1] == "next: read out.txt"
    first = (run.path / "out.txt").read_text().splitlines()[0]
    assert re.fullmatch(r"AP/0001-.*\.png 20", first)


USAGE = {
    "no file": (("--to", "csv"), "missing argument '[RUN] FILE' (see mahtdiag export --help)"),
    "no format": (("out.csv",), "missing option '--to' (see mahtdiag export --help)"),
    "another format": (
        ("--to", "COCO", "out.json"),
        "--to COCO: not a format: one of coco, yolo, csv, labelme, labelstudio, slicer",
    ),
    "standard output": (("-", "--to", "csv"), "-: not standard output; name a file"),
    "three names": (
        ("a", "b", "c", "--to", "csv"),
        "3 names: give a run folder and what to write, or the latter alone",
    ),
    "nothing": (("out.csv", "--to", "csv", "--worst", "0"), "--worst 0: expected a number of images from 1"),
    "two choices": (
        ("out.csv", "--to", "csv", "--worst", "1", "--suspicious", "2"),
        "--worst and --suspicious choose images in two ways: give one of them",
    ),
    "no run": (("run2", "out.csv", "--to", "csv"), "{desk}/run2: no such run folder; check the name, or name "
               "latest, the newest run"),
}  # fmt: skip


@pytest.mark.parametrize("case", USAGE)
def test_bad_usage_is_one_line(desk: Desk, case: str) -> None:
    arguments, problem = USAGE[case]
    desk.run("export", *arguments).refused(problem.format(desk=desk.path))
    assert not (desk.path / "out.csv").exists()


def test_an_edited_run_is_refused(run: Desk) -> None:
    table = run.path / "run/keypoints.parquet"
    table.write_bytes(table.read_bytes() + b"x")
    done = run.run("export", "--to", "csv", "out.csv")
    assert (done.status, done.text, len(done.errors)) == (2, "", 1)
    assert not (run.path / "out.csv").exists()


def test_what_is_exported_is_read_again(run: Desk) -> None:
    """The labels as COCO, in place of the set's own: the same errors."""
    assert run.run("export", "--to", "coco", "coco.json", "--labels").status == 0
    for file in (run.path / "data/AP").glob("*.csv"):
        file.unlink()
    Path("coco.json").rename(run.path / "data/AP/coco.json")
    before = json.loads((run.path / "run/run.json").read_text())["metrics"]["radial_error_px"]["mean"]
    done = run.lookup("exact", "--out", "again", data="data/AP")
    assert done.status == 0, done.err
    after = json.loads((run.path / "again/run.json").read_text())
    assert after["data"]["format"] == "coco"
    assert after["metrics"]["radial_error_px"]["mean"] == pytest.approx(before, abs=1e-3)
