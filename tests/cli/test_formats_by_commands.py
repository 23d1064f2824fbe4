"""Every annotation format with every command that reads data: how it ends, and what it says the data are."""

import pytest

from fuzz.running import InputFolder
from fuzz.sets import SETS
from fuzz.spines import NAMES
from fuzz.targets import target_of
from mahtdiag.data.readers import READERS
from mahtdiag.schema.read_options import NO_LABELS

from .command import Desk, Finished, document_of

COUNT = len(NAMES)
TITLES = {reader.name: reader.title for reader in READERS}


READ_AS = "annotations read as"


def require_said(done: Finished, name: str, status: int = 0) -> None:
    """The command is done, and says once what it took the data for."""
    assert done.status == status, done.err + done.text
    assert done.errors == []
    words = " ".join(f"{done.text} {done.err}".split())
    # Of the set that the product was made for nothing is said.
    times = int(name != READERS[0].name)
    assert words.count(READ_AS) == words.count(f"{READ_AS} {TITLES[name]}") == times, words


@pytest.fixture
def a_set(desk: Desk, request: pytest.FixtureRequest) -> str:
    """A folder `set` with three images in this format, and `same`, labelled alike."""
    for folder in ("set", "same"):
        InputFolder(target_of(request.param), desk.path / folder)
    name: str = request.param
    return name


# Images alone have tests of their own.
every_format = pytest.mark.parametrize("a_set", sorted({*SETS} - {NO_LABELS}), indirect=True)


@pytest.mark.slow
@every_format
def test_evaluate_and_what_reads_its_run(desk: Desk, a_set: str) -> None:
    done = desk.run(
        "evaluate", "ap.pt", "set", "--view", "AP", "--out", "run", "--overlays", "all", "--labels2", "same"
    )
    require_said(done, a_set)
    document = document_of(desk.path / "run")
    assert document["data"]["format"] == a_set
    assert document["settings"]["labels2"]["path"] == "same"
    assert (document["images"]["evaluated"], document["images"]["failed"]) == (COUNT, 0)
    assert len(list((desk.path / "run/overlays").glob("*.png"))) == COUNT
    for command in ("report", "anatomy", "calibration", "export", "init"):
        more = ("--to", "coco", "out.json") if command == "export" else ()
        after = desk.run(command, "run", *more)
        assert after.status == 0, after.err
        assert after.errors == []
    assert 'path = "set"' in (desk.path / "mahtdiag.toml").read_text()
    page = (desk.path / "run/report.html").read_text()
    assert page.count("data:image/") >= COUNT


@pytest.mark.slow
@every_format
def test_labels_alone(desk: Desk, a_set: str) -> None:
    done = desk.run("anatomy", "--labels", "set", "--view", "AP", "--overlays", "none")
    require_said(done, a_set)
    assert f"AP view, labels of {COUNT} images" in done.text
    beside = desk.run(
        "anatomy",
        "--labels",
        "set",
        "--view",
        "AP",
        "--labels2",
        "same",
        "--against",
        "same",
        "--no-pictures",
        "--data-format",
        a_set,
    )
    require_said(beside, a_set)
    assert f"{COUNT} images" in beside.text


@every_format
def test_another_format_by_force(desk: Desk, a_set: str) -> None:
    """One line that says what is missing, or each image with its reason; never a traceback."""
    other = "cvat" if a_set != "cvat" else "coco"
    done = desk.run("anatomy", "--labels", "set", "--view", "AP", "--data-format", other)
    assert done.status == 2
    assert len(done.errors) == 1
    assert done.errors[0].startswith("error: ")


def test_a_second_labelling_whose_content_leaves_its_format_open(desk: Desk) -> None:
    """What --data-format says counts there too, but not where the content says another."""
    for folder in ("set", "same"):
        InputFolder(target_of("coco"), desk.path / folder)
        InputFolder(target_of("labelme"), desk.path / folder / "images")
    arguments = ("anatomy", "--labels", "set", "--view", "AP", "--labels2", "same", "--no-copies")
    done = desk.run(*arguments)
    assert "annotated in 2 formats" in done.err
    done = desk.run(*arguments, "--data-format", "coco")
    assert done.status == 0, done.err
    (desk.path / "same/annotations/person.json").unlink()
    done = desk.run(*arguments, "--data-format", "coco")
    assert done.status == 0, done.err


def test_the_formats_are_those_of_the_readers() -> None:
    assert {*SETS} == {*TITLES}
