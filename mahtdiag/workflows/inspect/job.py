"""`inspect`: what a checkpoint is, what its network takes and returns, and what to type to evaluate it."""

import shlex
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mahtdiag.config.network_input import input_as_said
from mahtdiag.config.presets import keywords_of
from mahtdiag.config.settings import ModelSettings, Settings, replace_preset
from mahtdiag.config.values import args_as_texts
from mahtdiag.data.images import load_image
from mahtdiag.data.time_limit import image_timeout
from mahtdiag.engine.devices import resolve_device
from mahtdiag.engine.inference import probe
from mahtdiag.errors import MahtdiagError, UsageError
from mahtdiag.models.checkpoint import Checkpoint, CheckpointFormat
from mahtdiag.models.formats import format_of
from mahtdiag.models.loading import LoadedModel, load_model
from mahtdiag.models.tree import fact_of, tree_of
from mahtdiag.schema.checkpoint_file import CheckpointFacts, CheckpointInspection, TensorFact
from mahtdiag.schema.frames import Size
from mahtdiag.schema.model_spec import ModelInput, ModelSpec
from mahtdiag.schema.normalization import parse_normalization
from mahtdiag.schema.output_spec import OutputSpec
from mahtdiag.schema.records import ModelOutputs
from mahtdiag.schema.skeleton import levels_with, skeleton_with
from mahtdiag.workflows.evaluate.networks import as_declared, checkpoint_paths

FACTORY = "PACKAGE.MODULE:FACTORY"


@dataclass(frozen=True)
class InspectRequest:
    """A checkpoint, the options that describe it, and an image in the place of a black one."""

    settings: Settings
    trust: bool = False
    image: Path | None = None


@dataclass(frozen=True)
class _Pass:
    """One pass of the network: what went in, what came out, and what was read of it."""

    model: LoadedModel
    given: TensorFact
    tree: tuple[TensorFact, ...]
    outputs: ModelOutputs | None
    problems: tuple[str, ...]


def inspect_checkpoint(request: InspectRequest) -> CheckpointInspection:
    """Tell what a checkpoint is; its network runs only where it may, and where its input is known.

    Raises MahtdiagError where the file cannot be read, or is damaged.
    """
    request = replace(request, settings=replace_preset(request.settings))
    asked = request.settings.model
    if asked.checkpoint is None:
        raise UsageError("missing CHECKPOINT: name it on the command line or in mahtdiag.toml")
    path, *others = checkpoint_paths(asked.checkpoint)
    if others:
        raise UsageError(f"{asked.checkpoint}: inspect tells of one checkpoint at a time")
    checkpoint = Checkpoint(path, asked.factory, asked.weights, asked.args or {})
    checkpoint.require_readable()
    kind = format_of(checkpoint)
    facts = kind.facts(checkpoint)
    spec = kind.inspect(checkpoint)
    needs_trust = kind.carries_code or kind.needs_factory
    done: _Pass | None = None
    problems: tuple[str, ...] = ()
    missing = dict(_missing(request, kind, facts, spec))
    if not {"--trust", "--model", "--input-size", "--channels"} & missing.keys():
        try:
            done = _run(request, path, facts, spec)
            problems = done.problems
        except MahtdiagError as error:
            problems = error.problems
    if done is not None and done.outputs is not None:
        missing.update(_missing_of_outputs(done.outputs, asked))
    return CheckpointInspection(
        path=str(path),
        size_bytes=path.stat().st_size,
        sha256=checkpoint.sha256_with(kind.files(checkpoint)),
        format=kind.name,
        title=kind.title,
        needs_trust=needs_trust,
        facts=facts,
        described=_described(spec),
        given=None if done is None else done.given,
        tree=() if done is None else done.tree,
        notes=() if done is None else done.model.notes,
        problems=problems,
        missing=missing,
        command=_command(request, path, needs_trust, missing),
    )


def _missing(
    request: InspectRequest, kind: CheckpointFormat, facts: CheckpointFacts, spec: ModelSpec | None
) -> Iterator[tuple[str, str]]:
    """Options that are needed and not given, in the order in which they are typed."""
    asked = request.settings.model
    if (kind.carries_code or kind.needs_factory) and not request.trust:
        what = "the file is a program" if kind.carries_code else "the function that builds the network runs"
        yield "--trust", f"{what}: only if you trust it"
    if kind.needs_factory and asked.factory is None:
        yield "--model", "the file holds weights alone: the function that builds their network"
    several = [part for part in facts.sets if part.differs_from is not None]
    if several and asked.weights is None and kind.needs_factory:
        keys = ", ".join(dict.fromkeys(k for p in several for k in (str(p.differs_from), p.key)))
        yield "--weights", f"sets that differ: {keys}"
    if spec is not None:
        return
    declared = facts.declared
    if asked.input_size is None and (declared is None or declared.height is None or declared.width is None):
        yield "--input-size", "height and width of the images that it was trained with"
    if asked.channels is None and (declared is None or declared.channels is None):
        seen = f": its first convolution takes {facts.first_channels}" if facts.first_channels else ""
        yield "--channels", f"channels of the images{seen}"
    if asked.normalize is None:
        yield "--normalize", "what was done to grey values in training"
    if asked.heatmap_sigma is None:
        yield "--heatmap-sigma", "σ of the training heatmaps, in cells"


def _missing_of_outputs(outputs: ModelOutputs, asked: ModelSettings) -> Iterator[tuple[str, str]]:
    heatmaps = outputs.heatmaps
    if heatmaps is None or asked.keypoints is not None or skeleton_with(heatmaps.shape[1]) is not None:
        return
    fit = levels_with(heatmaps.shape[1])
    if fit:
        several = ", ".join(map(str, fit[:3])) + ", …" * (len(fit) > 3)
        yield "--levels", f"which vertebrae its {heatmaps.shape[1]} heatmaps mark: {several}"
    else:
        yield "--keypoints", f"which of its {heatmaps.shape[1]} heatmaps is which keypoint"


def _run(request: InspectRequest, path: Path, facts: CheckpointFacts, spec: ModelSpec | None) -> _Pass:
    """Load the network and show it one image. Raises MahtdiagError where that cannot be done."""
    asked = request.settings.model
    model = load_model(
        path,
        factory=asked.factory,
        args=asked.args,
        weights=asked.weights,
        trust=request.trust,
        outputs=asked.outputs or OutputSpec(),
        keywords=keywords_of(asked.preset),
    )
    takes = _input_of(as_declared(asked, facts.declared, path), facts, spec)
    device = resolve_device("cpu")
    image = _image(request, takes)
    model = model.settled(image)
    kept: list[object] = []
    problems: tuple[str, ...] = ()
    outputs: ModelOutputs | None = None

    def predict(_: Tensor) -> ModelOutputs:
        batch = model.taking.batch or 1
        kept.append(model.returned(image.expand(batch, -1, -1, -1).contiguous()))
        return model.read(kept[-1], batch)

    try:
        outputs = probe(predict, takes.channels, takes.size, device)
    except MahtdiagError as error:
        problems = error.problems
    read = {} if outputs is None else {
        id(tensor): name
        for name, tensor in (
            ("heatmaps", outputs.heatmaps), ("coords", outputs.coords), ("σ", outputs.uncertainty)
        )
        if tensor is not None
    }  # fmt: skip
    tree = tree_of(kept[-1], read) if kept else ()
    name = "black" if request.image is None else str(request.image)
    return _Pass(model, fact_of(name, image), tree, outputs, problems)


def _input_of(asked: ModelSettings, facts: CheckpointFacts, spec: ModelSpec | None) -> ModelInput:
    """The input as options, the file's metadata or its graph say it."""
    known, declared = None if spec is None else spec.input, facts.declared
    size = asked.input_size or (known.size if known else None)
    channels = asked.channels or (known.channels if known else None)
    if declared is not None and size is None and declared.height and declared.width:
        size = Size(declared.height, declared.width)
    if declared is not None and channels is None:
        channels = declared.channels
    assert size is not None
    assert channels is not None
    named = asked.normalize or (known.normalization.name if known else "unit")
    given = ModelInput(size, channels, normalization=parse_normalization(named))
    return input_as_said(asked, known, given)


def _image(request: InspectRequest, takes: ModelInput) -> Tensor:
    """The image as the network gets it, `[1, C, H, W]`; black where none is given."""
    if request.image is not None:
        with image_timeout(request.settings.data.image_timeout):
            loaded = load_image(request.image, str(request.image), takes)
        return torch.from_numpy(loaded.tensor[None].copy())
    size, normal = takes.size, takes.normalization
    black = (0.0 - np.array(normal.mean, dtype=np.float32)) / np.array(normal.std, dtype=np.float32)
    plane = np.broadcast_to(black.reshape(-1, 1, 1), (takes.channels, size.height, size.width))
    return torch.from_numpy(np.ascontiguousarray(plane[None]))


def _described(spec: ModelSpec | None) -> dict[str, str]:
    """What a file says of itself, by the options that say the same."""
    if spec is None:
        return {}
    return {
        "--view": str(spec.view),
        **({} if spec.skeleton is spec.view.skeleton else {"--levels": str(spec.skeleton.levels)}),
        "--input-size": str(spec.input.size),
        "--channels": str(spec.input.channels),
        "--resize": str(spec.input.resize),
        "--normalize": spec.input.normalization.name,
        "--heatmap-sigma": f"{spec.decoding.heatmap_sigma:g}",
        "--decode": str(spec.decoding.method),
    }


_PLACEHOLDERS = {
    "--model": FACTORY,
    "--weights": "KEY",
    "--input-size": "HxW",
    "--channels": "1|3",
    "--normalize": "unit|imagenet|MEAN/STD",
    "--heatmap-sigma": "PX",
    "--keypoints": "ORDER",
    "--levels": "LEVELS",
}


def _command(request: InspectRequest, path: Path, needs_trust: bool, missing: dict[str, str]) -> str:
    """What evaluates the checkpoint; capitals and choices stand where something is to be filled in."""
    asked, words = request.settings.model, ["mahtdiag", "evaluate", shlex.quote(str(path))]
    words.append(shlex.quote(request.settings.data.path) if request.settings.data.path else "DATA")
    words += ["--trust"] if needs_trust else []
    given: dict[str, list[str]] = {
        "--model": [asked.factory] if asked.factory else [],
        "--model-args": list(args_as_texts(asked.args or {})),
        "--weights": [asked.weights] if asked.weights else [],
        "--input-size": [str(asked.input_size)] if asked.input_size else [],
        "--channels": [str(asked.channels)] if asked.channels else [],
        "--normalize": [asked.normalize] if asked.normalize else [],
        "--resize": [str(asked.resize)] if asked.resize else [],
        "--coords": [str(asked.coords)] if asked.coords else [],
        "--heatmap-sigma": [f"{asked.heatmap_sigma:g}"] if asked.heatmap_sigma else [],
        "--output": list(asked.outputs.as_texts()) if asked.outputs else [],
        "--keypoints": [asked.keypoints] if asked.keypoints else [],
        "--levels": [request.settings.data.levels] if request.settings.data.levels else [],
    }
    for option, values in given.items():
        for value in values:
            words += [option, shlex.quote(value)]
        if not values and option in missing:
            words += [option, _PLACEHOLDERS[option]]
    return " ".join(words)
