"""Small annotated sets, each with one mistake as people make it, and networks that know their places.

A network remembers what the images look like and where their keypoints are, and draws Gaussians there, a
little off: whatever else is wrong in a result comes from the mistake.
"""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from mahtdiag.data.images import decode_image
from mahtdiag.data.readers import open_dataset
from mahtdiag.schema.frames import FrameMap, Size
from mahtdiag.schema.skeleton import AP, View
from training.annotations import format_annotation

Floats = NDArray[np.float64]
Pixels = NDArray[np.uint8]
AnyPixels = NDArray[np.uint8 | np.uint16]

SAMPLES = Path(__file__).parents[2] / "sample_data"
COUNT, ROWS = 12, 560
INPUT, HEATMAP, SIGMA = Size(256, 192), Size(64, 48), 1.5
OFF_CELLS = 0.15
PICTURE = (8, 6)
STATED: dict[str, Any] = {
    "input_size": INPUT, "channels": 1, "normalize": "unit", "heatmap_sigma": SIGMA,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Radiograph:
    """A grey image and its keypoints in pixels."""

    pixels: Pixels
    keypoints_px: Floats

    @property
    def size(self) -> Size:
        """Of the image."""
        return Size(*self.pixels.shape)


def radiographs() -> list[Radiograph]:
    """The first images of the sample set, smaller."""
    found = []
    for sample in open_dataset(SAMPLES, View.AP).samples[:COUNT]:
        grey = decode_image(Path(sample.path).read_bytes(), sample.image)
        factor = ROWS / grey.shape[0]
        wanted = round(grey.shape[1] * factor), ROWS
        small = cv2.resize(grey, wanted, interpolation=cv2.INTER_AREA).astype(np.uint8)
        per_side = np.array(wanted) / grey.shape[1::-1]
        found.append(Radiograph(small, (sample.keypoints_px + 0.5) * per_side - 0.5))
    return found


class Memory(nn.Module):
    """Heatmaps at the remembered places of the image that looks most like the one it is shown."""

    def __init__(self, known: Sequence[Radiograph], habit: str = "") -> None:
        super().__init__()
        rng = np.random.default_rng(1)
        pictures, cells = [], []
        for each in known:
            seen = cv2.resize(each.pixels, (INPUT.width, INPUT.height), interpolation=cv2.INTER_AREA) / 255
            pictures.append(cv2.resize(seen, PICTURE[::-1], interpolation=cv2.INTER_AREA).ravel())
            places = FrameMap(each.size, INPUT, HEATMAP).original_to_heatmap(each.keypoints_px)
            cells.append(places + rng.normal(0.0, OFF_CELLS, places.shape))
        self.pictures: Tensor
        self.cells: Tensor
        self.register_buffer("pictures", torch.tensor(np.array(pictures), dtype=torch.float32))
        self.register_buffer("cells", torch.tensor(np.array(cells), dtype=torch.float32))
        self.habit = habit

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """The outputs, spoiled by the habit."""
        seen = torch.nn.functional.adaptive_avg_pool2d(images[:, :1], (8, 6)).flatten(1)
        places = self.cells[torch.cdist(seen, self.pictures).argmin(1)]
        if self.habit == "not two":
            assert images.shape[0] != 2, "never two at a time"
        if self.habit == "one":
            assert images.shape[0] == 1, "one at a time"
        if self.habit == "constant":
            places = self.cells.mean(0).expand(images.shape[0], 20, 2)
        if self.habit == "batch":
            brightness = images.mean((1, 2, 3))
            places = places + 30.0 * (brightness - brightness.mean())[:, None, None]
        if self.habit == "shift":
            places = places + torch.tensor([1.2, -0.8])
        if self.habit == "clockwise":
            places = places.view(-1, 5, 4, 2)[:, :, [0, 1, 3, 2]].reshape(-1, 20, 2)
        x = torch.exp(-((torch.arange(48) - places[:, :, :1]) ** 2) / 4.5)
        y = torch.exp(-((torch.arange(64) - places[:, :, 1:]) ** 2) / 4.5)
        heatmaps = y[:, :, :, None] * x[:, :, None, :]
        if self.habit == "logits":
            heatmaps = torch.logit(heatmaps.clamp(1e-4, 1 - 1e-4))
        if self.habit == "bytes":
            heatmaps = 255 * heatmaps
        if self.habit == "dead":
            heatmaps = torch.cat([torch.zeros_like(heatmaps[:, :1]), heatmaps[:, 1:]], 1)
        if self.habit == "diffuse":
            heatmaps = 0.5 + 0.1 * heatmaps
        if self.habit == "flat":
            heatmaps = 0.25 + 0 * heatmaps
        if self.habit == "nan":
            heatmaps = heatmaps * float("nan")
        if self.habit == "dropout":
            heatmaps = torch.nn.functional.dropout(heatmaps, 0.3, True)
        outputs = {"heatmaps": heatmaps}
        if self.habit == "coords in cells":
            outputs["coords"] = places
        if self.habit == "log sigma as sigma":
            outputs["sigma"] = torch.full_like(places, 0.6).log() + 0.1 * torch.sin(places)
        if self.habit == "sigma in cells":
            outputs["sigma"] = 0.15 * torch.exp(0.3 * torch.sin(places))
        if self.habit == "unread":
            outputs["attention"] = heatmaps.mean(1)
        return outputs


Labels = Callable[[Radiograph], Floats]
Picture = Callable[[Pixels], AnyPixels]


@dataclass(frozen=True, slots=True)
class Mistake:
    """What is wrong, in words; the check that has to say so, and no other.

    `labels` and `picture` change what is written of every `every`-th radiograph; `tag`: the orientation that
    its file claims, and by which it is stored; `habit`: see `Memory`; `settings` are those of `[model]`;
    `refused`: nothing is evaluated unless it is accepted. `again`: so many images are there twice.
    `rolled`: each image has the labels of the one so many places further on.
    """

    words: str
    check: str
    labels: Labels | None = None
    picture: Picture | None = None
    every: int = 1
    tag: int = 1
    habit: str = ""
    settings: dict[str, Any] = field(default_factory=dict)
    refused: bool = False
    again: int = 0
    rolled: int = 0


def _reordered(order: Sequence[int]) -> Labels:
    return lambda r: r.keypoints_px[np.asarray(order)]


def _rows(change: Callable[[Floats], Floats]) -> Labels:
    """Endplates `[10, 2, 2]`, changed."""
    return lambda r: change(r.keypoints_px.reshape(-1, 2, 2)).reshape(-1, 2)


def _mirrored(right: Radiograph) -> Floats:
    """Left for right, every corner named by the side of the image on which it lies."""
    x, y = right.keypoints_px.T
    ends = np.stack([right.size.width - 1 - x, y], axis=-1).reshape(-1, 2, 2)
    return ends[:, ::-1].reshape(-1, 2)


def _last_as(value: float) -> Labels:
    return lambda r: np.vstack([r.keypoints_px[:-1], [[value, value]]])


def _twelve_bit(grey: Pixels) -> AnyPixels:
    return grey.astype(np.uint16) * 16


def _coloured(grey: Pixels) -> AnyPixels:
    colours = cv2.cvtColor(cv2.applyColorMap(grey, cv2.COLORMAP_JET), cv2.COLOR_BGR2RGB)
    mixed: AnyPixels = (0.6 * grey[..., None] + 0.4 * colours).astype(np.uint8)
    return mixed


_CLOCKWISE = np.arange(AP.keypoints).reshape(-1, 4)[:, [0, 1, 3, 2]].ravel().tolist()
RIGHT = Mistake("nothing", "")
MISTAKES: dict[str, Mistake] = {
    "half_size": Mistake("labels of images of half the size", "labels.unit", lambda r: r.keypoints_px / 2),
    "shares": Mistake("labels as shares of the image", "labels.unit",
                      lambda r: r.keypoints_px / r.size.xy, refused=True),
    "percent": Mistake("labels in percent of the image", "labels.unit",
                       lambda r: 100 * r.keypoints_px / r.size.xy, refused=True),
    "cells": Mistake("labels in heatmap cells", "labels.unit",
                     lambda r: FrameMap(r.size, INPUT, HEATMAP).original_to_heatmap(r.keypoints_px),
        refused=True,
    ),
    "from_one": Mistake("labels that count pixels from 1", "labels.origin", lambda r: r.keypoints_px + 1),
    "as_zero": Mistake("keypoints that were not marked, written as 0,0", "labels.missing", _last_as(0),
                       every=3),
    "as_minus_one": Mistake("the same, written as -1,-1", "labels.missing", _last_as(-1), every=4),
    "y_before_x": Mistake("y before x in the labels", "order.axes", lambda r: r.keypoints_px[:, ::-1]),
    "upwards": Mistake("labels from the lowest endplate up", "order.keypoints", _rows(lambda e: e[::-1])),
    "sides": Mistake("left and right exchanged in the labels", "order.keypoints",
                     _rows(lambda e: e[:, ::-1])),
    "round": Mistake("corners in the labels go round each vertebra", "order.keypoints",
                     _reordered(_CLOCKWISE)),
    "network_round": Mistake("the same in the network", "order.keypoints", habit="clockwise"),
    "next_image": Mistake("each image has the labels of the next one", "order.images", rolled=1),
    "mirrored": Mistake("labels made on mirrored images", "together.flip", _mirrored),
    "letterbox": Mistake("`--resize letterbox` for a network of stretched images", "together.frame",
                         settings={"resize": "letterbox"}),
    "half_cell": Mistake("`--coords scale` for a network trained with pixel centres", "together.frame",
                         settings={"coords": "scale"}),
    "shifted": Mistake("a network that is off by a cell everywhere", "together.transform", habit="shift"),
    "inverted": Mistake("every fourth image black for white", "images.polarity",
                        picture=lambda g: 255 - g, every=4),
    "twelve_bit": Mistake("12-bit values in 16-bit files", "images.bit_range", picture=_twelve_bit),
    "turned": Mistake("labels made on images that the viewer had turned", "images.orientation", tag=3,
                      every=3),
    "copies": Mistake("images that are in the set twice", "images.copies", again=2),
    "colour": Mistake("colour maps on a few images", "images.colour", picture=_coloured, every=6),
    "logits": Mistake("heatmaps before the sigmoid", "network.heatmaps", habit="logits"),
    "bytes": Mistake("heatmaps from 0 to 255", "network.heatmaps", habit="bytes"),
    "dead": Mistake("a channel that is zero", "network.heatmaps", habit="dead"),
    "diffuse": Mistake("heatmaps with a high background", "network.heatmaps", habit="diffuse"),
    "flat": Mistake("heatmaps without any peak", "network.heatmaps", habit="flat", refused=True),
    "nan": Mistake("heatmaps that are not numbers", "network.heatmaps", habit="nan"),
    "constant": Mistake("a network that ignores the image", "network.follows", habit="constant"),
    "dropout": Mistake("dropout that stays active", "network.repeatable", habit="dropout"),
    "batch": Mistake("batch statistics that stay active", "network.repeatable", habit="batch"),
    "no_beta": Mistake("soft-argmax, and nobody says which β", "network.decode",
                       settings={"decode": "soft-argmax"}, refused=True),
    "beta_one": Mistake("soft-argmax with β 1 on heatmaps from 0 to 1", "network.decode",
                        settings={"decode": "soft-argmax", "softargmax_beta": 1.0}),
    "wide": Mistake("a `--heatmap-sigma` four times that of training", "network.peak_width",
                    settings={"heatmap_sigma": 4 * SIGMA}),
    "coords_in_cells": Mistake("own coordinates in heatmap cells", "network.coordinates",
                               habit="coords in cells"),
    "log_sigma": Mistake("log σ returned under the name `sigma`", "network.uncertainty",
                         habit="log sigma as sigma", refused=True),
    "sigma_in_cells": Mistake("σ in heatmap cells, read as input pixels", "network.uncertainty",
                              habit="sigma in cells"),
    "unread": Mistake("an output under a name that means nothing", "network.outputs", habit="unread"),
}  # fmt: skip


def write_case(folder: Path, known: Sequence[Radiograph], mistake: Mistake) -> None:
    """`data/AP` with images and annotations, and `network.pt`."""
    data = folder / "data" / "AP"
    data.mkdir(parents=True)
    stored = []
    for number, right in enumerate(known):
        hit = number % mistake.every == 0
        turned = mistake.tag if hit else 1
        inside = _stored(right) if turned == 3 else right
        stored.append(inside)
        pixels = mistake.picture(inside.pixels) if hit and mistake.picture else inside.pixels
        marked = known[(number + mistake.rolled) % len(known)]
        labels = mistake.labels(marked) if hit and mistake.labels else marked.keypoints_px
        for copy in range(2 if number < mistake.again else 1):
            stem = f"{100 * copy + number + 1:04d}-F-050Y0"
            (data / f"{stem}.png").write_bytes(_png(pixels, turned))
            text = format_annotation(labels, [0] * AP.endplates, decimals=4)
            (data / f"{stem}.csv").write_text(text, encoding="utf-8")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        save: Callable[[str], None] = torch.jit.script(Memory(stored, mistake.habit).eval()).save
    save(str(folder / "network.pt"))


def _stored(right: Radiograph) -> Radiograph:
    """As a file keeps an image that viewers turn by 180°."""
    far = right.size.xy - 1
    return Radiograph(np.ascontiguousarray(right.pixels[::-1, ::-1]), far - right.keypoints_px)


def _png(pixels: AnyPixels, tag: int) -> bytes:
    buffer = BytesIO()
    exif = Image.Exif()
    if tag != 1:
        exif[0x0112] = tag
    Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, "PNG", compress_level=1, exif=exif)
    return buffer.getvalue()
