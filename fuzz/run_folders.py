"""Run folders that others may have edited: one that is read, compared, listed, or was interrupted."""

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
from typing import Final

import pyarrow.parquet as pq

from fuzz.answers import refused, require_line
from fuzz.mutations import Change, Folder, Link, changed_tree, mutate
from fuzz.parquet import changed_parquet
from mahtdiag.errors import MahtdiagError
from mahtdiag.reports.tables.runs import RunsResult
from mahtdiag.runs.reading import latest_run, open_run
from mahtdiag.runs.tables import BatchRange, PartFiles, images_schema, write_table
from mahtdiag.schema.skeleton import View

Rng = random.Random
SAMPLES: Final = Path(__file__).parents[1] / "sample_data"
_IMAGES: Final = 4
_RUN: Final = ("run.json", "images.parquet", "keypoints.parquet")


@cache
def run_files() -> dict[str, bytes]:
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


def changed_document(content: bytes, rng: Rng, *, times: int) -> bytes:
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
        files = run_files()
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
            return {name: changed_document(run_files()[name], rng, times=rng.choice((1, 1, 2)))}
        return {name: changed_parquet(files[name], rng)}

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


_NAMED: Final = ("first", "second")


@dataclass(frozen=True)
class ListTarget:
    """Two runs and what says which is the newest: listed, found, and compared with each other."""

    name: str = "runs"
    is_silent: bool = False

    @property
    def files(self) -> Mapping[str, bytes]:
        """The second was started later."""
        files: dict[str, bytes] = {"runs/latest": b"second\n"}
        for number, run in enumerate(_NAMED):
            for name, content in RunTarget().files.items():
                files[f"runs/{run}/{name}"] = content
            document = json.loads(files[f"runs/{run}/run.json"])
            document["started"] = f"2026-01-0{number + 1}T10:00:00Z"
            files[f"runs/{run}/run.json"] = json.dumps(document).encode()
        return files

    def changes(self, rng: Rng) -> dict[str, Change]:
        """Other words in the file that names the newest, or one run as in `RunTarget`."""
        files = self.files
        if rng.random() < 0.3:
            odd: tuple[Change, ...] = (
                *(None, b"", b"first", b"..", b"/etc", b"latest", b"x" * 70_000, b"a\nb", b"\x1b[31m"),
                *(b"x" * 60_000, b"first\0", b"\xff", Link("first"), Link("latest"), Link("../.."), Folder()),
            )
            return {"runs/latest": rng.choice((*odd, mutate(files["runs/latest"], rng, is_text=True)))}
        run = rng.choice(_NAMED)
        return {f"runs/{run}/{name}": change for name, change in RunTarget().changes(rng).items()}

    def read(self, folder: Path, rng: Rng) -> str:
        """Everything that a command does with other runs than its own."""
        from mahtdiag.config.settings import Settings
        from mahtdiag.workflows.compare.job import CompareRequest, compare
        from mahtdiag.workflows.runs.job import RunsRequest, rank_runs

        runs = tuple(Path("runs") / name for name in _NAMED)
        ways: tuple[Callable[[], object], ...] = (
            lambda: latest_run(folder),
            lambda: rank_runs(RunsRequest(None, None, folder)),
            lambda: open_run(Path("2"), folder),
            lambda: compare(CompareRequest(runs, Settings(), folder)),
        )
        answer = "read"
        for way in ways:
            try:
                found = way()
                for other in found.others if isinstance(found, RunsResult) else ():
                    require_line(other.problem)
            except MahtdiagError as error:
                answer = refused(error)
        return answer


@dataclass(frozen=True)
class PartsTarget:
    """What a run that was interrupted keeps of its batches, for `--resume`."""

    name: str = "parts"
    is_silent: bool = True

    @property
    def files(self) -> Mapping[str, bytes]:
        """Two batches of two images."""
        return _parts()

    def changes(self, rng: Rng) -> dict[str, Change]:
        """Other rows, bytes or names."""
        name = rng.choice([*self.files])
        content, change = self.files[name], rng.random()
        if change < 0.15:
            last = rng.choice(("00000009", "99999999", "0000000", "9" * 100, "\u0665" * 8, "00000001"))
            other = f"{rng.choice(('00000000', '00000001', '00000007'))}-{last}.parquet"
            return {f"{name.rpartition('/')[0]}/{other}": content, name: rng.choice((None, content))}
        if change < 0.2:
            return {name: rng.choice((None, b"", Folder(), Link("/dev/zero"), Link("nowhere")))}
        # There is no row of failures that could be another.
        if change < 0.4 or name == "failures.parquet":
            return {name: mutate(content, rng, is_text=False)}
        return {name: changed_parquet(content, rng)}

    def read(self, folder: Path, rng: Rng) -> str:
        """Those that are whole, and their rows."""
        parts = PartFiles(folder, View.AP.skeleton)
        try:
            batches = {batch for part in parts.whole() for batch in part.batches}
            rows = sum(table.num_rows for table in (*parts.images(), *parts.keypoints()))
        except MahtdiagError as error:
            return refused(error)
        return "read" if batches and rows else "failures"


@cache
def _parts() -> dict[str, bytes]:
    files = run_files()
    images, keypoints = (pq.read_table(io.BytesIO(files[name])) for name in _RUN[1:])
    with tempfile.TemporaryDirectory() as place:
        parts = PartFiles(Path(place), View.AP.skeleton)
        for name in ("images", "keypoints"):
            (parts.root / name).mkdir()
        each = len(keypoints) // _IMAGES
        for batch in range(2):
            rows = images.slice(2 * batch, 2), keypoints.slice(2 * batch * each, 2 * each)
            parts.write(BatchRange(batch, batch), *rows)
        write_table(parts.failures_path, [images.slice(0, 0)], images_schema(View.AP.skeleton))
        found = sorted(path for path in parts.root.rglob("*.parquet"))
        return {str(path.relative_to(parts.root)): path.read_bytes() for path in found}


RUN_FOLDERS: Final = {target.name: target for target in (RunTarget(), ListTarget(), PartsTarget())}
