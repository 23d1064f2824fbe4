"""DICOM radiographs: their grey values, and the few facts of their header that an evaluation needs.

Needs the extra `mahtdiag[dicom]`. No name, number, date or place of a patient leaves this module but the hash
of the patient's number; messages quote no header value.
"""

import hashlib
import io
import logging
import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from mahtdiag.data.files import DICOM_MARK, DICOM_MARK_AT
from mahtdiag.data.images.dicom_apart import decode_apart
from mahtdiag.data.images.dicom_frames import check_frame
from mahtdiag.data.images.dicom_reading import read_elements, read_header
from mahtdiag.data.images.lost_block import require_no_lost_block
from mahtdiag.data.images.room import ROOM, require_bounded
from mahtdiag.errors import DataError
from mahtdiag.schema.dicom_window import FIRST_WINDOW, DicomWindow, WindowKind
from mahtdiag.schema.frames import PixelSpacing, Size
from mahtdiag.schema.records import Patient
from mahtdiag.schema.skeleton import View
from mahtdiag.schema.spacing import is_spacing

if TYPE_CHECKING:
    from pydicom import Dataset

EXTENSIONS: Final = frozenset((".dcm", ".dicom", ".dic"))
_FULL: Final = 65535
_TOGETHER_PIXELS: Final = 2**22
_DIGITS: Final = 16
# Patient position against the detector, DICOM PS3.3 C.8.7.1.1.1 and CS values in use.
_VIEWS: Final = {
    **dict.fromkeys(("AP", "PA"), View.AP),
    **dict.fromkeys(("LL", "RL", "LAT", "LLD", "RLD", "LATERAL"), View.LA),
}


@dataclass(frozen=True, slots=True)
class DicomFacts:
    """What a header says of an image; None where it says nothing.

    `spacing` is PixelSpacing, `imager_spacing` that of the detector, larger than the patient's by the
    magnification. `view` by ViewPosition, else by PatientOrientation, as `view_by` says: rows that run to the
    patient's left or right are frontal, to the front or back lateral. `patient`: hashed number, sex, age.
    """

    size: Size
    spacing: PixelSpacing | None
    imager_spacing: PixelSpacing | None
    view: View | None
    view_by: str
    patient: Patient


def is_dicom(content: bytes) -> bool:
    """Whether a file begins as DICOM does: 128 bytes of anything, then `DICM`."""
    return content[DICOM_MARK_AT : DICOM_MARK_AT + len(DICOM_MARK)] == DICOM_MARK


def dicom_facts(path: Path, name: str) -> DicomFacts:
    """Read the header of a file without its pixels. Raises DataError, one line, where that cannot be done."""
    pydicom = _pydicom()
    with _said_in_one_line(name):
        return _facts(read_header(pydicom, path, name), name)


def dicom_size(content: bytes, name: str) -> Size:
    """The size that the header states. Raises DataError, one line."""
    pydicom = _pydicom()
    with _said_in_one_line(name):
        return _facts(read_elements(pydicom, io.BytesIO(content), name, pixels=False), name).size


def decode_dicom(
    content: bytes, name: str, window: DicomWindow = FIRST_WINDOW
) -> NDArray[np.uint16 | np.uint8]:
    """The image `[H, W]` as uint16 over its window, or `[H, W, 3]` uint8 where it has colours.

    Stored values go through the modality LUT or rescale, then through the first VOI LUT or window (linear,
    linear exact or sigmoid; DICOM PS3.3 C.11.2) or, where there is none, over the whole range that the stored
    bits can have; `window` may ask for other values. MONOCHROME1 and an inverse presentation are turned round
    once. 0 to 65535 is the window, so that a normalisation to 0…1 is the share of it.

    Raises DataError, one line, for several frames, no pixels or a wrong number, and what cannot be decoded.
    """
    pydicom = _pydicom()
    with _said_in_one_line(name):
        data = read_elements(pydicom, io.BytesIO(content), name, pixels=True)
        size = _facts(data, name).size
        channels, bits = int(data.get("SamplesPerPixel", 1) or 1), int(data.get("BitsAllocated", 16) or 16)
        # What is stored, and what becomes of it.
        pixel_bytes = channels * -(-bits // 8)
        require_bounded(size, pixel_bytes, name)
        with ROOM.taken(size.height * size.width * (pixel_bytes + 2)):
            return _decoded(data, size, content, name, window)


def stored_pixels(content: bytes) -> NDArray[Any]:
    """The pixels as they are stored. Raises whatever the libraries raise, and may end the process."""
    pydicom = _pydicom()
    data = read_elements(pydicom, io.BytesIO(content), "", pixels=True)
    return np.asarray(pydicom.pixels.pixel_array(data))


def _decoded(
    data: "Dataset", size: Size, content: bytes, name: str, window: DicomWindow
) -> NDArray[np.uint16 | np.uint8]:
    if "PixelData" not in data:
        raise DataError(f"{name}: a DICOM without pixels: take the image, not a report of it")
    frames = int(data.get("NumberOfFrames", 1) or 1)
    if frames != 1:
        raise DataError(f"{name}: {frames} frames: one image is wanted, export it as one")
    if data.file_meta.TransferSyntaxUID.is_encapsulated:
        check_frame(_pydicom(), data, size, name)
        stored = decode_apart(content, name)
    else:
        stored = np.asarray(_pydicom().pixels.pixel_array(data))
        require_no_lost_block(stored, name)
    if stored.shape[:2] != (size.height, size.width) or stored.ndim not in (2, 3):
        raise DataError(f"{name}: the size in the DICOM header is not that of its pixels: export it again")
    if stored.ndim == 3:
        return _colour(stored, int(data.BitsStored))
    _require_grey(data, name)
    ends = _lowest_and_highest(stored, data) if window.kind is WindowKind.MINMAX else None
    inverse = data.get("PresentationLUTShape") == "INVERSE"
    turned = inverse or data.get("PhotometricInterpretation") == "MONOCHROME1"
    grey = np.empty(stored.shape, dtype=np.uint16)
    # A few rows at a time: shares take four times the memory of the pixels.
    rows = max(1, _TOGETHER_PIXELS // size.width)
    for first in range(0, size.height, rows):
        shares = _shares(stored[first : first + rows], data, window, ends)
        grey[first : first + rows] = np.rint((1.0 - shares if turned else shares) * _FULL)
    return grey


def _require_grey(data: "Dataset", name: str) -> None:
    """Raises DataError where stored numbers are no grey values, or become none."""
    meaning = str(data.get("PhotometricInterpretation", "") or "")
    if meaning not in ("MONOCHROME1", "MONOCHROME2", ""):
        raise DataError(f"{name}: its numbers are colours or unknown, not grey values: export it in greys")
    if not math.isfinite(
        sum(_numbers([data.get(tag, 1) or 1 for tag in ("RescaleSlope", "RescaleIntercept")]))
    ):
        raise DataError(f"{name}: its rescale is not a number: export it again")


@contextmanager
def _said_in_one_line(name: str) -> Iterator[None]:
    """Whatever a damaged file makes the library raise, of any kind, as DataError; it quotes no value."""
    try:
        with np.errstate(all="ignore"):
            yield
    except DataError:
        raise
    except Exception as error:
        raise DataError(f"{name}: the DICOM is damaged or of a rare kind: export it again") from error


def _lowest_and_highest(stored: NDArray[Any], data: "Dataset") -> tuple[float, float]:
    """Of the values of an image; a modality table need not keep their order."""
    values = np.asarray(_pydicom().pixels.apply_modality_lut(np.unique(stored), data), dtype=np.float64)
    return float(values.min()), float(values.max())


def _shares(
    stored: NDArray[Any], data: "Dataset", window: DicomWindow, ends: tuple[float, float] | None
) -> NDArray[np.float64]:
    """Grey values over their window, 0 to 1; `ends` of the image, where these are the window."""
    pixels = _pydicom().pixels
    values = np.asarray(pixels.apply_modality_lut(stored, data), dtype=np.float64)
    if window.kind is WindowKind.GIVEN:
        return windowed(values, window.center, window.width)
    if window.kind is not WindowKind.FIRST:
        low, high = ends or _range(data)
        return np.clip((values - low) / max(high - low, 1e-9), 0.0, 1.0)
    if data.get("VOILUTSequence"):
        table = data.VOILUTSequence[0]
        looked_up = pixels.apply_voi(values.astype(np.int64), data)
        full = 2.0 ** int(table.LUTDescriptor[2]) - 1.0
        return np.clip(np.asarray(looked_up, dtype=np.float64) / full, 0.0, 1.0)
    first = _first_window(data)
    if first is not None:
        return windowed(values, *first, str(data.get("VOILUTFunction", "LINEAR")))
    low, high = _range(data)
    return np.clip((values - low) / (high - low), 0.0, 1.0)


def windowed(
    values: NDArray[np.float64], centre: float, width: float, function: str = "LINEAR"
) -> NDArray[np.float64]:
    """Values over a window, 0 to 1 (DICOM PS3.3 C.11.2.1.2 and C.11.2.1.3).

    `LINEAR`: (v − (c − ½)) / (w − 1) + ½, `LINEAR_EXACT`: (v − c) / w + ½, both clipped; `SIGMOID`:
    1 / (1 + exp(−4 (v − c) / w)).
    """
    if function == "SIGMOID":
        return np.asarray(1.0 / (1.0 + np.exp(np.clip(-4.0 * (values - centre) / width, -700.0, 700.0))))
    if function == "LINEAR_EXACT":
        return np.clip((values - centre) / width + 0.5, 0.0, 1.0)
    if width == 1.0:
        return np.where(values > centre - 0.5, 1.0, 0.0)
    return np.clip((values - (centre - 0.5)) / (width - 1.0) + 0.5, 0.0, 1.0)


def _first_window(data: "Dataset") -> tuple[float, float] | None:
    centre, width = (_numbers(data.get(tag)) for tag in ("WindowCenter", "WindowWidth"))
    if not centre or not width or not math.isfinite(centre[0] + width[0]):
        return None
    exact = str(data.get("VOILUTFunction", "LINEAR")) != "LINEAR"
    return (centre[0], width[0]) if width[0] >= (1e-9 if exact else 1.0) else None


def _range(data: "Dataset") -> tuple[float, float]:
    """What the stored bits can become, lowest and highest."""
    if data.get("ModalityLUTSequence"):
        return 0.0, 2.0 ** int(data.ModalityLUTSequence[0].LUTDescriptor[2]) - 1.0
    bits, signed = int(data.BitsStored), int(data.get("PixelRepresentation", 0))
    stored = np.array([-(2.0 ** (bits - 1)), 2.0 ** (bits - 1) - 1] if signed else [0.0, 2.0**bits - 1])
    ends = stored * float(data.get("RescaleSlope", 1) or 1) + float(data.get("RescaleIntercept", 0) or 0)
    return float(ends.min()), float(ends.max())


def _colour(stored: NDArray[Any], bits: int) -> NDArray[np.uint8]:
    scaled = stored.astype(np.float64) * (255.0 / (2.0**bits - 1.0))
    return np.rint(np.clip(scaled[..., :3], 0.0, 255.0)).astype(np.uint8)


def _facts(header: "Dataset", name: str) -> DicomFacts:
    rows, columns = (_numbers(header.get(tag)) for tag in ("Rows", "Columns"))
    if not rows or not columns or min(rows[0], columns[0]) < 1:
        raise DataError(f"{name}: a DICOM without an image: take the radiograph, not a report of it")
    number = str(header.get("PatientID", "") or "").strip()
    sex = str(header.get("PatientSex", "") or "")
    age = str(header.get("PatientAge", "") or "")
    view, view_by = _VIEWS.get(str(header.get("ViewPosition", "") or "").upper()), "ViewPosition"
    if view is None:
        view, view_by = _view_of_orientation(header.get("PatientOrientation")), "PatientOrientation"
    return DicomFacts(
        size=Size(int(rows[0]), int(columns[0])),
        spacing=_spacing(header.get("PixelSpacing")),
        imager_spacing=_spacing(header.get("ImagerPixelSpacing")),
        view=view,
        view_by=view_by,
        patient=Patient(
            hashlib.sha256(number.encode()).hexdigest()[:_DIGITS] if number else None,
            sex if sex in ("F", "M") else None,
            int(age[:-1]) if len(age) == 4 and age.endswith("Y") and age[:-1].isdecimal() else None,
        ),
    )


def _view_of_orientation(value: Any) -> View | None:
    """PatientOrientation names where the rows run to, and the columns (DICOM PS3.3 C.7.6.1.1.1)."""
    if value is None or isinstance(value, str) or len(value) != 2:
        return None
    return {"L": View.AP, "R": View.AP, "A": View.LA, "P": View.LA}.get(str(value[0])[:1].upper())


def _spacing(value: object) -> PixelSpacing | None:
    """DICOM writes the distance of rows, then that of columns: y, then x."""
    found = _numbers(value)
    if len(found) != 2 or not all(map(is_spacing, found)):
        return None
    return PixelSpacing(x_mm=found[1], y_mm=found[0])


def _numbers(value: Any) -> list[float]:
    """The numbers of a header element, none where it holds anything else."""
    try:
        values = [value] if isinstance(value, int | float | str) else list(value)
        return [float(each) for each in values]
    except (TypeError, ValueError):
        return []


@cache
def _pydicom() -> ModuleType:
    """The library, kept quiet: what matters of its warnings is said in errors of our own."""
    try:
        import pydicom
        import pydicom.pixels
    except ImportError as error:
        raise DataError(
            "pydicom, which reads DICOM, is not installed: pip install 'mahtdiag[dicom]'"
        ) from error
    pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
    warnings.filterwarnings("ignore", module=r"pydicom\.")
    logging.getLogger("pydicom").setLevel(logging.CRITICAL)
    try:
        import gdcm  # type: ignore[import-untyped,unused-ignore]
    except ImportError:
        return pydicom
    for switch in (gdcm.Trace.WarningOff, gdcm.Trace.ErrorOff, gdcm.Trace.DebugOff):
        switch()
    return pydicom
