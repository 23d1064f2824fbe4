"""Everything `evaluate` decides before the first image is read."""

import platform
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import torch

from mahtdiag.anatomy.rules import Limits, Rule, select_rules
from mahtdiag.config.gates import GateSettings
from mahtdiag.config.settings import LossSettings, ModelSettings, Settings
from mahtdiag.data.files import Dataset, ViewEvidence
from mahtdiag.data.readers import reader_of
from mahtdiag.engine.inference import Runner, describe_device, resolve_device
from mahtdiag.errors import UsageError
from mahtdiag.losses import MAHTNetLoss
from mahtdiag.runs.document import DataSource, Environment, ImageCounts, RunDocument
from mahtdiag.runs.files import digest
from mahtdiag.runs.settings import Repetition, RunSettings
from mahtdiag.schema.choices import DEFAULT_OVERLAYS, ImageChoice, Precision
from mahtdiag.schema.frames import Size
from mahtdiag.schema.model_spec import ModelSpec
from mahtdiag.schema.skeleton import Skeleton, View
from mahtdiag.workflows.calibration.judged_sigma import CalibrationChoices, choices_of
from mahtdiag.workflows.evaluate.members import (
    Member,
    checkpoint_paths,
    load_members,
    repetition_of,
    runner_of,
    sigma_source_of,
    source_of,
    view_evidence_of,
)
from mahtdiag.workflows.evaluate.sigma_correction import SigmaCorrection, read_correction
from mahtdiag.workflows.evaluate.specification import settle_view
from mahtdiag.workflows.pictures import usual_workers

# Keys of `[model]` that `run.json` has as resolved; `given` names those that the checkpoint did not settle.
IN_SETTINGS = tuple(name for name in ModelSettings.model_fields if name not in ("checkpoint", "factory"))
BATCH_SIZES = {"cuda": 32, "mps": 8, "cpu": 16}
# On a CPU as many images as have so many pixels together: what is done once per batch is spread over several
# small images, and large ones take no more memory than they have to.
PIXELS_ON_CPU = 2**20


@dataclass(frozen=True)
class Setup:
    """Networks on their device, the images they will see, and how."""

    members: tuple[Member, ...]
    runner: Runner
    given: tuple[str, ...]
    repetition: Repetition | None
    sigma_source: str
    loss: MAHTNetLoss
    dataset: Dataset
    limits: Limits
    rules: tuple[Rule, ...]
    batch_size: int
    workers: int
    overlays: ImageChoice
    allow_failures: int
    pixel_spacing_mm: float | None
    factory: str | None
    gates: GateSettings
    calibration: CalibrationChoices
    correction: SigmaCorrection | None

    @property
    def name(self) -> str:
        """The checkpoint's name, by which a run folder is called."""
        return "-".join(member.path.stem for member in self.members)

    @property
    def spec(self) -> ModelSpec:
        """How the network's input and output are to be read."""
        return self.runner.spec

    @property
    def settings(self) -> RunSettings:
        """Every setting that decides a number, as resolved."""
        return RunSettings.of_network(self.spec, self.runner.heatmap_size).with_run(
            factory=self.factory,
            loss=self.loss.settings(),
            calibration=self.calibration.as_settings(),
            repetition=self.repetition,
            sigma_source=self.sigma_source,
            given=self.given,
            recalibration=None if self.correction is None else self.correction.as_settings(),
            pixel_spacing_mm=self.pixel_spacing_mm,
            limits=self.limits,
            rules=self.rules,
            batch_size=self.batch_size,
            precision=self.runner.precision,
            workers=self.workers,
            overlays=self.overlays,
            allow_failures=self.allow_failures,
        )


def prepare(settings: Settings, *, trust: bool) -> Setup:
    """Load the network, find the images, and settle the view; every problem is raised before any work."""
    checkpoint, data = _required(settings)
    rules = select_rules(settings.anatomy.select or (), settings.anatomy.ignore or ())
    reader = reader_of(data)
    data_says = reader.view_evidence(data)
    device = resolve_device("auto" if settings.evaluate.device is None else settings.evaluate.device)
    members = load_members(checkpoint_paths(checkpoint), settings.model, device, trust=trust)
    evidence = list(view_evidence_of(members))
    if settings.data.view not in (None, "auto"):
        evidence.insert(0, ViewEvidence(View(str(settings.data.view)), "--view"))
    view = settle_view([*evidence, *data_says])
    loss = _loss(settings.loss, members[0].spec.skeleton)
    precision = settings.evaluate.precision or Precision.FP32
    setup = Setup(
        members=members,
        runner=runner_of(members, settings.model, device, precision, loss.focal_weight),
        loss=loss,
        given=tuple(name for name in IN_SETTINGS if getattr(settings.model, name) is not None),
        repetition=repetition_of(members, settings.model),
        sigma_source=sigma_source_of(members, settings.model),
        dataset=reader.open(data, view),
        limits=Limits.of(view, settings.anatomy.limits_of(view)),
        rules=rules,
        batch_size=_batch_size(settings, device, members[0].spec.input.size),
        workers=settings.evaluate.workers or usual_workers(),
        overlays=settings.evaluate.overlays or DEFAULT_OVERLAYS,
        allow_failures=settings.evaluate.allow_failures or 0,
        pixel_spacing_mm=settings.data.pixel_spacing_mm,
        factory=settings.model.factory,
        gates=settings.gates,
        calibration=choices_of(settings.calibration),
        correction=None,
    )
    file = settings.evaluate.recalibration
    return setup if file is None else _corrected(setup, Path(file))


def _corrected(setup: Setup, file: Path) -> Setup:
    """The same with the factors of a file, which must have been fitted on runs like this one."""
    run = header(setup, datetime.now(UTC))
    return replace(setup, correction=read_correction(file, run, setup.dataset.samples))


def _loss(settings: LossSettings, skeleton: Skeleton) -> MAHTNetLoss:
    """The loss with the parameters of `[loss]`, a value per image; UsageError where they do not agree."""
    try:
        return MAHTNetLoss(view=skeleton, reduction="none", **settings.model_dump(exclude_none=True))
    except ValueError as error:
        raise UsageError(f"[loss]: {error}") from None


def _required(settings: Settings) -> tuple[str, Path]:
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


def _batch_size(settings: Settings, device: torch.device, size: Size) -> int:
    wanted = settings.evaluate.batch_size
    if isinstance(wanted, int):
        return wanted
    most = BATCH_SIZES[device.type]
    return most if device.type != "cpu" else max(1, min(most, PIXELS_ON_CPU // (size.height * size.width)))


def header(setup: Setup, started: datetime) -> RunDocument:
    """`run.json` as it is known before the first image."""
    dataset = setup.dataset
    return RunDocument(
        checkpoint=source_of(setup.members),
        data=DataSource(
            path=str(dataset.path), format=dataset.format, listing_sha256=listing_sha256(dataset)
        ),
        view=setup.spec.view,
        settings=setup.settings.stored,
        environment=environment_of(setup),
        started=started,
        images=ImageCounts(total=len(dataset.samples) + len(dataset.failures)),
        notes=dataset.notes,
    )


def listing_sha256(dataset: Dataset) -> str:
    """Digest of the names and annotations: known before any image is read."""
    lines = [f"{sample.image}\0{sample.annotation_sha256}" for sample in dataset.samples]
    lines += [f"{failure.image}\0{failure.annotation_sha256}" for failure in dataset.failures]
    return digest(lines)


def environment_of(setup: Setup) -> Environment:
    """The machine and the versions of what computes."""
    import cv2
    import numpy as np
    import scipy

    device = setup.runner.device
    return Environment(
        python=platform.python_version(),
        torch=torch.__version__,
        device=str(device),
        device_name=describe_device(device),
        precision=str(setup.runner.precision),
        platform=platform.platform(),
        threads=torch.get_num_threads(),
        packages={"numpy": np.__version__, "opencv": cv2.__version__, "scipy": scipy.__version__},
    )
