"""Small valid files of every kind of image that is read."""

import io
import random
import struct
import zlib
from collections.abc import Callable, Mapping
from typing import Any, Final

import cv2
import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    RLELossless,
)

from fuzz.damages import bomb, damaged, large_files
from fuzz.mutations import mutate
from fuzz.spines import radiograph

Files = dict[str, bytes]
PNG_START: Final = b"\x89PNG\r\n\x1a\n"


def grey() -> NDArray[np.uint8]:
    """40 rows of 60 grey values."""
    return np.ascontiguousarray(radiograph("a")[10:50, :60])


def grey16() -> NDArray[np.uint16]:
    """The same with 16 bits."""
    return grey().astype(np.uint16) * 257


def colour() -> NDArray[np.uint8]:
    """The same with three different channels."""
    return np.dstack([grey(), 255 - grey(), grey() // 2])


def _encoded(ending: str, image: Any, *parameters: int) -> bytes:
    _, content = cv2.imencode(ending, image, parameters)
    return content.tobytes()


def png() -> Files:
    """8 and 16 bits, and colours."""
    return {
        "grey.png": _encoded(".png", grey()),
        "grey16.png": _encoded(".png", grey16()),
        "colour.png": _encoded(".png", colour()),
        **large_files("png"),
    }


def jpeg() -> Files:
    """Grey, colours, progressive."""
    return {
        "grey.jpg": _encoded(".jpg", grey()),
        "colour.jpg": _encoded(".jpg", colour()),
        "progressive.jpg": _encoded(".jpg", colour(), cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
        **large_files("jpeg"),
    }


def tiff() -> Files:
    """Stored, LZW and deflate; 8, 16 and 32 bits."""
    share = grey().astype(np.float32) / np.float32(255)
    return {
        "stored.tif": _encoded(".tif", grey(), cv2.IMWRITE_TIFF_COMPRESSION, 1),
        "lzw.tif": _encoded(".tif", grey16(), cv2.IMWRITE_TIFF_COMPRESSION, 5),
        "deflate.tif": _encoded(".tif", colour(), cv2.IMWRITE_TIFF_COMPRESSION, 8),
        "float.tif": _encoded(".tif", share, cv2.IMWRITE_TIFF_COMPRESSION, 1),
        **large_files("tiff"),
    }


def bmp() -> Files:
    """Grey and colours."""
    return {"grey.bmp": _encoded(".bmp", grey()), "colour.bmp": _encoded(".bmp", colour())}


def webp() -> Files:
    """With and without loss."""
    return {
        "lossless.webp": _encoded(".webp", colour(), cv2.IMWRITE_WEBP_QUALITY, 101),
        "lossy.webp": _encoded(".webp", colour(), cv2.IMWRITE_WEBP_QUALITY, 80),
    }


def jpeg2000() -> Files:
    """8 and 16 bits, and the stream alone."""
    wrapped = _encoded(".jp2", grey16())
    return {
        "grey.jp2": _encoded(".jp2", grey()),
        "grey16.jp2": wrapped,
        "stream.j2k": wrapped[wrapped.index(b"\xff\x4f\xff\x51") :],
    }


def dicom() -> Files:
    """Explicit and implicit, deflated, RLE, JPEG, JPEG 2000; windows, a palette of values, colours."""
    stream = jpeg2000()["stream.j2k"]
    table: dict[str, Any] = {"VOILUTSequence": [_table()]}
    return {
        "explicit.dcm": dicom_file(grey16(), WindowCenter=30000, WindowWidth=20000),
        "implicit.dcm": dicom_file(grey16(), ImplicitVRLittleEndian, RescaleSlope=2, RescaleIntercept=-5),
        "deflated.dcm": dicom_file(grey16(), DeflatedExplicitVRLittleEndian, **table),
        "rle.dcm": dicom_file(grey16(), RLELossless, PhotometricInterpretation="MONOCHROME1"),
        "jpeg.dcm": dicom_file(grey(), JPEGBaseline8Bit, jpeg()["grey.jpg"]),
        "j2k.dcm": dicom_file(grey16(), JPEG2000Lossless, stream),
        "colour.dcm": dicom_file(colour(), PlanarConfiguration=0),
    }


def _table() -> pydicom.Dataset:
    item = pydicom.Dataset()
    item.LUTDescriptor = [256, 0, 8]
    item["LUTDescriptor"].VR = "US"
    item.add_new("LUTData", "OW", np.arange(256, dtype=np.uint16).tobytes())
    return item


def dicom_file(
    image: NDArray[np.uint8 | np.uint16],
    syntax: Any = ExplicitVRLittleEndian,
    stream: bytes = b"",
    **more: Any,
) -> bytes:
    """A DICOM of these pixels, or of a compressed stream of them."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian if syntax is RLELossless else syntax
    meta.MediaStorageSOPClassUID = pydicom.uid.DigitalXRayImageStorageForPresentation
    meta.MediaStorageSOPInstanceUID = pydicom.uid.UID("1.2.3")
    data = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    bits = 8 * image.itemsize
    data.Rows, data.Columns = image.shape[:2]
    data.SamplesPerPixel = 1 if image.ndim == 2 else 3
    data.PhotometricInterpretation = "MONOCHROME2" if image.ndim == 2 else "RGB"
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = bits, bits, bits - 1, 0
    data.PatientName, data.PatientID, data.PatientAge, data.PatientSex = "A^B", "77", "037Y", "F"
    data.PixelSpacing, data.ImagerPixelSpacing, data.ViewPosition = [0.2, 0.15], [0.2, 0.15], "AP"
    data.add_new("PixelData", "OW", encapsulate([stream]) if stream else image.tobytes())
    if stream:
        data["PixelData"].VR = "OB"
        data["PixelData"].is_undefined_length = True
    for name, value in more.items():
        setattr(data, name, value)
    if syntax is RLELossless:
        data.compress(RLELossless, encoding_plugin="pydicom")
    buffer = io.BytesIO()
    data.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


IMAGES: Final[Mapping[str, Callable[[], Files]]] = {
    "png": png,
    "jpeg": jpeg,
    "tiff": tiff,
    "bmp": bmp,
    "webp": webp,
    "jpeg2000": jpeg2000,
    "dicom": dicom,
}
"""The files of a kind of image by its name on the command line."""


def mutated_image(name: str, content: bytes, rng: random.Random) -> bytes:
    """A mutated file, one with a known part missing, or one made to take all memory or time.

    Sums and compression of some are made to fit what is wrong behind them.
    """
    if name.startswith("large") and rng.random() < 0.8:
        return damaged(name, content, rng)
    if name.endswith((".png", ".jpg", ".tif")) and rng.random() < 0.02:
        return bomb(name, content, rng)
    if name.endswith(".png") and not name.startswith("large") and rng.random() < 0.7:
        return _summed(content, rng)
    if name == "deflated.dcm" and rng.random() < 0.7:
        return _deflated(content, rng)
    return mutate(content, rng, is_text=False)


def _summed(content: bytes, rng: random.Random) -> bytes:
    """A PNG with right checksums around what is wrong; pixels are sometimes compressed again as well."""
    chunks = []
    at = len(PNG_START)
    while at + 12 <= len(content):
        (length,) = struct.unpack_from(">I", content, at)
        chunks.append((content[at + 4 : at + 8], content[at + 8 : at + 8 + length]))
        at += 12 + length
    wrong = rng.randrange(len(chunks))
    kind, data = chunks[wrong]
    if kind == b"IDAT" and rng.random() < 0.5:
        pixels = mutate(zlib.decompress(data), rng, is_text=False)
        data = zlib.compress(pixels * (2000 if len(pixels) < 10_000 and rng.random() < 0.25 else 1))
    else:
        data = mutate(data, rng, is_text=False)
    chunks[wrong] = kind, data
    if rng.random() < 0.2:
        rng.shuffle(chunks)
    made = [PNG_START]
    for kind, data in chunks:
        made.append(struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)))
    return b"".join(made)


def _deflated(content: bytes, rng: random.Random) -> bytes:
    """A DICOM whose damage lies behind the compression, sometimes a very long one."""
    (length,) = struct.unpack_from("<I", content, 140)
    start = 144 + length
    inner = zlib.decompressobj(-zlib.MAX_WBITS).decompress(content[start:])
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    changed = mutate(inner, rng, is_text=False) + b"\0" * rng.choice((0, 0, 0, 0, 2**27))
    return content[:start] + packer.compress(changed) + packer.flush()
