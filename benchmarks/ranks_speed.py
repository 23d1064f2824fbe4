"""Two processes with a core each against one with a core, by torchrun: the loop over the images alone.

The loop lasts from the moment that the run folder is opened until its parts are merged, so that what is done
once per run (imports, the closer look, tables) is in no row.
"""

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from rich.table import Table

from benchmarks.end_to_end import SAMPLES, fill_folder
from benchmarks.figures import Figure, at_least, table

IMAGES = 384
ROUNDS = 3
SIZE = "512x512"
FACTORY = """
import torch
from mahtdiag.models.mahtnet import MahtNet, MahtNetConfig
from mahtdiag.schema.skeleton import View

def build():
    torch.manual_seed(0)
    return MahtNet(MahtNetConfig(View.AP)).eval()
"""
_NULL = subprocess.DEVNULL


def _weights(folder: Path) -> None:
    code = "import torch, factory; torch.save(factory.build().state_dict(), 'net.pt')"
    subprocess.run([sys.executable, "-c", code], cwd=folder, env=_environment(), check=True)


def _environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(["", *sys.path])}


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def loop_seconds(folder: Path, ranks: int, out: str) -> float:
    """Seconds of the loop, each process has one core."""
    command = [sys.executable, "-m", "torch.distributed.run", f"--nproc-per-node={ranks}"]
    command += [f"--master-port={_free_port()}", "-m", "mahtdiag", "evaluate", "net.pt", "data", "--model"]
    command += [
        "factory:build",
        "--trust",
        "--view",
        "AP",
        "--input-size",
        SIZE,
        "--channels",
        "1",
        "--normalize",
    ]
    command += ["unit", "--heatmap-sigma", "1.5", "--workers", "1", "--overlays", "none", "-q", "--out", out]
    if ranks == 1:
        command = ["taskset", "-c", "0", *command]
    with subprocess.Popen(command, cwd=folder, env=_environment(), stdout=_NULL, stderr=_NULL) as process:
        opened = _seen(folder / out / "run.json", process)
        return _seen(folder / out / "images.parquet", process) - opened


def _seen(file: Path, process: "subprocess.Popen[bytes]") -> float:
    """When a file appears."""
    while not file.exists():
        if process.poll():
            raise RuntimeError(f"ended with {process.returncode} before there was {file.name}")
        time.sleep(0.005)
    return time.perf_counter()


def run() -> Iterator[Table]:
    """One table."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "data").mkdir()
        fill_folder(SAMPLES / "AP", folder / "data", IMAGES)
        (folder / "factory.py").write_text(FACTORY, encoding="utf-8")
        _weights(folder)
        rounds = [
            (loop_seconds(folder, 1, f"one{n}"), loop_seconds(folder, 2, f"two{n}")) for n in range(ROUNDS)
        ]
    one, two = (min(each) for each in zip(*rounds, strict=True))
    rows = [
        Figure("one process, one core", f"{one:.1f} s"),
        Figure("two processes, a core each", f"{two:.1f} s"),
    ]
    rows.append(at_least("how many times as fast", one / two, 1.8, "×"))
    yield table(f"torchrun: {IMAGES} images at {SIZE}, the built-in network on the CPU", rows)
