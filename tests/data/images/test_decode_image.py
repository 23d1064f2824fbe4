"""Image files: every kind gives its stored pixels, and every damage one line."""

import struct
import zlib

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mahtdiag.data.images import decode_image
from mahtdiag.data.images.containers import open_container
from mahtdiag.errors import DataError
from tests.data.builders import Pixels, colour, encoded, every_kind, radiograph, tiff_entry

FILES = every_kind()
NO_IMAGE = "not a PNG, JPEG, TIFF, BMP, WebP, JPEG 2000 or DICOM image"
GREY, RGB = radiograph(40, 60), colour()
GREY16 = GREY.astype(np.uint16) * 257
# Orientation 6: to be shown turned by 90 degrees.
TURNED = Image.Exif()
TURNED[274] = 6


def problem_of(content: bytes) -> str:
    with pytest.raises(DataError) as caught:
        decode_image(content, "a b.png")
    (problem,) = caught.value.problems
    assert problem.startswith("a b.png: ")
    assert "\n" not in problem
    return problem.removeprefix("a b.png: ")


LOSSLESS: dict[str, tuple[bytes, Pixels]] = {
    "PNG grey": (encoded(GREY, "PNG"), GREY),
    "PNG RGB": (encoded(RGB, "PNG"), RGB),
    "PNG 16 bit": (encoded(GREY16, "PNG"), GREY16),
    "PNG 1 bit": (encoded(GREY > 99, "PNG"), np.where(GREY > 99, 255, 0).astype(np.uint8)),
    "PNG transparent colour": (encoded(RGB, "PNG", transparency=tuple(RGB[0, 0].tolist())), RGB),
    "PNG alpha": (encoded(np.dstack([RGB, GREY]), "PNG"), RGB),
    "PNG grey alpha": (encoded(np.dstack([GREY, 255 - GREY]), "PNG"), np.dstack([GREY] * 3)),
    "PNG broken profile": (encoded(GREY, "PNG", icc_profile=b"broken"), GREY),
    "PNG turned": (encoded(GREY, "PNG", exif=TURNED), GREY),
    "BMP grey": (encoded(GREY, "BMP"), GREY),
    "BMP RGB": (encoded(RGB, "BMP"), RGB),
    "BMP alpha": (encoded(np.dstack([RGB, GREY]), "BMP"), RGB),
    "BMP 1 bit": (encoded(GREY > 99, "BMP"), np.where(GREY > 99, 255, 0).astype(np.uint8)),
    "TIFF grey": (encoded(GREY, "TIFF"), GREY),
    "TIFF RGB": (encoded(RGB, "TIFF"), RGB),
    "TIFF 16 bit": (encoded(GREY16, "TIFF"), GREY16),
    "TIFF LZW": (encoded(RGB, "TIFF", compression="tiff_lzw"), RGB),
    "TIFF deflate": (encoded(GREY16, "TIFF", compression="tiff_adobe_deflate"), GREY16),
    "TIFF fax": (
        encoded(GREY > 99, "TIFF", compression="group4"),
        np.where(GREY > 99, 255, 0).astype(np.uint8),
    ),
    "TIFF alpha": (encoded(np.dstack([RGB, GREY]), "TIFF"), RGB),
    "TIFF big": (encoded(GREY, "TIFF", big_tiff=True), GREY),
    # Pillow inverts 8-bit values when it writes this tag, and writes 16-bit ones as they are.
    "TIFF white is zero": (encoded(GREY, "TIFF", tiffinfo={262: 0}), GREY),
    "TIFF 16 bit, white is zero": (encoded(65535 - GREY16, "TIFF", tiffinfo={262: 0}), GREY16),
}
SHARES = GREY.astype(np.float32) / np.float32(255)
LOSSLESS |= {
    "TIFF float": (encoded(SHARES, "TIFF"), GREY16),
    "TIFF float, packed": (encoded(SHARES, "TIFF", compression="tiff_adobe_deflate"), GREY16),
    "TIFF float, white is zero": (encoded(1 - SHARES, "TIFF", tiffinfo={262: 0}), GREY16),
    "WebP": (encoded(RGB, "WEBP", lossless=True), RGB),
    "WebP turned": (encoded(RGB, "WEBP", lossless=True, exif=TURNED), RGB),
    "JPEG 2000": (encoded(GREY, "JPEG2000"), GREY),
    "JPEG 2000 RGB": (encoded(RGB, "JPEG2000"), RGB),
    "JPEG 2000 16 bit": (encoded(GREY16, "JPEG2000"), GREY16),
    "JPEG 2000 stream": (encoded(GREY16, "JPEG2000", no_jp2=True), GREY16),
}
for _turn in range(2, 9):
    LOSSLESS[f"TIFF turned {_turn}"] = (encoded(GREY, "TIFF", tiffinfo={274: _turn}), GREY)
    LOSSLESS[f"TIFF RGB turned {_turn}"] = (encoded(RGB, "TIFF", tiffinfo={274: _turn}), RGB)
    LOSSLESS[f"TIFF 16 bit turned {_turn}"] = (encoded(GREY16, "TIFF", tiffinfo={274: _turn}), GREY16)


@pytest.mark.parametrize("kind", LOSSLESS)
def test_pixels_come_as_stored(kind: str, capfd: pytest.CaptureFixture[str]) -> None:
    content, expected = LOSSLESS[kind]
    image = decode_image(content, kind)
    assert image.dtype == expected.dtype
    np.testing.assert_array_equal(image, expected)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_palettes_are_resolved(kind: str) -> None:
    with_palette = Image.fromarray(RGB).quantize(16)
    content = encoded(np.asarray(with_palette.convert("RGB")), kind, mode="P")
    expected = np.asarray(
        Image.fromarray(np.asarray(with_palette.convert("RGB"))).convert("P").convert("RGB")
    )
    np.testing.assert_array_equal(decode_image(content, kind), expected)


@pytest.mark.parametrize(("pixels", "shape"), [(GREY, (40, 60)), (RGB, (40, 60, 3))])
@pytest.mark.parametrize("progressive", [False, True])
def test_jpeg_is_not_turned_and_keeps_its_channels(
    pixels: Pixels, shape: tuple[int, ...], progressive: bool
) -> None:
    content = encoded(pixels, "JPEG", exif=TURNED, quality=98, subsampling=0, progressive=progressive)
    turning = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    assert turning is not None
    assert turning.shape[:2] == (60, 40), "the file does carry its orientation"
    image = decode_image(content, "a.jpg")
    assert image.shape == shape
    assert np.abs(image.astype(float) - pixels).mean() < 2.0


@pytest.mark.parametrize("share", [0.02, 0.1, 0.5, 0.95, 0.999])
@pytest.mark.parametrize("name", FILES)
def test_a_truncated_file_is_an_error(name: str, share: float, capfd: pytest.CaptureFixture[str]) -> None:
    content = FILES[name]
    cut = content[: int(len(content) * share)]
    if name.endswith(".jpg") and len(cut) >= len(content) - 2:
        cut = cut[:-4]
    problem = problem_of(cut)
    assert any(word in problem for word in ("truncated", "damaged", NO_IMAGE))
    assert capfd.readouterr() == ("", "")


def test_a_jpeg_whose_thumbnail_is_complete_may_still_be_truncated() -> None:
    thumbnail = encoded(GREY[:16, :16], "JPEG")
    segment = b"\xff\xe1" + struct.pack(">H", len(thumbnail) + 2) + thumbnail
    content = FILES["grey.jpg"][:2] + segment + FILES["grey.jpg"][2:]
    assert decode_image(content, "a.jpg").shape == (40, 60)
    assert "the JPEG is damaged or truncated" in problem_of(content[:-40])
    assert "the JPEG is truncated" in problem_of(content[: content.rindex(b"\xff\xda") + 8])


def test_bytes_behind_the_end_are_harmless(capfd: pytest.CaptureFixture[str]) -> None:
    for name in ("grey.jpg", "grey.png", "grey.tif", "grey.bmp"):
        content = FILES[name]
        np.testing.assert_array_equal(decode_image(content + b"\0" * 99, name), decode_image(content, name))
    assert capfd.readouterr() == ("", "")


def test_damage_inside_a_png_is_seen_by_its_checksum(capfd: pytest.CaptureFixture[str]) -> None:
    content = bytearray(FILES["grey.png"])
    content[len(content) // 2] ^= 1
    assert "the PNG is damaged (wrong checksum" in problem_of(bytes(content))
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    "content",
    [
        b"not an image",
        b"\0" * 4096,
        encoded(RGB, "GIF"),
        encoded(RGB, "PPM"),
        b"%PDF-1.7",
    ],
)
def test_other_formats_are_refused(content: bytes) -> None:
    assert problem_of(content) == NO_IMAGE


def test_an_empty_file() -> None:
    assert problem_of(b"") == "the file is empty (0 bytes)"


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "BMP", "WEBP", "JPEG2000"])
@pytest.mark.parametrize(("height", "width"), [(1, 1), (15, 60), (40, 15)])
def test_too_small_images(kind: str, height: int, width: int) -> None:
    problem = problem_of(encoded(GREY[:height, :width], kind))
    assert problem == f"{width}x{height} pixels (width x height), an image has at least 16 on each side"
    assert decode_image(encoded(GREY[:16, :16], kind), "a").shape[:2] == (16, 16)


def huge(kind: str) -> bytes:
    """A valid small file whose header claims 60000 by 50000 pixels."""
    content = bytearray(encoded(GREY, kind))
    if kind == "PNG":
        content[16:24] = struct.pack(">II", 60_000, 50_000)
        content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    elif kind == "BMP":
        content[18:26] = struct.pack("<ii", 60_000, -50_000)
    elif kind == "JPEG":
        frame = content.index(b"\xff\xc0")
        content[frame + 5 : frame + 9] = struct.pack(">HH", 50_000, 60_000)
    else:
        for tag, value in ((256, 60_000), (257, 50_000)):
            place = tiff_entry(bytes(content), tag)
            content[place + 2 : place + 12] = struct.pack("<HII", 4, 1, value)
    return bytes(content)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "BMP"])
def test_absurd_sizes_are_refused_before_decoding(kind: str) -> None:
    expected = "60000x50000 pixels (width x height), more than the 268435456 an image may have"
    assert problem_of(huge(kind)) == expected


@pytest.mark.parametrize("kind", FILES)
def test_the_header_alone_tells_the_size(kind: str) -> None:
    size = open_container(FILES[kind], kind).size
    assert (size.height, size.width) == (40, 60)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (
            encoded(np.where(GREY > 200, np.float32(200), GREY).astype(np.float32), "TIFF"),
            f"floating-point values from {GREY.min()} to 200, 0 to 1 are read: divide them by their range,"
            " or save it with 16 bit",
        ),
        (
            encoded(np.where(GREY > 200, np.float32("nan"), np.float32(0.5)), "TIFF"),
            "floating-point values from nan to nan, 0 to 1 are read: divide them by their range, or save it"
            " with 16 bit",
        ),
        (encoded(GREY.astype(np.int32), "TIFF"), "int32 pixels: save it with 8 or 16 bit per channel"),
        (encoded(RGB, "TIFF", mode="CMYK"), "a TIFF that is neither grey nor RGB: save it as greyscale"),
        (
            encoded(GREY, "TIFF", save_all=True, append_images=[Image.fromarray(GREY)] * 2),
            "a TIFF with 3 pages: save the radiograph as a file of its own",
        ),
    ],
)
def test_tiffs_that_are_no_single_radiograph(content: bytes, problem: str) -> None:
    assert problem_of(content) == problem


def test_values_of_twelve_bits_fill_the_scale() -> None:
    """A JPEG 2000 of 16 bits whose head says 12: the middle of its values is another."""
    values = np.arange(40 * 60, dtype=np.uint16).reshape(40, 60)
    content = bytearray(encoded(values + np.uint16(32768 - 2048), "JPEG2000", no_jp2=True))
    assert content[42] == 15
    content[42] = 11
    np.testing.assert_array_equal(decode_image(bytes(content), "a"), np.rint(values * (65535 / 4095)))
    for depth, said in ((15 | 128, "signed values"), (23, "24 bits")):
        content[42] = depth
        assert problem_of(bytes(content)) == f"a JPEG 2000 of {said}: save it with 8 or 16 bit per channel"


def test_a_webp_that_moves() -> None:
    moving = encoded(RGB, "WEBP", save_all=True, append_images=[Image.fromarray(255 - RGB)])
    assert problem_of(moving) == "a WebP that moves: save the radiograph as a still image"


def test_a_preview_behind_the_image_is_no_page() -> None:
    content = bytearray(encoded(GREY, "TIFF", save_all=True, append_images=[Image.fromarray(GREY[::2, ::2])]))
    (first,) = struct.unpack_from("<I", content, 4)
    (entries,) = struct.unpack_from("<H", content, first)
    (second,) = struct.unpack_from("<I", content, first + 2 + 12 * entries)
    assert "2 pages" in problem_of(bytes(content))
    # The width's entry comes first; a subfile type of "reduced copy" takes the place of an entry before it.
    (second_entries,) = struct.unpack_from("<H", content, second)
    body = bytes(content[second + 2 : second + 2 + 12 * second_entries + 4])
    directory = struct.pack("<H", second_entries + 1) + struct.pack("<HHII", 254, 4, 1, 1) + body
    struct.pack_into("<I", content, first + 2 + 12 * entries, len(content))
    np.testing.assert_array_equal(decode_image(bytes(content) + directory, "a.tif"), GREY)


def test_a_tiff_whose_directories_run_in_circles() -> None:
    content = bytearray(encoded(GREY, "TIFF"))
    (first,) = struct.unpack_from("<I", content, 4)
    (entries,) = struct.unpack_from("<H", content, first)
    struct.pack_into("<I", content, first + 2 + 12 * entries, first)
    assert "the TIFF is truncated or damaged" in problem_of(bytes(content))


def read_or_refuse(content: bytes) -> None:
    problems: tuple[str, ...] = ()
    try:
        image = decode_image(content, "a")
    except DataError as error:
        problems = error.problems
    else:
        assert image.dtype in (np.uint8, np.uint16)
        assert image.shape[2:] in ((), (3,))
        return
    assert len(problems) == 1


STARTS = [b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+", b"BM"]
STARTS += [
    b"RIFF\x40\0\0\0WEBPVP8 ",
    b"RIFF\x40\0\0\0WEBPVP8X",
    b"\0\0\0\x0cjP  \r\n\x87\n",
    b"\xff\x4f\xff\x51",
]


@given(st.sampled_from(STARTS), st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(start: bytes, rest: bytes) -> None:
    read_or_refuse(start + rest)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(sorted(FILES)), st.floats(0, 1), st.binary(min_size=1, max_size=8))
def test_any_damage_is_read_or_refused(name: str, where: float, noise: bytes) -> None:
    content = bytearray(FILES[name])
    place = int(where * (len(content) - 1))
    content[place : place + len(noise)] = noise
    read_or_refuse(bytes(content))


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(sorted(FILES)), st.floats(0, 1, exclude_max=True))
def test_any_truncation_is_refused(name: str, share: float) -> None:
    content = FILES[name][: int(len(FILES[name]) * share)]
    if name.endswith(".jpg") and len(content) >= len(FILES[name]) - 2:
        # Only the end marker is missing.
        np.testing.assert_array_equal(decode_image(content, name), decode_image(FILES[name], name))
        return
    with pytest.raises(DataError):
        decode_image(content, name)
