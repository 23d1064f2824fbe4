"""`mahtdiag.evaluate`: a network in memory, or a checkpoint, over an annotated set."""

import os
import shutil
import tempfile
import warnings
import weakref
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Unpack

from torch import nn

from mahtdiag.api.options import EvaluateOptions, PathLike, settings_of
from mahtdiag.api.run import Run
from mahtdiag.config.settings import Settings
from mahtdiag.errors import DataError, InterruptedRunError, SetupRefusedError
from mahtdiag.models.in_memory import as_network, lent, name_of, place_of
from mahtdiag.runs.files import RUN_FILES, remove_files
from mahtdiag.schema.choices import NO_IMAGES
from mahtdiag.workflows.evaluate.job import EvaluateRequest, Evaluation
from mahtdiag.workflows.evaluate.job import evaluate as run_job
from mahtdiag.workflows.progress import NoProgress, Progress


def evaluate(
    model: nn.Module | Callable[..., object] | PathLike,
    data: PathLike,
    *,
    out: PathLike | None = None,
    config: PathLike | Mapping[str, object] | None = None,
    trust: bool = False,
    progress: bool = False,
    **options: Unpack[EvaluateOptions],
) -> Run:
    """Run a network over an annotated set as `mahtdiag evaluate` does, to the same numbers.

    Args:
        model: a network, a function from images `[B, C, H, W]` to what a network returns, or the path of a
            checkpoint. A network runs where its weights are (`device` moves it), in evaluation mode, without
            gradients; afterwards it is as it was. A function runs on the CPU unless `device` says otherwise.
        data: folder of the annotated set.
        out: run folder to write, which becomes `runs/latest`. Without it the run is kept in a temporary
            folder, which is removed with the object that is returned.
        config: a settings file, or its tables as a mapping. Unlike the command none is looked for.
        trust: allow a checkpoint that runs code of its own.
        progress: tell on standard error how far it is.
        options: those of the command, `heatmap_sigma=2` for `--heatmap-sigma 2`. Overlays are drawn only
            where `overlays` asks for them.

    Images that cannot be evaluated are in `Run.failures`, and a warning says so where they are more than
    `allow_failures`. A gate that fails is in `Run.gates`.

    Raises:
        MahtdiagError: one line per problem: an option that cannot be obeyed, a network or data that cannot be
            used, not one image evaluated, and with `strict_setup` a check of the setup that is wrong.
    """
    settings = settings_of(data, options, config)
    if settings.evaluate.overlays is None:
        settings = _with(settings, overlays=NO_IMAGES)
    shown = _progress() if progress else NoProgress()
    if isinstance(model, str | os.PathLike):
        settings = _named(settings, os.fspath(model))
        return _run(settings, None, out, Path(model).stem, trust, shown)
    network = as_network(model)
    if settings.evaluate.device is None:
        settings = _with(settings, device=str(place_of(network) or "cpu"))
    with lent(network):
        return _run(settings, network, out, name_of(network), trust, shown)


def _with(settings: Settings, **changes: object) -> Settings:
    return settings.model_copy(update={"evaluate": settings.evaluate.model_copy(update=changes)})


def _named(settings: Settings, checkpoint: str) -> Settings:
    return settings.model_copy(update={"model": settings.model.model_copy(update={"checkpoint": checkpoint})})


def _progress() -> Progress:
    from mahtdiag.reports.progress import progress_on_stderr

    return progress_on_stderr()


def _run(
    settings: Settings,
    network: nn.Module | None,
    out: PathLike | None,
    name: str,
    trust: bool,
    shown: Progress,
) -> Run:
    cwd = Path.cwd()
    kept = None if out is not None else Path(tempfile.mkdtemp(prefix="mahtdiag-"))
    path = cwd / out if out is not None else (kept or cwd) / name
    request = EvaluateRequest(
        settings, path, resume=False, trust=trust, cwd=cwd, network=network, latest=kept is None
    )
    try:
        evaluation = run_job(request, shown)
        if evaluation.numbers is None:
            remove_files(evaluation.run.path, RUN_FILES)
        _require_result(evaluation)
    except BaseException as error:
        if kept is not None:
            shutil.rmtree(kept, ignore_errors=True)
        if isinstance(error, InterruptedRunError):
            raise KeyboardInterrupt from None
        raise
    run = Run(evaluation.run)
    if kept is not None:
        weakref.finalize(run, shutil.rmtree, kept, ignore_errors=True)
    return run


def _require_result(evaluation: Evaluation) -> None:
    """Raise where there is none, or none to rely on; warn of images that failed."""
    if evaluation.not_done is not None:
        if evaluation.numbers is None:
            raise DataError(evaluation.not_done)
        warnings.warn(evaluation.not_done, stacklevel=4)
    if evaluation.setup_wrong:
        entries = {entry.check: entry for entry in evaluation.run.document.setup_entries}
        wrong = (entries[name] for name in evaluation.setup_wrong)
        raise SetupRefusedError(*(f"{e.check}: {e.evidence}; {e.advice}" for e in wrong))
