"""Everything `evaluate` decides before the first image is read."""

import hashlib
import platform
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import JsonValue
from torch import nn

from mahtdiag.anatomy.rule import Rule
from mahtdiag.anatomy.rules import Limits, select_rules
from mahtdiag.config.network_levels import Asked
from mahtdiag.config.settings import DataSettings, LossSettings, Settings, replace_preset
from mahtdiag.data.files import Dataset
from mahtdiag.data.images import read_image_size
from mahtdiag.data.predictions import read_predictions
from mahtdiag.data.readers import open_dataset, read_set
from mahtdiag.diagnosis.conditions import Conditions
from mahtdiag.diagnosis.records import RecordMaker
from mahtdiag.engine.devices import resolve_device
from mahtdiag.engine.inference import Runner
from mahtdiag.errors import DataError, UsageError
from mahtdiag.losses.combined import MAHTNetLoss
from mahtdiag.opening import read_bytes
from mahtdiag.runs.document import (
    DataSource,
    Environment,
    ImageCounts,
    RunDocument,
)
from mahtdiag.runs.factors import Recalibration, read_recalibration, reservations_of
from mahtdiag.runs.files import digest, file_sha256
from mahtdiag.runs.settings import RunSettings
from mahtdiag.schema.choices import DEFAULT_OVERLAYS, ImageChoice, Precision
from mahtdiag.schema.preprocessing import Exif
from mahtdiag.schema.records import Sample
from mahtdiag.schema.skeleton import Skeleton
from mahtdiag.workflows.calibration.judged_sigma import choices_of
from mahtdiag.workflows.calibration.recalibration import require_same_reading
from mahtdiag.workflows.evaluate.network_source import Networks
from mahtdiag.workflows.evaluate.networks import (
    Member,
    asked_of,
    checkpoint_paths,
    load_members,
    member_in_memory,
    runner_of,
    settle_view,
    view_evidence_of,
)
from mahtdiag.workflows.evaluate.predicted import (
    BATCH_SIZE,
    NO_HEATMAPS,
    PredictionFile,
    frame_of,
    with_notes,
)
from mahtdiag.workflows.evaluate.source import Source
from mahtdiag.workflows.evaluate.subgroup_file import with_subgroups
from mahtdiag.workflows.pictures import usual_workers
from mahtdiag.workflows.second_labels import OtherSet, second_labels

MOST_AT_ONCE = 128
BATCH_SIZES = {"mps": 8, "cpu": 16}
# On a CPU as many images as have so many pixels together: what is done once per batch is spread over several
# small images, and large ones take no more memory than they have to.
PIXELS_ON_CPU = 2**20
READERS = 4


@dataclass(frozen=True)
class Prepared:
    """What predicts, the images that are judged, and how."""

    asked: Settings
    source: Source
    loss: MAHTNetLoss
    dataset: Dataset
    limits: Limits
    rules: tuple[Rule, ...]
    batch_size: int
    workers: int
    overlays: ImageChoice
    allow_failures: int
    correction: dict[str, JsonValue] | None = None
    """Factors on σ, see `read_correction`."""
    subgroups_sha256: str | None = None
    second: Mapping[str, Sample] = field(default_factory=dict)
    """A second labelling, by the names of the images."""

    @property
    def skeleton(self) -> Skeleton:
        """The keypoints that are judged."""
        return self.source.skeleton

    @property
    def settings(self) -> RunSettings:
        """Every setting that decides a number, as resolved."""
        return self.source.settings(self.asked.model).with_run(
            loss=self.loss.settings(),
            calibration=choices_of(self.asked.calibration).as_settings(),
            recalibration=self.correction,
            labels2=self._labels2,
            pixel_spacing_mm=self.asked.data.pixel_spacing_mm,
            dicom_window=self.asked.data.dicom_window,
            exif=self.asked.data.exif,
            patient=self.asked.data.patient,
            subgroups=self.subgroups_sha256,
            limits=self.limits,
            rules=self.rules,
            batch_size=self.batch_size,
            precision=self.source.precision,
            workers=self.workers,
            overlays=self.overlays,
            error_unit=self.asked.evaluate.error_unit,
            allow_failures=self.allow_failures,
        )

    @property
    def _labels2(self) -> dict[str, JsonValue] | None:
        """The second labelling as `run.json` names it; None without one."""
        if self.asked.data.labels2 is None:
            return None
        lines = [f"{image}\0{sample.annotation_sha256}" for image, sample in self.second.items()]
        return {"path": self.asked.data.labels2, "sha256": digest(lines)}

    @property
    def harm(self) -> tuple[str, ...]:
        """Notes on what the factors on σ make worse, and on images that nothing tells from others."""
        return reservations_of(Path(self.asked.evaluate.recalibration or ""), self.correction or {})

    @property
    def conditions(self) -> Conditions:
        """What the numbers of a run by this setup follow from."""
        return self.settings.conditions(self.skeleton, ensemble=bool(self.source.checkpoint.members))

    @property
    def sigma_factors(self) -> NDArray[np.float64] | None:
        """What σ is multiplied by before it is stored, one factor per keypoint `[K]`."""
        factors = self.settings.sigma_factors
        return None if factors is None else np.array([*factors.values()], dtype=np.float64)

    def maker(self) -> RecordMaker:
        """What judges batches; a new one knows no finding yet."""
        return RecordMaker(
            *(self.skeleton, self.source.spec, self.loss, self.limits, self.asked.data.pixel_spacing_mm),
            *(self.sigma_factors, self.rules),
            {image: sample.keypoints_px for image, sample in self.second.items()},
        )


def prepare(
    settings: Settings, *, trust: bool, predictions: Path | None = None, network: nn.Module | None = None
) -> Prepared:
    """Load the network, find the images, and settle the view; every problem is raised before any work.

    `predictions`: a file that is read in the place of a network. `network`: one that is in memory.
    """
    settings = replace_preset(settings)
    checkpoint, data = _required(settings, predictions, network)
    rules = select_rules(settings.anatomy.select or (), settings.anatomy.ignore or ())
    options = replace(settings.data.read_options(), images_optional=predictions is not None)
    annotated = read_set(data, options)
    device = resolve_device("auto" if settings.evaluate.device is None else settings.evaluate.device)
    data_says = annotated.view_evidence()
    asked = asked_of(settings.data, data_says, annotated.levels())
    members = _members(checkpoint, settings, device, trust, network, asked)
    view = settle_view([*view_evidence_of(members, asked), *data_says])
    members = tuple(member.of_view(view) for member in members)
    levels = members[0].spec.skeleton.levels if members else asked.run
    dataset = open_dataset(data, view, options, annotated, levels)
    loss = _loss(settings.loss, dataset.skeleton)
    dataset, subgroups_sha256 = with_subgroups(dataset, settings.data.subgroups)
    if members:
        source: Source = Networks(members, runner := _runner(members, settings, device, loss))
        left = [note for member in members for note in member.notes]
        left += runner.notes if members[0].heatmap_size else [NO_HEATMAPS]
        dataset = replace(dataset, notes=(*dataset.notes, *left))
        batch_size = _batch_size(settings, runner, len(dataset.samples))
    else:
        source = _predictions(predictions, settings, dataset)
        dataset = with_notes(dataset, source.predictions, source.frame)
        batch_size = BATCH_SIZE
    prepared = Prepared(
        asked=settings,
        source=source,
        loss=loss,
        dataset=dataset,
        limits=Limits.of(dataset.skeleton, settings.anatomy.limits_of(view)),
        rules=rules,
        batch_size=batch_size,
        workers=settings.evaluate.workers or usual_workers(),
        overlays=settings.evaluate.overlays or DEFAULT_OVERLAYS,
        allow_failures=settings.evaluate.allow_failures or 0,
        subgroups_sha256=subgroups_sha256,
    )
    if settings.data.labels2 is not None:
        prepared = replace(prepared, second=_second(settings.data, prepared.dataset))
    file = settings.evaluate.recalibration
    if file is None or not members:
        return prepared
    run = header(prepared, datetime.now(UTC))
    return replace(prepared, correction=read_correction(Path(file), run, prepared.dataset.samples))


def _members(
    checkpoint: str | None,
    settings: Settings,
    device: torch.device,
    trust: bool,
    network: nn.Module | None,
    asked: Asked,
) -> tuple[Member, ...]:
    """The networks that predict; none where predictions are read from a file."""
    if network is not None:
        return (member_in_memory(network, settings.model, device, asked),)
    if checkpoint is None:
        return ()
    return load_members(checkpoint_paths(checkpoint), settings.model, device, trust=trust, asked=asked)


def _predictions(file: Path | None, settings: Settings, dataset: Dataset) -> PredictionFile:
    """The predictions in a file for the images of the set."""
    assert file is not None
    found = read_predictions(file, dataset, settings.data.read_options())
    return PredictionFile(found, dataset.skeleton, frame_of(settings.model))


def _second(data: DataSettings, dataset: Dataset) -> dict[str, Sample]:
    """The second labelling of the images of a set; DataError where it is one of other images."""
    absent = next((sample.image for sample in dataset.samples if not sample.path), None)
    if absent is not None:
        raise DataError(
            f"--labels2: the image of {absent} is not there, and sizes are compared: add the images"
        )
    path, options = str(data.labels2), data.read_options().of_another_set()
    paths = {sample.image: sample.path for sample in dataset.samples}
    other = OtherSet(path, Path(path), dataset.skeleton, options)
    return second_labels(
        [*paths],
        dataset.skeleton,
        other,
        lambda image: read_image_size(paths[image], image, upright=options.exif is Exif.APPLY),
    )


def _loss(settings: LossSettings, skeleton: Skeleton) -> MAHTNetLoss:
    """The loss with the parameters of `[loss]`, a value per image; UsageError where they do not agree."""
    try:
        return MAHTNetLoss(view=skeleton, reduction="none", **settings.model_dump(exclude_none=True))
    except ValueError as error:
        raise UsageError(f"[loss]: {error}") from None


def _runner(
    members: Sequence[Member],
    settings: Settings,
    device: torch.device,
    loss: MAHTNetLoss,
) -> Runner:
    """The runner that the settings ask for; UsageError where no heatmap could expect an error."""
    precision = settings.evaluate.precision or Precision.FP32
    runner = runner_of(members, settings.model, device, precision, loss.focal_weight)
    expected = bool(settings.evaluate.expected_error)
    if expected and runner.spec.decoding.own_coords:
        raise UsageError(
            "--expected-error: the network gives the places itself, so no heatmap tells how far they may be "
            "off; leave it out, or decode its heatmaps with --decode"
        )
    return replace(runner, expected_error=expected)


def _required(
    settings: Settings, predictions: Path | None, network: nn.Module | None
) -> tuple[str | None, Path]:
    """The checkpoint, None where predictions are read from a file or the network is there, and the data."""
    if predictions is not None or network is not None:
        if settings.data.path is None:
            raise UsageError("missing DATA: name it on the command line or in mahtdiag.toml ([data] path)")
        return None, Path(settings.data.path)
    missing = [
        name
        for name, value in (("CHECKPOINT", settings.model.checkpoint), ("DATA", settings.data.path))
        if value is None
    ]
    if missing or settings.model.checkpoint is None or settings.data.path is None:
        raise UsageError(
            f"missing {' and '.join(missing)}: name them on the command line or in mahtdiag.toml "
            "([model] checkpoint, [data] path)"
        )
    return settings.model.checkpoint, Path(settings.data.path)


def _batch_size(settings: Settings, runner: Runner, images: int) -> int:
    """As asked for, else what is fast: on CUDA as many images as fit, found by trial."""
    wanted, size = settings.evaluate.batch_size, runner.spec.input.size
    if isinstance(wanted, int):
        return wanted
    if runner.device.type == "cuda":
        return runner.fitting(min(MOST_AT_ONCE, images))
    most = BATCH_SIZES[runner.device.type]
    if runner.device.type != "cpu":
        return most
    return max(1, min(most, PIXELS_ON_CPU // (size.height * size.width)))


def header(prepared: Prepared, started: datetime) -> RunDocument:
    """`run.json` as it is known before the first image."""
    dataset = prepared.dataset
    return RunDocument(
        checkpoint=prepared.source.checkpoint,
        data=DataSource(
            path=str(dataset.path), format=dataset.format, listing_sha256=listing_sha256(dataset)
        ),
        view=prepared.skeleton.view,
        levels=str(prepared.skeleton.levels),
        settings=prepared.settings.stored,
        environment=environment_of(prepared),
        started=started,
        images=ImageCounts(total=len(dataset.samples) + len(dataset.failures)),
        notes=(*dataset.notes, *prepared.harm),
    )


def listing_sha256(dataset: Dataset) -> str:
    """Digest of the names and annotations: known before any image is read."""
    lines = [f"{sample.image}\0{sample.annotation_sha256}" for sample in dataset.samples]
    lines += [f"{failure.image}\0{failure.annotation_sha256}" for failure in dataset.failures]
    return digest(lines)


def environment_of(prepared: Prepared) -> Environment:
    """The machine and the versions of what computes."""
    import cv2
    import numpy as np
    import scipy

    device, in_words = prepared.source.device
    return Environment(
        python=platform.python_version(),
        torch=torch.__version__,
        device=device,
        device_name=in_words,
        precision=str(prepared.source.precision),
        platform=platform.platform(),
        threads=torch.get_num_threads(),
        packages={"numpy": np.__version__, "opencv": cv2.__version__, "scipy": scipy.__version__},
    )


def read_correction(file: Path, run: RunDocument, samples: Sequence[Sample]) -> dict[str, JsonValue]:
    """The factors of a file that `calibration --fit` has written, for a run that is about to begin.

    As `run.json` keeps them: by keypoint name, the common one where a keypoint had too few images.

    Raises:
        UsageError: it cannot be read; it was fitted for another view, checkpoint or reading of its output; or
            some of the images are those it was fitted on.
    """
    found = read_recalibration(file)
    require_same_reading(run, found, file, "this evaluation")
    _require_unseen(found, samples, file)
    names = run.skeleton.keypoint_names
    return {
        "sha256": hashlib.sha256(read_bytes(file)).hexdigest(),
        "common": found.sigma_scale.common,
        "by_keypoint": {name: found.sigma_scale.by_keypoint[name] for name in names},
        **({"worsens": list(found.worsens)} if found.worsens else {}),
        **({"unknown_images": found.unknown_images} if found.unknown_images else {}),
    }


def _require_unseen(found: Recalibration, samples: Sequence[Sample], file: Path) -> None:
    """Read every image once before the run, so that it does not end in the middle."""
    seen = set(found.image_sha256)
    with ThreadPoolExecutor(READERS) as pool:
        digests = list(pool.map(_sha256, (sample.path for sample in samples)))
    again = [sample.image for sample, sha in zip(samples, digests, strict=True) if sha in seen]
    if again:
        raise UsageError(
            f"{file}: fitted on {len(again)} of these {len(samples)} images ({again[0]}), which cannot judge "
            "it; give other images, or leave out --recalibration and see the cross-fitted calibration"
        )


def _sha256(path: str) -> str | None:
    """None where the file cannot be read; the evaluation will say so."""
    try:
        return file_sha256(Path(path))
    except OSError:
        return None
