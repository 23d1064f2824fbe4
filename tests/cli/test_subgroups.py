"""`mahtdiag evaluate --subgroups FILE`: the same groups in the table, in `run.json` and on the page."""

import hashlib
import html
import re
from pathlib import Path

import pytest

from tests.test_sample_data import SAMPLES

from .command import Desk, Finished, columns_of, document_of

CELL = re.compile(r"<t[hd][^>]*>(.*?)</t[hd]>")


def _file(desk: Desk, name: str, second: str) -> Path:
    """A CSV of the samples: a scanner of every other image, and a number that rises with the name."""
    names = sorted(path.stem for path in (SAMPLES / "AP").glob("*.csv"))
    rows = [f"{image},{(second, 'Y')[k % 2]},{18 + k}" for k, image in enumerate(names)]
    path = desk.path / name
    path.write_text("\n".join(["image,scanner,bmi [25 30]", *rows, ""]))
    return path


def _evaluate(desk: Desk, file: Path, *more: str) -> Finished:
    arguments = (str(SAMPLES / "mahtnet-ap.pt"), str(SAMPLES), "--subgroups", file.name)
    return desk.run("evaluate", *arguments, "--overlays", "none", "--out", "run", *more)


def _printed_rows(text: str) -> list[list[str]]:
    """The cells of the table on the screen, its heading and captions left out."""
    lines = text[text.index("Radial error by subgroup") :].split("\n\n")[0].splitlines()[3:]
    table = lines[: next(k for k, line in enumerate(lines) if line.startswith("− others"))]
    return [line.split() for line in table]


def _page_rows(page: str) -> list[list[str]]:
    caption = page.index("<caption>Radial error by subgroup")
    rows = page[caption : page.index("</tbody>", caption)].split("<tr")[2:]
    return [" ".join(html.unescape(cell) for cell in CELL.findall(row)).split() for row in rows]


def test_groups_reach_table_document_and_page_alike(desk: Desk) -> None:
    done = _evaluate(desk, _file(desk, "groups.csv", "X"))
    assert (done.status, done.errors) == (0, [])
    printed = _printed_rows(done.text)
    headings = [row for row in printed if len(row) < 4]
    assert headings == [["scanner"], ["bmi"], ["sex"], ["age", "band"]]

    groups = document_of(desk.path / "run")["subgroups"]["groups"]
    assert len(groups) == len(printed) - len(headings)
    images, points = (columns_of(desk.path / f"run/{name}.parquet") for name in ("images", "keypoints"))
    told = zip(images["image"], images["subgroups"], strict=True)
    scanner = {image: dict(value.split("=") for value in of)["scanner"] for image, of in told}
    for group in groups[:2]:
        own = [
            error
            for image, error in zip(points["image"], points["error_px"], strict=True)
            if error is not None and scanner[image] == group["name"]
        ]
        assert (group["kind"], group["images"]) == ("scanner", 12)
        assert group["mean_error"] == pytest.approx(sum(own) / len(own), rel=1e-5)
        (row,) = (row for row in printed if row[0] == group["name"])
        assert row[3] == f"{group['mean_error']:.2f}"
        assert group["outcome"] == "not shown"
    bands = [(group["images"], group["outcome"]) for group in groups if group["kind"] == "bmi"]
    assert bands == [(7, "too few"), (5, "too few"), (12, "not shown")]
    assert groups[0]["difference"] == pytest.approx(-groups[1]["difference"])

    assert desk.run("report", "run", "--images", "none").status == 0
    page = (desk.path / "run/report.html").read_text(encoding="utf-8")
    assert _page_rows(page) == printed


def test_a_run_is_not_resumed_with_another_subgroup_file(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    first, other = _file(desk, "groups.csv", "X"), _file(desk, "other.csv", "Z")
    assert _evaluate(desk, first).status == 0
    before = (desk.path / "run/run.json").read_bytes()
    was, now = (hashlib.sha256(file.read_bytes()).hexdigest() for file in (first, other))
    _evaluate(desk, other, "--resume").refused(
        "run: cannot be resumed with other settings; give the old ones or choose another --out",
        f"run: subgroups_sha256: {was} → {now}",
    )
    assert (desk.path / "run/run.json").read_bytes() == before
    again = _evaluate(desk, first, "--resume")
    assert (again.status, again.errors) == (0, [])
    assert (desk.path / "run/run.json").read_bytes() == before
