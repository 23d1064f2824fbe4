"""`anatomy --labels … --report FILE`: judged labels as the page that runs have."""

import re
import shutil
from pathlib import Path

from .command import Desk


def headline_of(page: str) -> str:
    found = re.search(r'class="headline">(.*)</p>', page)
    assert found is not None
    return re.sub(r"<[^>]+>", "", found[1])


def test_a_set_with_a_mistake(desk: Desk) -> None:
    annotation = sorted((desk.path / "data/AP").glob("*.csv"))[2]
    lines = annotation.read_text().splitlines()
    lines[2], lines[5] = lines[5], lines[2]
    annotation.write_text("\n".join(lines) + "\n")
    done = desk.run("anatomy", "--labels", "data", "--view", "AP", "--report", "labels.html")
    assert (done.status, done.errors) == (0, [])
    page = Path("labels.html").read_text(encoding="utf-8")
    assert "Labels of data" in page
    images = len(list((desk.path / "data/AP").glob("*.csv")))
    assert headline_of(page) == f"1 of {images} labels ({100 / images:.1f} %) breaks a rule of anatomy."
    assert "No gate is set" not in page
    assert "Lines: labels." in page
    assert "anatomically impossible" not in page
    assert f"{annotation.stem}.png: severity" in page
    assert 'id="figure-violations"' in page
    assert "Which rules do labels break?" in page
    assert "Which spines are impossible" not in page
    assert "predictions</text>" not in page, "labels are what is judged"
    assert 'id="copies"' in page
    assert "http://" not in page.replace("http://www.w3.org", "")


def test_the_headline_counts_copies_and_what_could_not_be_read(desk: Desk) -> None:
    folder = desk.path / "data/AP"
    images = sorted(folder.glob("*.png"))
    for ending in (".png", ".csv"):
        shutil.copy(images[0].with_suffix(ending), folder / f"again{ending}")
    images[1].with_suffix(".csv").write_text("", encoding="utf-8")
    desk.run("anatomy", "--labels", "data", "--view", "AP", "--report", "labels.html")
    page = Path("labels.html").read_text(encoding="utf-8")
    assert headline_of(page) == (
        f"0 of {len(images)} labels break a rule of anatomy; 1 image is a copy of another; "
        "1 image could not be judged."
    )


def test_a_sound_set_and_a_new_folder(desk: Desk) -> None:
    done = desk.run("anatomy", "--labels", "data", "--view", "AP", "--report", "sub/labels.html")
    assert done.status == 0
    assert Path("sub/labels.html").stat().st_size > 10_000


def test_refusals_are_one_line(desk: Desk) -> None:
    desk.run("anatomy", "--report", "x.html").refused(
        "--report goes with --labels; `mahtdiag report` writes the page of a run"
    )
    taken = desk.run("anatomy", "--labels", "data", "--view", "AP", "--report", "data")
    assert (taken.status, len(taken.errors)) == (2, 1)
    assert "--report data: a folder; name a file" in taken.err
    desk.run("anatomy", "--labels", "data", "--view", "AP", "--csv", "-").refused(
        "--csv -: not standard output; name a file"
    )
