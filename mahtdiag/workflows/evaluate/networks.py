"""The networks of a run, one or an ensemble: loaded, and what each takes in and gives out, never a guess."""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import nn

from mahtdiag.config.heatmap_grid import grid_of
from mahtdiag.config.network_input import input_as_said
from mahtdiag.config.network_levels import Asked, NetworkKeypoints, keypoints_of
from mahtdiag.config.output_reading import HEAD, HEATMAP_SIGMA, coords_frame, resolve_spec
from mahtdiag.config.presets import keywords_of
from mahtdiag.config.settings import DataSettings, ModelSettings
from mahtdiag.data.files import ViewEvidence, strongest
from mahtdiag.data.settled import seen_view
from mahtdiag.engine.inference import Runner, probe
from mahtdiag.engine.repeated import RepeatedRunner, drawing_from
from mahtdiag.errors import UsageError
from mahtdiag.losses.heatmap import PUBLISHED_WEIGHT, FocalWeight
from mahtdiag.models.arranged import Arranged
from mahtdiag.models.in_memory import model_in_memory
from mahtdiag.models.loading import LoadedModel, activate_dropout, load_model
from mahtdiag.runs.document import CheckpointMember, CheckpointSource
from mahtdiag.runs.settings import DROPOUT, ENSEMBLE, Repetition, RunSettings
from mahtdiag.schema.checkpoint_file import InputFact
from mahtdiag.schema.choices import (
    Precision,
    UncertaintySource,
)
from mahtdiag.schema.frames import NetworkFrames, Size
from mahtdiag.schema.keypoint_order import keypoints_in
from mahtdiag.schema.model_spec import (
    LARGEST_INPUT,
    MOST_IN_BATCH_SAID,
    MOST_PIXELS_SAID,
    McDropout,
    ModelInput,
    ModelSpec,
)
from mahtdiag.schema.normalization import parse_normalization
from mahtdiag.schema.output_spec import OutputSpec
from mahtdiag.schema.preprocessing import Flip
from mahtdiag.schema.records import Predictor
from mahtdiag.schema.skeleton import Levels, Skeleton, View

SEPARATOR = ","
NOTHING_ASKED = Asked()


@dataclass(frozen=True)
class Member:
    """A network on its device, how its input and output are to be read, and the heatmaps it returned."""

    path: Path
    model: LoadedModel
    spec: ModelSpec
    heatmap_size: Size | None
    predict: Predictor
    keypoints: NetworkKeypoints

    @property
    def notes(self) -> tuple[str, ...]:
        """Which of its keypoints are judged, and what else there is to say of the checkpoint."""
        return (*self.keypoints.notes, *self.model.notes)

    def of_view(self, view: View) -> "Member":
        """The same once its view is settled."""
        return replace(self, spec=replace(self.spec, skeleton=Skeleton.of(view, self.spec.skeleton.levels)))


def checkpoint_paths(text: str) -> tuple[Path, ...]:
    """`a.pt,b.pt` as the members of an ensemble; the name of an existing file is one checkpoint.

    Raises UsageError where a comma has nothing beside it.
    """
    if SEPARATOR not in text or os.path.exists(text):
        return (Path(text),)
    parts = [part.strip() for part in text.split(SEPARATOR)]
    if not all(parts):
        raise UsageError(f"{text}: a comma with no checkpoint beside it; give A.pt,B.pt")
    return tuple(map(Path, parts))


def load_members(
    paths: Sequence[Path],
    settings: ModelSettings,
    device: torch.device,
    *,
    trust: bool,
    asked: Asked = NOTHING_ASKED,
) -> tuple[Member, ...]:
    """Load every network and look at what it returns for one black image.

    `asked`: the view and the levels that are asked for and labelled.

    Raises MahtdiagError for what cannot be loaded or run, UsageError where members do not fit together.
    """
    members = tuple(_load(path, settings, device, trust, asked) for path in paths)
    _require_agreement(members)
    return members


def _load(path: Path, settings: ModelSettings, device: torch.device, trust: bool, asked: Asked) -> Member:
    model = load_model(
        path,
        factory=settings.factory,
        args=settings.args,
        weights=settings.weights,
        trust=trust,
        outputs=settings.outputs or OutputSpec(),
        keywords=keywords_of(settings.preset),
    )
    return _member(path, model, settings, device, asked)


def member_in_memory(
    network: nn.Module, settings: ModelSettings, device: torch.device, asked: Asked = NOTHING_ASKED
) -> Member:
    """A network that lies in no file, looked at as `load_members` does; raises as it does.

    Raises UsageError for what is said of a file.
    """
    said = {"--model": settings.factory, "--model-args": settings.args, "--weights": settings.weights}
    wrong = [option for option, value in said.items() if value]
    if wrong:
        raise UsageError(f"{' and '.join(wrong)}: the network is in memory: leave it out")
    model = model_in_memory(network, settings.outputs or OutputSpec(), keywords_of(settings.preset))
    return _member(model.path or Path(), model, settings, device, asked)


def _member(
    path: Path, model: LoadedModel, settings: ModelSettings, device: torch.device, asked: Asked
) -> Member:
    """A loaded network on its device, and what it returns for one black image."""
    said = settings.outputs or OutputSpec()
    settings = as_declared(settings, model.declared, path)
    network_input = resolve_input(settings, model.spec)
    model.network.to(device)
    channels, size = network_input.channels, network_input.size
    model = model.settled(torch.zeros(1, channels, size.height, size.width, device=device))
    returned = probe(model.predict, channels, size, device)
    channels_out = returned.keypoints or keypoints_in(settings.keypoints, asked.run)
    told = None if model.spec is None else model.spec.skeleton
    keypoints = keypoints_of(channels_out, settings.keypoints, told, asked)
    skeleton, order = keypoints.judged, keypoints.order
    frame = coords_frame(settings, said, returned)
    grid = grid_of(settings, network_input, returned.grid)
    frames = NetworkFrames(size, returned.grid or size, convention=network_input.convention, grid=grid)
    if network_input.flip is Flip.IMAGE_SIDE:
        order = _ends_exchanged(order, skeleton)
    predict = Arranged(model.predict, order, frame, frames, said, channels_out)
    outputs = probe(predict, channels, size, device)
    spec = replace(resolve_spec(settings, model.spec, network_input, skeleton, outputs), grid=grid)
    return Member(path, model, spec, outputs.grid, predict, keypoints)


def as_declared(settings: ModelSettings, declared: InputFact | None, path: Path) -> ModelSettings:
    """With size and channels of the input as a graph declares them. Raises UsageError for others."""
    if declared is None:
        return settings
    size, channels = settings.input_size, settings.channels
    for option, asked, fixed in (
        ("--input-size", None if size is None else size.height, declared.height),
        ("--input-size", None if size is None else size.width, declared.width),
        ("--channels", channels, declared.channels),
    ):
        if None not in (asked, fixed) and asked != fixed:
            sizes = [declared.channels, declared.height, declared.width]
            taken = ", ".join("any" if n is None else str(n) for n in sizes)
            raise UsageError(f"{path}: {option}: its graph takes [{taken}]; leave the option out")
    _require_possible(declared, size, path)
    if size is None and declared.height is not None and declared.width is not None:
        settings = settings.model_copy(update={"input_size": Size(declared.height, declared.width)})
    if channels is None and declared.channels in (1, 3):
        settings = settings.model_copy(update={"channels": declared.channels})
    return settings


def _require_possible(declared: InputFact, asked: Size | None, path: Path) -> None:
    """Raise UsageError for images that take more memory than a file may ask for by itself."""
    height, width = (declared.height, declared.width) if asked is None else (asked.height, asked.width)
    pixels, batch = (height or 1) * (width or 1), declared.batch or 1
    if asked is None and (max(height or 1, width or 1) > LARGEST_INPUT or pixels > MOST_PIXELS_SAID):
        raise UsageError(
            f"{path}: its graph declares images of {height or 'any'} x {width or 'any'}, at most "
            f"{MOST_PIXELS_SAID:,} pixels are taken; export it with a smaller or an open size"
        )
    if pixels * batch > MOST_IN_BATCH_SAID:
        raise UsageError(
            f"{path}: its graph declares {batch:,} images of {pixels:,} pixels at a time, at most "
            f"{MOST_IN_BATCH_SAID:,} pixels are taken; export it with an open or smaller batch"
        )


def _ends_exchanged(order: Sequence[int] | None, skeleton: Skeleton) -> tuple[int, ...]:
    """The channel of each keypoint where the network's left end of each endplate is the right one."""
    channels = range(skeleton.keypoints) if order is None else order
    return tuple(channels[k ^ 1] for k in range(skeleton.keypoints))


def _require_agreement(members: Sequence[Member]) -> None:
    """Means and variances are those of one thing: all that decides what a place and a σ are must agree."""
    first = members[0]
    expected = RunSettings.of_network(first.spec, first.heatmap_size)
    problems = []
    for member in members[1:]:
        found = RunSettings.of_network(member.spec, member.heatmap_size)
        pairs = expected.differing(found).items()
        differ = [f"{name} {ours} and {theirs}" for name, (ours, theirs) in pairs]
        levels = [str(each.spec.skeleton.levels) for each in (first, member)]
        if levels[0] != levels[1] and first.spec.view is member.spec.view:
            differ.insert(0, f"levels {levels[0]} and {levels[1]}")
        if differ:
            problems.append(
                f"{first.path}, {member.path} are no ensemble: {'; '.join(differ)}; give networks that agree"
            )
    if problems:
        raise UsageError(*problems)


def repetition_of(members: Sequence[Member], settings: ModelSettings) -> Repetition | None:
    """What was asked of repeated passes; None where every batch is read once."""
    if not is_repeated(members, settings):
        return None
    source = members[0].spec.uncertainty.source
    within = UncertaintySource.HEAD if source in HEAD else source
    return Repetition(str(settings.uncertainty or UncertaintySource.AUTO), within)


def sigma_source_of(members: Sequence[Member], settings: ModelSettings) -> str:
    """Where σ comes from, after `auto` has been settled: see `RunSettings.sigma_source`."""
    if isinstance(settings.uncertainty, McDropout):
        return DROPOUT
    source = members[0].spec.uncertainty.source
    if len(members) > 1 and settings.uncertainty is not UncertaintySource.NONE:
        return ENSEMBLE
    return str(UncertaintySource.HEAD if source in HEAD else source)


def is_repeated(members: Sequence[Member], settings: ModelSettings) -> bool:
    """Whether every batch is read more than once."""
    return len(members) > 1 or isinstance(settings.uncertainty, McDropout)


def view_evidence_of(members: Sequence[Member], asked: Asked) -> tuple[ViewEvidence, ...]:
    """Which view is asked for and which one the networks are for, and what says so."""
    said = () if asked.view is None else (ViewEvidence(asked.view, "--view"),)
    if not members:
        return said
    keypoints, told = members[0].keypoints, [m.model.spec for m in members if m.model.spec]
    count = f"the network ({keypoints.network.keypoints} heatmaps)"
    evidence = [] if keypoints.view is None else [ViewEvidence(keypoints.view, count)]
    evidence += [ViewEvidence(spec.view, "the checkpoint's metadata") for spec in told]
    return tuple(dict.fromkeys((*said, *evidence)))


def runner_of(
    members: Sequence[Member],
    settings: ModelSettings,
    device: torch.device,
    precision: Precision,
    weight: FocalWeight = PUBLISHED_WEIGHT,
) -> Runner:
    """What runs the batches: a single network as it is, or all passes together.

    Raises UsageError where dropout was asked for and cannot be switched on.
    """
    runners = [Runner(m.predict, m.spec, device, precision, m.heatmap_size, weight) for m in members]
    if not is_repeated(members, settings):
        return runners[0]
    asked = settings.uncertainty
    if isinstance(asked, McDropout):
        for member in members:
            _switch_dropout_on(member, device)
        return RepeatedRunner.of(runners, dropout_passes=asked.passes)
    return RepeatedRunner.of(runners, with_sigma=asked is not UncertaintySource.NONE)


def _switch_dropout_on(member: Member, device: torch.device) -> None:
    layers = activate_dropout(member.model.network)
    option = "--uncertainty mc-dropout"
    kind = member.model.format
    if kind.carries_code and not (layers and _acts(member, device)):
        raise UsageError(
            f"{member.path}: {option}: no dropout can be switched on in this {kind.title}; "
            f"{kind.dropout_advice}, or give several checkpoints"
        )
    if not layers:
        raise UsageError(
            f"{member.path}: {option}: the network has no dropout layer; use --uncertainty auto, or give "
            "several checkpoints"
        )


def _acts(member: Member, device: torch.device) -> bool:
    """Whether a pass depends on random numbers: a traced network keeps what it was traced with."""
    size = member.spec.input.size
    with drawing_from(0, device):
        image = torch.rand((1, member.spec.input.channels, size.height, size.width)).to(device)
    found = []
    for seed in (0, 1):
        with drawing_from(seed, device), torch.inference_mode():
            outputs = member.model.predict(image)
            found.append(outputs.coords if outputs.heatmaps is None else outputs.heatmaps)
    once, again = found
    return once is None or again is None or not torch.equal(once, again)


def source_of(members: Sequence[Member]) -> CheckpointSource:
    """What `run.json` says of the checkpoints; the digest of an ensemble does not depend on its order."""
    if len(members) == 1:
        (only,) = members
        return CheckpointSource(path=str(only.path), sha256=only.model.sha256, format=only.model.format.name)
    digests = sorted(member.model.sha256 for member in members)
    return CheckpointSource(
        path=SEPARATOR.join(str(member.path) for member in members),
        sha256=hashlib.sha256("\n".join(digests).encode()).hexdigest(),
        format=SEPARATOR.join(dict.fromkeys(member.model.format.name for member in members)),
        members=tuple(
            CheckpointMember(path=str(m.path), sha256=m.model.sha256, format=m.model.format.name)
            for m in members
        ),
    )


def resolve_input(settings: ModelSettings, metadata: ModelSpec | None) -> ModelInput:
    """The network's input: options first, then the checkpoint's metadata, never a guess.

    Raises UsageError that names every option that is needed and not given.
    """
    known = metadata.input if metadata else None
    size = settings.input_size or (known.size if known else None)
    channels = settings.channels or (known.channels if known else None)
    named = settings.normalize or (known.normalization.name if known else None)
    sigma = settings.heatmap_sigma or (metadata.decoding.heatmap_sigma if metadata else None)
    needed = (
        ("--input-size HxW", size),
        ("--channels 1|3", channels),
        ("--normalize unit|imagenet|MEAN/STD", named),
    )
    missing = [option for option, value in needed if value is None]
    # Alone it is asked for once it is known that there are heatmaps.
    missing += [HEATMAP_SIGMA] if missing and sigma is None else []
    if missing or size is None or channels is None or named is None:
        raise UsageError(f"the checkpoint does not describe its network; please give {', '.join(missing)}")
    normalization = parse_normalization(named)
    if len(normalization.mean) not in (1, channels):
        raise UsageError(
            f"--normalize {named} is for {len(normalization.mean)} channels, the network takes {channels}"
        )
    return input_as_said(settings, known, ModelInput(size, channels, normalization=normalization))


def settle_view(evidence: Sequence[ViewEvidence]) -> View:
    """The one view that all evidence agrees on; UsageError lists who says what if it does not."""
    evidence = strongest(evidence)
    views = {item.view for item in evidence}
    if len(views) == 1:
        return views.pop()
    if not views:
        raise UsageError("nothing tells which view this is; give --view AP or --view LA")
    said = ", ".join(f"{item.view} by {item.source}" for item in evidence)
    raise UsageError(f"the view is unclear: {said}; give data and a checkpoint of one view")


def asked_of(data: DataSettings, evidence: Sequence[ViewEvidence], labelled: Levels | None) -> Asked:
    """The view and the levels that are asked for, and those that a set shows."""
    view = None if data.view in (None, "auto") else View(str(data.view))
    return Asked(view, data.levels, seen_view(evidence), labelled)
