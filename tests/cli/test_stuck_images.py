"""An image that is never decoded: no command waits for it, it is left out and named, the rest goes on."""

import json
import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from fuzz.sets import yolo_pose
from mahtdiag.data import images
from mahtdiag.data.images.container import Container

from .builders import Bench
from .command import Desk, columns_of, failures_of

SECONDS = 1
REASON = f"not read within {SECONDS} seconds: save it again, or allow more with --image-timeout"
BRIEF = ("--image-timeout", str(SECONDS))
OPEN = images.open_container  # type: ignore[attr-defined]


@dataclass
class Decoder:
    """Goes round in circles on images of these names, as far as it does so at all."""

    names: tuple[str, ...]
    free: threading.Event
    turned: int = 0

    def open(self, content: bytes, name: str) -> Container:
        """In the place of what all decoders and readers of sizes begin with."""
        if name.endswith(self.names):
            self.turned += 1
            self.free.wait(60)
        return OPEN(content, name)


@pytest.fixture
def decoder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Decoder]:
    """A decoder that is sound until a test names an image."""
    made = Decoder(("no such image",), threading.Event())
    monkeypatch.setattr(images, "open_container", made.open)
    yield made
    made.free.set()


@pytest.fixture
def worst(bench: Bench) -> str:
    """The image that is drawn first of all: each is further off than the one before."""
    return f"AP/{bench.ap[-1].stem}.png"


@pytest.fixture
def ran(desk: Desk) -> Desk:
    """With a finished run that has no overlays."""
    assert desk.lookup("exact").status == 0
    return desk


def test_overlays_after_an_evaluation(
    desk: Desk, bench: Bench, decoder: Decoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = f"AP/{bench.ap[0].stem}.png"
    stuck, decode = [image], images.decode_image

    def decode_image(content: bytes, name: str, *more: object, **options: object) -> object:
        if name in stuck:
            decoder.free.wait(60)
        return decode(content, name, *more, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(images, "decode_image", decode_image)
    done = desk.lookup("exact", "--overlays", "all", *BRIEF)
    assert done.status == 0
    assert done.lasting == [
        f"note: {image}: no overlay, the image cannot be read any more ({image}: {REASON})"
    ]
    assert len(list((desk.path / "run/overlays").glob("*.png"))) == len(bench.ap) - 1


def test_predictions_of_a_file(ran: Desk, bench: Bench, decoder: Decoder) -> None:
    decoder.names = (f"{bench.ap[1].stem}.png", f"{bench.ap[2].stem}.png")
    done = ran.run("evaluate", "--predictions", "run", "data", "--view", "AP", "--out", "again", *BRIEF)
    assert done.status == 2
    assert failures_of(ran.path / "again") == {f"AP/{name}": REASON for name in decoder.names}
    both = columns_of(ran.path / "run/images.parquet"), columns_of(ran.path / "again/images.parquet")
    rows = [row for row, status in enumerate(both[1]["status"]) if status == "ok"]
    assert len(rows) == len(bench.ap) - 2
    kept = dict(zip(both[0]["image"], both[0]["image_sha256"], strict=True))
    assert all(kept[both[1]["image"][row]] == both[1]["image_sha256"][row] for row in rows)


def test_pictures_of_a_run(ran: Desk, bench: Bench, decoder: Decoder, worst: str) -> None:
    decoder.names = (worst,)
    Path("mahtdiag.toml").write_text(f"[data]\nimage_timeout = {SECONDS}\n[anatomy.limits]\nA201 = 1.01\n")
    anatomy = ran.run("anatomy", "run", "--overlays", "all", "--format", "json")
    assert (anatomy.status, anatomy.lasting) == (0, [])
    notes = json.loads(anatomy.text)["notes"]
    assert f"no overlay of {worst}: {REASON}" in notes
    assert len(list((ran.path / "run/anatomy/overlays").glob("*.png"))) == len(bench.ap) - 1
    report = ran.run("report", "run", "--format", "json")
    assert report.status == 0
    assert report.lasting == [f"note: no picture of {worst}: {REASON}"]
    found = json.loads(report.text)
    assert found["images"]["without_picture"] == 1
    assert found["notes"] == [
        f"1 image of {len(bench.ap)} cannot be shown, so the keypoints are drawn alone ({REASON}: {worst})."
    ]
    figures = ran.run("figures", "run", "--out", "drawn", "--figure", "worst-images", "--format", "png")
    assert (figures.status, figures.lasting) == (0, [f"note: no picture of {worst}: {REASON}"])
    assert decoder.turned == 4


def test_pictures_of_a_comparison(ran: Desk, decoder: Decoder, worst: str) -> None:
    shutil.move("run", "a")
    assert ran.lookup("heatmaps").status == 0
    decoder.names = (worst,)
    compared = ran.run(
        "compare", "a", "run", "--out", "changed", "--overlays", "all", "--format", "json", *BRIEF
    )
    assert compared.status in (0, 1, 2)
    assert f"no overlay of {worst}: {REASON}" in json.loads(compared.text)["notes"]
    drawn = list((ran.path / "changed").rglob("*.png"))
    assert drawn
    assert not [file for file in drawn if Path(worst).stem in file.name]


def test_labels_their_page_and_their_copies(desk: Desk, bench: Bench, decoder: Decoder, worst: str) -> None:
    shutil.copytree("data", "train")
    other = Path(worst).name
    (desk.path / "train/AP" / other).rename(desk.path / "train/AP/other.png")
    (desk.path / "train/AP" / other).with_suffix(".csv").rename(desk.path / "train/AP/other.csv")
    decoder.names = (f"{bench.ap[0].stem}.png", "other.png")
    done = desk.run(
        "anatomy", "--labels", "data", "--view", "AP", "--against", "train", "--labels2", "train",
        "--report", "page.html", "--out", "drawn", "--format", "json", *BRIEF,
    )  # fmt: skip
    # It could not be judged.
    assert done.status == 2
    first = f"AP/{bench.ap[0].stem}.png"
    assert done.lasting == [
        f"note: {name}: not held against others, {REASON}" for name in (first, "AP/other.png")
    ]
    found = json.loads(done.text)
    assert found["failures"] == [{"image": first, "reason": REASON}]
    assert sorted(found["copies"]["unread"]) == sorted((first, "AP/other.png"))
    assert (found["copies"]["images"], len(found["copies"]["pairs"])) == (5, 4)
    assert "1 image could not be judged" in Path("page.html").read_text(encoding="utf-8")


def test_pictures_of_the_page_of_labels(desk: Desk, bench: Bench, decoder: Decoder) -> None:
    annotation = desk.path / "data/AP" / f"{bench.ap[2].stem}.csv"
    lines = annotation.read_text().splitlines()
    lines[2], lines[5] = lines[5], lines[2]
    annotation.write_text("\n".join(lines) + "\n")
    asked = ("anatomy", "--labels", "data", "--view", "AP", "--no-copies")
    assert desk.run(*asked, "--report", "whole.html").status == 0
    image, describe = f"AP/{bench.ap[2].stem}.png", images.describe_image
    from mahtdiag.workflows.anatomy import images as judged

    def described(path: str, name: str, *more: object, **options: object) -> object:
        found = describe(path, name, *more, **options)  # type: ignore[arg-type]
        if name.endswith(f"{bench.ap[-1].stem}.png"):
            decoder.names = (image,)
        return found

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(judged, "describe_image", described)
        patched.setattr(judged, "_READERS", 1)
        done = desk.run(*asked, "--report", "page.html", *BRIEF)
    assert (done.status, done.lasting) == (0, [f"note: no picture of {image}: {REASON}"])
    whole, page = (Path(name).read_text(encoding="utf-8") for name in ("whole.html", "page.html"))
    # It is drawn without its radiograph.
    assert (f"{bench.ap[2].stem}.png: severity" in page) is True
    assert len(page) < len(whole)


def test_shares_of_images_whose_size_is_never_read(desk: Desk, decoder: Decoder) -> None:
    for name, content in yolo_pose().items():
        (desk.path / "yolo" / name).parent.mkdir(parents=True, exist_ok=True)
        (desk.path / "yolo" / name).write_bytes(content)
    asked = ("anatomy", "--labels", "yolo", "--view", "AP", "--no-copies", "--format", "json", *BRIEF)
    whole = json.loads(desk.run(*asked).text)
    assert whole["failures"] == []
    decoder.names = (Path(max(name for name in yolo_pose() if name.endswith(".png"))).name,)
    found = json.loads(desk.run(*asked).text)
    ((image, reason),) = ((failure["image"], failure["reason"]) for failure in found["failures"])
    assert image.endswith(decoder.names)
    assert REASON in reason
    assert len(found["images"]) == len(whole["images"]) - 1


def test_an_image_that_a_network_is_shown(desk: Desk, bench: Bench, decoder: Decoder) -> None:
    image = f"data/AP/{bench.ap[0].stem}.png"
    decoder.names = (image,)
    done = desk.run(
        "inspect", "lookup-ap.pt", "--model", "nets:exact", "--trust", "--input-size", "64x64",
        "--channels", "1", "--image", image, *BRIEF,
    )  # fmt: skip
    assert done.status == 2
    assert f"{image}: {REASON}" in " ".join(done.text.split())


def test_commands_that_decode_nothing(ran: Desk, bench: Bench, decoder: Decoder) -> None:
    decoder.names = (".png",)
    for arguments in (
        ("export", "run", "--to", "coco", "out.json"), ("export", "run", "--to", "labelme", "out"),
        ("init", "run", "--out", "made.toml"), ("calibration", "run"), ("runs", "."),
        ("anatomy", "run", "--no-pictures"),
    ):  # fmt: skip
        assert ran.run(*arguments).status == 0, arguments
    assert decoder.turned == 0
