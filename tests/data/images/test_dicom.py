"""DICOM: grey values against pydicom's own windowing, headers, and files that cannot be used."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.pixels.processing import apply_windowing
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian, RLELossless

from mahtdiag.data.images import decode_image, load_image, read_image_size
from mahtdiag.data.images.dicom import dicom_facts, is_dicom, windowed
from mahtdiag.data.readers import open_dataset
from mahtdiag.errors import DataError
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
        "1 DICOM images state the detector's spacing alone: no millimetres; --spacing-from imager takes it",
        "1 DICOM images state no spacing: no millimetres",
    )
    taken = open_dataset(folder, View.AP, ReadOptions(spacing_from=SpacingSource.IMAGER))
    assert {s.image: s.spacing for s in taken.samples}["b.dicom"] == PixelSpacing(0.4, 0.4)
    assert "magnification" in taken.notes[0]


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
