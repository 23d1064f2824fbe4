"""What watching a validation set costs a training, in a process of its own with one thread.

    python -m benchmarks.monitor_speed [--training N] [--validation N]

An epoch of the sample network by its own training code (augmentation, loss, a step per 16 images), then one
`Monitor.check` of drawn radiographs: nine training images for each of the validation. Target: a check takes
under 5 % of the epoch, itself included. It runs the network once over the validation set; that pass alone is
said too.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

import numpy as np
import torch
from PIL import Image
from rich.table import Table

import mahtdiag
from benchmarks.calibration_speed import THREADS, use_one_core
from benchmarks.figures import Figure, at_most, table
from mahtdiag.losses import MAHTNetLoss, UncertaintyLoss
from mahtdiag.models.mahtnet import MahtNet, MahtNetConfig
from mahtdiag.schema.skeleton import AP
from training.annotations import format_annotation
from training.images import FILMS, Augmentation, augment, draw_training_set
from training.radiographs import draw_radiograph
from training.train import HEATMAP_SIGMA, SOFTARGMAX_BETA, Criterion, batches, console

INPUT = FILMS[AP].input
BATCH, CHECKS = 16, 3
MOST_PERCENT = 5.0


def write_validation(folder: Path, count: int) -> None:
    """Drawn radiographs and their annotations."""
    for number in range(count):
        drawn = draw_radiograph(AP.view, seed=10_000 + number)
        stem = folder / f"{number + 1:04d}-{drawn.sex}-{drawn.age:03d}Y0"
        Image.fromarray(drawn.image).save(stem.with_suffix(".png"))
        text = format_annotation(drawn.keypoints_px, drawn.listhesis)
        stem.with_suffix(".csv").write_text(text, encoding="utf-8")


def seconds(work: Callable[[], object]) -> float:
    """Wall time of some work."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def measure(training: int, validation: int) -> list[Figure]:
    """An epoch, the first check, which reads the images, and the median of the next."""
    torch.manual_seed(0)
    images, points = draw_training_set(AP, 0, training, console)
    network = MahtNet(MahtNetConfig(view=AP.view, width=16, blocks=2))
    optimiser = torch.optim.AdamW(network.parameters(), 2e-3)
    criterion = Criterion(MAHTNetLoss(lambda_heatmap=300.0, use_focal=False, view=AP.view), UncertaintyLoss())
    rng = np.random.default_rng(0)

    def epoch() -> None:
        network.train()
        for index in batches(training, BATCH, rng):
            shown, labels = augment(images[index], points[index], Augmentation(), rng)
            optimiser.zero_grad()
            torch.autograd.backward(criterion(network(shown), labels, with_sigma=True))
            optimiser.step()

    def forward() -> None:
        network.eval()
        with torch.inference_mode():
            for first in range(0, validation, BATCH):
                shown = min(BATCH, validation - first)
                network(torch.zeros(shown, 1, INPUT.height, INPUT.width))

    with tempfile.TemporaryDirectory() as folder:
        write_validation(Path(folder), validation)
        monitor = mahtdiag.Monitor(
            folder, view="AP", input_size=(INPUT.height, INPUT.width), channels=1, normalize="unit",
            heatmap_sigma=HEATMAP_SIGMA, decode="soft-argmax", softargmax_beta=SOFTARGMAX_BETA,
            uncertainty_as="log_sigma",
        )  # fmt: skip
        epoch_s = seconds(epoch)
        first_s = seconds(lambda: monitor.check(network, 0))
        check_s = median(seconds(lambda: monitor.check(network, 1)) for _ in range(CHECKS))
        forward_s = median(seconds(forward) for _ in range(CHECKS))
    return [
        Figure(f"epoch of {training} images", f"{epoch_s:.2f} s"),
        Figure(f"first check of {validation} images, which reads them", f"{first_s:.2f} s"),
        Figure("each check after it", f"{check_s:.2f} s"),
        Figure("the network's pass alone", f"{forward_s:.2f} s"),
        at_most("a check, of an epoch that has one", 100 * check_s / (epoch_s + check_s), MOST_PERCENT, "%"),
    ]


def run() -> Iterator[Table]:
    """The table, for `python -m benchmarks`."""
    command = [sys.executable, "-m", "benchmarks.monitor_speed"]
    environment = {**os.environ, **dict.fromkeys(THREADS, "1")}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    found = [line.split("\t") for line in done.stdout.splitlines()]
    figures = [
        Figure(name, value, target, {"": None, "ok": True}.get(met, False))
        for name, value, target, met in found
    ]
    yield table("Watching a validation set while training, one core", figures)


def main() -> None:
    """Prints the figures, a line each, tabs between name, value, target and whether it is met."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--training", type=int, default=288)
    parser.add_argument("--validation", type=int, default=32)
    arguments = parser.parse_args()
    use_one_core()
    for figure in measure(arguments.training, arguments.validation):
        met = {None: "", True: "ok", False: "missed"}[figure.met]
        sys.stdout.write("\t".join((figure.name, figure.measured, figure.target, met)) + "\n")


if __name__ == "__main__":
    main()
