"""`evaluate` on the sample sets against nothing but decoding and forward passes, in one process.

Both use the same images, batches, decoding threads and torch threads, and take turns. The loop of `evaluate`
decodes, runs the network, analyses, judges and writes to the run folder; what comes before and after it is
shown in rows of its own.
"""

import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from rich.table import Table

from benchmarks.figures import at_most, milliseconds, table
from mahtdiag.config.settings import DataSettings, EvaluateSettings, ModelSettings, Settings
from mahtdiag.engine.device import forward_mode
from mahtdiag.engine.loader import load_batches
from mahtdiag.schema.views import View
from mahtdiag.workflows.evaluate import EvaluateRequest, evaluate, image_reader
from mahtdiag.workflows.evaluation_setup import Setup, prepare

SAMPLES = Path(__file__).parent.parent / "sample_data"
# Two of the portions in which records are written, so that the loop writes all of its own.
IMAGES = 128
ROUNDS = 5
STAGES = ("set-up", "loop", "summary", "overlays", "finish")


def fill_folder(source: Path, folder: Path, count: int) -> None:
    """Copies of the annotated images of a folder under new names until there are `count`."""
    images = sorted(path for path in source.iterdir() if path.with_suffix(".csv") != path)
    for n in range(count):
        image = images[n % len(images)]
        name = f"{n + 1:04d}{image.stem[4:]}"
        shutil.copyfile(image, folder / f"{name}{image.suffix}")
        shutil.copyfile(image.with_suffix(".csv"), folder / f"{name}.csv")


class Stopwatch:
    """A watcher that notes when each stage of `evaluate` begins and ends."""

    def __init__(self) -> None:
        self._times = [time.perf_counter()]

    def start(self, task: str, total: int, done: int = 0) -> None:
        """A stage begins."""
        self._times.append(time.perf_counter())

    def advance(self, steps: int) -> None:
        """Nothing."""

    def stop(self) -> None:
        """A stage has ended, or all have."""
        self._times.append(time.perf_counter())

    def note(self, text: str) -> None:
        """Nothing."""

    @property
    def stages(self) -> dict[str, float]:
        """Seconds of each of `STAGES`."""
        return {name: self._times[n + 1] - self._times[n] for n, name in enumerate(STAGES)}


def product_seconds(settings: Settings, out: Path) -> dict[str, float]:
    """Seconds of each stage of one `evaluate`."""
    watch = Stopwatch()
    evaluate(EvaluateRequest(settings, out, resume=False, trust=False, cwd=out.parent), watch)
    return watch.stages


def bare_seconds(setup: Setup) -> float:
    """Seconds of decoding and forward passes alone, with the product's own loader."""
    started = time.perf_counter()
    batches = load_batches(
        setup.dataset.samples, image_reader(setup), batch_size=setup.batch_size, workers=setup.workers
    )
    for batch in batches:
        if batch.tensor is not None:
            with forward_mode(setup.runner.device, setup.runner.precision):
                setup.runner.predict(batch.tensor.to(setup.runner.device))
    return time.perf_counter() - started


def measure(checkpoint: Path, samples: Path, title: str) -> Table:
    """The table of one checkpoint on one sample set."""
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / samples.name
        data.mkdir()
        fill_folder(samples, data, IMAGES)
        settings = Settings(
            model=ModelSettings(checkpoint=str(checkpoint)),
            data=DataSettings(path=str(data)),
            evaluate=EvaluateSettings(device="cpu"),
        )
        setup = prepare(settings, trust=False)
        bare_seconds(setup)
        bare: list[float] = []
        product: list[dict[str, float]] = []
        for n in range(ROUNDS):
            bare.append(bare_seconds(setup))
            product.append(product_seconds(settings, Path(folder) / "runs" / str(n)))
    loop = median(stages["loop"] for stages in product)
    rows = [
        milliseconds("decoding and forward passes, per image", median(bare) / IMAGES),
        milliseconds("the loop of evaluate, per image", loop / IMAGES),
        at_most("ratio", loop / median(bare), 1.25, "×"),
    ]
    for name in STAGES:
        if name != "loop":
            rows.append(milliseconds(f"{name}, once", median(stages[name] for stages in product)))
    return table(f"{title}: {IMAGES} images, batches of {setup.batch_size}, {setup.workers} threads", rows)


def run() -> Iterator[Table]:
    """One table per view."""
    for view in View:
        checkpoint = SAMPLES / f"mahtnet-{view.lower()}.pt"
        yield measure(checkpoint, SAMPLES / view.value, f"End to end, {view} sample set")
