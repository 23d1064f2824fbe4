"""A PNG whose sums are right and whose data are not is one line; the PNG library prints none of its own."""

import io
import struct
import zlib
from collections.abc import Callable

import cv2
import numpy as np
import pytest
from PIL import Image

from mahtdiag.data.images import decode_image, png
from mahtdiag.errors import DataError
from tests.data.builders import Pixels, radiograph

HEIGHT, WIDTH = 37, 29
GREY = cv2.resize(radiograph(150, 100, 3), (WIDTH, HEIGHT)).astype(np.uint8)
COLOUR = np.dstack([GREY, 255 - GREY, GREY // 2])
DEEP = GREY.astype(np.uint16) * 257
START = b"\x89PNG\r\n\x1a\n"
ADAM7 = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def written(
    data: bytes,
    *,
    depth: int = 8,
    colours: int = 0,
    ways: bytes = b"\0\0\0",
    side: int = WIDTH,
    before: bytes = b"",
) -> bytes:
    head = struct.pack(">IIBB", side, HEIGHT, depth, colours) + ways
    return START + chunk(b"IHDR", head) + before + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def rows(image: Pixels, kind: int = 0) -> bytes:
    return b"".join(bytes([kind]) + row.astype(row.dtype.newbyteorder(">")).tobytes() for row in image)


def interlaced(image: Pixels) -> bytes:
    return b"".join(rows(image[top::down, left::right]) for top, left, down, right in ADAM7)


def bits(image: Pixels, depth: int) -> tuple[bytes, Pixels]:
    """Rows of values of so many bits, and the values."""
    values = (image >> (8 - depth)).astype(np.uint8)
    places = np.arange(depth)[::-1]
    spread = (values[..., np.newaxis] >> places & 1).reshape(len(image), -1).astype(np.uint8)
    return b"".join(b"\0" + row.tobytes() for row in np.packbits(spread, axis=1)), values


def problem_of(content: bytes) -> str:
    with pytest.raises(DataError) as caught:
        decode_image(content, "a.png")
    (line,) = caught.value.problems
    return line


@pytest.fixture(params=["stored", "as it was"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both that of ordinary images, and that of the largest; in pieces that begin anywhere."""
    if request.param == "as it was":
        monkeypatch.setattr(png, "_MOST_STORED_BYTES", 0)
    monkeypatch.setattr(png, "_INFLATED_BYTES", 101)
    monkeypatch.setattr(png, "_READ_BYTES", 50)


@pytest.mark.usefixtures("way")
def test_whole_files_have_the_pixels_of_their_rows(capfd: pytest.CaptureFixture[str]) -> None:
    palette = bytes(range(192))
    four, values = bits(GREY, 4)
    one, dots = bits(GREY, 1)
    pack = zlib.compress
    in_two = pack(rows(GREY))
    found = {
        "grey": (written(pack(rows(GREY))), GREY),
        "16 bit": (written(pack(rows(DEEP)), depth=16), DEEP),
        "colour": (written(pack(rows(COLOUR.reshape(HEIGHT, -1))), colours=2), COLOUR),
        "interlaced": (written(pack(interlaced(GREY)), ways=b"\0\0\1"), GREY),
        "one bit": (written(pack(one), depth=1), dots * 255),
        "palette": (
            written(pack(four), depth=4, colours=3, before=chunk(b"PLTE", palette[:48])),
            np.arange(48, dtype=np.uint8).reshape(16, 3)[values],
        ),
        "bytes behind": (written(pack(rows(GREY)) + b"behind"), GREY),
        "an empty chunk": (written(in_two, before=chunk(b"IDAT", b"")), GREY),
        "without compression": (written(pack(rows(GREY), 0)), GREY),
    }
    for kind, (content, expected) in found.items():
        np.testing.assert_array_equal(decode_image(content, "a.png"), expected, err_msg=kind)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "LA", "P", "1", "I;16"])
def test_pixels_are_those_of_opencv(mode: str) -> None:
    image = Image.fromarray(DEEP) if mode == "I;16" else Image.fromarray(COLOUR).convert(mode)
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    expected = cv2.imdecode(np.frombuffer(buffer.getvalue(), np.uint8), cv2.IMREAD_UNCHANGED)
    assert expected is not None
    if expected.ndim == 3:
        expected = expected[..., 2::-1]
    np.testing.assert_array_equal(decode_image(buffer.getvalue(), "a.png"), expected)


def test_an_index_beyond_the_palette_is_black(capfd: pytest.CaptureFixture[str]) -> None:
    four, values = bits(GREY, 4)
    content = written(zlib.compress(four), depth=4, colours=3, before=chunk(b"PLTE", b"\xff" * 9))
    np.testing.assert_array_equal(decode_image(content, "a.png")[..., 0], np.where(values < 3, 255, 0))
    assert capfd.readouterr() == ("", "")


def bad_filter(data: bytes, at: int) -> bytes:
    return data[:at] + b"\x05" + data[at + 1 :]


EARLY = "its data end early"
MORE = "it has more data than pixels"
FILTER = "a row has a filter that does not exist"
STREAM = zlib.compress(rows(GREY))
# The last row of the last pass of an interlaced image.
LAST = len(interlaced(GREY)) - WIDTH - 1
DAMAGED: dict[str, tuple[bytes, str]] = {
    "first row": (written(zlib.compress(bad_filter(rows(GREY), 0))), FILTER),
    "a row": (written(zlib.compress(bad_filter(rows(GREY), 17 * (WIDTH + 1)))), FILTER),
    "last row": (written(zlib.compress(rows(GREY[:-1]) + rows(GREY[-1:], 255))), FILTER),
    "last pass": (written(zlib.compress(bad_filter(interlaced(GREY), LAST)), ways=b"\0\0\1"), FILTER),
    "no data": (written(b""), EARLY),
    "cut": (written(STREAM[: len(STREAM) // 2]), EARLY),
    "no checksum": (written(STREAM[:-4]), EARLY),
    "a row too few": (written(zlib.compress(rows(GREY[1:]))), EARLY),
    "a row too many": (written(zlib.compress(rows(np.vstack([GREY, GREY[:1]])))), MORE),
    "wrong checksum": (written(STREAM[:-1] + bytes([STREAM[-1] ^ 1])), "its data do not inflate"),
    "no stream": (written(b"no stream at all"), "its data do not inflate"),
    "no palette": (written(STREAM, colours=3), "no palette"),
    "half a colour": (written(STREAM, colours=3, before=chunk(b"PLTE", b"1234")), "no palette"),
    "three bits": (written(STREAM, depth=3), "its header means nothing"),
    "colours of kind 5": (written(STREAM, colours=5), "its header means nothing"),
    "other ways": (written(STREAM, ways=b"\0\0\2"), "its header means nothing"),
}


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("kind", DAMAGED)
def test_wrong_data_under_right_sums(kind: str, capfd: pytest.CaptureFixture[str]) -> None:
    content, why = DAMAGED[kind]
    assert problem_of(content) == f"a.png: the PNG is damaged ({why}): copy it again"
    assert capfd.readouterr() == ("", "")


def test_values_that_are_no_filters_are_none_of_its_business() -> None:
    white = np.full((HEIGHT, WIDTH), 255, np.uint8)
    for content in (
        written(zlib.compress(rows(white))),
        written(zlib.compress(interlaced(white)), ways=b"\0\0\1"),
    ):
        np.testing.assert_array_equal(decode_image(content, "a.png"), white)


def test_a_side_that_the_library_does_not_read(capfd: pytest.CaptureFixture[str]) -> None:
    assert problem_of(written(STREAM, side=1_000_001)) == (
        "a.png: 1000001x37 pixels (width x height), a PNG may have 1,000,000 on each side: make it smaller"
    )
    assert capfd.readouterr() == ("", "")


def noise(content: bytes, rng: np.random.Generator) -> bytes:
    """Its data with three bytes changed."""
    changed = np.frombuffer(content, np.uint8).copy()
    changed[rng.integers(2, len(changed), 3)] ^= rng.integers(1, 256, 3).astype(np.uint8)
    return changed.tobytes()


@pytest.mark.parametrize("make", [rows, interlaced])
def test_noise_under_right_sums_prints_nothing(
    make: Callable[[Pixels], bytes], capfd: pytest.CaptureFixture[str]
) -> None:
    """Before and after compression: the PNG library printed a line for nearly every one."""
    rng = np.random.default_rng(3)
    ways = bytes([0, 0, make is interlaced])
    raw = make(GREY)
    problems: list[str] = []
    for _ in range(60):
        for data in (noise(zlib.compress(raw), rng), zlib.compress(noise(raw, rng))):
            try:
                decode_image(written(data, ways=ways), "a.png")
            except DataError as error:
                problems += error.problems
    assert len(problems) >= 60, "each of the first kind"
    assert all(line.startswith("a.png: the PNG is damaged (") for line in problems)
    assert capfd.readouterr() == ("", "")
