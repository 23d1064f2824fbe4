"""Whether a run survives: processes of `evaluate` killed at random moments, finished with `--resume`.

One process, and one of two that `torchrun` has started, are ended by signal 9, of which nobody is told. What
is left is finished by one, two or three processes. It has survived if both tables then have the bits of a run
that nobody disturbed, and nothing else lies in the folder. Seeded; on Linux, where `/proc` tells processes.
"""

import os
import random
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
KILLS = 20
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


def _begun(command: list[str]) -> "subprocess.Popen[bytes]":
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    nowhere = subprocess.DEVNULL
    return subprocess.Popen(command, env=environment, stdout=nowhere, stderr=nowhere)


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


def run(count: int = KILLS) -> Iterator[Table]:
    """One table."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _begun(_command(folder / "reference", 1)).wait()
        rows = [row for processes in (1, 2) for row in _figures(folder, processes, count, seed=processes)]
    yield table("Runs that are killed by signal 9", rows)
