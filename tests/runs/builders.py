"""Made-up documents, records and runs, different for every image and the same every time."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mahtdiag.runs.document import (
    CheckpointSource,
    DataSource,
    Environment,
    FailureEntry,
    ImageCounts,
    RunDocument,
    Seconds,
)
from mahtdiag.runs.folder import FlushLimits, RunFolder
from mahtdiag.runs.reading import Run
from mahtdiag.runs.results import NUMBER_SECTIONS, StoredGate
from mahtdiag.schema.records import Failure, Finding, ImageLosses, ImageRecord, KeypointResults
from mahtdiag.schema.skeleton import View

Batch = tuple[tuple[ImageRecord, ...], tuple[Failure, ...]]

EACH_BATCH = FlushLimits(images=1)
OPEN_FAILURES = (
    Failure("0000.jpg", "no annotation: 0000.csv is missing"),
    Failure("b03-middle.jpg", "0 bytes", annotation_sha256="e" * 64),
    Failure("zzz.jpg", "1×1 pixels, not a radiograph"),
)


def header(total: int = 13, view: View = View.AP) -> RunDocument:
    """A document as it is when a run starts."""
    return RunDocument(
        checkpoint=CheckpointSource(path="models/ckpt.pt", sha256="a" * 64, format="mahtdiag"),
        data=DataSource(path="data/AP", format="buu", listing_sha256="b" * 64),
        view=view,
        settings={
            "batch_size": 2,
            "decode": "dark",
            "input": {"size": "512x256", "channels": 1},
            "workers": 2,
        },
        environment=Environment(python="3.11.9", torch="2.13.0", device="cuda:0", threads=2),
        started=datetime(2026, 11, 23, 10, 15, tzinfo=UTC),
        images=ImageCounts(total=total),
    )


def finished(start: RunDocument, evaluated: int, failed: int) -> RunDocument:
    """The same with every part filled in."""
    summary = {"mean": 3.0, "median": 2.5, "std": 1.0, "p90": 5.0, "p95": 6.0, "max": 9.0, "ci95": (2.0, 4.0)}
    content: dict[str, dict[str, object]] = {
        "metrics": {
            "radial_error_px": summary,
            "sdr_px": {"2": 0.4, "4": 0.8, "8": 0.9, "16": 1.0},
            "by_vertebra": {"L1": 2.0, "L2": None},
            "by_corner": {"UL": 3.0},
        },
        "losses": {"total": 1.5, "heatmap": 0.5, "heatmap_keypoint_share": 0.25},
        "anatomy": {
            "violations": 3,
            "images_with_violations": 0.1,
            "by_code": {"A101": {"images": 2, "findings": 3}},
        },
    }
    results = {
        "seconds": Seconds(total=12.5, forward=8.0, decode=3.0, analyse=1.0),
        "images": ImageCounts(total=evaluated + failed, evaluated=evaluated, failed=failed),
        **{name: NUMBER_SECTIONS[name].model_validate(section) for name, section in content.items()},
        "calibration": {"mace": 0.05, "verdict": "too narrow"},
        "gates": (StoredGate(metric="radial_error_px.mean", limit=4.0, value=3.0, passed=True),),
        "failures": (FailureEntry(image="0003 größe.jpg", reason="0 bytes"),),
        "notes": ("σ from the heatmap",),
    }
    return start.model_copy(update=results)


def record(name: str, view: View = View.AP) -> ImageRecord:
    """An image record whose numbers follow from its name; one keypoint is not annotated."""
    random = np.random.default_rng(list(name.encode()))
    k = view.skeleton.keypoints

    def numbers(*shape: int) -> NDArray[np.float64]:
        return random.normal(100.0, 30.0, shape)

    ground_truth, errors = numbers(k, 2), np.abs(numbers(k))
    ground_truth[3], errors[3] = np.nan, np.nan
    keypoints = KeypointResults(
        gt_px=ground_truth,
        pred_px=numbers(k, 2),
        error_px=errors,
        error_mm=np.full(k, np.nan),
        sigma_px=np.abs(numbers(k, 2)),
        spread_px2=numbers(k, 3),
        averaged_px2=numbers(k, 3),
        peak=random.random(k),
        at_min=random.random((k, 2)) < 0.2,
        at_max=random.random((k, 2)) < 0.2,
        flags=random.integers(0, 16, k),
    )
    findings = tuple(
        Finding(code, 0, "L2", 1.0, "heights", 0.5, 2.0, (4, 5)) for code in ("A301", "A101", "A101")
    )
    losses = ImageLosses(1.0, 0.5, random.random(), 0.25, 0.1, 0.05, 0.01, float("nan"), 0.5)
    return ImageRecord(
        image=name,
        image_sha256="c" * 64,
        annotation_sha256="d" * 64,
        width=2012,
        height=2446,
        pixel_spacing_mm=None,
        sex="F",
        age_years=37,
        losses=losses,
        keypoints=keypoints,
        findings=findings[: int(random.integers(0, 4))],
    )


def batches(view: View = View.AP) -> list[Batch]:
    """Five batches of two images by name; the second image of every other batch has failed."""
    made: list[Batch] = []
    for number in range(5):
        names = [f"b{number:02d}-a é.jpg", f"b{number:02d}-z.jpg"]
        if number % 2:
            made.append(((record(names[0], view),), (Failure(names[1], "truncated", "f" * 64),)))
        else:
            made.append((tuple(record(name, view) for name in reversed(names)), ()))
    return made


EVALUATED, FAILED = 8, 5  # of the batches and OPEN_FAILURES together
START = header(EVALUATED + FAILED)
FILES = ["images.parquet", "keypoints.parquet", "run.json"]


def append_missing(folder: RunFolder, content: Sequence[Batch]) -> None:
    """What a workflow does: every batch that is not there yet."""
    for number, (records, failures) in enumerate(content):
        if number not in folder.finished_batches():
            folder.append(number, records, failures)


def tables_of(folder: Path) -> tuple[bytes, bytes]:
    """The bytes of both tables."""
    return (folder / "images.parquet").read_bytes(), (folder / "keypoints.parquet").read_bytes()


def uninterrupted(path: Path, view: View = View.AP) -> tuple[bytes, bytes]:
    """The tables of a run that nothing disturbed."""
    start = header(EVALUATED + FAILED, view)
    folder = RunFolder.create(path, start, OPEN_FAILURES)
    append_missing(folder, batches(view))
    assert folder.finish(finished(start, EVALUATED, FAILED), path.parent) == ()
    return tables_of(path)


def unseal(path: Path) -> Path:
    """Makes a finished run one of an earlier version, which wrote no checksums; returns its folder."""
    content = json.loads((path / "run.json").read_text(encoding="utf-8"))
    del content["checksums"]
    (path / "run.json").write_text(json.dumps(content), encoding="utf-8")
    return path


def names_in(run: Run) -> list[str]:
    """Names of all images of a run, failed ones included, sorted."""
    table = run.table()
    return sorted([*table.image, *(failure.image for failure in table.failures)])


def names_of(content: Sequence[Batch]) -> list[str]:
    """Names of all images of these batches and of the early failures, sorted."""
    evaluated = [r.image for records, _ in content for r in records]
    failed = [f.image for _, failures in content for f in failures]
    return sorted([*evaluated, *failed, *(f.image for f in OPEN_FAILURES)])


def files_of(folder: Path) -> list[str]:
    """All files of a folder, by their paths within it."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def resume_and_finish(path: Path) -> tuple[bytes, bytes]:
    """Continues an interrupted run to its end and returns its tables."""
    folder = RunFolder.resume(path, START, OPEN_FAILURES)
    append_missing(folder, batches(START.view))
    assert folder.finish(finished(START, EVALUATED, FAILED), path.parent) == ()
    return tables_of(path)
