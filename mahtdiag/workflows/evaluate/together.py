"""One evaluation by several processes: they agree before any work, each judges its batches, the first merges.

Only the first process speaks to a person. What goes wrong in another one is told to it, and said by it.
"""

import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import torch

from mahtdiag.config.settings import Settings
from mahtdiag.engine.inference import BatchSeconds
from mahtdiag.engine.ranks import Ranks, StoreLostError, shares_of, until_all
from mahtdiag.errors import ExitStatus, MahtdiagError, RunFolderError, UsageError
from mahtdiag.runs.differences import differences
from mahtdiag.runs.document import RunDocument
from mahtdiag.runs.folder import RunFolder
from mahtdiag.runs.reading import read_document
from mahtdiag.schema.records import Sample
from mahtdiag.workflows.evaluate.preparation import Prepared, header
from mahtdiag.workflows.evaluate.source import Judged, Work
from mahtdiag.workflows.progress import Progress, keep_work

HEADER, DIFFERENCES, FOLDER, FINISHED, HEARD = "header", "differences", "folder", "finished", "heard"
SECONDS_TO_BE_HEARD = 30.0


BATCH_SIZE = 32
"""Of several processes with GPUs, where none is asked for."""


def with_own_device(settings: Settings, ranks: Ranks) -> Settings:
    """Each process of a machine has a GPU of its own, where there are any.

    Raises UsageError where one is named that they would have to share.
    """
    asked = settings.evaluate.device
    if asked not in (None, "auto", "cuda"):
        if ranks.local_world > 1 and str(asked).startswith("cuda:"):
            raise UsageError(
                f"--device {asked}: {ranks.local_world} processes of this machine would share it; give "
                "--device cuda, and each takes its own"
            )
        return settings
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if not count:
        return settings
    if ranks.local_world > count:
        raise UsageError(
            f"{ranks.local_world} processes on a machine with {count} GPUs; start torchrun with "
            f"--nproc-per-node={count}"
        )
    own = settings.evaluate.model_copy(update={"device": f"cuda:{ranks.local_rank}"})
    if own.batch_size in (None, "auto"):
        # Not what fits on each of them: all have to agree.
        own = own.model_copy(update={"batch_size": BATCH_SIZE})
    return settings.model_copy(update={"evaluate": own})


@contextmanager
def refusals_told(ranks: Ranks | None, name: str) -> Iterator[None]:
    """What is refused before `name` is told ends all processes; the first one says it."""
    try:
        yield
    except MahtdiagError as error:
        if ranks is None:
            raise
        if ranks.first:
            ranks.tell(name, "")
            raise
        ranks.tell(DIFFERENCES, json.dumps([*error.problems]))
        _wait_until_heard(ranks)
        raise MahtdiagError from None


def agree(ranks: Ranks, prepared: Prepared, asked: tuple[str, ...]) -> None:
    """Before any work: whether all processes have the same options, files and versions.

    `asked`: what was asked for beside the settings, in words that can be compared.

    Raises:
        UsageError: they have not; in words by the first of them, without any by the others.
    """
    own = header(prepared, datetime.now(UTC))
    also = {"asked": " ".join(asked), "images, bytes": _bytes_of(prepared), **_versions(own)}
    if ranks.first:
        ranks.tell(HEADER, json.dumps({"header": own.to_json(), "also": also}))
    said = ranks.told(HEADER)
    if not said:
        raise UsageError
    first = json.loads(said)
    found = list(differences(RunDocument.model_validate_json(first["header"]), own))
    found += [
        f"{name}: {before} → {also.get(name)}"
        for name, before in first["also"].items()
        if before != also.get(name)
    ]
    ranks.tell(DIFFERENCES, json.dumps(found))
    by_rank = [json.loads(text) for text in ranks.told_by_all(DIFFERENCES)]
    if not any(by_rank):
        return
    if not ranks.first:
        _wait_until_heard(ranks)
        raise UsageError
    ranks.tell(HEARD, "")
    raise UsageError(
        *(f"process {rank} of {ranks.world}: {one}" for rank, found in enumerate(by_rank) for one in found)
    )


def _bytes_of(prepared: Prepared) -> int:
    return int(sum(_cost(sample) for sample in prepared.dataset.samples))


def _versions(document: RunDocument) -> dict[str, object]:
    environment = document.environment
    return {"python": environment.python, "torch": environment.torch, **environment.packages}


def _cost(sample: Sample) -> float:
    """Of reading and judging an image: its size on disk."""
    try:
        return float(os.stat(sample.path).st_size)
    except OSError:
        return 0.0


def announce(ranks: Ranks, folder: RunFolder) -> None:
    """The first process has opened the run folder: the others may begin."""
    document = folder.document
    ranks.tell(
        FOLDER,
        json.dumps(
            {
                "path": str(folder.path.resolve()),
                "started": document.started.isoformat(),
                "done": sorted(folder.finished_batches()),
                "complete": folder.complete,
            }
        ),
    )


def work_of(prepared: Prepared, done: frozenset[int], ranks: Ranks | None) -> Work:
    """The batches that this process judges."""
    samples, size = prepared.dataset.samples, prepared.batch_size
    workers = prepared.workers
    if ranks is not None:
        batches = range(-(-len(samples) // size))
        left = [batch for batch in batches if batch not in done]
        costs = [sum(map(_cost, samples[batch * size : (batch + 1) * size])) for batch in left]
        own = {left[index] for index in shares_of(costs, ranks.world)[ranks.rank]}
        done = frozenset(batches) - own
        workers = max(1, workers // ranks.local_world)
    return Work(samples, prepared.maker(), size, workers, done)


def work_along(ranks: Ranks, prepared: Prepared) -> None:
    """The share of a process that is not the first: judged, and written beside those of the others."""
    told = ranks.told(FOLDER)
    if not told:
        raise UsageError
    said = json.loads(told)
    if said["complete"]:
        return
    spent = BatchSeconds()
    problem: str | None = None
    try:
        folder = _joined(Path(said["path"]), said["started"], prepared)
        keep_work(True)
        work = work_of(prepared, frozenset(said["done"]), ranks)
        try:
            for judged in prepared.source.judged(work):
                folder.append(judged.index, judged.records, judged.failures)
                spent += judged.seconds
                ranks.count(len(judged.records) + len(judged.failures))
        finally:
            folder.flush()
    except KeyboardInterrupt:
        sys.exit(int(ExitStatus.INTERRUPTED))
    except MahtdiagError as error:
        problem = "; ".join(error.problems)
    except Exception as error:  # a defect of ours: the first process has to say it
        problem = f"internal error: {type(error).__name__}: {error}"
    seconds = [spent.forward, spent.decode, spent.analyse]
    ranks.tell(FINISHED, json.dumps({"problem": problem, "seconds": seconds}))
    if problem is not None:
        _wait_until_heard(ranks)
        raise MahtdiagError


def _joined(path: Path, started: str, prepared: Prepared) -> RunFolder:
    """The folder that the first process has opened."""
    try:
        seen = read_document(path).started.isoformat()
    except RunFolderError:
        seen = None
    if seen != started:
        raise RunFolderError(
            f"{path}: not the folder that the first process has opened; all processes need the same one, on "
            "a file system that their machines share"
        )
    return RunFolder.join(path, header(prepared, datetime.now(UTC)))


def judged_with_others(
    ranks: Ranks, folder: RunFolder, judged: Iterator[Judged], batches: int, progress: Progress
) -> Iterator[Judged]:
    """The batches of the first process; it tells of the images of all, and waits for the others at the end.

    Yields a last one without images for the seconds of each other process.

    Raises:
        RunFolderError: another process could not go on, or a batch is missing at the end.
    """
    shown = 0

    def meanwhile(images: int = 0) -> None:
        nonlocal shown
        total = ranks.count(images)
        if total > shown:
            progress.advance(total - shown)
            shown = total
        _raise_problem_of_others(ranks, folder)

    for each in judged:
        yield each
        meanwhile(len(each.records) + len(each.failures))
    ranks.tell(FINISHED, json.dumps({"problem": None, "seconds": [0.0, 0.0, 0.0]}))
    for text in until_all(ranks, FINISHED, meanwhile):
        yield Judged(-1, [], [], BatchSeconds(*json.loads(text)["seconds"]))
    folder.rejoin()
    missing = batches - len(folder.finished_batches())
    if missing:
        raise RunFolderError(
            f"{folder.path}: {missing} of {batches} batches of the other processes are not there; all "
            "processes need one file system that their machines share; finish with --resume"
        )


def _raise_problem_of_others(ranks: Ranks, folder: RunFolder) -> None:
    for rank in range(1, ranks.world):
        if ranks.has_told(FINISHED, rank):
            problem = json.loads(ranks.told(FINISHED, rank))["problem"]
            if problem is not None:
                ranks.tell(HEARD, "")
                raise RunFolderError(
                    f"{folder.path}: process {rank} of {ranks.world} could not go on: {problem}; finish with "
                    "--resume"
                )


def _wait_until_heard(ranks: Ranks) -> None:
    """So that the first process can say what is wrong before it is ended with the others."""
    end = time.monotonic() + SECONDS_TO_BE_HEARD
    with suppress(StoreLostError):
        while not ranks.has_told(HEARD, 0) and time.monotonic() < end:
            time.sleep(0.1)
