"""Whether runs and files survive: commands killed at random moments, `evaluate` finished with `--resume`.

One process, and one of two that `torchrun` has started, are ended by signal 9, of which nobody is told. What
is left is finished by one, two or three processes. It has survived if both tables then have the bits of a run
that nobody disturbed, and nothing else lies in the folder.

`report`, `anatomy --csv`, `compare --out` and `export` are killed while an earlier version of their files is
there: each must be that one or the whole new one, and the command must do its work when it is run again.
Seeded; on Linux, where `/proc` tells processes.
"""

import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rich.table import Table

from benchmarks.figures import Figure, table

ROOT = Path(__file__).parent.parent
SAMPLES = ROOT / "sample_data"
KILLS = 50
TABLES = ("images.parquet", "keypoints.parquet")
JOB = ("evaluate", str(SAMPLES / "mahtnet-ap.pt"), str(SAMPLES / "AP"), "--overlays", "none", "-q")
SMALL_BATCHES = ("--batch-size", "2")


@dataclass(frozen=True, slots=True)
class Kill:
    """What became of one run; `hit`: the process was there to be killed."""

    hit: bool
    resumed: int
    same: bool


def _command(out: Path, processes: int, *more: str) -> list[str]:
    start = [sys.executable, "-m"]
    if processes > 1:
        start += ["torch.distributed.run", f"--nproc-per-node={processes}", "-m"]
    return [*start, "mahtdiag", *JOB, *SMALL_BATCHES, "--out", str(out), *more]


def _begun(command: list[str], cwd: Path | None = None) -> "subprocess.Popen[bytes]":
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    nowhere = subprocess.DEVNULL
    return subprocess.Popen(command, env=environment, stdout=nowhere, stderr=nowhere, cwd=cwd)


def _ranks(out: Path) -> dict[int, int]:
    """Process numbers of those that work at a folder, by their rank; 0 of one that is alone."""
    found = {}
    for folder in Path("/proc").iterdir():
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0") if folder.name.isdigit() else []
            if os.fsencode(out) in words and b"torch.distributed.run" not in words:
                said = dict(
                    w.split(b"=", 1) for w in (folder / "environ").read_bytes().split(b"\0") if b"=" in w
                )
                found[int(said.get(b"RANK", b"0"))] = int(folder.name)
        except OSError:  # it has ended
            continue
    return found


def _bits(out: Path) -> list[bytes]:
    return [(out / name).read_bytes() for name in TABLES]


def killed(out: Path, processes: int, after_s: float, finished_by: int, reference: Path) -> Kill:
    """One run, of which the last process is killed after so many seconds, and which others finish."""
    job = _begun(_command(out, processes))
    time.sleep(after_s)
    there = _ranks(out)
    hit = bool(there)
    if hit:
        os.kill(there[max(there)], signal.SIGKILL)
    job.wait()
    more = ["--resume"] if (out / "run.json").exists() else []
    status = _begun(_command(out, finished_by, *more)).wait()
    names = {path.name for path in out.iterdir()}
    same = _bits(out) == _bits(reference) and names == {path.name for path in reference.iterdir()}
    return Kill(hit, status, same)


def _figures(folder: Path, processes: int, count: int, seed: int) -> list[Figure]:
    reference = folder / "reference"
    started = time.perf_counter()
    _begun(_command(folder / f"timed-{processes}", processes)).wait()
    whole = time.perf_counter() - started
    chance = random.Random(seed)
    kills = []
    for number in range(count):
        after, by = whole * chance.uniform(0.3, 1.0), chance.choice((1, 2, 3))
        kills.append(killed(folder / f"killed-{processes}-{number}", processes, after, by, reference))
    lost = sum(not (kill.same and kill.resumed == 0) for kill in kills)
    name = f"{processes} process{'es' if processes > 1 else ''}"
    return [
        Figure(f"{name}: killed while they ran", f"{sum(kill.hit for kill in kills)} of {count}"),
        Figure(f"{name}: not the same after --resume", str(lost), "0", lost == 0),
    ]


@dataclass(frozen=True, slots=True)
class Job:
    """A command that reads the runs `a` and `b` and writes into `work`; `outputs`: patterns of its files."""

    name: str
    arguments: tuple[str, ...]
    outputs: tuple[str, ...]


WRITERS = (
    Job("report", ("report", "a", "--out", "work/page.html"), ("page.html",)),
    Job("anatomy --csv", ("anatomy", "a", "--csv", "work/table.csv", "--no-pictures"), ("table.csv",)),
    Job(
        "compare --out",
        ("compare", "a", "b", "--out", "work/drawn", "--overlays", "worst:2"),
        ("drawn/*/*.png",),
    ),
    Job("export", ("export", "a", "--to", "coco", "--force", "work/out.json"), ("out.json",)),
)
EARLIER = b"what stood there before"


def _written(folder: Path, job: Job) -> dict[str, bytes]:
    """The files of a command, by their places."""
    work = folder / "work"
    found = (path for pattern in job.outputs for path in work.glob(pattern))
    return {path.relative_to(work).as_posix(): path.read_bytes() for path in found}


def _job(folder: Path, job: Job) -> "subprocess.Popen[bytes]":
    """Started among what stood there before: files of other content under the names that it will write."""
    shutil.rmtree(folder / "work", ignore_errors=True)
    (folder / "work").mkdir()
    for name in job.outputs:
        if "*" not in name:
            (folder / "work" / name).write_bytes(EARLIER)
    return _begun([sys.executable, "-m", "mahtdiag", *job.arguments], folder)


def whole(found: dict[str, bytes], reference: dict[str, bytes]) -> bool:
    """Whether every file is whole: as the earlier version was, or as the command writes it undisturbed."""
    return all(content in (EARLIER, reference.get(name)) for name, content in found.items())


def _writers(folder: Path, count: int) -> Iterator[Figure]:
    """Each command killed at random moments, then run again."""
    for name, checkpoint in (("a", "mahtnet-ap.pt"), ("b", "mahtnet-ap.pt")):
        more = () if name == "a" else ("--decode", "argmax")
        command = (
            "evaluate",
            str(SAMPLES / checkpoint),
            str(SAMPLES / "AP"),
            "--overlays",
            "none",
            "-q",
            *more,
        )
        _begun([sys.executable, "-m", "mahtdiag", *command, "--out", str(folder / name)]).wait()
    for job in WRITERS:
        started = time.perf_counter()
        _job(folder, job).wait()
        took = time.perf_counter() - started
        reference = _written(folder, job)
        chance, hit, torn = random.Random(job.name), 0, 0
        for _ in range(count):
            process = _job(folder, job)
            time.sleep(took * chance.uniform(0.3, 1.0))
            hit += process.poll() is None
            process.kill()
            process.wait()
            torn += not whole(_written(folder, job), reference)
        again = _begun([sys.executable, "-m", "mahtdiag", *job.arguments], folder).wait()
        names = {path.name for path in (folder / "work").rglob("*")}
        other = int(
            again not in (0, 1) or _written(folder, job) != reference or any(n.startswith(".") for n in names)
        )
        yield Figure(f"{job.name}: killed while it ran", f"{hit} of {count}")
        yield Figure(f"{job.name}: files neither as before nor whole", str(torn), "0", torn == 0)
        yield Figure(f"{job.name}: not the same when run again", str(other), "0", other == 0)


def run(count: int = KILLS) -> Iterator[Table]:
    """One table."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _begun(_command(folder / "reference", 1)).wait()
        rows = [row for processes in (1, 2) for row in _figures(folder, processes, count, seed=processes)]
        yield table("Runs that are killed by signal 9", rows)
        yield table("Files of commands that are killed by signal 9", list(_writers(folder, count)))
