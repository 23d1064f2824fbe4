"""The file that says which image, or patient, is of which group: read, matched with a set, put into it."""

import csv
import hashlib
import io
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from mahtdiag.data.files import Dataset, named
from mahtdiag.data.text_files import read_bounded
from mahtdiag.diagnosis.subgroups import MOST_VALUES, bands_of, numbers_of_column
from mahtdiag.errors import DataError
from mahtdiag.reports.text import counted
from mahtdiag.schema.records import Sample
from mahtdiag.schema.safe_text import brief, one_line, shown

IMAGE, PATIENT = "image", "patient"
LONGEST = 60
_NAMED = 3
# A million images, each with its row, and nine columns.
_LARGEST_BYTES: Final = 2**27
_MOST_LINES: Final = 1_500_000
_MOST_COMMAS: Final = 10_000_000
# Each has up to 20 values, and of each `run.json` keeps numbers: a run must stay readable.
_MOST_COLUMNS: Final = 200
_MOST_PROBLEMS: Final = 100


@dataclass(frozen=True, slots=True)
class SubgroupFile:
    """A subgroup file: the other columns, and their values by image or patient; `notes` on its own rows."""

    name: str
    key: str
    columns: tuple[str, ...]
    rows: Mapping[str, tuple[str, ...]]
    notes: tuple[str, ...]


def with_subgroups(dataset: Dataset, file: str | None) -> tuple[Dataset, str | None]:
    """The set whose samples know what the file says of them, with notes on what did not fit; its SHA-256.

    Raises DataError: the file cannot be read or used, or names no image of the set.
    """
    if file is None:
        return dataset, None
    content = read_bounded(Path(file), shown(file), _LARGEST_BYTES)
    found = parse_subgroups(content, shown(file))
    if found.key == PATIENT and not any(sample.patient.identifier for sample in dataset.samples):
        raise DataError(
            f"{found.name}: names patients, and of no image the patient is known: give --patient, "
            "or a column image"
        )
    keys = _keys_of(found, dataset.samples)
    rows = [_row_of(sample, found, keys) for sample in dataset.samples]
    if not any(rows):
        raise DataError(f"{found.name}: none of its {len(found.rows)} rows names {_what(found, dataset)}")
    used = {key for row in rows if row for key in (row[0],)}
    of_image = [row[1] if row else ("",) * len(found.columns) for row in rows]
    _require_groups(found, of_image)
    samples = tuple(
        replace(sample, subgroups=tuple(_entries(found.columns, values)))
        for sample, values in zip(dataset.samples, of_image, strict=True)
    )
    without = [s.image for s, row in zip(dataset.samples, rows, strict=True) if row is None]
    named_so = dataset.failures if found.key == IMAGE else ()
    known = {name for failure in named_so if (name := named(failure.image, keys))}
    unknown = [key for key in found.rows if key not in used | known]
    notes = (*dataset.notes, *found.notes, *_notes(found, without, unknown, len(rows)))
    return replace(dataset, samples=samples, notes=notes), hashlib.sha256(content).hexdigest()


def _what(found: SubgroupFile, dataset: Dataset) -> str:
    """What the rows should have named, with an example."""
    samples = dataset.samples
    if found.key == IMAGE:
        return f"an image of the set, such as {samples[0].image}" if samples else "an image of the set"
    return "a patient of the set"


def _entries(columns: Sequence[str], values: Sequence[str]) -> Iterator[str]:
    return (f"{column}={value}" for column, value in zip(columns, values, strict=True))


def _keys_of(found: SubgroupFile, samples: Sequence[Sample]) -> Mapping[str, str]:
    """The keys of the rows by what names them: themselves, and of patients their digests."""
    keys = {key: key for key in found.rows}
    if found.key == PATIENT and any(sample.patient.identifier not in keys for sample in samples):
        keys = {_hashed(key): key for key in found.rows} | keys
    return keys


def _row_of(
    sample: Sample, found: SubgroupFile, keys: Mapping[str, str]
) -> tuple[str, tuple[str, ...]] | None:
    """The key that names this image or its patient, and the values; None without a row."""
    patient = sample.patient.identifier or ""
    key = named(sample.image, keys) if found.key == IMAGE else keys.get(patient)
    return None if key is None else (key, found.rows[key])


def _hashed(patient: str) -> str:
    """As a run keeps patients of `patients.csv` and of DICOM headers."""
    return hashlib.sha256(patient.encode()).hexdigest()[:16]


def _notes(found: SubgroupFile, without: list[str], unknown: list[str], images: int) -> Iterator[str]:
    if unknown:
        what = counted(len(unknown), found.key)
        # A run is passed on: no patient's number may be in its notes.
        which = f": {_some(unknown)}" if found.key == IMAGE else ""
        yield f"{found.name}: {what} not in the set, left out{which}"
    if without:
        yield f"{found.name}: no row for {len(without)} of {images} images, in no group: {_some(without)}"


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"{', '.join(brief(name, 200) for name in names[:_NAMED])}{more}"


def _require_groups(found: SubgroupFile, of_image: Sequence[tuple[str, ...]]) -> None:
    """Refuse columns of texts that hardly ever repeat: they are no groups, and may be names."""
    problems = []
    for place, header in enumerate(found.columns):
        name, edges = bands_of(header)
        values = tuple(row[place] for row in of_image)
        texts = {value for value in values if value}
        if numbers_of_column(values) is not None:
            continue
        if edges is not None:
            problems.append(f"{found.name}: column {name} has bands and values that are no numbers")
        elif len(texts) > MOST_VALUES:
            problems.append(
                f"{found.name}: column {name} has {len(texts)} different texts, no groups (at most "
                f"{MOST_VALUES}), "
                "and a run would keep them: leave it out"
            )
    if problems:
        raise DataError(*problems)


def parse_subgroups(content: bytes, name: str) -> SubgroupFile:
    """Read a subgroup file: a header with the column `image` or `patient` and others, then a row for each.

    An image is named with or without extension and view folder. `bmi [25 30]` states bands of a column. Rows
    that name something a second time with the same values are left out and noted. Raises DataError with every
    problem: no such columns, a column twice, bands that are none, a row without a name or too long, a second
    row that says something else.
    """
    lines = _lines_of(content, name)
    header = next(lines, None)
    if header is None:
        raise DataError(f"{name}: empty: begin with a line such as image,scanner")
    if len(header) > _MOST_COLUMNS:
        raise DataError(f"{name}: {len(header):,} columns, at most {_MOST_COLUMNS:,} are read")
    header = [" ".join(cell.split()) for cell in header]
    keys = [column for column in (IMAGE, PATIENT) if column in header]
    columns = tuple(cell for cell in header if cell not in (IMAGE, PATIENT))
    problems = list(_header_problems(header, keys, columns, name))
    if problems:
        raise DataError(*problems)
    rows, again = _rows_of(lines, header, header.index(keys[0]), name)
    note = f"{name}: {counted(again, 'row')} twice with the same values, counted once"
    return SubgroupFile(name, keys[0], columns, rows, (note,) if again else ())


def _rows_of(
    lines: Iterator[list[str]], header: Sequence[str], place: int, name: str
) -> tuple[dict[str, tuple[str, ...]], int]:
    """The values by what `place` names, and how many rows say the same again. Raises DataError: problems."""
    problems: list[str] = []
    rows: dict[str, tuple[str, ...]] = {}
    again = 0
    shared: dict[tuple[str, ...], tuple[str, ...]] = {}
    for number, cells in enumerate(lines, start=2):
        if len(problems) == _MOST_PROBLEMS:
            problems.append(f"{name}: what is behind line {number - 1:,} was not looked at")
            break
        cells = [" ".join(cell.split()) for cell in cells]
        if not any(cells):
            continue
        problem = _row_problem(cells, place, header)
        key = "" if problem else unicodedata.normalize("NFC", cells[place])
        values = tuple(cell for at, cell in enumerate(cells) if at != place)
        if not problem and rows.get(key, values) != values:
            problem = f"{brief(key, LONGEST)} is named twice, with other values"
        if problem:
            problems.append(f"{name}: line {number}: {problem}")
        elif key in rows:
            again += 1
        rows.setdefault(key, shared.setdefault(values, values))
    if problems:
        raise DataError(*problems)
    return rows, again


def _lines_of(content: bytes, name: str) -> Iterator[list[str]]:
    """The cells of each line, one line at a time. Raises DataError: too many, or no CSV in UTF-8."""
    lines = content.count(b"\n") + content.count(b"\r") - content.count(b"\r\n")
    for found, what, most in (
        (lines, "lines", _MOST_LINES),
        (content.count(b","), "commas", _MOST_COMMAS),
    ):
        if found > most:
            raise DataError(f"{name}: {found:,} {what}, at most {most:,} are read")
    try:
        yield from csv.reader(io.TextIOWrapper(io.BytesIO(content), encoding="utf-8-sig", newline=""))
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{name}: not a CSV in UTF-8 ({error})") from error


def _header_problems(
    header: Sequence[str], keys: Sequence[str], columns: Sequence[str], name: str
) -> Iterator[str]:
    if len(keys) != 1:
        both = "both columns image and patient: leave one out" if keys else "no column image or patient"
        yield f"{name}: {both}; the first line names the columns, for example image,scanner"
        return
    if not columns:
        yield f"{name}: no column besides {keys[0]}: add one that says the group"
    for column in columns:
        said = brief(column, LONGEST)
        try:
            known = bands_of(column)[0]
        except ValueError:
            yield f"{name}: {said}: expected ascending numbers between [ ], for example bmi [25 30]"
            continue
        if not known or "=" in column or column != one_line(column) or len(column) > LONGEST:
            yield f"{name}: column {said!r}: expected a name of up to {LONGEST} characters without ="
    twice = [column for column, count in Counter(header).items() if count > 1]
    yield from (f"{name}: column {brief(column, LONGEST)} stands there twice" for column in twice if column)


def _row_problem(cells: Sequence[str], place: int, header: Sequence[str]) -> str:
    if len(cells) != len(header):
        return f"{len(cells)} cells, the first line has {len(header)}"
    if not cells[place]:
        return f"no {header[place]}"
    long = [cell for cell in cells if len(cell) > LONGEST and cell != cells[place]]
    wrong = long or [cell for cell in cells if cell != one_line(cell)]
    return f"{shown(wrong[0])[:LONGEST]!r}: expected one line of up to {LONGEST} characters" if wrong else ""
