"""`demo`: a small sample that travels with the package, and the commands that are typed on it."""

import os
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from itertools import count
from pathlib import Path
from typing import Final

from mahtdiag.errors import ExitStatus, UsageError
from mahtdiag.runs.files import write_named_folder

SAMPLE: Final = "sample"
MISTAKES: Final = "mistakes"
DATA, MISLABELLED, PLANTED = "data", "mislabelled", "planted.csv"
HEALTHY, SHORT, AUDIT = "1", "2", "3"
"""The runs by their numbers, so that what is typed may be typed again."""
ERROR: Final = "radial_error_mm.mean"
MARGIN: Final = f"{ERROR}=0.2"
PAGES: Final = ("network.html", "labels.html")


@dataclass(frozen=True, slots=True)
class Step:
    """A command of the demo: why it is typed, its words after `mahtdiag`, and how it has to end."""

    why: str
    typed: tuple[str, ...]
    status: ExitStatus

    @staticmethod
    def of(why: str, typed: str, status: ExitStatus = ExitStatus.OK) -> "Step":
        """From a command in one line."""
        return Step(why, tuple(typed.split()), status)


STEPS: Final = (
    Step.of("A healthy network: run 1", f"evaluate healthy.pt {DATA} -q"),
    Step.of("The same network, its training cut off early: run 2", f"evaluate short.pt {DATA} -q",
            ExitStatus.GATE_FAILED),
    Step.of("Is it worse by more than 0.2 mm, beyond chance?",
            f"compare {HEALTHY} {SHORT} --margin {MARGIN} -q", ExitStatus.GATE_FAILED),
    Step.of("What is wrong with it, as a page", f"report {SHORT} --out {PAGES[0]}", ExitStatus.GATE_FAILED),
    Step.of("Labels with planted mistakes, judged by rules of anatomy alone",
            f"anatomy --labels {MISLABELLED} --csv labels.csv -q", ExitStatus.GATE_FAILED),
    Step.of("The same labels, judged by the healthy network as well: run 3",
            f"evaluate healthy.pt {MISLABELLED} -q", ExitStatus.GATE_FAILED),
    Step.of("Which labels are to be corrected, as a page", f"report {AUDIT} --out {PAGES[1]}",
            ExitStatus.GATE_FAILED),
)  # fmt: skip
"""What is typed, in the folder of the demo, in this order."""


def unpack(out: Path, cwd: Path) -> None:
    """Write the sample into a folder that is not there yet, or is empty. Raises UsageError."""
    target = cwd / out
    try:
        taken = target.is_symlink() or (target.exists() and (not target.is_dir() or any(target.iterdir())))
    except OSError as error:
        reason = error.strerror or str(error)
        raise UsageError(f"--out {out}: cannot be read ({reason}); name another folder") from error
    if taken:
        typed = f"mahtdiag demo --out {shlex.quote(str(_free(out, cwd)))}"
        raise UsageError(f"--out {out}: is there already, and is left as it is; type: {typed}")
    write_named_folder("--out", out, dict(_unpacked()), cwd)


def _free(out: Path, cwd: Path) -> Path:
    """The first name of its kind that is nobody's: `mahtdiag-demo-2`."""
    names = (out.with_name(f"{out.name or 'demo'}-{number}") for number in count(2))
    return next(name for name in names if not os.path.lexists(cwd / name))


def _unpacked() -> Iterator[tuple[str, bytes]]:
    """Every file of the demo's folder: the sample, and its data once more with mistakes in the labels."""
    sample = dict(_files(files(__package__) / SAMPLE))
    for name, content in sample.items():
        folder, _, file = name.rpartition("/")
        if folder != MISTAKES:
            yield name, content
        if folder == DATA:
            yield f"{MISLABELLED}/{file}", sample.get(f"{MISTAKES}/{file}", content)


def _files(folder: Traversable, before: str = "") -> Iterator[tuple[str, bytes]]:
    """Names below a folder of the package, with `/`, and contents."""
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        name = f"{before}{entry.name}"
        if entry.is_dir():
            yield from _files(entry, f"{name}/")
        else:
            yield name, entry.read_bytes()
