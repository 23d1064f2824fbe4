"""Repeated passes over the same images: with active dropout, through several networks, or both."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mahtdiag.engine.inference import BatchSeconds, Launched, Runner
from mahtdiag.schema.frames import Size
from mahtdiag.schema.records import BatchReading, Floats


@dataclass(frozen=True)
class RepeatedRunner(Runner):
    """A runner whose reading of a batch is that of all its passes together; see `combined`.

    `passes` counts those of each member; with `seeded` each of them draws from random numbers of its own.
    The fields of `Runner` are those of the first member, with which the others agree.
    """

    members: tuple[Runner, ...] = ()
    passes: int = 1
    seeded: bool = False
    with_sigma: bool = True

    @staticmethod
    def of(
        members: Sequence[Runner], *, dropout_passes: int | None = None, with_sigma: bool = True
    ) -> "RepeatedRunner":
        """All members once, or with so many passes each under dropout that somebody has switched on."""
        return RepeatedRunner(
            **vars(members[0]),
            members=tuple(members),
            passes=dropout_passes or 1,
            seeded=dropout_passes is not None,
            with_sigma=with_sigma,
        )

    def launch(self, index: int, images: Tensor, centres: Floats, cell_px: Floats | None = None) -> Launched:
        """All passes over one batch; heatmaps are gone before the next pass begins."""
        passes: list[Launched] = []
        for member in self.members:
            for number in range(self.passes):
                with drawing_from(seed_of(index, number), self.device) if self.seeded else nullcontext():
                    passes.append(member.launch(index, images, centres, cell_px))

        def reading() -> BatchReading:
            return combined(
                [launched.reading() for launched in passes],
                self.spec.input.size,
                with_sigma=self.with_sigma,
                step=None if self.spec.grid is None else self.spec.grid.step,
            )

        return Launched(reading, lambda: sum((each.seconds() for each in passes), BatchSeconds()))


def seed_of(batch: int, number: int) -> int:
    """The seed of a pass: a matter of the batch and the pass alone, so that a resumed run draws the same."""
    return int(np.random.SeedSequence((batch, number)).generate_state(1, np.uint64)[0])


@contextmanager
def drawing_from(seed: int, device: torch.device) -> Iterator[None]:
    """torch's random numbers begin at a seed, and go on afterwards as if nothing had been drawn."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield


def combined(
    readings: Sequence[BatchReading],
    input_size: Size,
    *,
    with_sigma: bool = True,
    step: tuple[float, float] | None = None,
) -> BatchReading:
    """One reading of N passes, by the law of total variance: Var = E[Var within] + Var[E] between.

    Places are means of the places decoded in each pass. `sigma` is the aleatoric part,
    √(mean σ²) over passes, None without a head and NaN where a pass gives a negative σ; `between` the
    epistemic part, √((1/N)·Σ(place − mean)²) per axis, None without `with_sigma`. Both are in model-input
    pixels, each σ converted in its own pass. Heatmap losses, the share of keypoint pixels, peak, spread and
    expected error are means of the values of each pass; `flags` holds every flag of any pass; an image is
    finite where it is in every pass. Identical passes give exactly what one of them gives, and `between` 0.
    Of covariances only the σ of each axis are kept. `step`: input pixels per heatmap cell, (x, y); None
    where cells fill the input.

    Shapes as in `BatchReading`. Kendall & Gal, What Uncertainties Do We Need in Bayesian Deep Learning for
    Computer Vision?, NIPS 2017; Lakshminarayanan et al., Simple and Scalable Predictive Uncertainty
    Estimation using Deep Ensembles, NIPS 2017.
    """
    first = readings[0]
    coords = _stacked([reading.coords for reading in readings])
    sigma = _stacked([reading.sigma for reading in readings])
    averaged = _stacked([reading.averaged for reading in readings])
    expected = _stacked([reading.expected_error for reading in readings])
    # Outputs that are no numbers are recorded as such; they need no warning as well.
    with np.errstate(over="ignore", invalid="ignore"):
        points = np.stack([reading.points for reading in readings])
        if coords is None:
            assert first.heatmap_size is not None
            even = input_size.xy / Size(*first.heatmap_size).xy
            places = points * (even if step is None else np.array(step))
        else:
            places = coords
        return BatchReading(
            heatmap_size=first.heatmap_size,
            points=_mean(points),
            spread=_mean([reading.spread for reading in readings]),
            averaged=None if averaged is None else _mean(averaged),
            expected_error=None if expected is None else _mean(expected),
            peak=_mean([reading.peak for reading in readings]),
            flags=np.bitwise_or.reduce([reading.flags for reading in readings]),
            finite=np.logical_and.reduce([reading.finite for reading in readings]),
            loss_mse=_mean([reading.loss_mse for reading in readings]),
            loss_focal=_mean([reading.loss_focal for reading in readings]),
            keypoint_share=_mean([reading.keypoint_share for reading in readings]),
            coords=None if coords is None else _mean(coords),
            sigma=None if sigma is None else _root_mean_square(sigma),
            between=np.sqrt(np.mean((places - _mean(places)) ** 2, axis=0)) if with_sigma else None,
        )


def _stacked(arrays: list[Floats | None]) -> Floats | None:
    known = [array for array in arrays if array is not None]
    return np.stack(known) if len(known) == len(arrays) else None


def _mean(values: Sequence[Floats] | Floats) -> Floats:
    """Mean over passes; of equal values exactly that value."""
    passes = np.asarray(values)
    mean: Floats = passes[0] + np.mean(passes - passes[0], axis=0)
    return mean


def _root_mean_square(sigma: Floats) -> Floats:
    """√(mean σ²) over passes; of equal values exactly that value. NaN where one is negative."""
    largest = sigma.max(axis=0)
    scale = np.where(np.isfinite(largest) & (largest > 0), largest, 1.0)
    root: Floats = np.where(
        (sigma < 0).any(axis=0), np.nan, scale * np.sqrt(np.mean((sigma / scale) ** 2, axis=0))
    )
    return root
