"""Which patient an image shows: images of one patient are not independent, and are resampled together."""

import csv
import hashlib
import io
import json
import os
import subprocess
import sys
import unicodedata
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from mahtdiag.data.files import PATIENTS_FILE, Dataset, named, read_file
from mahtdiag.errors import DataError
from mahtdiag.schema.records import Sample
from mahtdiag.schema.safe_text import brief, shown

_DIGITS: Final = 16
_LONGEST_SECONDS: Final = 20
_SEARCH: Final = """\
import json, re, sys
pattern, names = json.load(sys.stdin)
matches = [re.search(pattern, name) for name in names]
json.dump([m and (m[1] if m.re.groups else m[0]) for m in matches], sys.stdout)
"""
_SEPARATORS: Final = tuple({os.sep, "/"})


def keyed(dataset: Dataset, pattern: str | None) -> Dataset:
    """The same set with the patients that a pattern, or the table beside the images, tells.

    `pattern`: a regular expression that is searched for in each image's name; its first group, or all of it,
    is the patient. Without one, `patients.csv` in the set's folder (or the view's) says which image shows
    whom (see `parse_patients`); where neither is there, it is what the reader found in file name or header.
    Raises DataError where pattern or table leave a patient out: half-known patients would be called
    independent.
    """
    if pattern is not None:
        return _by_pattern(dataset, pattern)
    # Many images lie in few folders; `os.path.dirname` takes four times as long.
    paths = [sample.path for sample in dataset.samples if sample.path]
    beside = {path[: max(map(path.rfind, _SEPARATORS)) + 1] for path in paths}
    folders = dict.fromkeys((dataset.path, *map(Path, sorted(beside))))
    tables = [folder / PATIENTS_FILE for folder in folders if (folder / PATIENTS_FILE).is_file()]
    if not tables:
        return dataset
    known: dict[str, str] = {}
    for path in tables:
        known |= parse_patients(read_file(path, shown(path)), shown(path))
    found = [named(sample.image, known) for sample in dataset.samples]
    return _with(dataset, found, f"{shown(tables[0])}: names no patient for")


def _by_pattern(dataset: Dataset, pattern: str) -> Dataset:
    found = _searched(pattern, [sample.image for sample in dataset.samples])
    return _with(dataset, found, f"--patient {pattern!r}: names no patient in")


def _searched(pattern: str, names: Sequence[str]) -> list[str | None]:
    """The first group of a pattern, or all of it, in each name; None where it is not in one.

    It may come with somebody's `mahtdiag.toml`, and repeats within repeats take a time that no Python can
    interrupt: another process searches, which can be stopped. Raises DataError where that has to be.
    """
    command = [sys.executable, "-I", "-S", "-c", _SEARCH]
    given = json.dumps([pattern, names]).encode()
    try:
        done = subprocess.run(
            command, input=given, capture_output=True, timeout=_LONGEST_SECONDS, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise DataError(
            f"--patient {brief(repr(pattern), 200)}: takes more than {_LONGEST_SECONDS} s to be searched for "
            f"in {len(names)} names: write it without repeats within repeats"
        ) from error
    if done.returncode:
        raise DataError(f"--patient {brief(repr(pattern), 200)}: cannot be searched for: write another one")
    found: list[str | None] = json.loads(done.stdout)
    return found


def _with(dataset: Dataset, found: list[str | None], problem: str) -> Dataset:
    without = [s.image for s, patient in zip(dataset.samples, found, strict=True) if not patient]
    if without:
        raise DataError(
            f"{problem} {len(without)} of {len(found)} images, such as {without[0]}: name one for every image"
        )
    return replace(
        dataset, samples=tuple(_of(s, str(p)) for s, p in zip(dataset.samples, found, strict=True))
    )


def _of(sample: Sample, patient: str) -> Sample:
    return replace(sample, patient=replace(sample.patient, identifier=patient))


def parse_patients(content: bytes, name: str) -> dict[str, str]:
    """Read `patients.csv`: a header with the columns `image` and `patient`, then a row for each image.

    The image is named with or without extension and view folder. Patients are kept as the first 16 digits of
    their SHA-256: a run is passed on, a patient's number is not. Raises DataError with every problem: no such
    columns, an empty cell, an image named twice.
    """
    try:
        rows = list(csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline="")))
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{name}: not a CSV in UTF-8 ({error}): write rows of image,patient") from error
    if not rows or not {"image", "patient"} <= rows[0].keys():
        raise DataError(f"{name}: no columns image and patient: begin with a line image,patient")
    patients: dict[str, str] = {}
    problems: list[str] = []
    for number, row in enumerate(rows, start=2):
        image, patient = ((row[column] or "").strip() for column in ("image", "patient"))
        key = unicodedata.normalize("NFC", image)
        if not image or not patient:
            problems.append(f"{name}: line {number}: expected an image and its patient")
        elif key in patients:
            problems.append(f"{name}: line {number}: {shown(image[:100])} is named twice")
        else:
            patients[key] = hashlib.sha256(patient.encode()).hexdigest()[:_DIGITS]
    if problems:
        raise DataError(*problems)
    return patients
