"""Every way of showing an image to a network, on networks that are right by one of them alone."""

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from . import dots
from .command import Finished, document_of

Floats = NDArray[np.float64]
Pixels = NDArray[np.uint8]
SIZES = ((520, 380), (700, 420), (460, 450), (640, 300))
"""Heights and widths, none of the aspect of the network's input."""
RADIUS = 15


def places(height: int, width: int, seed: int) -> Floats:
    """20 keypoints in the order of the skeleton, spread over the image `[20, 2]`."""
    rng = np.random.default_rng(seed)
    rows = np.linspace(0.1, 0.9, 10) * height
    points = np.array([(x * width, y) for y in rows for x in (0.35, 0.65)])
    found: Floats = np.round(points + rng.uniform(-3, 3, points.shape), 2)
    return found


def drawn(height: int, width: int, points: Floats) -> Pixels:
    """The dots on their ground, at places of any fraction of a pixel."""
    y, x = np.mgrid[:height, :width]
    image = np.full((height, width), dots.GROUND, dtype=np.float64)
    for (px, py), level in zip(points, dots.LEVELS, strict=True):
        inside = np.clip(RADIUS + 0.5 - np.hypot(x - px, y - py), 0, 1)
        image = image * (1 - inside) + level * inside
    image[:24, :24], image[:24, -24:] = 0, 255
    return np.rint(image).astype(np.uint8)


Change = Callable[[Pixels], NDArray[np.uint8 | np.uint16]]
Move = Callable[[Floats, tuple[int, int]], Floats]


class Table:
    """A folder with images of dots, a checkpoint without weights, and the networks of `dots.py`."""

    def __init__(self, folder: Path, run: Callable[..., Finished]) -> None:
        self.folder, self.run = folder, run
        shutil.copy(dots.__file__, folder / "dots.py")
        torch.save(dots.plain().state_dict(), folder / "dots.pt")

    def write(
        self, change: Change = lambda image: image, move: Callable[[Floats, int, int], Floats] | None = None
    ) -> None:
        """The images, each changed as they say, and their labels, moved."""
        (self.folder / "data").mkdir(exist_ok=True)
        for seed, (height, width) in enumerate(SIZES):
            points = places(height, width, seed)
            cv2.imwrite(
                str(self.folder / f"data/{seed:04d}-F-040Y0.png"), change(drawn(height, width, points))
            )
            labels = points if move is None else move(points, height, width)
            rows = [",".join(f"{value:.4f}" for value in row) + ",0" for row in labels.reshape(10, 4)]
            (self.folder / f"data/{seed:04d}-F-040Y0.csv").write_text("\n".join(rows) + "\n")

    def write_second(self, name: str) -> None:
        """The same images and labels in another folder."""
        shutil.copytree(self.folder / "data", self.folder / name)

    def evaluate(
        self,
        *options: str,
        network: str = "plain",
        normalize: str = "unit",
        channels: str = "1",
    ) -> Finished:
        """`evaluate` with a network of `dots.py`; an earlier run goes where it is not resumed."""
        if "--resume" not in options:
            shutil.rmtree(self.folder / "run", ignore_errors=True)
        return self.run(
            "evaluate", "dots.pt", "data", "--view", "AP", "--model", f"dots:{network}", "--trust",
            "--input-size", f"{dots.HEIGHT}x{dots.WIDTH}", "--channels", channels, "--normalize", normalize,
            "--heatmap-sigma", str(dots.SIGMA), "--out", "run", "--overlays", "none", *options,
        )  # fmt: skip

    def error_px(self, *options: str, **how: str) -> float:
        """The mean error, original pixels, of an evaluation that has to succeed."""
        result = self.evaluate(*options, **how)
        assert (result.status, result.errors) == (0, []), result.err
        return float(document_of(self.folder / "run")["metrics"]["radial_error_px"]["mean"])


@pytest.fixture
def table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: Callable[..., Finished], clean_dots: None
) -> Table:
    """Images and networks in the current folder."""
    monkeypatch.chdir(tmp_path)
    return Table(tmp_path, command)


@pytest.fixture
def clean_dots() -> object:
    """The module that the command has imported is forgotten."""

    yield None
    sys.modules.pop("dots", None)


RIGHT_PX, WRONG_PX = 0.5, 3.0
RESIZES = {
    "stretch": "filling",
    "letterbox": "black_bars",
    "letterbox:top-left,fill=114": "grey_bars",
    "letterbox:pad=1.25,fill=114": "grey_frame",
    "letterbox:pad=1.25,fill=edge": "filling",
}


@pytest.mark.parametrize("text", RESIZES)
def test_a_network_is_right_by_the_resize_of_its_training_alone(table: Table, text: str) -> None:
    table.write()
    assert table.error_px("--resize", text, network=RESIZES[text]) < RIGHT_PX
    assert document_of(table.folder / "run")["settings"]["resize"] == text
    for other in RESIZES:
        if RESIZES[other] != RESIZES[text]:
            assert table.error_px("--resize", other, network=RESIZES[text]) > WRONG_PX, other


def faint(image: Pixels) -> Pixels:
    """In 80 to 207 of 0 to 255."""
    return (image // 2 + 80).astype(np.uint8)


NORMALIZED: dict[str, tuple[str, Change, str]] = {
    "unit": ("plain", lambda image: image, "minmax+0.1/1"),
    "raw255": ("of_bytes", lambda image: image, "unit"),
    "minmax": ("plain", faint, "unit"),
    "zscore": ("standardised", faint, "minmax"),
}


@pytest.mark.parametrize("name", NORMALIZED)
def test_a_network_is_right_by_the_normalisation_of_its_training_alone(table: Table, name: str) -> None:
    network, change, other = NORMALIZED[name]
    table.write(change)
    assert table.error_px(network=network, normalize=name) < RIGHT_PX
    assert table.error_px(network=network, normalize=other) > WRONG_PX


def test_red_dots_and_a_network_of_blue_first(table: Table) -> None:
    table.write(lambda image: np.stack([np.full_like(image, dots.GROUND)] * 2 + [image], axis=-1))
    how = {"network": "imagenet_blue_first", "channels": "3", "normalize": "imagenet"}
    assert table.error_px("--channel-order", "bgr", **how) < RIGHT_PX
    settings = document_of(table.folder / "run")["settings"]
    assert (settings["channel_order"], "interpolation" in settings) == ("bgr", False)
    assert table.error_px(**how) > WRONG_PX


DECIDING: dict[str, tuple[tuple[str, ...], str]] = {
    "interpolation": (("--interpolation", "pil-bilinear"), "interpolation pil-bilinear → area"),
    "resize": (("--resize", "letterbox:top-left"), "resize letterbox:top-left → stretch"),
    "invert": (("--invert",), "invert true → false"),
    "full_scale": (("--full-scale", "200"), "full_scale 200 → auto"),
    "flip": (("--flip", "image-side"), "flip image-side → none"),
    "exif": (("--exif", "apply"), "exif apply → "),
    "heatmap_origin": (("--heatmap-origin", "1,2"), "heatmap_origin 1,2 → by coords"),
    "stride": (("--stride", "2"), "stride 2x2 → fill"),
    "decode": (("--decode", "argmax"), "decode argmax → "),
}


@pytest.mark.parametrize("name", DECIDING)
def test_what_decides_a_number_is_kept_with_the_run_and_cannot_change_in_it(table: Table, name: str) -> None:
    options, said = DECIDING[name]
    table.write()
    assert table.evaluate(*options).status == 0
    assert name in document_of(table.folder / "run")["settings"]
    shutil.copytree(table.folder / "run", table.folder / "first")
    again = table.evaluate("--resume")
    assert again.status == 2
    assert name in again.err
    assert table.error_px() < RIGHT_PX
    compared = table.run("compare", "first", "run")
    assert said in compared.text.partition("note: settings that differ: ")[2]


def twelve_bits(image: Pixels) -> NDArray[np.uint16]:
    """0 to 4095 in files of 16 bits."""
    found: NDArray[np.uint16] = np.rint(image * (4095 / 255)).astype(np.uint16)
    return found


SHOWN: dict[str, tuple[Change, tuple[str, ...], tuple[str, ...]]] = {
    "12 bits": (twelve_bits, ("--full-scale", "4095"), ("--full-scale", "1023")),
    "negatives": (lambda image: (255 - image).astype(np.uint8), ("--invert",), ("--full-scale", "255")),
    "negatives of 12 bits": (
        lambda image: np.uint16(4095) - twelve_bits(image),
        ("--invert", "--full-scale", "4095"),
        ("--invert",),
    ),
    "8 bits": (lambda image: image, ("--full-scale", "4095"), ("--invert",)),
}  # fmt: skip


@pytest.mark.parametrize("name", SHOWN)
def test_values_are_read_by_their_own_scale_alone(table: Table, name: str) -> None:
    change, right, wrong = SHOWN[name]
    table.write(change)
    assert table.error_px(*right) < RIGHT_PX
    assert table.error_px(*wrong) > WRONG_PX
    if name != "8 bits":
        assert table.error_px() > WRONG_PX


def test_twelve_bits_are_told_with_the_option_that_mends_it(table: Table) -> None:
    table.write(twelve_bits)
    assert table.error_px() > WRONG_PX
    entries = {entry["check"]: entry for entry in document_of(table.folder / "run")["setup"]}
    assert "values up to 4095" in entries["images.bit_range"]["evidence"]
    assert "0000-F-040Y0.png" in entries["images.bit_range"]["evidence"]
    assert entries["images.bit_range"]["advice"].startswith("--full-scale 4095")
    assert table.error_px("--full-scale", "4095") < RIGHT_PX
    document = document_of(table.folder / "run")
    entries = {entry["check"]: entry for entry in document["setup"]}
    assert entries["images.bit_range"]["status"] == "fine"
    assert document["settings"]["full_scale"] == 4095


def test_heatmaps_that_do_not_divide_the_input_need_a_stride(table: Table) -> None:
    table.write()
    table.evaluate(network="one_more").refused(
        "the network returns heatmaps of 33x25 cells, which do not divide its input of 256x192: say "
        "--stride 8 (33 cells are 256/8 and one more: they lie at multiples of 8), or --stride fill where "
        "they fill it evenly"
    )
    assert table.error_px("--stride", "8", network="one_more") < RIGHT_PX
    settings = document_of(table.folder / "run")["settings"]
    assert (settings["stride"], settings["heatmap_origin"]) == ("8x8", "0,0")
    assert table.error_px("--stride", "8x8", "--heatmap-origin", "corner", network="one_more") < RIGHT_PX
    assert table.error_px("--stride", "fill", network="one_more") > WRONG_PX
    assert table.error_px("--stride", "8", "--heatmap-origin", "centre", network="one_more") > WRONG_PX
    refused = table.evaluate("--stride", "2", network="one_more")
    refused.refused(
        "--stride 2: 33 cells would cover 66 of 256 input pixels; about 7.76 apart they fill them"
    )


def test_a_stride_that_is_known_changes_nothing_and_the_first_cell_may_lie_elsewhere(table: Table) -> None:
    table.write()
    usual = table.error_px()
    assert table.error_px("--stride", "4") == usual
    assert "stride" not in document_of(table.folder / "run")["settings"]
    assert table.error_px("--stride", "4", "--heatmap-origin", "1.5") == usual
    assert table.error_px("--heatmap-origin", "2,2", network="late") < RIGHT_PX
    assert table.error_px(network="late") > WRONG_PX
    assert table.error_px("--heatmap-origin", "corner", network="late") > WRONG_PX


@pytest.mark.parametrize("side", ["image-side", "body-side"])
def test_a_network_of_mirrored_images(table: Table, side: str) -> None:
    table.write()
    network = {"image-side": "mirrored_by_image", "body-side": "mirrored_by_body"}[side]
    other = {"image-side": "body-side", "body-side": "image-side"}[side]
    for resize in ("stretch", "letterbox:top-left,fill=30"):
        assert table.error_px("--flip", side, "--resize", resize, network=network) < RIGHT_PX
        assert document_of(table.folder / "run")["settings"]["flip"] == side
    assert table.error_px("--flip", other, network=network) > WRONG_PX
    assert table.error_px(network=network) > WRONG_PX


@pytest.mark.parametrize("tag", [3, 5, 6, 8])
def test_labels_on_images_as_viewers_turn_them(table: Table, tag: int) -> None:
    stored = {3: 2, 5: None, 6: 1, 8: -1}[tag]

    def turned_away(image: Pixels) -> Pixels:
        return np.ascontiguousarray(image.T if stored is None else np.rot90(image, stored))

    table.write(turned_away)
    for file in (table.folder / "data").glob("*.png"):
        exif = Image.Exif()
        exif[0x0112] = tag
        Image.open(file).save(file, exif=exif)
    table.write_second("second")
    assert table.error_px("--exif", "apply", "--overlays", "all", "--labels2", "second") < RIGHT_PX
    document = document_of(table.folder / "run")
    assert document["settings"]["exif"] == "apply"
    entries = {entry["check"]: entry for entry in document["setup"]}
    assert entries["images.orientation"]["status"] == "fine"
    overlays = sorted((table.folder / "run/overlays").glob("*.png"))
    assert len(overlays) == len(SIZES)
    assert table.run("report", "run").status == 0
    # Without it labels are those of other places, or lie outside the stored images.
    wrong = table.evaluate("--allow-failures", "4")
    if wrong.status == 0:
        document = document_of(table.folder / "run")
        assert document["metrics"]["radial_error_px"]["mean"] > WRONG_PX
        entry = next(e for e in document["setup"] if e["check"] == "images.orientation")
        assert entry["advice"].startswith("--exif apply")
        assert entry["status"] in ("wrong", "warning")
    else:
        assert "lies outside the image" in wrong.err


CAUSES: dict[str, tuple[str, Change, tuple[str, ...], str]] = {
    "negatives": ("plain", lambda image: (255 - image).astype(np.uint8), (), "--invert"),
    "wrongly inverted": ("plain", lambda image: image, ("--invert",), "leave out --invert"),
    "bytes": ("of_bytes", lambda image: image, (), "--normalize raw255"),
    "standardised": ("standardised", lambda image: image, (), "--normalize zscore"),
    "mirrored by body": ("mirrored_by_body", lambda image: image, (), "--flip body-side"),
    "mirrored by image": ("mirrored_by_image", lambda image: image, (), "--flip image-side"),
}


@pytest.mark.parametrize("name", CAUSES)
def test_what_the_network_should_be_shown_is_found_by_showing_it(table: Table, name: str) -> None:
    network, change, options, advice = CAUSES[name]
    table.write(change)
    assert table.error_px(*options, network=network) > WRONG_PX
    entries = {entry["check"]: entry for entry in document_of(table.folder / "run")["setup"]}
    assert entries["images.input"]["status"] == "wrong"
    assert entries["images.input"]["advice"] == advice
    assert "images.input" in entries["results"]["advice"]


def test_nothing_is_said_of_what_a_network_is_shown_where_it_is_right(table: Table) -> None:
    table.write()
    assert table.error_px() < RIGHT_PX
    assert "images.input" not in {e["check"] for e in document_of(table.folder / "run")["setup"]}
