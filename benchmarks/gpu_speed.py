"""CUDA: the pass over heatmaps against the network's, and how busy `evaluate` keeps the device.

`benchmarks/gpu.sh` first checks that the numbers are right. Times of the device are those of its events,
medians of 20; busy is the share of time in which it runs anything, from the first kernel after a warm-up to
the last, by the profiler. Images are decoded before, so that nothing but the product keeps it waiting.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import torch
from rich.table import Table
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

from benchmarks.end_to_end import SAMPLES, sample_settings
from benchmarks.figures import Figure, at_least, at_most, milliseconds, table
from benchmarks.larger_network import LargerNetwork
from mahtdiag.config.settings import Settings
from mahtdiag.engine import analysis
from mahtdiag.engine.analysis import analyse
from mahtdiag.engine.devices import forward_mode, new_event
from mahtdiag.engine.inference import Runner
from mahtdiag.engine.loader import LoadedBatch, load_batches
from mahtdiag.heatmaps.decoding import gaussian_targets
from mahtdiag.models.taking import in_channels_last
from mahtdiag.runs.folder import RunFolder
from mahtdiag.schema.choices import DecodeMethod, Precision, UncertaintyFrame
from mahtdiag.schema.frames import Size
from mahtdiag.schema.model_spec import Decoding
from mahtdiag.schema.records import ModelOutputs
from mahtdiag.workflows.evaluate.network_source import Networks, image_reader
from mahtdiag.workflows.evaluate.preparation import Prepared, header, prepare

DEVICE = torch.device("cuda")
BATCH, SIDE, KEYPOINTS = 16, 512, 20
METHODS = (DecodeMethod.LOCAL, DecodeMethod.DARK, DecodeMethod.SOFT_ARGMAX, DecodeMethod.EXPECTATION)
BATCHES = (1, 4, 16, 64, 256)
IMAGES = 512


def _milliseconds(work: Callable[[], object], rounds: int = 20) -> float:
    """Median of the device's time."""
    for _ in range(3):
        work()
    times = []
    for _ in range(rounds):
        start, end = new_event(timing=True), new_event(timing=True)
        start.record()
        work()
        end.record()
        end.synchronize()
        times.append(start.elapsed_time(end))
    return float(median(times))


def _maps(side: int, sigma: float) -> tuple[Tensor, Tensor]:
    """Heatmaps with noise and a peak near each label, and the labels."""
    generator = torch.Generator().manual_seed(0)
    margin = 0.1 * side
    centres = margin + (side - 2 * margin) * torch.rand(BATCH, KEYPOINTS, 2, generator=generator)
    shifted = centres + torch.randn(BATCH, KEYPOINTS, 2, generator=generator)
    noise = 0.005 * torch.randn(BATCH, KEYPOINTS, side, side, generator=generator)
    heatmaps = gaussian_targets(shifted, 1.1 * sigma, side, side) + noise
    return heatmaps.to(DEVICE), centres.to(DEVICE)


def _pass(heatmaps: Tensor, centres: Tensor, sigma: float, method: DecodeMethod) -> object:
    return analyse(
        ModelOutputs(heatmaps),
        centres,
        Decoding(sigma, method, 10.0),
        input_size=(SIDE, SIDE),
        uncertainty_kind=None,
        uncertainty_frame=UncertaintyFrame.INPUT,
    )


def _in_pytorch(work: Callable[[], object]) -> float:
    """The same without Triton."""
    kernels = analysis._by_kernels
    analysis._by_kernels = lambda *_: None
    try:
        return _milliseconds(work, 5)
    finally:
        analysis._by_kernels = kernels


def _memory() -> Table:
    cells = torch.empty(2**29, device=DEVICE).normal_()
    other = torch.empty_like(cells)
    moved = 2 * cells.nbytes / 1e9
    spent = _milliseconds(lambda: other.copy_(cells))
    rate = moved / spent
    rows = [Figure("copy on the device, read and written", f"{rate:.2f} TB/s")]
    for side, sigma in ((SIDE, 3.0), (SIDE // 4, 1.5)):
        for dtype in (torch.float32, torch.bfloat16):
            heatmaps, centres = (values.to(dtype) for values in _maps(side, sigma))
            least = heatmaps.nbytes / 1e9 / rate
            for method in METHODS:
                with torch.inference_mode():
                    work = partial(_pass, heatmaps, centres, sigma, method)
                    ours, plain = _milliseconds(work), _in_pytorch(work)
                name = f"{BATCH}×{KEYPOINTS} maps of {side}², {str(dtype)[6:]}, {method}"
                shown = f"{ours:.3f} ms, {ours / least:.1f} × one read, PyTorch {plain / ours:.0f} ×"
                rows.append(Figure(name, shown))
    return table(f"Heatmaps on {torch.cuda.get_device_name()}", rows)


def _networks() -> Iterator[tuple[str, nn.Module, int]]:
    yield "ResNet-50 U-Net, maps of 512²", LargerNetwork(KEYPOINTS).eval().to(DEVICE), SIDE
    yield "ResNet-50 U-Net, maps of 128²", LargerNetwork(KEYPOINTS, full=False).eval().to(DEVICE), SIDE // 4
    settings = on_device(sample_settings(SAMPLES / "mahtnet-ap.pt", SAMPLES / "AP", "none"))
    source = prepare(settings, trust=False).source
    assert isinstance(source, Networks)
    yield "built-in network, maps of 128²", source.members[0].model.network, SIDE // 4


def on_device(settings: Settings) -> Settings:
    """The same on the device."""
    return settings.model_copy(update={"evaluate": settings.evaluate.model_copy(update={"device": "cuda"})})


def _forward(run: Callable[[Tensor], object], images: Tensor, precision: Precision) -> object:
    with forward_mode(DEVICE, precision):
        return run(images)


def _share() -> Table:
    rows = []
    for name, network, side in _networks():
        in_channels_last(network, torch.zeros(1, 1, SIDE, SIDE, device=DEVICE))
        heatmaps, centres = _maps(side, 3.0 if side == SIDE else 1.5)
        images = torch.randn(BATCH, 1, SIDE, SIDE, device=DEVICE)
        for precision in Precision:
            spent = _milliseconds(partial(_forward, network, images, precision))
            rows.append(milliseconds(f"{name}, {precision}: forward pass of {BATCH}", spent / 1000))
            maps = heatmaps if precision is Precision.FP32 else heatmaps.to(torch.bfloat16)
            for method in (DecodeMethod.LOCAL, DecodeMethod.DARK):
                with torch.inference_mode():
                    ours = _milliseconds(partial(_pass, maps, centres, 3.0, method))
                rows.append(at_most(f"  pass over its heatmaps, {method}", 100 * ours / spent, 5, "% of it"))
    return table(f"The pass over heatmaps beside the network's, {BATCH} images of {SIDE}²", rows)


def _layouts() -> Table:
    """What channels last and `torch.compile` would save, each with what it costs."""
    network = LargerNetwork(KEYPOINTS).eval().to(DEVICE)
    images = torch.randn(BATCH, 1, SIDE, SIDE, device=DEVICE)
    first = _milliseconds(partial(_forward, network, images, Precision.BF16))
    in_channels_last(network, images[:1])
    last = _milliseconds(partial(_forward, network, images, Precision.BF16))
    compiled = partial(_forward, torch.compile(network), images, Precision.BF16)
    started = time.perf_counter()
    compiled()
    torch.cuda.synchronize()
    waited = time.perf_counter() - started
    rows = [
        milliseconds("channels first", first / 1000),
        milliseconds("channels last", last / 1000),
        milliseconds("channels last and compiled", _milliseconds(compiled) / 1000),
        Figure("to compile it", f"{waited:.0f} s"),
    ]
    return table(f"Forward pass of the ResNet-50 U-Net, bf16, {BATCH} images of {SIDE}²", rows)


class _Decoded:
    """Batches that were decoded before, over and over until there are `IMAGES` images."""

    def __init__(self, prepared: Prepared, runner: Runner, size: int) -> None:
        read = image_reader(runner.spec.input)
        samples = [prepared.dataset.samples[n % len(prepared.dataset.samples)] for n in range(size)]
        (self.batch,) = load_batches(samples, read, batch_size=size, workers=16, for_cuda=True)
        self.count = max(4, IMAGES // size)

    def __iter__(self) -> Iterator[LoadedBatch]:
        for number in range(self.count):
            yield replace(self.batch, index=number)


def _loop(prepared: Prepared, runner: Runner, decoded: _Decoded, out: Path) -> float:
    """Seconds of the loop of `evaluate`: forward pass, analysis, judging and writing."""
    maker = prepared.maker()
    folder = RunFolder.create(out, header(prepared, datetime.now(UTC)))
    started = time.perf_counter()
    for inferred in runner.run(decoded):
        batch = inferred.batch
        assert inferred.reading is not None
        records, failures = maker.records(batch.samples, batch.images, inferred.frames, inferred.reading)
        folder.append(batch.index, records, failures)
    folder.flush()
    return time.perf_counter() - started


def _busy(work: Callable[[], object]) -> float:
    """Share of the time between the first kernel and the last in which the device runs one, in %."""
    with profile(activities=[ProfilerActivity.CUDA, ProfilerActivity.CPU]) as profiler:
        work()
        torch.cuda.synchronize()
    spans = sorted(
        (event.time_range.start, event.time_range.end)
        for event in profiler.events() or ()
        if str(event.device_type).endswith("CUDA")
    )
    covered, last = 0.0, spans[0][0]
    for start, end in spans:
        covered += max(0.0, end - max(start, last))
        last = max(last, end)
    return float(100 * covered / (last - spans[0][0]))


def _end_to_end() -> Iterator[Table]:
    settings = on_device(sample_settings(SAMPLES / "mahtnet-ap.pt", SAMPLES / "AP", "none"))
    prepared = prepare(settings, trust=False)
    assert isinstance(prepared.source, Networks)
    own = prepared.source.runner
    larger = LargerNetwork(KEYPOINTS, own.spec.input.channels).eval().to(DEVICE)
    in_channels_last(larger, torch.zeros(1, own.spec.input.channels, SIDE, SIDE, device=DEVICE))
    spec = replace(own.spec, input=replace(own.spec.input, size=Size(SIDE, SIDE)))
    runners = {
        "built-in network": own,
        "ResNet-50 U-Net, 512×512": replace(
            own, predict=lambda images: ModelOutputs(larger(images)), spec=spec, heatmap_size=Size(SIDE, SIDE)
        ),
    }
    with TemporaryDirectory() as folder:
        for name, runner in runners.items():
            rows = []
            for precision in (Precision.FP32, Precision.BF16):
                precise = replace(runner, precision=precision)
                # Upsampling in PyTorch takes no more than 2³¹ cells at once.
                for size in BATCHES if runner is own else BATCHES[:-1]:
                    decoded = _Decoded(prepared, precise, size)
                    outs = (Path(folder) / f"{name}-{precision}-{size}-{n}" for n in range(3))
                    decoded.count, count = 3, decoded.count
                    _loop(prepared, precise, decoded, next(outs))
                    decoded.count = count
                    seconds = _loop(prepared, precise, decoded, next(outs))
                    speed = Figure(
                        f"{precision}, batches of {size}", f"{decoded.count * size / seconds:.0f} images/s"
                    )
                    rows.append(speed)
                    if size != BATCH:
                        continue
                    busy = _busy(partial(_loop, prepared, precise, decoded, next(outs)))
                    larger_bf16 = precision is Precision.BF16 and runner is not own
                    what = f"{precision}, batches of {size}: device busy"
                    rows.append(
                        at_least(what, busy, 90, "%") if larger_bf16 else Figure(what, f"{busy:.1f} %")
                    )
            yield table(f"End to end from decoded images: {name}", rows)


def run() -> Iterator[Table]:
    """Tables; one that says so where there is no CUDA."""
    if not torch.cuda.is_available():
        yield table("CUDA", [Figure("no device here", "not measured")])
        return
    yield _memory()
    yield _share()
    yield from _end_to_end()
    yield _layouts()
