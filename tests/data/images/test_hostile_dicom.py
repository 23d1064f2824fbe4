"""DICOM that unpacks to much, has endless elements or values, or whose numbers are no grey values."""

import struct
import time
import zlib
from typing import Any

import numpy as np
import pytest
from pydicom.uid import DeflatedExplicitVRLittleEndian, ImplicitVRLittleEndian

from mahtdiag.data.images import decode_image
from mahtdiag.errors import DataError

from .test_dicom import dicom


@pytest.mark.parametrize("inside", [b"\0" * 2**27, b""], ids=["much", "nothing"])
def test_what_unpacks_to_too_much_or_nothing(inside: bytes) -> None:
    content = dicom(syntax=DeflatedExplicitVRLittleEndian)
    start = 144 + int.from_bytes(content[140:144], "little")
    packer = zlib.compressobj(wbits=-15)
    packed = content[:start] + packer.compress(inside) + packer.flush()
    assert len(packed) < 2**18
    with pytest.raises(DataError, match="unpacks to more than" if inside else "without an image") as caught:
        decode_image(packed, "x.dcm")
    assert len(str(caught.value).splitlines()) == 1


def test_too_many_elements() -> None:
    start = dicom().index(b"\x28\x00\x02\x00")
    content = dicom()[:start] + b"\x10\x00\x01\x10LO\0\0" * 30_000
    with pytest.raises(DataError, match="more than 20000 elements"):
        decode_image(content, "x.dcm")


def explicit(tag: int, kind: bytes, value: bytes, length: int | None = None) -> bytes:
    """An element as it is written."""
    length = len(value) if length is None else length
    head = struct.pack("<HH2s", tag >> 16, tag & 0xFFFF, kind)
    long = kind in (b"SQ", b"UN", b"OW")
    return head + (struct.pack("<HI", 0, length) if long else struct.pack("<H", length)) + value


def with_first(element: bytes) -> bytes:
    """A file with another element before those of group 28."""
    at = dicom().index(b"\x28\x00\x02\x00")
    return dicom()[:at] + element + dicom()[at:]


ITEM, NO_LENGTH = struct.pack("<HHI", 0xFFFE, 0xE000, 0), 0xFFFFFFFF
ENDLESS = ITEM[:4] + b"\xff" * 4
END, END_OF_ITEM = (struct.pack("<HHI", 0xFFFE, end, 0) for end in (0xE0DD, 0xE00D))


@pytest.mark.parametrize(
    "inside",
    [
        ITEM * 200_000,
        ENDLESS + explicit(0x00091001, b"LO", b"") * 200_000 + END_OF_ITEM,
        ENDLESS + explicit(0x00091001, b"SQ", b"", NO_LENGTH) * 200_000,
    ],
    ids=["items", "elements", "sequences"],
)
def test_too_many_elements_in_a_sequence_without_a_length(inside: bytes) -> None:
    content = with_first(explicit(0x00091000, b"SQ", inside + END, NO_LENGTH))
    began = time.process_time()
    with pytest.raises(DataError, match=r"more than 20000 elements|damaged or of a rare kind"):
        decode_image(content, "x.dcm")
    assert time.process_time() - began < 5.0
    few = with_first(explicit(0x00091000, b"SQ", ITEM * 3000 + END, NO_LENGTH))
    np.testing.assert_array_equal(decode_image(few, "x.dcm"), decode_image(dicom(), "x.dcm"))


@pytest.mark.parametrize("tag", [0x00091000, 0x00100020, 0x00181164, 0x00200020])
def test_values_of_absurd_length_are_not_made(tag: int) -> None:
    """Whatever they stand for, the image is as it is without them."""
    long = explicit(tag, b"SQ", ITEM * 200_000)
    began = time.process_time()
    np.testing.assert_array_equal(decode_image(with_first(long), "x.dcm"), decode_image(dicom(), "x.dcm"))
    assert time.process_time() - began < 5.0


def test_a_window_of_a_million_numbers_is_none() -> None:
    content = dicom(syntax=ImplicitVRLittleEndian)
    at = content.index(b"\x28\x00\x02\x00")
    window = b"".join(
        struct.pack("<HHI", 0x28, element, 2_000_000) + b"1\\" * 1_000_000 for element in (0x1050, 0x1051)
    )
    pixels = content.index(b"\xe0\x7f\x10\x00")
    assert at < pixels
    long = content[:pixels] + window + content[pixels:]
    began = time.process_time()
    np.testing.assert_array_equal(decode_image(long, "x.dcm"), decode_image(content, "x.dcm"))
    assert time.process_time() - began < 5.0


@pytest.mark.parametrize("tag", [0x00283000, 0x00283010])
def test_a_lookup_table_of_absurd_length(tag: int) -> None:
    content = dicom()
    at = content.index(b"\xe0\x7f\x10\x00")
    long = content[:at] + explicit(tag, b"SQ", ITEM * 200_000) + content[at:]
    with pytest.raises(DataError, match="a lookup table of 1600000 bytes: export it without one"):
        decode_image(long, "x.dcm")


@pytest.mark.parametrize(
    ("elements", "said"),
    [
        (
            {"PhotometricInterpretation": "PALETTE COLOR"},
            "its numbers are colours or unknown, not grey values",
        ),
        ({"PhotometricInterpretation": "XYZ"}, "damaged or of a rare kind"),
        ({"RescaleSlope": "nan", "RescaleIntercept": "0"}, "its rescale is not a number"),
        ({"RescaleSlope": "1", "RescaleIntercept": "inf"}, "its rescale is not a number"),
    ],
)
def test_numbers_that_are_no_grey_values(elements: dict[str, Any], said: str) -> None:
    content = dicom(**{name: value for name, value in elements.items() if name[0] == "P"})
    at = content.index(b"\xe0\x7f\x10\x00")
    tags = {"RescaleIntercept": 0x00281052, "RescaleSlope": 0x00281053}
    rescale = [
        explicit(tag, b"LO", elements[name].encode()) for name, tag in tags.items() if name in elements
    ]
    with pytest.raises(DataError, match=said):
        decode_image(content[:at] + b"".join(rescale) + content[at:], "x.dcm")
