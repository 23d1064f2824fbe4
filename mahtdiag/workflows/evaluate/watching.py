"""A validation set beside a network that is trained: read once, judged as often as is asked."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

import numpy as np
import torch
from torch import nn

from mahtdiag.anatomy.findings import Findings
from mahtdiag.calibration.report import FROM_SUMS
from mahtdiag.calibration.scores import collect_points
from mahtdiag.calibration.sums import numbers, total_sums
from mahtdiag.config.settings import Settings
from mahtdiag.data.time_limit import image_timeout
from mahtdiag.diagnosis.metrics.errors import MISS_RATE
from mahtdiag.diagnosis.metrics.losses import LOSS_NAMES
from mahtdiag.diagnosis.metrics.registry import metrics_of, without_section
from mahtdiag.diagnosis.numbers import HEADLINE
from mahtdiag.diagnosis.run_table import RunTable
from mahtdiag.engine.loader import LoadedBatch, load_batches
from mahtdiag.errors import DataError
from mahtdiag.models.in_memory import place_of
from mahtdiag.models.taking import own_type
from mahtdiag.schema.records import Failure, ImageRecord, Sample
from mahtdiag.workflows.calibration.judged_sigma import has_sigma, residual_px
from mahtdiag.workflows.evaluate.network_source import Networks, image_reader
from mahtdiag.workflows.evaluate.preparation import prepare

OF_SIGMA: Final = "calibration."
WATCHED: Final = (
    *(f"losses.{name}" for name in LOSS_NAMES),
    *HEADLINE,
    MISS_RATE,
    "anatomy.violations",
    "calibration.sigma_scale",
)
"""The parts of the loss, error, violations and calibration."""


class Watch:
    """A set prepared for one network; its images stay in memory as the network takes them.

    `most`: so many images, evenly spaced in the set; None all of them. Raises MahtdiagError where the set
    or the network cannot be used.
    """

    def __init__(self, settings: Settings, network: nn.Module, most: int | None = None) -> None:
        self._network = network
        self._place = place_of(network)
        self._copied = own_type(network) in (torch.float16, torch.bfloat16)
        with image_timeout(settings.data.image_timeout):
            self._prepared = prepare(settings, trust=False, network=network)
        source = self._prepared.source
        assert isinstance(source, Networks)
        self._source = source
        batches = load_batches(
            evenly(self._prepared.dataset.samples, most),
            image_reader(source.spec.input),
            batch_size=self._prepared.batch_size,
            workers=self._prepared.workers,
        )
        with image_timeout(settings.data.image_timeout):
            self._batches = [_without_copies(batch) for batch in batches]

    def serves(self, network: nn.Module) -> bool:
        """Whether it was made for this network, as it is now.

        Weights of half precision may have been copied, and are looked at anew.
        """
        return network is self._network and place_of(network) == self._place and not self._copied

    def table(self) -> RunTable:
        """The images as the network predicts them now. Raises DataError where none could be judged."""
        prepared, maker = self._prepared, self._prepared.maker()
        records: list[ImageRecord] = []
        failures: list[Failure] = [*prepared.dataset.failures]
        for inferred in self._source.runner.run(self._batches):
            batch = inferred.batch
            failures += batch.failures
            if inferred.reading is not None:
                judged, wrong = maker.records(batch.samples, batch.images, inferred.frames, inferred.reading)
                records += judged
                failures += wrong
        if not records:
            first = next((f"; the first: {f.image}: {f.reason}" for f in failures), "")
            raise DataError(f"{prepared.dataset.path}: no image could be evaluated{first}")
        table = RunTable.of_records(records, failures, prepared.skeleton, prepared.conditions)
        names, predictions, labels = zip(*maker.found, strict=True)
        images = [image for batch_names in names for image in batch_names]
        table.know_findings(images, Findings.chain(predictions), Findings.chain(labels))
        return table


def evenly(samples: Sequence[Sample], most: int | None) -> Sequence[Sample]:
    """So many of them at most, evenly spaced, always the same ones."""
    if most is None or len(samples) <= most:
        return samples
    return [samples[row] for row in np.linspace(0, len(samples) - 1, most).round().astype(int)]


def _without_copies(batch: LoadedBatch) -> LoadedBatch:
    """The images of a batch, whose pixels it has itself."""
    empty = np.zeros(0, dtype=np.float32)
    return replace(batch, images=tuple(replace(image, tensor=empty) for image in batch.images))


def values_of(table: RunTable, names: Sequence[str] = WATCHED) -> Mapping[str, float]:
    """These numbers of a table, those that it tells; of calibration those that are sums over keypoints."""
    wanted = [without_section(name) for name in names]
    metrics = metrics_of(table.skeleton)
    found = {name: metrics[name].value(table) for name in wanted if name in metrics}
    if any(name.startswith(OF_SIGMA) for name in wanted) and table.labelled and has_sigma(table):
        found |= {name: value for name, value in _of_sigma(table).items() if name in wanted}
    return {name: value for name, value in found.items() if value is not None and math.isfinite(value)}


def _of_sigma(table: RunTable) -> Mapping[str, float]:
    """What sums over keypoints tell of σ, by name, without intervals and rankings, which take longer."""
    points = collect_points(residual_px(table), table.sigma_px, table.covariance_px2, units=table.units)
    known = numbers(total_sums(points)).floats(*FROM_SUMS)
    return {f"{OF_SIGMA}{name}": value for name, value in known.items()}
