"""DICOM: grey values against pydicom's own windowing, headers, and files that cannot be used."""

import io
import threading
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
    RLELossless,
)

from mahtdiag.data.images import decode_image, dicom_apart, load_image, read_image_size
from mahtdiag.data.images.dicom import DicomFacts, dicom_facts, is_dicom, windowed
from mahtdiag.data.images.dicom_apart import close_decoders
from mahtdiag.data.readers import open_dataset
from mahtdiag.data.time_limit import image_timeout
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


def test_a_header_that_is_never_read_is_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a", "b"):
        write(tmp_path, name, f"{name}.dcm", PixelSpacing=[0.2, 0.3])
    free = threading.Event()

    def facts(path: Path, name: str) -> DicomFacts:
        if name == "a.dcm":
            free.wait(60)
        return dicom_facts(path, name)

    monkeypatch.setattr("mahtdiag.data.headers.dicom_facts", facts)
    with image_timeout(0.5):
        dataset = open_dataset(tmp_path, View.AP)
    free.set()
    assert [(sample.image, sample.spacing) for sample in dataset.samples] == [
        ("b.dcm", PixelSpacing(0.3, 0.2))
    ]
    said = "not read within 0.5 seconds: save it again, or allow more with --image-timeout"
    assert [(each.image, each.reason) for each in dataset.failures] == [("a.dcm", said)]


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
