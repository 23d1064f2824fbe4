"""Compressed pixels of a DICOM with a part lost or zeroed are an error; their decoders fill it."""

import random

import cv2
import numpy as np
import pytest
from pydicom.uid import JPEGBaseline8Bit, RLELossless

from fuzz.images import dicom_file
from mahtdiag.data.images import decode_image
from mahtdiag.errors import DataError
from tests.data.builders import radiograph

GREY = radiograph(300, 200)
LOST = 512
FILES = {
    "JPEG": dicom_file(GREY, JPEGBaseline8Bit, cv2.imencode(".jpg", GREY)[1].tobytes()),
    "RLE": dicom_file(GREY, RLELossless),
    "RLE 16": dicom_file(GREY.astype(np.uint16) * 251, RLELossless),
}


@pytest.mark.parametrize("kind", ["lost", "zeroed"])
@pytest.mark.parametrize("name", FILES)
def test_damaged_frames(name: str, kind: str) -> None:
    content = FILES[name]
    assert decode_image(content, "a.dcm").shape == GREY.shape
    rng = random.Random(f"{name} {kind}")
    problems: list[str] = []
    for _ in range(10):
        at = rng.randrange(1800, len(content) - LOST - 100)
        filling = bytes(LOST) if kind == "zeroed" else b""
        try:
            decode_image(content[:at] + filling + content[at + LOST :], "a.dcm")
        except DataError as error:
            problems += error.problems
    assert len(problems) >= 9
    assert all("damaged" in line and line.startswith("a.dcm: the ") for line in problems)
