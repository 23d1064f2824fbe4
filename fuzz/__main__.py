"""Mutated files against every reader: no traceback, no hang, bounded memory, one line for each problem.

    python -m fuzz [TARGET …] [--inputs N | --total N] [--seed S] [--processes N]
    python -m fuzz TARGET --seed S --only NUMBER [--keep FOLDER]

Targets are the readers of annotations, by the names that `--data-format` takes, kinds of images and of
checkpoints, run folders, files of `--fit`, `mahtdiag.toml` and `pyproject.toml`, subgroups, predictions, and
texts nested without end in each of them. An input is a small valid set of which mostly one file is mutated;
it depends on target, seed and its number alone, so that `--only` does again what was
found, and `--keep` writes it to a folder. The exit status is 1 where anything was found: an inner error, more
than 5 s of the processor, more than 1 GB beyond the input itself, a file or folder written or removed, a
process or connection begun, a pickle that names a class to Python, or an answer that is not one short line.
"""

import argparse
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from fuzz.running import InputFolder, Outcome, rng_of, run_input, run_target, work
from fuzz.targets import NAMES, sleap_in_this_process, target_of

_MOST_SHOWN = 3


def main() -> int:
    """What the command line says; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m fuzz", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("targets", nargs="*", metavar="target", help=", ".join(NAMES))
    parser.add_argument("--inputs", type=int, default=1000, help="inputs of each target")
    parser.add_argument("--total", type=int, metavar="N", help="inputs of all targets together")
    parser.add_argument("--processes", type=int, default=1, help="targets that are tried at once")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, metavar="NUMBER", help="one input, in this process")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="with --only: where to write it")
    parser.add_argument("--as-users-do", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--work", type=int, nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    unknown = [name for name in arguments.targets if name not in NAMES]
    if unknown:
        parser.error(f"unknown: {', '.join(unknown)}; there are {', '.join(NAMES)}")
    if arguments.work is not None:
        work(arguments.targets[0], arguments.seed, *arguments.work, as_users_do=arguments.as_users_do)
        return 0
    if arguments.only is not None:
        if len(arguments.targets) != 1:
            parser.error("--only takes one target")
        return _again(arguments.targets[0], arguments.seed, arguments.only, arguments.keep)
    names = arguments.targets or list(NAMES)
    inputs = arguments.inputs if arguments.total is None else -(-arguments.total // len(names))
    return _all(names, arguments.seed, inputs, arguments.processes)


def _all(names: list[str], seed: int, inputs: int, processes: int) -> int:
    console = Console(width=120)
    outcomes = []
    began = time.monotonic()
    # Each is tried in a process of its own; the threads wait for them.
    with ThreadPoolExecutor(processes) as pool:
        for outcome in pool.map(lambda name: run_target(name, seed, inputs), names):
            outcomes.append(outcome)
            console.print(_table([outcome], seed))
            for fault in outcome.faults[:_MOST_SHOWN]:
                what = f"{outcome.target} --seed {seed} --only {fault.number}: {fault.kind}"
                console.print(what, highlight=False)
                console.print(fault.detail, markup=False, highlight=False, soft_wrap=True)
    if len(outcomes) > 1:
        console.print(_table(outcomes, seed))
        faults, count = sum(len(each.faults) for each in outcomes), sum(each.inputs for each in outcomes)
        console.print(f"{count:,} inputs, {faults} faults, {(time.monotonic() - began) / 60:.1f} min")
    return int(any(outcome.faults for outcome in outcomes))


def _table(outcomes: list[Outcome], seed: int) -> Table:
    table = Table(title=f"seed {seed}", title_justify="left", box=box.SIMPLE_HEAD)
    for column in ("target", "inputs", "read", "failures", "refused", "faults", "slowest", "memory", "time"):
        table.add_column(column, justify="left" if column == "target" else "right", no_wrap=True)
    for each in outcomes:
        answers = [f"{each.answers[kind]:,}" for kind in ("read", "failures", "refused")]
        table.add_row(
            each.target,
            f"{each.inputs:,}",
            *answers,
            str(len(each.faults)),
            f"{each.slowest_seconds:.2f} s",
            f"+{each.growth_mb:.0f} MB",
            f"{each.seconds:.0f} s",
        )
    return table


def _again(name: str, seed: int, number: int, keep: Path | None) -> int:
    """One input once more, its fault shown."""
    target = target_of(name)
    console = Console()
    with tempfile.TemporaryDirectory() as place, sleap_in_this_process():
        inputs = InputFolder(target, Path(place) / "set")
        if keep is not None:
            kept = InputFolder(target, keep)
            for path, change in target.changes(rng_of(name, seed, number)).items():
                kept.put(path, change)
        answer, fault, _ = run_input(target, inputs, seed, number)
    changed = ", ".join(target.changes(rng_of(name, seed, number)))
    console.print(f"{name} {number}: {changed}: {answer}", markup=False)
    if fault is not None:
        console.print(f"{fault.kind}\n{fault.detail}", markup=False, soft_wrap=True)
    return int(fault is not None)


if __name__ == "__main__":
    raise SystemExit(main())
