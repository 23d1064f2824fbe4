"""A JPEG with cut, lost or zeroed data is an error however it is decoded; odd but whole ones are read."""

import random
import re

import cv2
import numpy as np
import pytest

from mahtdiag.data.images import decode_image, decode_reduced
from mahtdiag.data.images.containers import open_container
from mahtdiag.data.images.jpeg import check_jpeg
from mahtdiag.errors import DataError
from tests.data.builders import Pixels, encoded, radiograph

GREY = cv2.resize(radiograph(150, 100, 3), (200, 300)).astype(np.uint8)
NOISY = np.clip(GREY + np.random.default_rng(1).normal(0, 12, GREY.shape), 0, 255).astype(np.uint8)
COLOUR = np.dstack([NOISY, 255 - NOISY, NOISY // 2])
WRITERS: dict[str, tuple[Pixels, list[int]]] = {
    "grey": (NOISY, [cv2.IMWRITE_JPEG_QUALITY, 90]),
    "colour": (COLOUR, [cv2.IMWRITE_JPEG_QUALITY, 90]),
    "own tables": (NOISY, [cv2.IMWRITE_JPEG_OPTIMIZE, 1]),
    "restarts": (NOISY, [cv2.IMWRITE_JPEG_RST_INTERVAL, 5]),
    "strong": (COLOUR, [cv2.IMWRITE_JPEG_QUALITY, 50]),
}
FILES = {name: cv2.imencode(".jpg", image, flags)[1].tobytes() for name, (image, flags) in WRITERS.items()}
LOST = 512


def scan_of(content: bytes) -> tuple[int, int]:
    """First and last byte of the only scan."""
    head = content.rindex(b"\xff\xda")
    return head + 2 + int.from_bytes(content[head + 2 : head + 4], "big"), content.rindex(b"\xff\xd9")


def damaged(content: bytes, kind: str, share: float) -> bytes:
    start, end = scan_of(content)
    at = start + int((end - LOST - start) * share)
    match kind:
        case "cut":
            return content[:at]
        case "cut, with an end":
            return content[:at] + b"\xff\xd9"
        case "lost":
            return content[:at] + content[at + LOST :]
    return content[:at] + bytes(LOST) + content[at + LOST :]


@pytest.mark.parametrize("kind", ["cut", "cut, with an end", "lost", "zeroed"])
@pytest.mark.parametrize("writer", FILES)
def test_lost_data_are_an_error(writer: str, kind: str, capfd: pytest.CaptureFixture[str]) -> None:
    """libjpeg does not mind up to 7 bytes too many, so that a rare damage is not seen."""
    rng = random.Random(f"{writer} {kind}")
    problems: list[str] = []
    for _ in range(20):
        content = damaged(FILES[writer], kind, rng.random())
        for decode in (
            lambda content=content: decode_image(content, "a.jpg"),
            lambda content=content: decode_reduced(content, "a.jpg", 60),
            lambda content=content: check_jpeg(content, "a.jpg"),
        ):
            try:
                decode()
            except DataError as error:
                problems += error.problems
    assert len(problems) >= 57, writer
    assert all(re.fullmatch(r"a\.jpg: the JPEG is damaged .*\): copy it again", line) for line in problems)
    assert capfd.readouterr() == ("", ""), "no library speaks"


def test_opencv_alone_does_not_mind() -> None:
    content = damaged(FILES["grey"], "lost", 0.5)
    assert cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED) is not None
    with pytest.raises(DataError) as caught:
        decode_image(content, "a.jpg")
    expected = "a.jpg: the JPEG is damaged or truncated (its data end early): copy it again"
    assert caught.value.problems == (expected,)


@pytest.mark.parametrize("writer", FILES)
def test_pixels_are_those_of_opencv(writer: str) -> None:
    """An independent build of the same library, which is not asked whether the file is whole."""
    content = FILES[writer]
    expected = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    assert expected is not None
    found = decode_image(content, "a.jpg")
    np.testing.assert_array_equal(found, expected if expected.ndim == 2 else expected[..., ::-1])
    flags = (cv2.IMREAD_REDUCED_GRAYSCALE_2, cv2.IMREAD_REDUCED_GRAYSCALE_4, cv2.IMREAD_REDUCED_GRAYSCALE_8)
    for factor, flag in zip((2, 4, 8), flags, strict=True):
        reduced = decode_reduced(content, "a.jpg", 300 // factor)
        shrunk = cv2.imdecode(np.frombuffer(content, np.uint8), flag)
        assert shrunk is not None
        np.testing.assert_array_equal(reduced.pixels, shrunk)


def test_a_progressive_jpeg_that_lacks_scans() -> None:
    """libjpeg takes one that ends with a scan for complete: it is only not as sharp."""
    for image in (NOISY, COLOUR):
        content = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1].tobytes()
        whole = decode_image(content, "a.jpg")
        scans = [match.start() for match in re.finditer(b"\xff\xda", content)]
        assert len(scans) > 3
        for end in scans[1:]:
            tables = content.rfind(b"\xff\xc4", 0, end)
            for cut in (content[:tables], content[:tables] + b"\xff\xd9"):
                with pytest.raises(DataError, match="the JPEG is truncated or damaged"):
                    decode_image(cut, "a.jpg")
        np.testing.assert_array_equal(decode_image(content[:-2], "a.jpg"), whole)


def test_cmyk_is_decoded_and_checked() -> None:
    content = encoded(np.dstack([COLOUR, NOISY]), "JPEG", mode="CMYK")
    assert decode_image(content, "a.jpg").shape == COLOUR.shape
    with pytest.raises(DataError, match="the JPEG is damaged"):
        decode_image(damaged(content, "lost", 0.5), "a.jpg")


def odd() -> dict[str, bytes]:
    """Files that are not quite as they should be, and have all their pixels."""
    content = FILES["grey"]
    start, end = scan_of(content)
    version = content.index(b"JFIF\0") + 5
    adobe = b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0\x09"
    return {
        "no end": content[:end],
        "half an end": content[: end + 1],
        "bytes behind the end": content + random.Random(1).randbytes(500),
        "a second image behind the end": content + FILES["colour"],
        "zeros before the end": content[:end] + bytes(40) + content[end:],
        "filling before a marker": content[: start - 10] + b"\xff" * 9 + content[start - 10 :],
        "filling before the end": content[:end] + b"\xff" * 7 + content[end:],
        "segment of an unknown program": content[:2] + b"\xff\xed\0\x0a\xff\xd9\xff\xda1234" + content[2:],
        "unknown version": content[:version] + b"\x09" + content[version + 1 :],
        "odd parameters of the scan": content[: start - 2] + b"\0\0" + content[start:],
        "unknown colours": content[:2] + adobe + content[2:],
    }


@pytest.mark.parametrize("kind", odd())
def test_odd_files_with_all_their_pixels_are_read(kind: str, capfd: pytest.CaptureFixture[str]) -> None:
    whole = decode_image(FILES["grey"], "a.jpg")
    np.testing.assert_array_equal(decode_image(odd()[kind], "a.jpg"), whole)
    np.testing.assert_array_equal(
        decode_reduced(odd()[kind], "a.jpg", 60).pixels, decode_reduced(FILES["grey"], "a.jpg", 60).pixels
    )
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("pixels", [COLOUR, np.dstack([COLOUR, NOISY])])
def test_colours_of_an_unknown_kind_are_those_that_libjpeg_takes_them_for(pixels: Pixels) -> None:
    """A damaged one is still an error, whichever complaint comes first."""
    content = encoded(pixels, "JPEG", mode="CMYK" if pixels.shape[2] == 4 else None)
    start = content.index(b"\xff\xe0") if b"JFIF" in content else content.index(b"\xff\xee")
    rest = content[start + 2 + int.from_bytes(content[start + 2 : start + 4], "big") :]
    adobe = b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0"
    transform = b"\x01" if pixels.shape[2] == 3 else b"\x02"
    known, unknown = (content[:start] + adobe + kind + rest for kind in (transform, b"\x09"))
    np.testing.assert_array_equal(decode_image(unknown, "a.jpg"), decode_image(known, "a.jpg"))
    for kind in ("lost", "cut, with an end"):
        with pytest.raises(DataError, match="the JPEG is damaged"):
            decode_image(damaged(unknown, kind, 0.5), "a.jpg")


def test_zeros_in_the_place_of_the_last_data_are_no_filling() -> None:
    content = FILES["grey"]
    _, end = scan_of(content)
    with pytest.raises(DataError, match="the JPEG is damaged"):
        decode_image(content[: end - LOST] + bytes(LOST) + content[end:], "a.jpg")


def test_work_on_one_file_is_bounded() -> None:
    content = FILES["grey"]
    _, end = scan_of(content)
    head = content.rindex(b"\xff\xda")
    scans = content[:end] + content[head:end] * 2000 + content[end:]
    for crafted, problem in (
        (scans, "the JPEG has more than 100 scans: save it again"),
        (
            content[:2] + b"\xff\xfe\0\x02" * 20_000 + content[2:],
            "the JPEG has more than 10000 segments: save it again",
        ),
        (b"\xff\xd8" + b"\xff" * 50_000_000, "the JPEG is truncated after 50000002 bytes: copy it again"),
    ):
        for read in (decode_image, open_container):
            with pytest.raises(DataError) as caught:
                read(crafted, "a.jpg")
            assert caught.value.problems == (f"a.jpg: {problem}",)


@pytest.mark.parametrize("at", range(10))
@pytest.mark.parametrize("marker", [b"\xff\xd9", b"\xff\xda"])
def test_markers_inside_the_head_of_a_scan_are_no_traceback(marker: bytes, at: int) -> None:
    """Of the parameters, from the sixth byte on, none changes a pixel."""
    content = FILES["grey"]
    head = content.rindex(b"\xff\xda") + 2
    for spoiled in (content[: head + at] + marker + content[head + at + 2 :], content[: head + at] + marker):
        try:
            image = decode_image(spoiled, "a.jpg")
        except DataError:
            continue
        np.testing.assert_array_equal(image, decode_image(content, "a.jpg"))


@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("element", [0, 17, 63])
@pytest.mark.parametrize("writer", ["grey", "colour"])
def test_a_quantisation_table_with_a_zero(writer: str, element: int, *, wide: bool) -> None:
    """By the standard they are 1 at least; libjpeg takes what they stand for as 0. The last table has it."""
    content = FILES[writer]
    at = content.rindex(b"\xff\xdb")
    length = int.from_bytes(content[at + 2 : at + 4], "big")
    assert length == 67
    number, table = content[at + 4], content[at + 5 : at + 69]
    zeroed = bytearray(table)
    zeroed[element] = 0

    def with_table(elements: bytes) -> bytes:
        if wide:
            elements = b"".join(bytes([0, value]) for value in elements)
        held = bytes([number | (wide << 4)]) + elements
        return content[: at + 2] + (len(held) + 2).to_bytes(2, "big") + held + content[at + 69 :]

    expected = decode_image(content, "a.jpg")
    np.testing.assert_array_equal(decode_image(with_table(table), "a.jpg"), expected)
    with pytest.raises(DataError) as caught:
        decode_image(with_table(bytes(zeroed)), "a.jpg")
    assert caught.value.problems == (
        "a.jpg: the JPEG is damaged (zeros in a quantisation table): copy it again",
    )
