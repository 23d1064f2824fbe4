"""From a run folder to a page: what it holds, what it does without, when there is none."""

import base64
import json
import re
import shutil
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from mahtdiag.config.gates import GateSettings
from mahtdiag.config.settings import Settings
from mahtdiag.diagnosis.gates import BaselineGates, Gate, GateKind, Margin
from mahtdiag.errors import ExitStatus, RunFolderError, UsageError
from mahtdiag.schema.choices import DEFAULT_GALLERY, ImageChoice
from mahtdiag.schema.records import Failure
from mahtdiag.schema.skeleton import View
from mahtdiag.workflows.progress import NoProgress
from mahtdiag.workflows.report.job import Report, ReportRequest, write_report
from tests.workflows.report_runs import FAILED, MISSED, PASSED, SHIFTED, Told, numbered, write_report_run

NO_SETTINGS = Settings()


def reported(
    folder: Path,
    images: str = str(DEFAULT_GALLERY),
    *,
    data: Path | None = None,
    out: Path | None = None,
    settings: Settings = NO_SETTINGS,
) -> Report:
    """The report of the latest run of a folder."""
    return write_report(
        ReportRequest(settings, None, out, ImageChoice.parse(images), data, folder), NoProgress()
    )


class Parts(HTMLParser):
    """Texts and script blocks of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.blocks: dict[str, str] = {}
        self.texts: list[str] = []
        self._block: str | None = None
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Remember which script block begins."""
        self._block = str(dict(attrs).get("id")) if tag == "script" else None

    def handle_endtag(self, tag: str) -> None:
        """It ends."""
        self._block = None

    def handle_data(self, data: str) -> None:
        """Its content, or a text."""
        if self._block is not None:
            self.blocks[self._block] = data
        else:
            self.texts.append(data)


def parts_of(report: Report) -> Parts:
    return Parts(report.path.read_text(encoding="utf-8"))


def gallery_of(report: Report) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(parts_of(report).blocks["gallery-data"])
    return content


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> tuple[Told, Report]:
    """A run and its report."""
    folder = tmp_path_factory.mktemp("plain")
    told = write_report_run(folder, gates=(PASSED,))
    return told, reported(folder)


@pytest.mark.parametrize("view", list(View))
def test_a_page_for_every_view(tmp_path: Path, view: View) -> None:
    told = write_report_run(tmp_path, view=view)
    report = reported(tmp_path)
    assert report.path == told.run / "report.html"
    assert report.bytes == report.path.stat().st_size
    assert (report.shown, report.without_picture) == (8, 0)
    assert (len(report.run.table()), len(report.run.table().failures)) == (8, 1)
    assert (report.status, report.notes) == (ExitStatus.OK, ())
    assert gallery_of(report)["keypoints"] == list(view.skeleton.keypoint_names)


def test_the_gallery_holds_what_the_run_holds(plain: tuple[Told, Report]) -> None:
    told, report = plain
    content = gallery_of(report)
    assert content["images"][0]["name"] == told.names[SHIFTED]
    for image in content["images"]:
        row = told.names.index(image["name"])
        for key, points in (("label", told.label_px[row]), ("pred", told.pred_px[row])):
            shown = np.array([np.nan if v is None else v for v in image[key]]).reshape(-1, 2)
            np.testing.assert_allclose(shown, points, atol=0.051)
        assert image["sigma"] == 2.0 + row
        assert image["shift"] == (1 if row == SHIFTED else 0)
    assert content["failed"] == [{"name": FAILED.image, "reason": FAILED.reason}]


def test_pictures_belong_to_their_images(tmp_path: Path) -> None:
    told = write_report_run(tmp_path, 3)
    report = reported(tmp_path)
    original = cv2.imread(str(told.data / told.names[0]), cv2.IMREAD_UNCHANGED)
    assert original is not None
    blocks, images = parts_of(report).blocks, gallery_of(report)["images"]
    for number, image in enumerate(images):
        jpeg = np.frombuffer(base64.b64decode(blocks[f"picture-{number}"]), np.uint8)
        picture = cv2.imdecode(jpeg, cv2.IMREAD_UNCHANGED)
        assert picture is not None
        width, height = image["covers"]
        shown = cv2.resize(original[:height, :width], picture.shape[::-1], interpolation=cv2.INTER_AREA)
        assert np.abs(picture.astype(float) - shown).mean() < 3


def test_the_same_run_gives_the_same_page(tmp_path: Path) -> None:
    write_report_run(tmp_path)
    first = reported(tmp_path).path.read_bytes()
    assert reported(tmp_path).path.read_bytes() == first


def test_nothing_in_it_points_elsewhere(plain: tuple[Told, Report]) -> None:
    page = plain[1].path.read_text(encoding="utf-8")
    inside = "#|data:image/(?:png|jpeg);base64,"
    assert re.findall(rf'(?:src|href|action|data|poster)="(?!{inside})([^"]*)"', page) == []
    assert re.findall(r"url\((?!#)[^)]*\)|@import", page) == []
    assert set(re.findall(r"https?://[^\s\"'<]+", page)) <= {"http://www.w3.org/2000/svg"}
    assert " style=" not in page
    assert re.findall(r"\son\w+=", page) == []


def test_what_it_says_of_the_run(plain: tuple[Told, Report]) -> None:
    texts = " ".join(parts_of(plain[1]).texts)
    for part in (
        "net.pt on data", "The gate passed.", "radial_error_px.mean", "a" * 64, "b" * 64, "dark", "2.13",
        "23 November 2026, 10:15 UTC", FAILED.reason, "left and right mirrored", "coronal Cobb angle",
        "1 image marked one level off",
    ):  # fmt: skip
        assert part in texts


def test_a_failed_gate_is_the_verdict_and_the_status(tmp_path: Path) -> None:
    write_report_run(tmp_path, gates=(PASSED, MISSED))
    report = reported(tmp_path)
    assert report.status is ExitStatus.GATE_FAILED
    texts = " ".join(parts_of(report).texts)
    assert "1 of 2 gates failed." in texts
    assert "anatomy.images_with_violations: 0.250, limit <= 0.02" in texts
    assert re.search(r"largest severity of violations:\s+0001.jpg", texts)


def test_the_gates_of_now_replace_those_of_the_run(tmp_path: Path) -> None:
    write_report_run(tmp_path, gates=(MISSED,))
    now = Settings(gates=GateSettings((Gate("images.failed", "<=", 1.0), Gate("images.failed", "<", 1.0))))
    report = reported(tmp_path, settings=now)
    assert [(r.gate.metric, r.value, r.passed) for r in report.gates] == [
        ("images.failed", 1.0, True),
        ("images.failed", 1.0, False),
    ]
    assert "1 of 2 gates failed." in parts_of(report).texts
    assert reported(tmp_path).gates[0].gate.metric == MISSED.metric


def test_a_baseline_of_now_is_judged_on_the_same_images(tmp_path: Path) -> None:
    told = write_report_run(tmp_path)
    stored = told.run.rename(tmp_path / "stored")
    write_report_run(tmp_path)
    margin = Margin("radial_error_px.mean", 0.5, relative=False)
    now = Settings(gates=GateSettings(baseline=BaselineGates("stored", (margin,))))
    report = reported(tmp_path, settings=now)
    (result,) = report.gates
    assert (result.value, result.reason) == (
        None,
        "stored is the run that is judged; name another one as its baseline",
    )
    shutil.rmtree(told.run)
    write_report_run(tmp_path, started=datetime(2026, 11, 24, tzinfo=UTC))
    report = reported(tmp_path, settings=now)
    (result,) = report.gates
    assert (result.gate.kind, result.value, result.passed) == (GateKind.BASELINE, 0.0, True)
    assert "radial_error_px.mean − baseline" in parts_of(report).texts
    shutil.rmtree(stored)
    assert reported(tmp_path, settings=now).status is ExitStatus.GATE_FAILED


def test_no_sigma_no_millimetres_no_failures(tmp_path: Path) -> None:
    write_report_run(tmp_path, failures=(), sigma=False)
    report = reported(tmp_path)
    assert "Not judged: the run has no σ." in parts_of(report).texts
    assert gallery_of(report)["images"][0]["spread"] is None


def test_millimetres_where_the_spacing_is_known(tmp_path: Path) -> None:
    write_report_run(tmp_path, spacing_mm=0.25)
    report = reported(tmp_path)
    assert "mean error, mm" in parts_of(report).texts
    assert gallery_of(report)["images"][0]["spacing"] == [0.25]


@pytest.mark.parametrize("count", [1, 2])
def test_hardly_any_image(tmp_path: Path, count: int) -> None:
    write_report_run(tmp_path, count)
    assert reported(tmp_path).shown == count


def test_some_images_all_or_none(tmp_path: Path) -> None:
    told = write_report_run(tmp_path)
    report = reported(tmp_path, "worst:2")
    assert [image["name"] for image in gallery_of(report)["images"]] == [told.names[2], told.names[1]]
    assert report.notes == (
        "The 2 images with the largest mean error of 8 images are shown; --images all shows every one.",
    )
    assert reported(tmp_path, "worst:1").notes == (
        "The image with the largest mean error of 8 images is shown; --images all shows every one.",
    )
    report = reported(tmp_path, "worst:0")
    assert (report.shown, report.notes) == (0, ("No images are shown; --images all shows every one.",))
    assert reported(tmp_path, "all").shown == 8
    report = reported(tmp_path, "none")
    assert (report.shown, report.notes) == (0, ())
    assert "gallery-data" not in parts_of(report).blocks


def test_images_that_have_moved(tmp_path: Path) -> None:
    told = write_report_run(tmp_path)
    told.data.rename(tmp_path / "elsewhere")
    report = reported(tmp_path)
    assert report.without_picture == 8
    assert report.notes == (
        "The images have moved: data is gone, so the keypoints are drawn alone. Name the folder where the "
        "images are now with --data.",
    )
    assert {(i["covers"], i["missing"]) for i in gallery_of(report)["images"]} == {(None, "data is gone")}
    assert reported(tmp_path, data=Path("elsewhere")).without_picture == 0
    with pytest.raises(UsageError, match="--data nowhere: no such folder"):
        reported(tmp_path, data=Path("nowhere"))


def test_a_data_folder_of_several_lines_is_told_on_one(tmp_path: Path) -> None:
    told = write_report_run(tmp_path)
    file = told.run / "run.json"
    content = json.loads(file.read_bytes())
    content["data"]["path"], content["checksums"] = "a\nb", None
    file.write_text(json.dumps(content))
    report = reported(tmp_path)
    assert report.notes[0].startswith(r"The images have moved: a\x0ab is gone, so")
    assert {image["missing"] for image in gallery_of(report)["images"]} == {r"a\x0ab is gone"}


def test_images_that_are_gone_changed_or_damaged(tmp_path: Path) -> None:
    def names(count: int) -> list[str]:
        return [*numbered(count - 1), "../secret.jpg"]

    told = write_report_run(tmp_path, 5, name_of=names)
    shutil.copy(told.data / told.names[3], tmp_path / "secret.jpg")
    (told.data / told.names[0]).unlink()
    (told.data / told.names[1]).write_bytes(b"another")
    (told.data / told.names[2]).unlink()
    (told.data / told.names[2]).mkdir()
    report = reported(tmp_path)
    assert {image["name"]: image["missing"] for image in gallery_of(report)["images"]} == {
        "0000.jpg": "the file is gone",
        "0001.jpg": "another image since the run",
        "0002.jpg": "cannot be read any more",
        "0003.jpg": "",
        "../secret.jpg": "the file is gone",
    }
    assert report.notes == (
        "4 images of 5 cannot be shown, so the keypoints are drawn alone (another image since the run: "
        "0001.jpg; cannot be read any more: 0002.jpg; the file is gone: ../secret.jpg and 1 more).",
    )


def test_a_name_with_control_characters_is_found(tmp_path: Path) -> None:
    told = write_report_run(tmp_path, 2, name_of=lambda count: [r"new\x0aline.jpg", r"gone\x07.jpg"])
    (told.data / told.names[0]).rename(told.data / "new\nline.jpg")
    (told.data / told.names[1]).unlink()
    report = reported(tmp_path)
    missing = {image["name"]: image["missing"] for image in gallery_of(report)["images"]}
    assert missing == {r"new\x0aline.jpg": "", r"gone\x07.jpg": "the file is gone"}
    assert report.notes == (
        "1 image of 2 cannot be shown, so the keypoints are drawn alone (the file is gone: "
        r"gone\x07.jpg).",
    )
    (told.data / "new\nline.jpg").write_bytes(b"another")
    assert "another image since the run: new\\x0aline.jpg; " in reported(tmp_path).notes[0]


def test_no_name_can_pose_as_another(tmp_path: Path) -> None:
    reordering = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
    write_report_run(
        tmp_path,
        name_of=lambda count: [f"{n}{sign}gpj.LTR.jpg" for n, sign in enumerate(reordering[:count])],
        failures=[Failure("failed\u202egpj.LTR", "because of \u202etxt.csv")],
        gates=(MISSED,),
        checkpoint="models/\u202etp.net",
    )
    (tmp_path / "data" / "1\u200egpj.LTR.jpg").unlink()
    report = reported(tmp_path)
    page = report.path.read_text(encoding="utf-8")
    assert not set(reordering) & set(page + "".join(report.notes))
    assert gallery_of(report)["failed"] == [
        {"name": r"failed\u202egpj.LTR", "reason": r"because of \u202etxt.csv"}
    ]
    # The button behind a failed gate finds its image by name.
    (behind,) = set(re.findall(r'data-image="(1[^"]*)"', page))
    assert behind == r"1\u200egpj.LTR.jpg"
    assert behind in {image["name"] for image in gallery_of(report)["images"]}
    assert r"\u202etp.net on data" in parts_of(report).texts


def test_an_interrupted_run_is_refused(tmp_path: Path) -> None:
    told = write_report_run(tmp_path, complete=False)
    with pytest.raises(RunFolderError) as refused:
        write_report(ReportRequest(Settings(), told.run, None, DEFAULT_GALLERY, None, tmp_path), NoProgress())
    assert refused.value.problems == (
        "runs/a: interrupted after 0 of 9 images; finish it with evaluate --out runs/a --resume",
    )


def test_a_run_without_results_is_refused(tmp_path: Path) -> None:
    told = write_report_run(tmp_path, 0, failures=[Failure("a.jpg", "0 bytes")])
    with pytest.raises(RunFolderError) as refused:
        reported(tmp_path)
    assert refused.value.problems == (
        f"{told.run}: no image was evaluated (1 failed), there is nothing to report; evaluate again",
    )


@pytest.mark.parametrize(
    ("out", "problem"),
    [
        ("runs", "a folder; name a file"),
        (".", "a folder; name a file"),
        ("-", "not standard output; name a file"),
        ("file/report.html", "a file stands where a folder is needed; name another"),
        ("/proc/x.html", "cannot be written (No such file or directory); name another file"),
        ("/dev/full", "cannot be written (No space left on device); name another file"),
        ("x" * 300, "cannot be written (File name too long); name another file"),
    ],
)
def test_a_page_that_cannot_be_written(tmp_path: Path, out: str, problem: str) -> None:
    write_report_run(tmp_path, 2)
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UsageError) as refused:
        reported(tmp_path, out=Path(out))
    assert refused.value.problems == (f"--out {out}: {problem}",)


def test_a_page_in_a_new_folder_and_through_a_link(tmp_path: Path) -> None:
    write_report_run(tmp_path, 2)
    assert reported(tmp_path, out=Path("new/page.html")).path == tmp_path / "new" / "page.html"
    (tmp_path / "link.html").symlink_to("new/page.html")
    content = (tmp_path / "new" / "page.html").read_bytes()
    (tmp_path / "new" / "page.html").write_text("old")
    assert reported(tmp_path, out=Path("link.html")).path == tmp_path / "link.html"
    assert (tmp_path / "new" / "page.html").read_bytes() == content


def test_a_folder_where_the_page_belongs(tmp_path: Path) -> None:
    told = write_report_run(tmp_path, 2)
    (told.run / "report.html").mkdir()
    with pytest.raises(RunFolderError, match=r"a/report\.html: a folder stands where the file belongs"):
        reported(tmp_path)
