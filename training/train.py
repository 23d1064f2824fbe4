"""Train a sample checkpoint on synthetic radiographs: `python -m training.train AP mahtnet-ap.pt`.

With `--levels T1-L5` on whole spines: `python -m training.train AP mahtnet-whole.pt --levels T1-L5`.

Draws its own training images (other seeds than the sample set), trains `mahtnet` with the product's own
losses, fits one σ scale on held-out images, and writes a checkpoint that needs no options to evaluate. Two
CPU cores take less than half an hour per view. The same seed on the same machine gives the same weights.
"""

import argparse
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor, nn

from mahtdiag.heatmaps.decoding import gaussian_targets, soft_argmax
from mahtdiag.losses import MAHTNetLoss, UncertaintyLoss
from mahtdiag.models.mahtnet import MahtNet, MahtNetConfig
from mahtdiag.models.native import save_checkpoint
from mahtdiag.schema.choices import DecodeMethod, UncertaintyKind
from mahtdiag.schema.model_spec import Decoding, ModelInput, ModelSpec, UncertaintySpec
from mahtdiag.schema.skeleton import LUMBAR_SET, Skeleton, View, skeleton_said
from training.images import FILMS, WHOLE_SPINE, augment, draw_training_set

STRIDE = 4
HEATMAP_SIGMA = 1.5
SOFTARGMAX_BETA = 25.0
FIRST_TRAINING_SEED = 1_000_000
FIRST_VALIDATION_SEED = 9_000_000
console = Console(stderr=True)


@dataclass(frozen=True, slots=True)
class Schedule:
    """How large a network, for which heatmaps, how long and how fast to train.

    `layers`: of the encoder and of the vertebral attention. `stop_after`: batches after which training is
    cut off as it stands, σ without its scale; None: never. `half`: weights are stored in half precision.
    """

    width: int = 16
    blocks: int = 2
    layers: int = 2
    heatmap_sigma: float = HEATMAP_SIGMA
    images: int = 4000
    validation_images: int = 200
    epochs: int = 14
    batch: int = 16
    learning_rate: float = 2e-3
    # σ learns from residuals, so it starts when there are residuals worth learning from.
    uncertainty_from_epoch: int = 4
    stop_after: int | None = None
    half: bool = False
    seed: int = 7

    def network(self, skeleton: Skeleton) -> MahtNet:
        """A network that has not been trained."""
        sizes = MahtNetConfig(
            view=skeleton.view,
            levels=LUMBAR_SET if skeleton is skeleton.view.skeleton else str(skeleton.levels),
            width=self.width,
            blocks=self.blocks,
            encoder_layers=self.layers,
            attention_layers=self.layers,
        )
        return MahtNet(sizes)


SCHEDULES = {
    WHOLE_SPINE: Schedule(width=32, blocks=1, layers=1, heatmap_sigma=2.0, images=3200, epochs=10, half=True)
}
"""Where it is not the usual one: heatmaps are sums of `width` maps; of 16 no 68 sharp peaks can be made."""


def cells_to_input(cells: Tensor) -> Tensor:
    """Heatmap cells to input pixels, half-pixel convention."""
    return (cells + 0.5) * STRIDE - 0.5


def input_to_cells(points: Tensor) -> Tensor:
    """Input pixels to heatmap cells, half-pixel convention."""
    return (points + 0.5) / STRIDE - 0.5


@dataclass(frozen=True, slots=True)
class Criterion:
    """The product's losses, the likelihood on detached coordinates so that σ does not bend the places."""

    combined: MAHTNetLoss
    uncertainty: UncertaintyLoss
    heatmap_sigma: float = HEATMAP_SIGMA

    def __call__(self, outputs: dict[str, Tensor], points: Tensor, *, with_sigma: bool) -> Tensor:
        heatmaps = outputs["heatmaps"].float()
        targets = gaussian_targets(input_to_cells(points), self.heatmap_sigma, *heatmaps.shape[-2:])
        coords = cells_to_input(soft_argmax(heatmaps, SOFTARGMAX_BETA))
        loss: Tensor = self.combined(heatmaps, targets, coords, points).total
        if with_sigma:
            log_sigma = outputs["log_sigma"].float()
            loss = loss + 0.5 * self.uncertainty(coords.detach(), points, log_sigma)
        return loss


def batches(count: int, size: int, rng: np.random.Generator) -> Iterator[NDArray[np.int64]]:
    """Shuffled index batches; the rest that does not fill a batch waits for the next epoch."""
    order = rng.permutation(count)
    for start in range(0, count - size + 1, size):
        yield order[start : start + size]


def train(skeleton: Skeleton, schedule: Schedule, *, bf16: bool) -> MahtNet:
    """Train one network; progress goes to stderr."""
    torch.manual_seed(schedule.seed)
    rng = np.random.default_rng(schedule.seed)
    images, points = draw_training_set(skeleton, FIRST_TRAINING_SEED, schedule.images, console)
    held_out = draw_training_set(skeleton, FIRST_VALIDATION_SEED, schedule.validation_images, console)
    network, augmentation = schedule.network(skeleton), FILMS[skeleton].augmentation
    optimizer = torch.optim.AdamW(network.parameters(), schedule.learning_rate, weight_decay=1e-4)
    steps = schedule.epochs * (schedule.images // schedule.batch)
    rate = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, schedule.learning_rate, total_steps=steps, pct_start=0.1
    )
    combined = MAHTNetLoss(lambda_heatmap=300.0, use_focal=False, view=skeleton)
    criterion = Criterion(combined, UncertaintyLoss(), schedule.heatmap_sigma)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(f"training {skeleton}", total=steps)
        for epoch in range(schedule.epochs):
            network.train()
            for index in batches(schedule.images, schedule.batch, rng):
                x, y = augment(images[index], points[index], augmentation, rng)
                with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
                    outputs = network(x)
                loss = criterion(outputs, y, with_sigma=epoch >= schedule.uncertainty_from_epoch)
                optimizer.zero_grad()
                torch.autograd.backward(loss)
                nn.utils.clip_grad_norm_(network.parameters(), 5.0)
                optimizer.step()
                rate.step()
                progress.advance(task)
                if progress.tasks[task].completed == schedule.stop_after:
                    return network
            said = f"{skeleton} epoch {epoch + 1}: {judge(network, *held_out)}"
            progress.console.print(said, highlight=False)
    calibrate(network, *held_out)
    console.print(f"{skeleton} with fitted σ scale: {judge(network, *held_out)}", highlight=False)
    return network


@torch.no_grad()
def predict(network: MahtNet, images: NDArray[np.uint8]) -> tuple[Tensor, Tensor]:
    """Places in input pixels `[N, K, 2]` and log σ `[N, K, 2]`."""
    network.eval()
    places, log_sigmas = [], []
    for start in range(0, len(images), 32):
        x = torch.from_numpy(images[start : start + 32]).float().div(255).unsqueeze(1)
        outputs = network(x)
        places.append(cells_to_input(soft_argmax(outputs["heatmaps"], SOFTARGMAX_BETA)))
        log_sigmas.append(outputs["log_sigma"])
    return torch.cat(places), torch.cat(log_sigmas)


def judge(network: MahtNet, images: NDArray[np.uint8], points: NDArray[np.float32]) -> str:
    """Mean radial error on held-out images, as a share of the input's diagonal, and how σ ranks it."""
    places, log_sigma = predict(network, images)
    residual = places - torch.from_numpy(points)
    error = residual.norm(dim=-1)
    sigma = log_sigma.exp().pow(2).mean(-1).sqrt()
    ranks = torch.stack([error.flatten().argsort().argsort(), sigma.flatten().argsort().argsort()]).double()
    spearman = torch.corrcoef(ranks)[0, 1]
    z_rms = (residual / log_sigma.exp()).pow(2).mean().sqrt()
    diagonal = math.hypot(*images.shape[1:])
    return (
        f"mean radial error {error.mean():.2f} px ({100 * error.mean() / diagonal:.2f} % of the diagonal), "
        f"median {error.median():.2f} px, Spearman {spearman:.2f}, z rms {z_rms:.2f}"
    )


def calibrate(network: MahtNet, images: NDArray[np.uint8], points: NDArray[np.float32]) -> None:
    """Shift log σ by the constant that minimises the likelihood on held-out images: ln sqrt(mean z²)."""
    places, log_sigma = predict(network, images)
    z = (places - torch.from_numpy(points)) / log_sigma.exp()
    with torch.no_grad():
        last = network.uncertainty.layers[-1]
        assert isinstance(last, nn.Linear)
        last.bias.add_(0.5 * z.square().mean().log())


def specification(skeleton: Skeleton, heatmap_sigma: float = HEATMAP_SIGMA) -> ModelSpec:
    """What a network that was trained here takes in and gives out."""
    return ModelSpec(
        skeleton=skeleton,
        input=ModelInput(size=FILMS[skeleton].input, channels=1),
        decoding=Decoding(heatmap_sigma, DecodeMethod.SOFT_ARGMAX, SOFTARGMAX_BETA),
        uncertainty=UncertaintySpec(kind=UncertaintyKind.LOG_SIGMA),
    )


def main() -> None:
    """Parse the command line, train, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("view", type=View, choices=list(View))
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--levels", default=LUMBAR_SET, help="T1-L5: whole spines, AP alone")
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--images", type=int)
    parser.add_argument(
        "--bf16", action="store_true", help="autocast to bfloat16: faster where the CPU has it"
    )
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    try:
        skeleton = skeleton_said(options.view, options.levels)
    except ValueError as error:
        parser.error(f"--levels: {error}")
    if skeleton not in FILMS:
        parser.error(f"no radiographs of {skeleton} can be drawn: {', '.join(map(str, FILMS))} can")
    torch.set_num_threads(options.threads)
    started, used = time.perf_counter(), time.process_time()
    usual = SCHEDULES.get(skeleton, Schedule())
    schedule = replace(usual, images=options.images or usual.images, epochs=options.epochs or usual.epochs)
    network = train(skeleton, schedule, bf16=options.bf16)
    stored = network.half() if schedule.half else network
    save_checkpoint(options.checkpoint, stored, specification(skeleton, schedule.heatmap_sigma))
    minutes, processor = (time.perf_counter() - started) / 60, (time.process_time() - used) / 60
    console.print(
        f"{minutes:.0f} min, {processor:.0f} min of one core's time without drawing", highlight=False
    )


if __name__ == "__main__":
    main()
