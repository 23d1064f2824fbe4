"""Prediction files: one reader each, found by what is in the file.

They are what a network that is not at hand predicted for the images of an annotated set.
"""

import errno
import os
from pathlib import Path
from typing import Final

from mahtdiag.data.files import Dataset
from mahtdiag.data.predictions.coco_results import CocoResults
from mahtdiag.data.predictions.deeplabcut import DeepLabCutPredictions
from mahtdiag.data.predictions.keypoint_rcnn import KeypointRcnnPredictions
from mahtdiag.data.predictions.maht_net import MahtNetPredictions
from mahtdiag.data.predictions.mmpose import MMPose
from mahtdiag.data.predictions.npz import Npz
from mahtdiag.data.predictions.predicted import (
    Prediction,
    PredictionReader,
    PredictionSet,
    SetOfImages,
    assembled,
)
from mahtdiag.data.predictions.run_tables import RunTables
from mahtdiag.data.predictions.tables import CsvPredictions
from mahtdiag.data.predictions.ultralytics import Ultralytics
from mahtdiag.errors import DataError
from mahtdiag.opening import require_regular
from mahtdiag.schema.read_options import ReadOptions
from mahtdiag.schema.safe_text import shown

__all__ = ["PREDICTION_READERS", "Prediction", "PredictionReader", "PredictionSet", "read_predictions"]

PREDICTION_READERS: Final[tuple[PredictionReader, ...]] = (
    CocoResults(),
    RunTables(),
    CsvPredictions(),
    Ultralytics(),
    MMPose(),
    DeepLabCutPredictions(),
    MahtNetPredictions(),
    KeypointRcnnPredictions(),
    Npz(),
)
"""Every format that is read."""


def read_predictions(
    file: Path, dataset: Dataset, options: ReadOptions, format: str | None = None
) -> PredictionSet:
    """The predictions in a file, or a folder of them, for the images of a set.

    `format`: the name of its reader, if not by its content. What cannot be used of one image is among
    `problems`. Raises DataError, one line, where the file as a whole cannot be used.
    """
    reader = _reader_of(file, format)
    of = SetOfImages(dataset, options)
    return assembled(file, reader, reader.read(file, of), of)


def _reader_of(file: Path, name: str | None) -> PredictionReader:
    if name is not None:
        named = next((reader for reader in PREDICTION_READERS if reader.name == name), None)
        if named is None:
            known = ", ".join(reader.name for reader in PREDICTION_READERS)
            raise DataError(f"{name}: not a format of predictions: one of {known}")
        return named
    try:
        empty = not file.is_dir() and not require_regular(file)
    except OSError as error:
        raise DataError(f"{shown(file)}: cannot be read: {error.strerror or error}") from error
    if empty:
        raise DataError(f"{shown(file)}: the file is empty (0 bytes): predict again")
    found = [reader for reader in PREDICTION_READERS if reader.recognises(file)]
    if len(found) > 1:
        names = " and ".join(reader.name for reader in found)
        raise DataError(f"{shown(file)}: could be {names}: keep one of them in it")
    if not found:
        _require_readable(file)
        known = "; ".join(f"{reader.title} ({reader.looks_like})" for reader in PREDICTION_READERS)
        raise DataError(f"{shown(file)}: predictions in no format that is known: {known}")
    return found[0]


def _require_readable(file: Path) -> None:
    """Raises DataError where nothing is recognised because it may not be read."""
    looked_at = sorted(file.iterdir()) if file.is_dir() else [file]
    for each in looked_at:
        if each.is_file() and not os.access(each, os.R_OK):
            raise DataError(f"{shown(each)}: cannot be read: {os.strerror(errno.EACCES)}")
