"""What mahtdiag wrote itself and others may have edited: run folders, `--fit` files and `mahtdiag.toml`."""

import contextlib
import io
import json
import random
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from fuzz.answers import refused, require_line
from fuzz.mutations import Change, Link, changed_tree, mutate
from mahtdiag.config.project_file import read_settings
from mahtdiag.errors import MahtdiagError
from mahtdiag.runs.factors import read_recalibration
from mahtdiag.runs.reading import open_run

Rng = random.Random
SAMPLES: Final = Path(__file__).parents[1] / "sample_data"
_IMAGES: Final = 4
_RUN: Final = ("run.json", "images.parquet", "keypoints.parquet")
_VALUES: Final[Mapping[str, tuple[Any, ...]]] = {
    "number": (None, float("nan"), float("inf"), float("-inf"), -1.0, 0.0, 0.5, 1e308, 1e-320, 1e6),
    "whole": (None, 0, -1, 1, 5, 127, 2**31 - 1, -(2**31)),
    "word": (
        *(None, "", "x", "../x", "/etc/passwd", "\x1b[31m", "a" * 3000, "ok", "failed", b"\xff\xfe"),
        *("\u202ex", "a\nb", "L1", "AP/x.jpg"),
    ),
    "bool": (None, True, False),
    "list": (None, [], ["A101"], [None], ["zz"], ["A101"] * 500),
}
_TYPES: Final = (
    *(pa.string(), pa.float32(), pa.int8(), pa.binary(), pa.timestamp("s")),
    pa.dictionary(pa.int32(), pa.string()),
)
_PROJECT: Final = """\
[model]
checkpoint = "ckpt.pt"
input_size = "256x128"
normalize = "unit"
heatmap_sigma = 2.0
decode = "soft-argmax"

[data]
path = "data"
view = "AP"
levels = "L1-L5"
pixel_spacing_mm = 0.143

[evaluate]
batch_size = 8
overlays = "worst:12"
allow_failures = 2

[anatomy.limits]
A201 = 22.0

[calibration]
groups = ["vertebra", "corner"]

[gates]
"radial_error_mm.mean" = "<= 4.0"
"sdr_mm.4" = "lower >= 0.8"

[gates.baseline]
run = "runs/first"
"radial_error_px.mean" = "+0.5"
"""


@cache
def _run_files() -> dict[str, bytes]:
    """A run of four images of `sample_data`, and the factors that were fitted on it."""
    import mahtdiag
    from mahtdiag.workflows.calibration.job import CalibrationRequest, calibrate

    with tempfile.TemporaryDirectory() as place, contextlib.redirect_stderr(io.StringIO()):
        data, out, fit = Path(place) / "data", Path(place) / "run", Path(place) / "fit.json"
        (data / "AP").mkdir(parents=True)
        for file in sorted((SAMPLES / "AP").iterdir())[: 2 * _IMAGES]:
            shutil.copy(file, data / "AP")
        mahtdiag.evaluate(SAMPLES / "mahtnet-ap.pt", data, out=out, overlays="none")
        calibrate(CalibrationRequest(out, fit, None, False, Path(place)))
        return {**{name: (out / name).read_bytes() for name in _RUN}, "fit.json": fit.read_bytes()}


def _changed_table(content: bytes, rng: Rng) -> bytes:
    """A Parquet file of which a cell, a column, its type, its rows or their order are others."""
    table = pq.read_table(io.BytesIO(content))
    change = rng.choice(
        ("cell", "cell", "column", "column", "type", "dropped", "rows", "twice", "order", "names")
    )
    at = rng.randrange(table.num_columns)
    field = table.schema.field(at)
    if change in ("cell", "column"):
        table = _with_values(table, at, rng, whole=change == "column")
    elif change == "type":
        with contextlib.suppress(pa.ArrowException):
            table = table.set_column(at, field.name, table.column(at).cast(rng.choice(_TYPES)))
    elif change == "dropped":
        table = table.remove_column(at)
    elif change == "rows":
        table = table.slice(rng.randrange(table.num_rows), rng.randrange(table.num_rows))
    elif change == "twice":
        table = pa.concat_tables([table, table.slice(0, rng.choice((1, 20, table.num_rows)))])
    elif change == "order":
        order = rng.sample(range(table.num_rows), table.num_rows)
        table = table.take(pa.array(order, pa.int64()))
    else:
        table = table.rename_columns([rng.choice(table.column_names), *table.column_names[1:]])
    written = io.BytesIO()
    pq.write_table(table, written)
    return written.getvalue()


def _with_values(table: pa.Table, at: int, rng: Rng, *, whole: bool) -> pa.Table:
    field = table.schema.field(at)
    kind = _kind(field.type)
    values, value = table.column(at).to_pylist(), rng.choice(_VALUES[kind])
    if whole:
        values = [value] * len(values)
    else:
        values[rng.randrange(len(values))] = value
    if kind == "word":
        texts = [text.encode() if isinstance(text, str) else text for text in values]
        return table.set_column(at, field.name, pa.array(texts, pa.binary()).view(pa.string()))
    try:
        return table.set_column(at, pa.field(field.name, field.type), pa.array(values, field.type))
    except (pa.ArrowException, OverflowError):  # the type holds no such value
        return table.drop_columns([field.name])


def _kind(of: pa.DataType) -> str:
    if pa.types.is_floating(of):
        return "number"
    if pa.types.is_integer(of):
        return "whole"
    if pa.types.is_boolean(of):
        return "bool"
    return "list" if pa.types.is_list(of) else "word"


def _changed_document(content: bytes, rng: Rng, *, times: int) -> bytes:
    """A `run.json` or a file of `--fit` of another structure; without checksums that is not seen by them."""
    document = json.loads(content)
    if "checksums" in document and rng.random() < 0.95:
        document["checksums"] = None
        document["status"] = rng.choice(("complete", "complete", "interrupted"))
    changed = json.dumps(document).encode()
    for _ in range(times):
        changed = changed_tree(changed, rng)
    return changed


@dataclass(frozen=True)
class RunTarget:
    """A run folder, read as every command reads one."""

    name: str = "run"
    # Absurd numbers overflow, of which numpy warns; the command line takes warnings apart.
    is_silent: bool = False

    @property
    def files(self) -> Mapping[str, bytes]:
        """The three files of a run, without checksums that would refuse every change."""
        files = _run_files()
        document = json.loads(files["run.json"])
        document["checksums"] = None
        return {**{name: files[name] for name in _RUN}, "run.json": json.dumps(document).encode()}

    def changes(self, rng: Rng) -> dict[str, Change]:
        """Mostly other values where the file says something; sometimes other bytes, or another file."""
        name, files = rng.choice(_RUN), self.files
        if rng.random() < 0.05:
            odd: tuple[Change, ...] = (None, b"", Link("nowhere"), Link("/dev/zero"), files[rng.choice(_RUN)])
            return {name: rng.choice(odd)}
        if rng.random() < 0.15:
            return {name: mutate(files[name], rng, is_text=name == "run.json")}
        if name == "run.json":
            return {name: _changed_document(_run_files()[name], rng, times=rng.choice((1, 1, 2)))}
        return {name: _changed_table(files[name], rng)}

    def read(self, folder: Path, rng: Rng) -> str:
        """Its numbers, its anatomy and its calibration."""
        from mahtdiag.diagnosis.numbers import numbers_of
        from mahtdiag.workflows.anatomy.job import report_of_run
        from mahtdiag.workflows.calibration.job import calibration_of

        try:
            run = open_run(folder, folder)
            table = run.table()
            if not len(table):
                return "failures"
            ways: tuple[Callable[[], object], ...] = (
                lambda: numbers_of(table).content(),
                lambda: report_of_run(run, table, None),
                lambda: calibration_of(run),
            )
            for way in ways:
                way()
        except MahtdiagError as error:
            return refused(error)
        for failure in table.failures:
            require_line(failure.reason[:500].replace("\n", " ") or "none")
        return "read"


@dataclass(frozen=True)
class DocumentTarget:
    """One file that is read by one function."""

    name: str
    file: str
    content: Callable[[], bytes]
    opened: Callable[[Path], object]
    is_silent: bool = True

    @property
    def files(self) -> Mapping[str, bytes]:
        """The file as it was written."""
        return {self.file: self.content()}

    def changes(self, rng: Rng) -> dict[str, Change]:
        """Other text, or another structure where it is JSON."""
        content = self.content()
        if self.file.endswith(".json") and rng.random() < 0.7:
            return {self.file: _changed_document(content, rng, times=rng.choice((1, 1, 2)))}
        return {self.file: mutate(content, rng, is_text=True)}

    def read(self, folder: Path, rng: Rng) -> str:
        """Read once."""
        try:
            self.opened(folder / self.file)
        except MahtdiagError as error:
            return refused(error)
        return "read"


DOCUMENTS: Final[Mapping[str, RunTarget | DocumentTarget]] = {
    "run": RunTarget(),
    "factors": DocumentTarget("factors", "fit.json", lambda: _run_files()["fit.json"], read_recalibration),
    "project": DocumentTarget(
        "project", "mahtdiag.toml", _PROJECT.encode, lambda path: read_settings(path, path.parent)
    ),
}
