"""What is said of an image's pixels and of its orientation, against Pillow and against numbers by hand."""

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image, ImageOps

from mahtdiag.data.images import (
    decode_image,
    decode_reduced,
    describe_image,
    describe_pixels,
    read_image_size,
    turned,
)
from mahtdiag.data.images.containers import orientation_of
from mahtdiag.diagnosis.setup.mistakes import upright_to_stored
from mahtdiag.errors import DataError
from mahtdiag.schema.frames import Size
from tests.data.builders import Pixels, colour, encoded, radiograph

GREY, RGB = radiograph(200, 160), colour(200, 160)


def tagged(pixels: Pixels, kind: str, tag: int) -> bytes:
    """An image file with an orientation, written by Pillow."""
    exif = Image.Exif()
    exif[0x010E] = "a spine"
    exif[0x0112] = tag
    exif[0x0132] = "2026:01:01 00:00:00"
    return (
        encoded(pixels, "TIFF", tiffinfo={0x0112: tag})
        if kind == "TIFF"
        else encoded(pixels, kind, exif=exif)
    )


# ---- orientation ----


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF"])
@pytest.mark.parametrize("tag", range(1, 9))
@pytest.mark.parametrize("pixels", [GREY, RGB], ids=["grey", "RGB"])
def test_the_tag_is_the_one_that_pillow_reads(kind: str, tag: int, pixels: Pixels) -> None:
    content = tagged(pixels, kind, tag)
    assert Image.open(io.BytesIO(content)).getexif()[0x0112] == tag
    assert orientation_of(content) == tag


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "BMP"])
def test_an_image_without_a_tag_is_upright(kind: str) -> None:
    assert orientation_of(encoded(GREY, kind)) == 1


@pytest.mark.parametrize("tag", [0, 9, 255, 65535])
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_a_tag_that_means_nothing_is_none(kind: str, tag: int) -> None:
    assert orientation_of(tagged(GREY, kind, tag)) == 1


def tiff(order: str, entries: list[tuple[int, int, int, bytes]], first: int = 8) -> bytes:
    """A TIFF structure with one directory, written by hand."""
    mark = {"<": b"II*\0", ">": b"MM\0*"}[order]
    rows = b"".join(struct.pack(f"{order}HHI", tag, kind, n) + value for tag, kind, n, value in entries)
    gap = b"\0" * (first - 8)
    return (
        mark
        + struct.pack(f"{order}I", first)
        + gap
        + struct.pack(f"{order}H", len(entries))
        + rows
        + b"\0" * 4
    )


def in_jpeg(tags: bytes) -> bytes:
    """These tags as the first segment of a JPEG."""
    segment = b"Exif\0\0" + tags
    whole = encoded(GREY, "JPEG")
    return whole[:2] + b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment + whole[2:]


def in_png(tags: bytes) -> bytes:
    """These tags as the first chunk of a PNG after its header."""
    whole = encoded(GREY, "PNG")
    chunk = b"eXIf" + tags
    return (
        whole[:33] + struct.pack(">I", len(tags)) + chunk + struct.pack(">I", zlib.crc32(chunk)) + whole[33:]
    )


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("put", [in_jpeg, in_png])
def test_both_byte_orders_and_a_directory_elsewhere(order: str, put: Callable[[bytes], bytes]) -> None:
    value = struct.pack(f"{order}HH", 6, 0)
    entries = [(0x010F, 2, 3, b"ab\0\0"), (0x0112, 3, 1, value)]
    for first in (8, 40):
        content = put(tiff(order, entries, first))
        assert orientation_of(content) == 6
        assert Image.open(io.BytesIO(content)).getexif()[0x0112] == 6


@pytest.mark.parametrize("entry", [(0x0112, 4, 1, b"\6\0\0\0"), (0x0112, 2, 1, b"\6\0\0\0")])
def test_a_tag_of_another_type_is_none(entry: tuple[int, int, int, bytes]) -> None:
    assert orientation_of(in_jpeg(tiff("<", [entry]))) == 1


@given(st.binary(max_size=200))
def test_any_bytes_have_an_orientation(content: bytes) -> None:
    for start in (b"", b"\xff\xd8\xff\xe1\0\x20Exif\0\0", b"\x89PNG\r\n\x1a\n", b"II*\0", b"MM\0*"):
        assert 1 <= orientation_of(start + content) <= 8


@settings(max_examples=200)
@given(st.sampled_from(["II", "MM"]), st.binary(max_size=80), st.sampled_from([in_jpeg, in_png]))
def test_random_tags_never_raise(order: str, tags: bytes, put: Callable[[bytes], bytes]) -> None:
    content = put(order.encode() + tags)
    assert 1 <= orientation_of(content) <= 8


@settings(max_examples=60)
@given(st.data(), st.sampled_from(["JPEG", "PNG"]), st.integers(2, 8))
def test_a_file_that_ends_or_is_spoiled_never_raises(data: st.DataObject, kind: str, tag: int) -> None:
    content = tagged(GREY, kind, tag)
    cut = content[: data.draw(st.integers(0, 400))]
    assert orientation_of(cut) in (1, tag)
    spoiled = bytearray(content)
    for place in data.draw(st.lists(st.integers(0, 200), max_size=4)):
        spoiled[place] = data.draw(st.integers(0, 255))
    assert 1 <= orientation_of(bytes(spoiled)) <= 8


def test_a_directory_of_itself_and_a_huge_count_come_to_an_end() -> None:
    assert orientation_of(in_jpeg(b"II*\0" + struct.pack("<I", 0xFFFFFFFF))) == 1
    assert orientation_of(in_jpeg(b"II*\0" + struct.pack("<IH", 8, 0xFFFF) + b"\1" * 500)) == 1


# ---- pixels ----


def test_numbers_of_a_small_image_by_hand() -> None:
    image = np.arange(16 * 24, dtype=np.uint16).reshape(16, 24) * 100
    found = describe_pixels(image, 3)
    assert (found.bits, found.low, found.colour, found.orientation) == (16, 0.0, 0.0, 3)
    assert found.high == image.max() / 65535
    blocks = image.reshape(8, 2, 8, 3).mean((1, 3))
    levels = np.frombuffer(bytes.fromhex(found.thumbnail), np.uint8).reshape(8, 8)
    assert np.abs(levels - blocks * 255 / 65535).max() <= 1


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_the_small_copy_is_what_pillow_makes_of_the_image(kind: str) -> None:
    content = encoded(GREY, kind)
    found = describe_pixels(np.asarray(Image.open(io.BytesIO(content))))
    levels = np.frombuffer(bytes.fromhex(found.thumbnail), np.uint8).reshape(8, 8).astype(int)
    expected = np.asarray(Image.open(io.BytesIO(content)).resize((8, 8), Image.Resampling.BOX)).astype(int)
    assert np.abs(levels - expected).max() <= 4
    assert (found.bits, found.colour) == (8, 0.0)


def test_colour_is_the_distance_between_channels() -> None:
    grey = np.dstack([GREY] * 3)
    assert describe_pixels(grey).colour == 0.0
    tinted = grey.copy()
    tinted[..., 0] = np.minimum(grey[..., 0], 204) + 51
    tinted[..., 1:] = np.minimum(grey[..., 1:], 204)
    assert describe_pixels(tinted).colour == pytest.approx(0.2)
    assert describe_pixels(RGB).colour > 0.02


@settings(max_examples=40)
@given(
    arrays(st.sampled_from([np.uint8, np.uint16]), st.tuples(st.integers(16, 300), st.integers(16, 300))),
)
def test_what_is_said_lies_within_the_image(image: Pixels) -> None:
    full = 255 if image.dtype == np.uint8 else 65535
    found = describe_pixels(image)
    assert image.min() / full <= found.low <= found.high <= image.max() / full
    assert found.bits == 8 * image.dtype.itemsize
    assert len(found.thumbnail) == 128
    negative = describe_pixels(np.subtract(full, image, dtype=image.dtype))
    assert negative.low == pytest.approx(1 - found.high)
    levels = [
        np.frombuffer(bytes.fromhex(each.thumbnail), np.uint8).astype(int) for each in (found, negative)
    ]
    assert np.abs(levels[0] + levels[1] - 255).max() <= 1


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_a_file_is_described_as_stored(kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"a.{kind.lower()}"
    content = tagged(GREY, kind, 6)
    path.write_bytes(content)
    found = describe_image(path, "a")
    assert (found.original, found.pixels.orientation, found.pixels.bits) == (Size(200, 160), 6, 8)
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError):
        describe_image(path, "a")


@pytest.mark.parametrize("tag", range(1, 9))
@pytest.mark.parametrize("picture", [radiograph(64, 40), colour(48, 70)])
def test_an_image_is_turned_by_its_tag_as_pillow_turns_it(tag: int, picture: Pixels, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = tag
    for kind in ("PNG", "JPEG"):
        file = tmp_path / f"a.{kind}"
        Image.fromarray(picture).save(file, exif=exif)
        content = file.read_bytes()
        expected = np.asarray(ImageOps.exif_transpose(Image.open(file)))
        found = decode_image(content, "a", upright=True)
        np.testing.assert_allclose(
            found.astype(float), expected.astype(float), atol=3 if kind == "JPEG" else 0
        )
        size = Size(*expected.shape[:2])
        assert read_image_size(file, "a", upright=True) == size
        described = describe_image(file, "a", upright=True)
        assert (described.original, described.pixels.orientation) == (size, 1)
        assert describe_image(file, "a").pixels.orientation == tag
        reduced = decode_reduced(content, "a", 8, upright=True)
        assert reduced.original == size


@pytest.mark.parametrize("tag", range(1, 9))
def test_points_and_pixels_are_turned_by_the_same_tag(tag: int) -> None:
    stored = radiograph(30, 20)
    upright = turned(stored, tag)
    x, y = np.meshgrid(np.arange(upright.shape[1]), np.arange(upright.shape[0]))
    points = np.stack([x, y], -1).reshape(1, -1, 2).astype(float)
    back = upright_to_stored(points, np.array([[20.0, 30.0]]), np.array([tag]))[0].astype(int)
    np.testing.assert_array_equal(stored[back[:, 1], back[:, 0]], upright.ravel())
