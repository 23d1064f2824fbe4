"""The checks of the setup that `evaluate` makes: a closer look before the first image, and the whole run."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from mahtdiag.config.settings import ModelSettings
from mahtdiag.data.images import ImageError, describe_image, load_image, read_image_size
from mahtdiag.diagnosis.run_table import RunTable
from mahtdiag.diagnosis.setup.check import Facts
from mahtdiag.diagnosis.setup.registry import CHECK_BY_NAME, check_setup, refusals
from mahtdiag.engine.inspection import MOST_IMAGES, inspect
from mahtdiag.engine.loader import LoadedBatch, load_batches
from mahtdiag.errors import DataError, SetupRefusedError
from mahtdiag.runs.document import StoredSetupEntry
from mahtdiag.schema.choices import DecodeMethod
from mahtdiag.schema.frames import Size
from mahtdiag.schema.output_spec import OutputSpec
from mahtdiag.schema.records import Failure, LoadedImage, Sample
from mahtdiag.schema.setup import Inspection, SetupEntry, SetupStatus
from mahtdiag.workflows.evaluate.network_source import Networks
from mahtdiag.workflows.evaluate.preparation import Prepared
from mahtdiag.workflows.evaluate.shown_otherwise import shown_otherwise
from mahtdiag.workflows.evaluate.source import Source

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# Where images cannot be read, so many are tried.
_MOST_TRIED = 4 * MOST_IMAGES
_MOST_OUTSIDE = 64
OUTSIDE = "lies outside the image"
"""What the reason of a failure says where a label does."""


def look_closer(prepared: Prepared) -> Inspection | None:
    """What the first readable images show; raises SetupRefusedError for what cannot be meant.

    None where there is no network to look at.
    """
    source = prepared.source
    look = None
    if isinstance(source, Networks):
        batch = _first_images(prepared, source)
        look = inspect(source.runner, batch, prepared.batch_size)
        if prepared.dataset.labelled and look is not None:
            look = replace(look, otherwise=shown_otherwise(source.runner, batch))
        first = [(s, i.original) for s, i in zip(batch.samples, batch.images, strict=True)]
    else:
        first = _first_sizes(prepared)
    k = prepared.skeleton.keypoints
    facts = Facts(
        table=RunTable.of_records((), (), prepared.skeleton, prepared.conditions),
        spec=source.spec,
        inspection=look,
        outside=np.array([s.keypoints_px for s, _ in first], dtype=np.float64).reshape(-1, k, 2),
        outside_sizes_px=np.array([size.xy for _, size in first], dtype=np.float64).reshape(-1, 2),
        outside_orientation=np.ones(len(first), dtype=np.int64),
        beta_stated=_beta_stated(source, prepared.asked.model),
        from_file=source.spec is None,
        order_said=prepared.asked.model.keypoints,
        labelled=prepared.dataset.labelled,
        outputs=_outputs_said(prepared.asked.model),
    )
    problems = refusals(facts, prepared.asked.evaluate.accept or ())
    if problems:
        raise SetupRefusedError(*problems)
    return look


def _first_images(prepared: Prepared, source: Networks) -> LoadedBatch:
    """The first images that can be read, wherever their labels lie."""
    samples: list[Sample] = []
    images: list[LoadedImage] = []

    def read(sample: Sample) -> LoadedImage | Failure:
        try:
            return load_image(
                sample.path, sample.image, source.spec.input, sample.dicom_window, upright=sample.upright
            )
        except ImageError as error:
            return Failure(sample.image, str(error), error.image_sha256, sample.annotation_sha256)

    for batch in load_batches(prepared.dataset.samples[:_MOST_TRIED], read, batch_size=1, workers=1):
        samples += batch.samples
        images += batch.images
        if len(images) == MOST_IMAGES:
            break
    tensor = torch.from_numpy(np.stack([image.tensor for image in images])) if images else None
    return LoadedBatch(0, tuple(samples), tuple(images), tensor, (), 0.0)


def _first_sizes(prepared: Prepared) -> list[tuple[Sample, Size]]:
    """The first images whose size is told, by the file or by the annotations, wherever their labels lie."""
    found: list[tuple[Sample, Size]] = []
    for sample in prepared.dataset.samples[:_MOST_TRIED]:
        size = sample.labelled_size
        if sample.path:
            try:
                size = read_image_size(sample.path, sample.image, upright=sample.upright)
            except DataError:
                continue
        if size is not None:
            found.append((sample, size))
        if len(found) == MOST_IMAGES:
            break
    return found


def _beta_stated(source: Source, asked: ModelSettings) -> bool:
    """Whether the command, the settings or a checkpoint that was made for soft-argmax gives its β."""
    if asked.softargmax_beta is not None or not isinstance(source, Networks):
        return True
    known = source.members[0].model.spec
    return known is not None and known.decoding.method is DecodeMethod.SOFT_ARGMAX


def _outputs_said(asked: ModelSettings) -> OutputSpec:
    said = asked.outputs or OutputSpec()
    return replace(said, coords_frame=asked.coords_frame or said.coords_frame)


def entries_of(prepared: Prepared, look: Inspection | None, table: RunTable) -> tuple[SetupEntry, ...]:
    """What every check says of a run that is evaluated."""
    outside, sizes, orientation = _outside(prepared, table.failures)
    facts = Facts(
        *(table, prepared.source.spec, look, outside, sizes, orientation),
        beta_stated=_beta_stated(prepared.source, prepared.asked.model),
        from_file=prepared.source.spec is None,
        order_said=prepared.asked.model.keypoints,
        labelled=prepared.dataset.labelled,
        outputs=_outputs_said(prepared.asked.model),
    )
    return check_setup(facts)


def _outside(prepared: Prepared, failures: Sequence[Failure]) -> tuple[Floats, Floats, Ints]:
    """Labels `[M, K, 2]` that lie outside their images, of the first that failed for it, sizes, and tags."""
    samples = {sample.image: sample for sample in prepared.dataset.samples}
    labels, images = [], []
    for failure in [f for f in failures if OUTSIDE in f.reason and f.image in samples][:_MOST_OUTSIDE]:
        sample = samples[failure.image]
        try:
            images.append(
                describe_image(sample.path, sample.image, sample.dicom_window, upright=sample.upright)
            )
        except DataError:
            continue
        labels.append(sample.keypoints_px)
    return (
        np.array(labels, dtype=np.float64).reshape(-1, prepared.skeleton.keypoints, 2),
        np.array([image.original.xy for image in images], dtype=np.float64).reshape(-1, 2),
        np.array([image.pixels.orientation for image in images], dtype=np.int64),
    )


def stored(entries: Sequence[SetupEntry]) -> tuple[StoredSetupEntry, ...]:
    """The same as `run.json` keeps them."""
    return tuple(
        StoredSetupEntry(check=e.check, status=e.status.value, evidence=e.evidence, advice=e.advice)
        for e in entries
    )


def unaccepted(entries: Sequence[SetupEntry], accepted: Sequence[str]) -> tuple[str, ...]:
    """Names of the checks that are wrong and that nobody has accepted."""
    return tuple(
        e.check for e in entries
        if e.status is SetupStatus.WRONG and e.check not in accepted and e.check in CHECK_BY_NAME
    )  # fmt: skip
