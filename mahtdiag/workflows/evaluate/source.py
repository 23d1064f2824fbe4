"""Where predictions come from: networks on their device (`networks`), or a file (`predicted`)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from mahtdiag.config.settings import ModelSettings
from mahtdiag.diagnosis.records import RecordMaker
from mahtdiag.engine.inference import BatchSeconds
from mahtdiag.reports.overlay.heat import Heat
from mahtdiag.runs.document import CheckpointSource
from mahtdiag.runs.settings import RunSettings
from mahtdiag.schema.choices import Precision
from mahtdiag.schema.model_spec import ModelSpec
from mahtdiag.schema.records import Failure, ImageRecord, Sample
from mahtdiag.schema.skeleton import Skeleton


@dataclass(frozen=True, slots=True)
class Work:
    """The images to be judged, in batches of consecutive ones; those in `done` are judged already."""

    samples: Sequence[Sample]
    maker: RecordMaker
    batch_size: int
    workers: int
    done: frozenset[int]


@dataclass(frozen=True, slots=True)
class Judged:
    """What came of a batch, by its number in the whole set, and what it cost."""

    index: int
    records: list[ImageRecord]
    failures: list[Failure]
    seconds: BatchSeconds


class Source(Protocol):
    """What predicts the places of keypoints in the images of a set."""

    @property
    def name(self) -> str:
        """By which a run folder is called."""

    @property
    def skeleton(self) -> Skeleton:
        """What is predicted."""

    @property
    def spec(self) -> ModelSpec | None:
        """How the input and output of networks are read; None without any."""

    @property
    def checkpoint(self) -> CheckpointSource:
        """What `run.json` says of it."""

    @property
    def device(self) -> tuple[str, str]:
        """Where it computes, as `--device` names it and in words."""

    @property
    def precision(self) -> Precision:
        """Of a forward pass."""

    def settings(self, asked: ModelSettings) -> RunSettings:
        """The settings that decide what a prediction and its σ are."""

    def heat(self, sample: Sample) -> Heat | None:
        """How much the heatmaps of an image hold at each place of it; None without heatmaps."""

    def judged(self, work: Work) -> Iterator[Judged]:
        """Predicts and judges, batch by batch."""
