"""DICOM: grey values against pydicom's own windowing, headers, and files that cannot be used."""

import io
import struct
import time
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.pixels.processing import apply_windowing
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RLELossless,
)

from mahtdiag.data.images import decode_image, dicom_apart, load_image, read_image_size
from mahtdiag.data.images.dicom import dicom_facts, is_dicom, windowed
from mahtdiag.data.images.dicom_apart import close_decoders
from mahtdiag.data.readers import open_dataset
from mahtdiag.errors import DataError
from mahtdiag.schema.dicom_window import DicomWindow
from mahtdiag.schema.frames import PixelSpacing, Size
from mahtdiag.schema.model_spec import ModelInput
from mahtdiag.schema.read_options import ReadOptions, SpacingSource
from mahtdiag.schema.skeleton import View
from tests.data.builders import annotation

PIXELS = np.arange(40 * 30, dtype=np.uint16).reshape(40, 30) * 3
PLANTED: dict[str, Any] = {
    "PatientName": "Planted^Name", "PatientID": "PLANTED-77", "PatientBirthDate": "19010203",
    "InstitutionName": "Planted Hospital", "AccessionNumber": "PLANTED-ACC",
}  # fmt: skip


def dicom(
    pixels: Any = PIXELS, bits: int = 12, syntax: Any = ExplicitVRLittleEndian, **elements: Any
) -> bytes:
    """A file as pydicom writes it."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = pydicom.uid.DigitalXRayImageStorageForPresentation
    meta.MediaStorageSOPInstanceUID = pydicom.uid.UID("1.2.3")
    data = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    data.Rows, data.Columns = pixels.shape[:2]
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.BitsAllocated, data.BitsStored, data.HighBit = 8 * pixels.itemsize, bits, bits - 1
    data.PixelRepresentation = int(pixels.dtype.kind == "i")
    data.PixelData = pixels.tobytes()
    data["PixelData"].VR = "OW"
    for name, value in elements.items():
        setattr(data, name, value)
    if syntax is RLELossless:
        data.compress(RLELossless)
    else:
        meta.TransferSyntaxUID = syntax
    buffer = io.BytesIO()
    data.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, DeflatedExplicitVRLittleEndian, RLELossless])
def test_without_a_window_the_stored_range_is_the_scale(syntax: Any) -> None:
    image = decode_image(dicom(syntax=syntax), "x.dcm")
    np.testing.assert_array_equal(image, np.rint(PIXELS / 4095 * 65535))
    assert image.dtype == np.uint16


def test_ten_bits_in_sixteen_and_signed_values() -> None:
    ten = (PIXELS % 1024).astype(np.uint16)
    np.testing.assert_array_equal(decode_image(dicom(ten, 10), "x"), np.rint(ten / 1023 * 65535))
    signed = (PIXELS.astype(np.int16) - 2048).astype(np.int16)
    found = decode_image(dicom(signed, 12, RescaleSlope=2, RescaleIntercept=5), "x")
    np.testing.assert_array_equal(found, np.rint(PIXELS / 4095 * 65535))


def test_monochrome1_is_turned_round_once() -> None:
    plain = decode_image(dicom(WindowCenter=1000, WindowWidth=800), "x").astype(int)
    inverse: dict[str, Any] = {"PresentationLUTShape": "INVERSE"}
    for more in ({}, inverse):
        content = dicom(PhotometricInterpretation="MONOCHROME1", WindowCenter=1000, WindowWidth=800, **more)
        assert np.abs(decode_image(content, "x").astype(int) - (65535 - plain)).max() <= 1


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
def test_the_first_window_against_pydicom(function: str) -> None:
    content = dicom(WindowCenter=[1500, 3], WindowWidth=[900, 7], VOILUTFunction=function)
    data = pydicom.dcmread(io.BytesIO(content))
    wanted = apply_windowing(PIXELS, data, index=0) / 4095
    np.testing.assert_allclose(decode_image(content, "x") / 65535, wanted, atol=1e-4)


@given(st.floats(-1e4, 1e4), st.floats(2.0, 1e4), st.floats(-1e3, 1e3))
def test_a_window_moves_with_its_values(centre: float, width: float, shift: float) -> None:
    values = np.linspace(-1e4, 1e4, 50)
    for function in ("LINEAR", "LINEAR_EXACT", "SIGMOID"):
        found = windowed(values + shift, centre + shift, width, function)
        np.testing.assert_allclose(found, windowed(values, centre, width, function), atol=1e-6)
        assert (np.diff(found) >= 0).all()


def test_colours_are_kept() -> None:
    colours = np.arange(40 * 30 * 3, dtype=np.uint8).reshape(40, 30, 3)
    content = dicom(colours, 8, SamplesPerPixel=3, PhotometricInterpretation="RGB", PlanarConfiguration=0)
    np.testing.assert_array_equal(decode_image(content, "x"), colours)


def test_the_header(tmp_path: Path) -> None:
    content = dicom(
        PixelSpacing=[0.2, 0.3], ImagerPixelSpacing=[0.4, 0.5], ViewPosition="LL", PatientSex="F",
        PatientAge="037Y", **PLANTED,
    )  # fmt: skip
    path = tmp_path / "IM1"
    path.write_bytes(content)
    facts = dicom_facts(path, "IM1")
    assert (facts.size, facts.view) == (Size(40, 30), View.LA)
    # Rows come first: their distance is that along y.
    assert (facts.spacing, facts.imager_spacing) == (PixelSpacing(0.3, 0.2), PixelSpacing(0.5, 0.4))
    assert (facts.patient.sex, facts.patient.age_years) == ("F", 37)
    assert facts.patient.identifier is not None
    assert "PLANTED" not in facts.patient.identifier
    assert is_dicom(content)
    assert read_image_size(path, "IM1") == Size(40, 30)
    assert load_image(path, "IM1", ModelInput(Size(32, 32), 1)).original == Size(40, 30)


def write(folder: Path, stem: str, name: str, **elements: Any) -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_bytes(dicom(np.zeros((300, 200), np.uint16), **elements))
    (folder / f"{stem}.csv").write_text(annotation(View.AP))


def test_a_set_of_dicom(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    write(folder, "a", "a.dcm", PixelSpacing=[0.2, 0.3], ViewPosition="PA", **PLANTED)
    write(folder, "b", "b.dicom", ImagerPixelSpacing=[0.4, 0.4])
    write(folder, "IM000001", "IM000001")
    write(folder, "1.2.840.7", "1.2.840.7", ViewPosition="RL")
    dataset = open_dataset(folder, View.AP)
    found = {sample.image: sample.spacing for sample in dataset.samples}
    assert found == {"IM000001": None, "a.dcm": PixelSpacing(0.3, 0.2), "b.dicom": None}
    assert [(f.image, f.reason) for f in dataset.failures] == [
        ("1.2.840.7", "ViewPosition in its header is that of a view LA, not AP")
    ]
    assert dataset.notes == (
        "1 DICOM image with the detector's spacing alone: no millimetres; --spacing-from imager takes it",
        "1 DICOM image without spacing: no millimetres",
    )
    taken = open_dataset(folder, View.AP, ReadOptions(spacing_from=SpacingSource.IMAGER))
    assert {s.image: s.spacing for s in taken.samples}["b.dicom"] == PixelSpacing(0.4, 0.4)
    assert "magnification" in taken.notes[0]


@pytest.mark.parametrize(
    ("elements", "view"),
    [
        ({"PatientOrientation": ["L", "F"]}, View.AP),
        ({"PatientOrientation": ["R", "FA"]}, View.AP),
        ({"PatientOrientation": ["A", "F"]}, View.LA),
        ({"PatientOrientation": ["PL", "F"]}, View.LA),
        ({"PatientOrientation": ["F", "L"]}, None),
        ({"PatientOrientation": ""}, None),
        ({"PatientOrientation": ["A", "F"], "ViewPosition": "AP"}, View.AP),
        ({"PatientOrientation": ["A", "F"], "ViewPosition": "XX"}, View.LA),
    ],
)
def test_the_view_of_a_header(tmp_path: Path, elements: dict[str, Any], view: View | None) -> None:
    path = tmp_path / "IM1"
    path.write_bytes(dicom(**elements))
    assert dicom_facts(path, "IM1").view is view
    write(tmp_path / "set", "IM1", "IM1", **elements)
    failures = [failure.reason for failure in open_dataset(tmp_path / "set", View.AP).failures]
    assert bool(failures) == (view is View.LA)
    if failures:
        assert failures == ["PatientOrientation in its header is that of a view LA, not AP"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (dicom(NumberOfFrames=3), "3 frames: one image is wanted"),
        (dicom()[:-700], "damaged or of a rare kind"),
        (dicom()[:200], "a DICOM without an image|damaged or of a rare kind"),
        (b"\0" * 128 + b"DICM", "a DICOM without an image|damaged or of a rare kind"),
        (b"\0" * 128 + b"DICM" + b"\xff" * 500, "a DICOM without an image|damaged or of a rare kind"),
    ],
    ids=["frames", "truncated pixels", "truncated header", "empty", "noise"],
)
def test_files_that_cannot_be_used(content: bytes, said: str) -> None:
    with pytest.raises(DataError, match=said) as caught:
        decode_image(content, "x.dcm")
    assert len(caught.value.problems) == 1


@given(st.data())
def test_damaged_files_are_refused_or_read_and_never_crash(data: st.DataObject) -> None:
    content = bytearray(dicom(np.zeros((20, 20), np.uint16), WindowCenter=10, WindowWidth=5))
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(132, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        image = decode_image(bytes(content), "x.dcm")
    except DataError:
        return
    assert image.dtype in (np.uint8, np.uint16)


def windowed_by(window: str, content: bytes) -> NDArray[np.float64]:
    """Shares, 0 to 1."""
    return np.asarray(decode_image(content, "x.dcm", DicomWindow.parse(window)) / 65535)


def test_windows_that_are_asked_for() -> None:
    elements: dict[str, Any] = {"RescaleSlope": 2, "RescaleIntercept": -100}
    content = dicom(WindowCenter=1000, WindowWidth=800, **elements)
    values = PIXELS * 2.0 - 100
    linear = np.clip((values - 999.5) / 799 + 0.5, 0, 1)
    given = np.clip((values - 2999.5) / 1999 + 0.5, 0, 1)
    wanted = {
        "first": linear,
        "stored": (values + 100) / 8190,
        "minmax": (values - values.min()) / np.ptp(values),
        "2000,3000": given,
    }
    for window, shares in wanted.items():
        np.testing.assert_allclose(windowed_by(window, content), shares, atol=1 / 65535, err_msg=window)
        turned = dicom(
            PhotometricInterpretation="MONOCHROME1", WindowCenter=1000, WindowWidth=800, **elements
        )
        np.testing.assert_allclose(windowed_by(window, turned), 1 - shares, atol=1 / 65535, err_msg=window)
    flat = dicom(np.full((20, 20), 7, dtype=np.uint16))
    np.testing.assert_array_equal(windowed_by("minmax", flat), 0.0)


def test_a_table_is_passed_over_where_another_window_is_asked_for() -> None:
    item = pydicom.Dataset()
    item.LUTDescriptor = [4096, 0, 8]
    item["LUTDescriptor"].VR = "US"
    item.add_new("LUTData", "OW", np.full(4096, 77, dtype=np.uint16).tobytes())
    content = dicom(VOILUTSequence=[item])
    np.testing.assert_allclose(windowed_by("first", content), 77 / 255, atol=1 / 65535)
    np.testing.assert_allclose(windowed_by("stored", content), PIXELS / 4095, atol=1 / 65535)


def test_the_window_goes_with_the_images(tmp_path: Path) -> None:
    (tmp_path / "a.dcm").write_bytes(dicom(WindowCenter=1000, WindowWidth=800))
    (tmp_path / "a.csv").write_text(annotation(View.AP))
    stored = DicomWindow.parse("stored")
    dataset = open_dataset(tmp_path, View.AP, ReadOptions(dicom_window=stored))
    assert dataset.samples[0].dicom_window == stored
    spec = ModelInput(size=Size(40, 30), channels=1)
    loaded = load_image(tmp_path / "a.dcm", "a.dcm", spec, stored)
    assert np.ptp(loaded.tensor) == pytest.approx(np.ptp(PIXELS) / 4095, abs=1e-4)


def test_rows_are_windowed_alike_whatever_the_size(monkeypatch: pytest.MonkeyPatch) -> None:
    content = dicom(WindowCenter=1000, WindowWidth=800, PhotometricInterpretation="MONOCHROME1")
    whole = decode_image(content, "x")
    monkeypatch.setattr("mahtdiag.data.images.dicom._TOGETHER_PIXELS", 100)
    np.testing.assert_array_equal(decode_image(content, "x"), whole)


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


def test_a_decoder_that_ends_or_takes_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is another process, and the next image gets another."""
    content = dicom(syntax=RLELossless)
    close_decoders()
    monkeypatch.setattr(dicom_apart, "_LONGEST_SECONDS", 0.0)
    with pytest.raises(DataError, match="the pixels of the DICOM cannot be decoded"):
        decode_image(content, "x.dcm")
    monkeypatch.undo()
    assert decode_image(content, "x.dcm").shape == PIXELS.shape
    decoder = dicom_apart._idle.get_nowait()
    decoder._process.kill()
    decoder._process.wait()
    dicom_apart._idle.put(decoder)
    with pytest.raises(DataError, match="the pixels of the DICOM cannot be decoded"):
        decode_image(content, "x.dcm")
    np.testing.assert_array_equal(decode_image(content, "x.dcm"), decode_image(dicom(), "x.dcm"))
    close_decoders()
