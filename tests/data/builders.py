"""Annotations, image files and data folders to test with."""

import io
import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mahtdiag.schema.skeleton import View
from training.annotations import format_annotation

Pixels = NDArray[np.uint8 | np.uint16]
AnyPixels = NDArray[np.uint8 | np.uint16 | np.int32 | np.float32 | np.bool_]


def spine(view: View, left: float = 60.0, top: float = 20.0) -> NDArray[np.float64]:
    """Keypoints of an upright, plain spine: vertebrae 40 wide and 20 high, 10 apart."""
    vertebra = np.array([[0, 0], [40, 0], [0, 20], [40, 20]], dtype=np.float64)
    levels = np.arange(6) * np.array([[0.0], [30.0]])
    corners = (vertebra + levels.T[:, np.newaxis]).reshape(-1, 2)
    points: NDArray[np.float64] = corners[: view.skeleton.keypoints] + np.array([left, top])
    return points


def annotation(view: View, rows: int | None = None) -> str:
    """A valid annotation, or one with another number of rows."""
    lines = format_annotation(spine(view), [0] * view.skeleton.endplates, decimals=0).splitlines()
    wanted = len(lines) if rows is None else rows
    return "".join(line + "\n" for line in (lines * 2)[:wanted])


def radiograph(height: int = 220, width: int = 160, seed: int = 0) -> NDArray[np.uint8]:
    """Smooth grey values with some noise, no two regions alike."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    values = 90 + 60 * np.sin(x / 17.0) + 50 * np.cos(y / 23.0) + rng.normal(0, 6, (height, width))
    grey: NDArray[np.uint8] = np.clip(values, 0, 255).astype(np.uint8)
    return grey


def colour(height: int = 40, width: int = 60) -> NDArray[np.uint8]:
    """Three different channels, RGB."""
    return np.dstack([radiograph(height, width, seed) for seed in (1, 2, 3)])


def encoded(pixels: AnyPixels, kind: str, mode: str | None = None, **options: object) -> bytes:
    """An image file written by Pillow, which shares no code with the decoder under test."""
    buffer = io.BytesIO()
    image = Image.fromarray(pixels)
    if mode is not None:
        image = image.convert(mode)
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def every_kind() -> dict[str, bytes]:
    """One valid file of each kind that is read."""
    grey, rgb = radiograph(40, 60), colour()
    grey16 = grey.astype(np.uint16) * 257
    return {
        "grey.jpg": encoded(grey, "JPEG"),
        "colour.jpg": encoded(rgb, "JPEG"),
        "progressive.jpg": encoded(rgb, "JPEG", progressive=True),
        "grey.png": encoded(grey, "PNG"),
        "colour.png": encoded(rgb, "PNG"),
        "grey16.png": encoded(grey16, "PNG"),
        "bits.png": encoded(grey > 100, "PNG"),
        "grey.bmp": encoded(grey, "BMP"),
        "colour.bmp": encoded(rgb, "BMP"),
        "grey.tif": encoded(grey, "TIFF"),
        "grey16.tif": encoded(grey16, "TIFF"),
        "colour.tif": encoded(rgb, "TIFF"),
        "lzw.tif": encoded(grey, "TIFF", compression="tiff_lzw"),
        "deflate.tif": encoded(grey16, "TIFF", compression="tiff_adobe_deflate"),
        "jpeg.tif": encoded(grey, "TIFF", compression="jpeg"),
        "float.tif": encoded(grey.astype(np.float32) / np.float32(255), "TIFF"),
        "lossless.webp": encoded(rgb, "WEBP", lossless=True),
        "lossy.webp": encoded(rgb, "WEBP"),
        "more.webp": encoded(rgb, "WEBP", exif=b"Exif\0\0II*\0\x08\0\0\0\0\0"),
        "grey.jp2": encoded(grey, "JPEG2000"),
        "grey16.jp2": encoded(grey16, "JPEG2000"),
        "colour.j2k": encoded(rgb, "JPEG2000", no_jp2=True),
    }


def tiff_entry(content: bytes, tag: int) -> int:
    """Where the entry of a tag lies in the first directory of a little-endian classic TIFF."""
    (directory,) = struct.unpack_from("<I", content, 4)
    (entries,) = struct.unpack_from("<H", content, directory)
    places = range(directory + 2, directory + 2 + 12 * entries, 12)
    return next(place for place in places if struct.unpack_from("<H", content, place)[0] == tag)


def write_pair(folder: Path, stem: str, view: View, extension: str = ".png", rows: int | None = None) -> None:
    """An image and its annotation."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / (stem + extension)).write_bytes(encoded(radiograph(), "PNG"))
    (folder / (stem + ".csv")).write_text(annotation(view, rows), encoding="utf-8")
