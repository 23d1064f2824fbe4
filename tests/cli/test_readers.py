"""A reader that is registered is found by every command that opens a set, with no other edit."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from mahtdiag.data import readers
from mahtdiag.data.files import Dataset, ViewEvidence
from mahtdiag.schema.read_options import ReadOptions
from mahtdiag.schema.records import Sample
from mahtdiag.schema.skeleton import Levels, View, skeleton_with

from .builders import Bench, Truth
from .command import Desk, columns_of, document_of

POINTS = "points.txt"


@dataclass(frozen=True)
class PointsFile:
    """One line per image: its name, then x and y of every keypoint, `-` where a number is missing."""

    name: str = "points-file"
    title: str = "points in a file"

    def recognises(self, path: Path) -> str | None:
        return POINTS if (path / POINTS).is_file() else None

    def read(self, path: Path, options: ReadOptions) -> "PointsSet":
        return PointsSet(path, [line.split() for line in (path / POINTS).read_text().splitlines()])


@dataclass(frozen=True)
class PointsSet:
    path: Path
    lines: list[list[str]]

    def view_evidence(self) -> tuple[ViewEvidence, ...]:
        skeleton = skeleton_with(len(self.lines[0]) // 2)
        assert skeleton is not None
        return (ViewEvidence(skeleton.view, "the points"),)

    def levels(self) -> Levels | None:
        return None

    def of_view(self, view: View | None, levels: Levels | None = None) -> Dataset:
        skeleton = self.view_evidence()[0].view.skeleton
        samples = []
        for image, *cells in self.lines:
            points = np.array([float("nan") if cell == "-" else float(cell) for cell in cells]).reshape(-1, 2)
            digest = hashlib.sha256(points.tobytes()).hexdigest()
            samples.append(Sample(image, str(self.path / image), skeleton, points, digest))
        return Dataset(self.path, PointsFile().name, skeleton, tuple(samples), (), ("read from points",))


@pytest.fixture(autouse=True)
def _points_files_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readers, "READERS", (*readers.READERS, PointsFile()))


def write_points(folder: Path, truths: tuple[Truth, ...], missing: int | None = None) -> None:
    """In place of the set's own annotations."""
    lines = []
    for truth in truths:
        cells = [repr(float(number)) for number in truth.keypoints_px.ravel()]
        if missing is not None:
            cells[2 * missing] = "-"
        lines.append(" ".join((f"{truth.stem}.png", *cells)))
        (folder / f"{truth.stem}.csv").unlink()
    (folder / POINTS).write_text("\n".join(lines))


def test_evaluate_reads_the_format(desk: Desk, bench: Bench) -> None:
    assert desk.lookup("exact", "--out", "buu", data="data/AP").status == 0
    write_points(desk.path / "data/AP", bench.ap)
    done = desk.lookup("exact", data="data/AP")
    assert done.status == 0, done.err
    as_buu, as_points = document_of(desk.path / "buu"), document_of(desk.path / "run")
    assert (as_buu["data"]["format"], as_points["data"]["format"]) == ("buu-lspine", "points-file")
    assert as_points["metrics"] == as_buu["metrics"]
    assert as_points["notes"] == ["annotations read as points in a file", "read from points"]


def test_its_missing_keypoints_are_missing(desk: Desk, bench: Bench) -> None:
    write_points(desk.path / "data/AP", bench.ap, missing=5)
    assert desk.lookup("exact", data="data/AP").status == 0
    errors = columns_of(desk.path / "run" / "keypoints.parquet")
    missing = np.isnan(np.array(errors["error_px"], dtype=float))
    assert set(
        zip(np.array(errors["vertebra"])[missing], np.array(errors["corner"])[missing], strict=True)
    ) == {("L2", "UR")}


def test_anatomy_judges_its_labels(desk: Desk, bench: Bench) -> None:
    plain = desk.run("anatomy", "--labels", "data/AP").text
    write_points(desk.path / "data/AP", bench.ap)
    done = desk.run("anatomy", "--labels", "data/AP")
    assert done.status == 0
    notes = ["note: annotations read as points in a file", "note: read from points"]
    lines = [line for line in done.text.splitlines() if line.strip()]
    assert [line for line in lines if line not in notes] == [s for s in plain.splitlines() if s.strip()]
    assert [line for line in lines if line in notes] == notes


def test_a_set_in_two_formats_is_refused(desk: Desk) -> None:
    (desk.path / "data/AP" / POINTS).touch()
    first = min(path.name for path in (desk.path / "data/AP").glob("*.csv"))
    both = (
        f"annotated in 2 formats, buu-lspine ({first}) and points-file ({POINTS}): keep one of them, or name"
    )
    both += " it with --data-format"
    desk.run("evaluate", "ap.pt", "data/AP").refused(f"data/AP: {both}")
    desk.run("anatomy", "--labels", "data/AP").refused(f"{desk.path}/data/AP: {both}")
