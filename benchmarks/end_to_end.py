"""`evaluate` on the sample sets against nothing but decoding and forward passes, in one process.

Both use the same images, batches, decoding threads and torch threads. They take turns and the fastest round
of each counts, because a wall clock also counts what other programs take. The loop of `evaluate` decodes,
runs the network, analyses, judges and writes to the run folder; the rest of `evaluate` has rows of its own.
"""

import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
from rich.table import Table

from benchmarks.figures import at_most, milliseconds, table
from mahtdiag.config.settings import DataSettings, EvaluateSettings, ModelSettings, Settings
from mahtdiag.engine.devices import forward_mode
from mahtdiag.engine.loader import LoadedBatch, load_batches
from mahtdiag.schema.choices import ImageChoice
from mahtdiag.schema.skeleton import View
from mahtdiag.workflows.evaluate.job import EvaluateRequest, evaluate
from mahtdiag.workflows.evaluate.network_source import Networks, image_reader
from mahtdiag.workflows.evaluate.preparation import Prepared, prepare

SAMPLES = Path(__file__).parent.parent / "sample_data"
# Two of the portions in which records are written, so that the loop writes all of its own.
IMAGES = 128
ROUNDS = 7
LOOP = "evaluating"
LARGE, LARGE_IMAGES, LARGE_ROUNDS = (2500, 2000), 200, 3


def fill_folder(source: Path, folder: Path, count: int) -> None:
    """Copies of the annotated images of a folder under new names until there are `count`."""
    images = sorted(path for path in source.iterdir() if path.with_suffix(".csv") != path)
    for n in range(count):
        image = images[n % len(images)]
        name = f"{n + 1:04d}{image.stem[4:]}"
        shutil.copyfile(image, folder / f"{name}{image.suffix}")
        shutil.copyfile(image.with_suffix(".csv"), folder / f"{name}.csv")


def fill_with_large_jpegs(source: Path, folder: Path, count: int) -> None:
    """The same as JPEGs of `LARGE`, labels along with them."""
    height, width = LARGE
    encoded: list[tuple[bytes, str]] = []
    for path in sorted(path for path in source.iterdir() if path.with_suffix(".csv") != path):
        image = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        assert image is not None
        large = cv2.resize(image, (width, height), interpolation=cv2.INTER_CUBIC)
        _, jpeg = cv2.imencode(".jpg", large, [cv2.IMWRITE_JPEG_QUALITY, 92])
        factors = (width / image.shape[1], height / image.shape[0])
        lines = path.with_suffix(".csv").read_text(encoding="utf-8").split()
        encoded.append((jpeg.tobytes(), "\n".join(_scaled(line, factors) for line in lines)))
    for n in range(count):
        jpeg_bytes, labels = encoded[n % len(encoded)]
        name = f"{n + 1:04d}-F-060Y0"
        (folder / f"{name}.jpg").write_bytes(jpeg_bytes)
        (folder / f"{name}.csv").write_text(labels, encoding="utf-8")


def _scaled(line: str, factors: tuple[float, float]) -> str:
    """A row x1,y1,x2,y2,code of labels of an image that is so many times wider and higher."""
    *places, code = line.split(",")
    return ",".join([*(f"{float(v) * factors[n % 2]:.2f}" for n, v in enumerate(places)), code])


class Stopwatch:
    """A progress that measures each task of `evaluate`, and what comes before the first."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._task = "set-up"
        self._started = time.perf_counter()

    def start(self, task: str, total: int, done: int = 0) -> None:
        """What went on has ended, and a task begins."""
        self.stop()
        self._task = task

    def advance(self, steps: int) -> None:
        """Nothing."""

    def stop(self) -> None:
        """A task has ended; what follows belongs to no task."""
        now = time.perf_counter()
        self.seconds[self._task] = self.seconds.get(self._task, 0.0) + now - self._started
        self._task, self._started = "summary, tables and run.json", now

    def note(self, text: str) -> None:
        """Nothing."""


def product_seconds(settings: Settings, out: Path) -> dict[str, float]:
    """Seconds of each task of one `evaluate`."""
    watch = Stopwatch()
    evaluate(EvaluateRequest(settings, out, resume=False, trust=False, cwd=out.parent), watch)
    return watch.seconds


def bare_seconds(prepared: Prepared) -> float:
    """Seconds of decoding and forward passes alone, with the product's own loader."""
    source = prepared.source
    if not isinstance(source, Networks):
        raise TypeError("a benchmark of networks")
    started = time.perf_counter()
    for batch in _batches(prepared):
        if batch.tensor is not None:
            with forward_mode(source.runner.device, source.runner.precision):
                source.runner.predict(batch.tensor.to(source.runner.device))
    return time.perf_counter() - started


def measure(checkpoint: Path, samples: Path, title: str) -> Table:
    """The table of one checkpoint on one sample set."""
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / samples.name
        data.mkdir()
        fill_folder(samples, data, IMAGES)
        settings = sample_settings(checkpoint, data, overlays="none")
        prepared = prepare(settings, trust=False)
        bare_seconds(prepared)
        bare: list[float] = []
        loop: list[float] = []
        for n in range(ROUNDS):
            bare.append(bare_seconds(prepared))
            loop.append(product_seconds(settings, Path(folder) / "runs" / str(n))[LOOP])
        settings = sample_settings(checkpoint, data, overlays="worst:12")
        whole = product_seconds(settings, Path(folder) / "runs/whole")
    rows = [
        milliseconds("decoding and forward passes, per image", min(bare) / IMAGES),
        milliseconds("the loop of evaluate, per image", min(loop) / IMAGES),
        at_most("ratio", min(loop) / min(bare), 1.08, "×"),
    ]
    rows += [milliseconds(f"{task}, once", seconds) for task, seconds in whole.items() if task != LOOP]
    work = f"{IMAGES} images, batches of {prepared.batch_size}, {prepared.workers} decoding threads"
    return table(f"{title}: {work}", rows)


def sample_settings(checkpoint: Path, data: Path, overlays: str) -> Settings:
    """Everything as a user gets it who names no option but these."""
    return Settings(
        model=ModelSettings(checkpoint=str(checkpoint)),
        data=DataSettings(path=str(data)),
        evaluate=EvaluateSettings(device="cpu", overlays=ImageChoice.parse(overlays)),
    )


def run() -> Iterator[Table]:
    """One table per view, one of large JPEGs."""
    for view in View:
        checkpoint = SAMPLES / f"mahtnet-{view.lower()}.pt"
        yield measure(checkpoint, SAMPLES / view.value, f"End to end, {view} sample set")
    yield measure_large()


def measure_large() -> Table:
    """Large JPEGs: the loop against the larger of decoding alone and forward passes alone."""
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        data.mkdir()
        fill_with_large_jpegs(SAMPLES / "AP", data, LARGE_IMAGES)
        settings = sample_settings(SAMPLES / "mahtnet-ap.pt", data, overlays="none")
        prepared = prepare(settings, trust=False)
        decoding, forward, loop = [], [], []
        for n in range(LARGE_ROUNDS):
            started = time.perf_counter()
            batches = [*_batches(prepared)]
            decoding.append(time.perf_counter() - started)
            forward.append(_forward_seconds(prepared, batches))
            del batches
            loop.append(product_seconds(settings, Path(folder) / "runs" / str(n))[LOOP])
    larger = max(min(decoding), min(forward))
    rows = [
        milliseconds("decoding alone, per image", min(decoding) / LARGE_IMAGES),
        milliseconds("forward passes alone, per image", min(forward) / LARGE_IMAGES),
        milliseconds("the loop of evaluate, per image", min(loop) / LARGE_IMAGES),
        at_most("the loop over the larger of both", min(loop) / larger, 1.08, "×"),
    ]
    height, width = LARGE
    return table(f"End to end: {LARGE_IMAGES} JPEGs of {width}×{height}, {prepared.workers} threads", rows)


def _batches(prepared: Prepared) -> Iterator[LoadedBatch]:
    assert isinstance(prepared.source, Networks)
    return load_batches(
        prepared.dataset.samples,
        image_reader(prepared.source.spec.input),
        batch_size=prepared.batch_size,
        workers=prepared.workers,
    )


def _forward_seconds(prepared: Prepared, batches: list[LoadedBatch]) -> float:
    assert isinstance(prepared.source, Networks)
    runner = prepared.source.runner
    started = time.perf_counter()
    for batch in batches:
        if batch.tensor is not None:
            with forward_mode(runner.device, runner.precision):
                runner.predict(batch.tensor.to(runner.device))
    return time.perf_counter() - started
