"""A TIFF whose packed data are damaged, or lie outside the file, is an error; whole ones are not."""

import random
import struct
import zlib

import cv2
import numpy as np
import pytest

from mahtdiag.data.images import decode_image
from mahtdiag.errors import DataError
from tests.data.builders import Pixels, encoded, radiograph, tiff_entry

GREY = radiograph(331, 203)
GREY16 = GREY.astype(np.uint16) * 251
COLOUR = np.dstack([GREY, 255 - GREY, GREY // 2])
COMPRESSIONS = ("tiff_lzw", "tiff_adobe_deflate", "tiff_deflate", "packbits", "jpeg")
LOST = 512


def files() -> dict[str, bytes]:
    """By Pillow and OpenCV, which both use libtiff."""
    found = {
        "raw": encoded(GREY, "TIFF"),
        "raw 16": encoded(GREY16, "TIFF"),
        "raw RGB": encoded(COLOUR, "TIFF"),
    }
    for compression in COMPRESSIONS:
        found[compression] = encoded(GREY, "TIFF", compression=compression)
        found[f"{compression} RGB"] = encoded(COLOUR, "TIFF", compression=compression)
        if compression != "jpeg":
            found[f"{compression} 16"] = encoded(GREY16, "TIFF", compression=compression)
            found[f"{compression} predictor"] = encoded(
                GREY, "TIFF", compression=compression, tiffinfo={317: 2}
            )
    for code in (1, 5, 8, 32773):
        for name, image in (("grey", GREY), ("16", GREY16), ("RGB", COLOUR)):
            written = cv2.imencode(".tif", np.asarray(image), [cv2.IMWRITE_TIFF_COMPRESSION, code])[1]
            found[f"OpenCV {code} {name}"] = written.tobytes()
    return found


FILES = files()


def data_of(content: bytes) -> tuple[int, int]:
    """The first and the last byte of the strips."""
    values = []
    for tag in (273, 279):
        place = tiff_entry(content, tag)
        kind, count, value = struct.unpack_from("<HII", content, place + 2)
        code, size = ("H", 2) if kind == 3 else ("I", 4)
        if count * size <= 4:
            values.append(struct.unpack_from(f"<{count}{code}", content, place + 8))
        else:
            values.append(struct.unpack_from(f"<{count}{code}", content, value))
    ends = [start + length for start, length in zip(*values, strict=True)]
    return min(values[0]), max(ends)


@pytest.mark.parametrize("name", FILES)
def test_whole_files_are_read(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    expected: Pixels = GREY16 if name.endswith("16") else COLOUR if name.endswith("RGB") else GREY
    found = decode_image(FILES[name], name)
    if name.startswith("jpeg"):
        assert np.abs(found.astype(float) - expected).mean() < 6
    elif name.startswith("OpenCV") and name.endswith("RGB"):
        np.testing.assert_array_equal(found, expected[..., ::-1])
    else:
        np.testing.assert_array_equal(found, expected)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", [name for name in FILES if "raw" not in name and "OpenCV 1 " not in name])
def test_zeros_in_the_place_of_packed_data(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    rng = random.Random(name)
    content = FILES[name]
    start, end = data_of(content)
    problems: list[str] = []
    for _ in range(20):
        at = rng.randrange(start, end - LOST)
        try:
            decode_image(content[:at] + bytes(LOST) + content[at + LOST :], "a.tif")
        except DataError as error:
            problems += error.problems
    # Of PackBits nothing but their number can be checked.
    assert len(problems) >= (17 if "packbits" in name or "32773" in name else 20)
    assert all(
        line.startswith(("a.tif: the TIFF is damaged", "a.tif: the JPEG is damaged"))
        or line.endswith("a part of the file is lost: copy it again")
        for line in problems
    )
    assert capfd.readouterr() == ("", "")


def moved_to_front(content: bytes) -> bytes:
    """The same file as other programs write it, the directory before the data: these may end early."""
    (directory,) = struct.unpack_from("<I", content, 4)
    (entries,) = struct.unpack_from("<H", content, directory)
    table = bytearray(content[directory : directory + 2 + 12 * entries + 4])
    shift = len(table)
    _, end = data_of(content)
    for number in range(entries):
        place = 2 + 12 * number
        tag, kind, count, value = struct.unpack_from("<HHII", table, place)
        if tag == 273:
            assert count == 1
            struct.pack_into("<I", table, place + 8, value + shift)
        size = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8}[kind] * count
        assert size <= 4
    return content[:4] + struct.pack("<I", 8) + bytes(table) + content[8:end]


@pytest.mark.parametrize("image", [GREY, GREY16])
def test_pixels_that_lie_outside_the_file(image: Pixels, capfd: pytest.CaptureFixture[str]) -> None:
    whole = moved_to_front(encoded(image, "TIFF"))
    np.testing.assert_array_equal(decode_image(whole, "a.tif"), image)
    for content in (whole[:-LOST], whole[:5000] + whole[5000 + LOST :], whole[:-1]):
        with pytest.raises(DataError) as caught:
            decode_image(content, "a.tif")
        expected = "a.tif: the TIFF is damaged or truncated (pixels outside the file): copy it again"
        assert caught.value.problems == (expected,)
    assert capfd.readouterr() == ("", "")


def test_directories_over_each_other_cost_little() -> None:
    """4,096 of 65,535 entries each, in two megabytes, were read for minutes."""
    entries = 65_535
    directories = 4096
    body = bytearray(struct.pack("<H", entries) * (entries * 6 + 4 * directories))
    for number in range(directories):
        place = 8 + 2 * number
        following = place + 2 + 12 * entries - 8
        struct.pack_into("<I", body, following, 0 if number == directories - 1 else place + 2)
    with pytest.raises(DataError, match="the TIFF is truncated or damaged"):
        decode_image(b"II*\0" + struct.pack("<I", 8) + bytes(body), "a.tif")


def test_tiles_are_read_and_checked() -> None:
    """Tiles of 64 by 64 at the edges of an image are whole: 331 rows take 6, 203 columns 4."""
    padded = np.zeros((6 * 64, 4 * 64), np.uint8)
    padded[: GREY.shape[0], : GREY.shape[1]] = GREY
    tiles = padded.reshape(6, 64, 4, 64).swapaxes(1, 2).tobytes()
    count = 24
    table = 8 + 2 + 12 * 10 + 4
    data = table + 8 * count
    content = b"II*\0" + struct.pack("<IH", 8, 10)
    for tag, value in ((256, 203), (257, 331), (258, 8), (259, 1), (262, 1), (277, 1), (322, 64), (323, 64)):
        content += struct.pack("<HHII", tag, 4, 1, value)
    for tag, place in ((324, table), (325, table + 4 * count)):
        content += struct.pack("<HHII", tag, 4, count, place)
    starts = [data + 4096 * number for number in range(count)]
    content += struct.pack(f"<I{2 * count}I", 0, *starts, *[4096] * count) + tiles
    np.testing.assert_array_equal(decode_image(content, "a.tif"), GREY)
    with pytest.raises(DataError, match="pixels outside the file"):
        decode_image(content[:-1], "a.tif")


def test_an_orientation_of_many_values_is_no_traceback() -> None:
    content = bytearray(encoded(GREY, "TIFF", tiffinfo={274: 6}))
    struct.pack_into("<I", content, tiff_entry(bytes(content), 274) + 4, 1000)
    struct.pack_into("<I", content, tiff_entry(bytes(content), 274) + 8, len(content) - 1)
    with pytest.raises(DataError):
        decode_image(bytes(content), "a.tif")


def with_count(content: bytes, tag: int, count: int) -> bytes:
    """The same file, but for how many values a tag says to have."""
    changed = bytearray(content)
    struct.pack_into("<I", changed, tiff_entry(content, tag) + 4, count)
    return bytes(changed)


@pytest.mark.parametrize("count", [0, 5, 2**20 + 1, 2**32 - 1])
@pytest.mark.parametrize("tag", [258, 273, 279])
def test_tags_of_no_or_too_many_values(tag: int, count: int) -> None:
    with pytest.raises(DataError, match=r"a\.tif: the TIFF is (damaged|truncated)"):
        decode_image(with_count(FILES["tiff_lzw"], tag, count), "a.tif")


def test_strips_over_each_other_cost_little() -> None:
    """Every strip is the whole file: 331 of two megabytes."""
    rows = [zlib.compress(row.tobytes()) for row in GREY]
    count, table = len(rows), 8 + 2 + 12 * 8 + 4
    content = b"II*\0" + struct.pack("<IH", 8, 8)
    for tag, value in ((256, 203), (257, count), (258, 8), (259, 8), (262, 1)):
        content += struct.pack("<HHII", tag, 4, 1, value)
    content += struct.pack("<HHII", 273, 4, count, table) + struct.pack("<HHII", 278, 4, 1, 1)
    content += struct.pack("<HHII", 279, 4, count, table + 4 * count) + struct.pack("<I", 0)
    data = table + 8 * count
    starts = [data + sum(map(len, rows[:number])) for number in range(count)]
    lengths = [len(row) for row in rows]
    whole = content + struct.pack(f"<{2 * count}I", *starts, *lengths) + b"".join(rows)
    np.testing.assert_array_equal(decode_image(whole, "a.tif"), GREY)
    large = content + struct.pack(f"<{2 * count}I", *starts, *[2**21] * count) + b"".join(rows) + bytes(2**21)
    with pytest.raises(DataError, match="its directory"):
        decode_image(large, "a.tif")
