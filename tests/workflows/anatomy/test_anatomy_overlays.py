"""Overlays of what `anatomy` judged: the worst images of a run that still has its images, or labels."""

import hashlib
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from mahtdiag.config.settings import EvaluateSettings, Settings
from mahtdiag.diagnosis.anatomy import AnatomyReport
from mahtdiag.errors import RunFolderError, UsageError
from mahtdiag.runs.reading import open_run
from mahtdiag.schema.choices import ImageChoice, OverlayStyle
from mahtdiag.schema.skeleton import View
from mahtdiag.workflows.anatomy.job import AnatomyRequest, judge_anatomy
from mahtdiag.workflows.anatomy.overlays import Subject, draw_judged, subjects_of_run, worst_judged
from mahtdiag.workflows.progress import NoProgress
from tests.anatomy.spines import natural_spines
from tests.data.builders import write_pair
from tests.workflows.anatomy_runs import HEIGHT, WIDTH, write_run
from tests.workflows.report_runs import MIRRORED, write_report_run

ALL = ImageChoice.parse("all")


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Four AP images; L3 is mirrored in the second and the fourth prediction."""
    labels = natural_spines(View.AP, 4)
    predictions = labels.copy()
    predictions[1, 8:12] = predictions[1, [9, 8, 11, 10]]
    predictions[3, 8:12] = predictions[3, [9, 8, 11, 10]]
    predictions[3, 0] += 300
    return write_run(tmp_path / "runs" / "a", labels, predictions, View.AP)


def report_of(cwd: Path, *, overlays: str | None = None, pictures: bool = True) -> AnatomyReport:
    chosen = None if overlays is None else ImageChoice.parse(overlays)
    request = AnatomyRequest(Settings(), None, None, None, None, None, pictures, cwd, chosen)
    return judge_anatomy(request, NoProgress()).report


def subjects(cwd: Path, overlays: str) -> list[Subject]:
    """What would be drawn, with the images that are there."""
    run = open_run(None, cwd)
    chosen = worst_judged(report_of(cwd, overlays="none").verdict, ImageChoice.parse(overlays))
    return subjects_of_run(run, run.table(), chosen)


def write_images(cwd: Path) -> bytes:
    content = cv2.imencode(".jpg", np.full((HEIGHT, WIDTH), 90, np.uint8))[1].tobytes()
    (cwd / "data").mkdir()
    for number in range(4):
        (cwd / "data" / f"{number:04d}.jpg").write_bytes(content)
    return content


def test_a_run_whose_data_is_gone_gets_a_note(tmp_path: Path, run: Path) -> None:
    assert "no overlays: data is gone" in report_of(tmp_path).notes
    assert not (run / "anatomy" / "overlays").exists()
    assert report_of(tmp_path, pictures=False).notes == ()
    assert report_of(tmp_path, overlays="none").notes == ()


def test_images_that_are_gone_or_others_are_not_drawn(tmp_path: Path, run: Path) -> None:
    write_images(tmp_path)  # their digests are not those of the run
    note = "no overlay of 0003.jpg and 1 more: the image is gone or another one now"
    assert note in report_of(tmp_path).notes
    for image in (tmp_path / "data").iterdir():
        image.unlink()
    assert note in report_of(tmp_path).notes
    assert not (run / "anatomy" / "overlays").exists()


def test_the_worst_are_drawn_by_name(tmp_path: Path, run: Path) -> None:
    digest = hashlib.sha256(write_images(tmp_path)).hexdigest()
    assert [s.record.image for s in subjects(tmp_path, "worst:1")] == ["0003.jpg"]
    assert len(subjects(tmp_path, "all")) == 4
    assert subjects(tmp_path, "none") == []
    chosen = [replace(subject, sha256=digest) for subject in subjects(tmp_path, "worst:12")]
    assert all("A402" in {finding.code for finding in s.record.findings} for s in chosen)
    folder = run / "anatomy" / "overlays"
    notes = draw_judged(chosen, View.AP.skeleton, folder, tmp_path, NoProgress(), labels_judged=False)
    assert notes == ("2 overlays in runs/a/anatomy/overlays",)
    assert sorted(path.name for path in folder.iterdir()) == ["0001.png", "0003.png"]
    with_panel = cv2.imread(str(folder / "0001.png"))
    paper = OverlayStyle.PAPER
    draw_judged(chosen, View.AP.skeleton, folder, tmp_path, NoProgress(), labels_judged=False, style=paper)
    alone = cv2.imread(str(folder / "0001.png"))
    assert with_panel is not None
    assert alone is not None
    assert with_panel.shape[1] > with_panel.shape[0] > 0
    assert alone.shape[1] < with_panel.shape[1]


@pytest.mark.parametrize(("asked", "set_to", "drawn"), [
    (None, None, OverlayStyle.PANEL), (None, OverlayStyle.PAPER, OverlayStyle.PAPER),
    (OverlayStyle.PANEL, OverlayStyle.PAPER, OverlayStyle.PANEL),
])  # fmt: skip
def test_the_style_is_that_of_the_option_then_of_the_settings(
    tmp_path: Path, asked: OverlayStyle | None, set_to: OverlayStyle | None, drawn: OverlayStyle
) -> None:
    settings = Settings(evaluate=EvaluateSettings(overlay_style=set_to))
    request = AnatomyRequest(settings, None, None, None, None, None, True, tmp_path, overlay_style=asked)
    assert request.style is drawn


def test_no_picture_of_an_earlier_judgement_stays(tmp_path: Path) -> None:
    told = write_report_run(tmp_path)
    folder = told.run / "anatomy" / "overlays"

    def drawn(overlays: str, *, pictures: bool = True) -> list[str]:
        report_of(tmp_path, overlays=overlays, pictures=pictures)
        return sorted(path.name for path in folder.iterdir())

    assert len(drawn("all")) == 8
    (folder / "mine.png").write_bytes((told.data / told.names[0]).read_bytes())
    assert drawn("worst:1") == ["0001.png", "mine.png"]
    assert drawn("none", pictures=False) == ["0001.png", "mine.png"]
    assert drawn("worst:0") == ["mine.png"]
    # What cannot be drawn again stays.
    assert len(drawn("all")) == 9
    told.data.rename(tmp_path / "moved")
    assert len(drawn("worst:1")) == 9
    told.data.mkdir()
    assert len(drawn("worst:1")) == 9


def test_overlays_of_labels_are_those_of_the_set_that_was_judged(tmp_path: Path) -> None:
    for number, name in enumerate(("first", "second")):
        write_pair(tmp_path / name, f"{number:04d}", View.AP)
    for number, name in enumerate(("first", "second")):
        request = AnatomyRequest(
            Settings(), None, Path(name), View.AP, None, None, True, tmp_path, ALL, Path("out")
        )
        judge_anatomy(request, NoProgress())
        assert [path.name for path in (tmp_path / "out").iterdir()] == [f"{number:04d}.png"]


@pytest.mark.parametrize("out", ["set/AP", "set/../set/AP", "link"])
def test_overlays_of_labels_never_replace_the_images(tmp_path: Path, out: str) -> None:
    write_pair(tmp_path / "set" / "AP", "0001", View.AP)
    (tmp_path / "link").symlink_to("set/AP")
    before = (tmp_path / "set" / "AP" / "0001.png").read_bytes()
    request = AnatomyRequest(
        Settings(), None, Path("set"), View.AP, None, None, True, tmp_path, ALL, Path(out)
    )
    with pytest.raises(UsageError) as refused:
        judge_anatomy(request, NoProgress())
    assert refused.value.problems == (f"--out {out}: the images themselves are there; name another folder",)
    assert (tmp_path / "set" / "AP" / "0001.png").read_bytes() == before


def test_a_name_with_control_characters_is_found(tmp_path: Path) -> None:
    told = write_report_run(tmp_path, 3, name_of=lambda count: ["0.jpg", r"new\x0aline.jpg", "2.jpg"])
    (told.data / told.names[MIRRORED]).rename(told.data / "new\nline.jpg")
    assert "1 overlay in runs/a/anatomy/overlays" in report_of(tmp_path).notes


def test_a_folder_that_cannot_be_written(tmp_path: Path, run: Path) -> None:
    """It was named: that is an error, not a note."""
    digest = hashlib.sha256(write_images(tmp_path)).hexdigest()
    chosen = [replace(subject, sha256=digest) for subject in subjects(tmp_path, "worst:1")]
    (tmp_path / "file").write_text("")
    with pytest.raises(RunFolderError, match="file: a file stands where a folder is needed"):
        draw_judged(chosen, View.AP.skeleton, tmp_path / "file", tmp_path, NoProgress(), labels_judged=True)


def test_a_folder_in_a_run_that_cannot_be_written_gets_a_note(tmp_path: Path) -> None:
    write_report_run(tmp_path, 3)
    folder = tmp_path / "runs" / "a" / "anatomy"
    folder.mkdir()
    (folder / "overlays").write_text("")
    (note,) = [note for note in report_of(tmp_path).notes if note.startswith("no overlays: ")]
    assert "anatomy/overlays: a file stands where a folder is needed" in note


def test_out_and_overlays_go_with_labels(tmp_path: Path, run: Path) -> None:
    request = AnatomyRequest(Settings(), run, None, None, None, None, True, tmp_path, None, Path("out"))
    with pytest.raises(UsageError, match="--out goes with --labels"):
        judge_anatomy(request, NoProgress())
    labels = replace(request, run=None, labels=Path("data"), out=None, overlays=ALL)
    with pytest.raises(UsageError, match="--overlays with --labels needs --out DIR"):
        judge_anatomy(labels, NoProgress())
