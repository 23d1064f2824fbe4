"""How many damaged image files are told, how many whole ones are taken for damaged, and what telling costs.

    python -m validation damaged-images
    python -m validation.damaged_images FOLDER

Radiographs of `sample_data`, or the JPEGs below a folder, are written as every kind of file that is read. Of
a copy the end is cut off, 512 bytes are taken out, or 512 bytes are zeroed, at a random place of its data. It
is told where the file is refused; where its pixels stay as they were the damage does not count.
"""

import io
import random
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    RLELossless,
)
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from fuzz.images import dicom_file
from mahtdiag.data.images import decode_image
from mahtdiag.errors import DataError

SAMPLES: Final = Path(__file__).parents[1] / "sample_data"
COPIES, LOST = 100, 512
# Above the head of a file of any kind.
_HEAD_BYTES: Final = 700

Grey = NDArray[np.uint8]
DAMAGES: Final = ("cut", "lost", "zeroed")


def _written(ending: str, *parameters: int) -> Callable[[Grey], bytes]:
    def write(image: Grey) -> bytes:
        content: bytes = cv2.imencode(ending, image, parameters)[1].tobytes()
        return content

    return write


def _tiff(compression: int) -> Callable[[Grey], bytes]:
    return _written(".tif", cv2.IMWRITE_TIFF_COMPRESSION, compression)


def _jpeg_in_tiff(image: Grey) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "TIFF", compression="jpeg")
    return buffer.getvalue()


def _dicom(syntax: Any, stream: Callable[[Grey], bytes] = lambda _: b"") -> Callable[[Grey], bytes]:
    return lambda image: dicom_file(image, syntax, stream(image))


def _codestream(image: Grey) -> bytes:
    wrapped = _written(".jp2")(image)
    return wrapped[wrapped.index(b"\xff\x4f\xff\x51") :]


KINDS: Final[dict[str, Callable[[Grey], bytes]]] = {
    "JPEG": _written(".jpg"),
    "JPEG, quality 60": _written(".jpg", cv2.IMWRITE_JPEG_QUALITY, 60),
    "JPEG, own tables": _written(".jpg", cv2.IMWRITE_JPEG_OPTIMIZE, 1),
    "JPEG, restart markers": _written(".jpg", cv2.IMWRITE_JPEG_RST_INTERVAL, 8),
    "JPEG, progressive": _written(".jpg", cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
    "PNG": _written(".png"),
    "TIFF, deflate": _tiff(8),
    "TIFF, LZW": _tiff(5),
    "TIFF, PackBits": _tiff(32773),
    "TIFF, JPEG": _jpeg_in_tiff,
    "TIFF, stored": _tiff(1),
    "BMP": _written(".bmp"),
    "WebP without loss": _written(".webp", cv2.IMWRITE_WEBP_QUALITY, 101),
    "WebP with loss": _written(".webp", cv2.IMWRITE_WEBP_QUALITY, 80),
    "JPEG 2000": _written(".jp2"),
    "DICOM, stored": _dicom(ExplicitVRLittleEndian),
    "DICOM, deflated": _dicom(DeflatedExplicitVRLittleEndian),
    "DICOM, RLE": _dicom(RLELossless),
    "DICOM, JPEG": _dicom(JPEGBaseline8Bit, _written(".jpg")),
    "DICOM, JPEG 2000": _dicom(JPEG2000Lossless, _codestream),
}


def damaged(content: bytes, damage: str, rng: random.Random) -> bytes:
    """A copy that something happened to."""
    at = rng.randrange(min(_HEAD_BYTES, len(content) // 4), len(content) - LOST - 2)
    if damage == "cut":
        return content[:at]
    return content[:at] + bytes(LOST if damage == "zeroed" else 0) + content[at + LOST :]


def told(whole: list[bytes], damage: str, rng: random.Random, copies: int = COPIES) -> tuple[int, int]:
    """How many of so many damaged copies are refused; those whose pixels are as before are neither."""
    refused = counted = 0
    for number in range(copies):
        content = whole[number % len(whole)]
        try:
            same = np.array_equal(
                decode_image(damaged(content, damage, rng), "a"), decode_image(content, "a")
            )
        except DataError:
            refused += 1
            same = False
        counted += not same
    return refused, counted


def readable(files: list[bytes]) -> int:
    """How many files are read."""
    count = 0
    for content in files:
        try:
            decode_image(content, "a")
        except DataError:
            continue
        count += 1
    return count


def seconds_of(decode: Callable[[bytes], object], files: list[bytes], rounds: int = 5) -> float:
    """The quickest of a few rounds through all files."""
    took = []
    for _ in range(rounds):
        began = time.perf_counter()
        for content in files:
            decode(content)
        took.append(time.perf_counter() - began)
    return min(took)


def by_opencv(content: bytes) -> object:
    """What was done before: no look at whether the data are whole."""
    return cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)


def run(folder: Path = SAMPLES) -> Iterator[RenderableType]:
    """The tables."""
    files = [path.read_bytes() for path in sorted(folder.rglob("*.jpg"))]
    images = [image for image in (decode_image(content, "a") for content in files) if image.ndim == 2]
    greys = [np.asarray(image, dtype=np.uint8) for image in images]
    rng = random.Random(1)
    table = Table("kind", *(f"{damage}, told" for damage in DAMAGES), "whole, read", "time over OpenCV's")
    rows = {"JPEG, as they are": files}
    for kind, write in KINDS.items():
        rows[kind] = [write(image) for image in greys[:40]]
    for kind, whole in rows.items():
        cells = ["{} of {}".format(*told(whole, damage, rng)) for damage in DAMAGES]
        ratio = "-"
        if not kind.startswith("DICOM"):
            ours = seconds_of(lambda content: decode_image(content, "a"), whole[:20])
            ratio = f"{ours / seconds_of(by_opencv, whole[:20]):.2f}"
        table.add_row(kind, *cells, f"{readable(whole)} of {len(whole)}", ratio)
    yield table
    yield Text(f"{len(files)} radiographs of {folder.name}")


if __name__ == "__main__":
    for shown in run(Path(sys.argv[1]) if len(sys.argv) > 1 else SAMPLES):
        Console(width=120).print(shown)
