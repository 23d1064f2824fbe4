"""What decoded images take: one alone, and all that threads decode at once."""

import struct
import threading
import time
import zlib

import numpy as np
import pytest

from mahtdiag.data.images import decode_image
from mahtdiag.data.images.containers import open_container
from mahtdiag.data.images.room import ROOM, Room
from mahtdiag.errors import DataError
from tests.data.builders import colour, encoded, every_kind, radiograph

GREY = radiograph(40, 60)
NEEDED = {
    "grey.jpg": 1, "colour.jpg": 3, "progressive.jpg": 9, "grey.png": 1, "colour.png": 3, "grey16.png": 2,
    "bits.png": 1, "grey.bmp": 4, "grey.tif": 1, "grey16.tif": 2, "colour.tif": 3, "float.tif": 4,
    "lossy.webp": 4, "grey16.jp2": 4, "colour.j2k": 12,
}  # fmt: skip


@pytest.mark.parametrize("name", NEEDED)
def test_what_a_pixel_takes(name: str) -> None:
    content = every_kind()[name]
    container = open_container(content, name)
    assert container.pixel_bytes == NEEDED[name]
    image = decode_image(content, name)
    assert container.pixel_bytes * 40 * 60 >= image.nbytes, "no less than what comes of it"


def bomb(side: int, depth: int, colours: int) -> bytes:
    """A PNG that is small and says that it is large."""
    header = struct.pack(">IIBBBBB", side, side, depth, colours, 0, 0, 0)
    chunks = b""
    for kind, data in ((b"IHDR", header), (b"IDAT", zlib.compress(bytes(1000))), (b"IEND", b"")):
        chunks += struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    return b"\x89PNG\r\n\x1a\n" + chunks


def test_bytes_are_bounded_and_not_pixels_alone() -> None:
    with pytest.raises(DataError) as caught:
        decode_image(bomb(16384, 16, 6), "a.png")
    expected = (
        "a.png: 16384x16384 pixels (width x height) of 8 bytes, more than the 512 MiB an image may have"
    )
    assert caught.value.problems == (expected,)
    # The largest grey image of 16 bits passes here, and is found to lack its pixels later.
    assert open_container(bomb(16384, 16, 0), "a.png").size.height == 16384


def test_room_is_given_back_whatever_happens() -> None:
    for content in (encoded(GREY, "PNG"), encoded(colour(), "JPEG"), b"\xff\xd8\xff", bomb(100, 8, 0)):
        try:
            decode_image(content, "a")
        except DataError:
            continue
    assert ROOM._free_bytes == ROOM._total_bytes


def test_threads_never_take_more_than_there_is() -> None:
    room, lock = Room(100), threading.Lock()
    taken, most = 0, 0

    def use(wanted: int) -> None:
        nonlocal taken, most
        with room.taken(wanted):
            with lock:
                taken += min(wanted, 100)
                most = max(most, taken)
            time.sleep(0.002)
            with lock:
                taken -= min(wanted, 100)

    wanted = np.random.default_rng(1).integers(1, 140, 40).tolist()
    threads = [threading.Thread(target=use, args=(each,)) for each in wanted]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert taken == 0
    assert 50 < most <= 100


def test_a_png_of_a_million_chunks_is_refused() -> None:
    empty = struct.pack(">I", 0) + b"tEXt" + struct.pack(">I", zlib.crc32(b"tEXt"))
    content = encoded(GREY, "PNG")
    with pytest.raises(DataError, match="the PNG has more than 262144 chunks"):
        decode_image(content[:33] + empty * 1_000_000 + content[33:], "a.png")


def test_a_webp_without_loss_whose_data_are_zeroed() -> None:
    content = encoded(colour(200, 200), "WEBP", lossless=True)
    assert decode_image(content, "a.webp").shape == (200, 200, 3)
    with pytest.raises(DataError, match="the WebP is damaged"):
        decode_image(content[:5000] + bytes(512) + content[5512:], "a.webp")
