"""Networks on their device as what predicts: batches decoded ahead, run and judged."""

import time
from collections.abc import Iterator
from dataclasses import dataclass

from pydantic import JsonValue

from mahtdiag.config.settings import ModelSettings
from mahtdiag.config.values import args_as_texts
from mahtdiag.data.files import other_size, outside_image
from mahtdiag.data.images import ImageError, load_image
from mahtdiag.engine.devices import describe_device
from mahtdiag.engine.inference import BatchSeconds, Runner
from mahtdiag.engine.loader import LoadImage, load_batches
from mahtdiag.reports.overlay.heat import Heat, heat_over
from mahtdiag.runs.document import CheckpointSource
from mahtdiag.runs.settings import RunSettings
from mahtdiag.schema.choices import Precision
from mahtdiag.schema.model_spec import ModelInput, ModelSpec
from mahtdiag.schema.output_spec import NOTHING
from mahtdiag.schema.records import Failure, ImageRecord, LoadedImage, Sample
from mahtdiag.schema.skeleton import Skeleton
from mahtdiag.workflows.evaluate.networks import Member, repetition_of, sigma_source_of, source_of
from mahtdiag.workflows.evaluate.source import Judged, Work


@dataclass(frozen=True)
class Networks:
    """A network, or an ensemble, on its device."""

    members: tuple[Member, ...]
    runner: Runner

    @property
    def name(self) -> str:
        """The names of the checkpoints."""
        return "-".join(member.path.stem for member in self.members)

    @property
    def skeleton(self) -> Skeleton:
        """That of the heatmaps."""
        return self.runner.spec.skeleton

    @property
    def spec(self) -> ModelSpec:
        """How input and output are to be read."""
        return self.runner.spec

    @property
    def checkpoint(self) -> CheckpointSource:
        """The checkpoints."""
        return source_of(self.members)

    @property
    def device(self) -> tuple[str, str]:
        """That of the networks."""
        return str(self.runner.device), describe_device(self.runner.device)

    @property
    def precision(self) -> Precision:
        """That of a forward pass."""
        return self.runner.precision

    def settings(self, asked: ModelSettings) -> RunSettings:
        """Those of input and output, of repeated passes, and what the checkpoint did not settle."""
        return RunSettings.of_network(self.spec, self.runner.heatmap_size).with_passes(
            factory=asked.factory,
            args=args_as_texts(asked.args or {}),
            read_by_factory=any(member.model.read_by_factory for member in self.members),
            weights=[member.model.weights for member in self.members],
            repetition=repetition_of(self.members, asked),
            sigma_source=sigma_source_of(self.members, asked),
            outputs=said_of_outputs(asked),
            given=[name for name in IN_SETTINGS if getattr(asked, name) is not None],
            expected_error=self.runner.expected_error,
        )

    def heat(self, sample: Sample) -> Heat | None:
        """One more forward pass, of this image alone; None for an image that cannot be read any more."""
        image = image_reader(self.spec.input)(sample)
        if isinstance(image, Failure):
            return None
        maps = self.runner.heatmaps(image.tensor)
        if maps is None:
            return None
        return heat_over(maps, self.runner.frame_map(image.original), image.original)

    def judged(self, work: Work) -> Iterator[Judged]:
        """Decodes a few batches ahead of the forward pass, which CUDA makes one ahead of the judgement."""
        batches = load_batches(
            work.samples,
            image_reader(self.spec.input),
            batch_size=work.batch_size,
            workers=work.workers,
            done=work.done,
            for_cuda=self.runner.device.type == "cuda",
        )
        for inferred in self.runner.run(batches):
            batch = inferred.batch
            records: list[ImageRecord] = []
            failures = list(batch.failures)
            started = time.perf_counter()
            if inferred.reading is not None:
                records, wrong = work.maker.records(
                    batch.samples, batch.images, inferred.frames, inferred.reading
                )
                failures += wrong
            seconds = inferred.seconds + BatchSeconds(analyse=time.perf_counter() - started)
            yield Judged(batch.index, records, failures, seconds)


# Keys of `[model]` that `run.json` has as resolved; `given` names those that the checkpoint did not settle.
IN_SETTINGS = tuple(
    name for name in ModelSettings.model_fields if name not in ("checkpoint", "factory", "args")
)


def said_of_outputs(asked: ModelSettings) -> dict[str, JsonValue]:
    """What is said of a network's outputs, as `run.json` keeps it; empty where nothing is."""
    said: dict[str, JsonValue] = {}
    if asked.preset is not None:
        said["preset"] = asked.preset
    if asked.outputs is not None and asked.outputs != NOTHING:
        said["outputs"] = list(asked.outputs.as_texts())
    if asked.keypoints is not None:
        said["keypoints"] = asked.keypoints
    if asked.coords_frame is not None:
        said["coords_frame"] = str(asked.coords_frame)
    return said


def image_reader(network_input: ModelInput) -> LoadImage:
    """A function that reads one image, checks its labels against its size, and records what is wrong."""

    def read(sample: Sample) -> LoadedImage | Failure:
        try:
            image = load_image(
                sample.path, sample.image, network_input, sample.dicom_window, upright=sample.upright
            )
        except ImageError as error:
            reason = "; ".join(problem.removeprefix(f"{sample.image}: ") for problem in error.problems)
            return Failure(sample.image, reason, error.image_sha256, sample.annotation_sha256)
        resized = other_size(sample.labelled_size, image.original)
        problems = (
            (resized,) if resized else outside_image(sample.keypoints_px, image.original, sample.skeleton)
        )
        if problems:
            return Failure(sample.image, "; ".join(problems), image.image_sha256, sample.annotation_sha256)
        return image

    return read
