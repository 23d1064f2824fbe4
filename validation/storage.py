"""Whether files survive a file system that fails: every command that writes, at every step of its writing.

A step is an open, a write, a sync, a rename, a folder made or a file removed. At each of them in turn the
disk is full from then on, is broken once, is read-only from then on, or somebody removes the folder that is
written to. Where file systems may be mounted (Linux, as root), it is one in memory as well: really full at
sizes from none to enough, and really made read-only at each step.

A case has survived if the command says in a line for each file what is wrong, with options that it has, ends
with status 2, leaves every file as it was or whole and none of its own half-written ones, and does its work
when it is run again. What is optional may be missing with a note.
"""

import functools
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from xml.etree import ElementTree

import pyarrow.parquet as pq
from rich.table import Table

from benchmarks.figures import Figure, table
from validation.storage_faults import TAKES_NO_SPACE, Commands, Ended, Fault

ROOT = Path(__file__).parent.parent
SAMPLES = ROOT / "sample_data"
IMAGES = {"data": 10, "few": 3}
RUNS = {"a": "data", "b": "data --decode argmax", "c": "few", "d": "few --decode argmax"}
SIZES = 20
"""So many sizes of a file system are tried, about."""
INJECTED = (Fault.FULL, Fault.BROKEN, Fault.READ_ONLY, Fault.REMOVED)
VOLATILE = ("started", "seconds", "environment")
TIMES = re.compile(rb'(timestamp|time)="[^"]*"|\d+(\.\d+)? s\b')
DEMO_PAGES = ("out/network.html", "out/labels.html")
RUN_NAME = re.compile(r"\d{8}T\d{6}Z")
TEMPORARY = ".tmp-"
NOTES = ("not written", "no overlays", "no plots", "not updated")
Files = dict[str, bytes]


@dataclass(frozen=True, slots=True)
class Job:
    """A command, run beside the runs `a` and `b` of ten images, `c` and `d` of three.

    `before`: a command that has left earlier versions of its files; `removed`: the folder that somebody
    removes; `optional`: patterns of files that may be missing with a note; `again`: what is typed instead
    once there is a run; `only`: what the steps that are tried have in their path; `every`: each of so many of
    them is tried.
    """

    name: str
    typed: str
    removed: str
    before: str = ""
    optional: tuple[str, ...] = ()
    again: str = ""
    only: str = ""
    every: int = 1
    interrupted: bool = False


EVALUATE = "evaluate ../ckpt.pt ../few --batch-size 1 --workers 2 --overlays worst:2 --out run"
LATEST = ("runs/*",)
JOBS = (
    Job("evaluate", EVALUATE, "run", optional=LATEST, again=f"{EVALUATE} --resume"),
    Job("evaluate --resume", f"{EVALUATE} --resume", "run", optional=LATEST, interrupted=True),
    Job("evaluate --junit", f"{EVALUATE} --junit out/j.xml --markdown out/m.md", "out",
        before="anatomy c --no-pictures --junit out/j.xml --markdown out/m.md", optional=LATEST,
        only="/out/", again=f"{EVALUATE} --resume --junit out/j.xml --markdown out/m.md"),
    Job("report", "report c", "c", before="report c --images none"),
    Job("report --out", "report c --out out/page.html", "out", before="report d --out out/page.html"),
    Job("anatomy", "anatomy c --overlays all", "c/anatomy",
        before="anatomy c --overlays all --overlay-style paper", optional=("c/anatomy/*",)),
    Job("anatomy --csv", "anatomy c --no-pictures --csv out/table.csv", "out",
        before="anatomy --labels ../data --csv out/table.csv"),
    Job("anatomy --labels",
        "anatomy --labels ../few --out out --overlays all --report out/l.html --csv out/t.csv", "out",
        before="anatomy --labels ../data --report out/l.html --csv out/t.csv"),
    Job("calibration", "calibration c", "c/calibration", optional=("c/calibration/*",)),
    Job("calibration --fit", "calibration c --fit out/factors.json --factors core --no-pictures", "out",
        before="calibration d --fit out/factors.json --factors core --no-pictures"),
    Job("compare --out", "compare a b --out out --overlays worst:2", "out",
        before="compare a b --out out --overlays worst:1"),
    Job("figures", "figures c --figure error-curve --figure losses", "c/figures",
        before="figures c --figure losses"),
    Job("figures --out", "figures c --out out/new --figure losses", "out"),
    Job("export coco", "export c --to coco out/e.json --force", "out",
        before="export d --to coco out/e.json"),
    Job("export labelstudio", "export c --to labelstudio out/e.json --force", "out",
        before="export d --to labelstudio out/e.json"),
    Job("export yolo", "export c --to yolo out --force", "out", before="export d --to yolo out"),
    Job("export labelme", "export c --to labelme out/new", "out"),
    Job("init", "init c --out out/m.toml --force", "out", before="init d --out out/m.toml"),
    Job("demo", "demo --out out", "out", every=40),
)  # fmt: skip


def files_of(folder: Path) -> Files:
    """What lies in a folder, links and folders included; of `run.json` what does not tell the time.

    Runs that are named by the time are named by their order.
    """
    found = {}
    numbers: dict[str, str] = {}

    def timeless(name: str) -> str:
        return RUN_NAME.sub(lambda run: numbers.setdefault(run[0], f"run {len(numbers) + 1}"), name)

    for path in sorted(folder.rglob("*")):
        name = timeless(path.relative_to(folder).as_posix())
        if path.is_symlink():
            found[name] = os.fsencode(timeless(os.readlink(path)))
        elif path.is_dir():
            found[f"{name}/"] = b""
        else:
            found[name] = _timeless(name, path.read_bytes())
            if path.name == "latest":
                # A text, where there cannot be a link.
                found[name] = found[name].strip()
    return found


def _timeless(name: str, content: bytes) -> bytes:
    if name.endswith("run.json") and content.endswith(b"}\n"):
        document = json.loads(content)
        return json.dumps({key: value for key, value in document.items() if key not in VOLATILE}).encode()
    if name in DEMO_PAGES and content.rstrip().endswith(b"</html>"):
        # They tell the times of their runs.
        return b"a whole page"
    return TIMES.sub(b"", content) if name.endswith((".xml", ".md")) else content


def torn(found: Files, earlier: Files, reference: Files) -> list[str]:
    """Files that are neither as they were nor whole; those of a run that goes on are if they can be read."""
    return [
        name
        for name, content in found.items()
        if TEMPORARY not in name
        and not name.endswith((".lock", "/"))
        and content not in (earlier.get(name), reference.get(name))
        and not _readable(name, content)
        and not _names_a_run(name, content, found)
    ]


def _names_a_run(name: str, content: bytes, found: Files) -> bool:
    """Whether it is the link to the latest run, to one that is finished: the demo makes three."""
    run = f"{name.removesuffix('latest')}{os.fsdecode(content)}/images.parquet"
    return name.endswith("runs/latest") and run in found


def _readable(name: str, content: bytes) -> bool:
    """What a run holds before it is finished, and what is told to a pipeline that it is not."""
    try:
        if name.endswith(".parquet"):
            pq.read_table(io.BytesIO(content))
        elif name.endswith(".xml"):
            ElementTree.fromstring(content)
        elif name.endswith("run.json"):
            json.loads(content)
        else:
            return name.endswith("m.md") and content.startswith(b"#") and content.endswith(b"\n")
    except Exception:
        return False
    return True


@dataclass(slots=True)
class Tally:
    """What became of the cases of a command."""

    cases: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    said: list[str] = field(default_factory=list)

    def add(self, kind: str, what: str) -> None:
        """One more that did not survive."""
        self.faults[kind] += 1
        self.said.append(f"{kind}: {what}")


class Study:
    """A command, its folder, and what it leaves when nothing goes wrong."""

    def __init__(self, job: Job, commands: Commands, runs: Path) -> None:
        self.job, self.commands = job, commands
        self.template, self.work = commands.scratch / "template", runs / "work"
        shutil.rmtree(self.template, ignore_errors=True)
        self.template.mkdir()
        for name in RUNS:
            if f" {name} " in f" {job.typed} {job.before} ":
                shutil.copytree(runs / name, self.template / name)
        self._set_up()
        if job.interrupted:
            self._interrupt(job.typed.removesuffix(" --resume"))
        elif job.before:
            ended = commands.run(job.before, self.work)
            assert ended.status in (0, 1), ended.err
        shutil.rmtree(self.template)
        shutil.copytree(self.work, self.template, symlinks=True)
        self.earlier = files_of(self.work)
        self.undisturbed = commands.run(job.typed, self.work)
        assert self.undisturbed.status in (0, 1), self.undisturbed.err
        self.reference = files_of(self.work)
        self.written = {name for name, content in self.reference.items() if content != self.earlier.get(name)}
        self.tally = Tally()
        self._tried_again: set[frozenset[tuple[str, bytes]]] = set()

    def _interrupt(self, fresh: str) -> None:
        """A run that found the disk full in the middle."""
        steps = self.commands.run(fresh, self.work).steps
        parts = [
            n for n, step in enumerate(steps, 1) if step.startswith("replace") and "/parts/images/" in step
        ]
        self._set_up()
        self.commands.run(fresh, self.work, Fault.FULL, parts[0] + 3)

    def _set_up(self) -> None:
        for entry in self.work.iterdir():
            shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()
        shutil.copytree(self.template, self.work, symlinks=True, dirs_exist_ok=True)

    def inject(self, fault: Fault, every: int = 1) -> None:
        """A fault at every step that it can hit, or at some of them."""
        steps = self.undisturbed.steps
        last = max(n for n, step in enumerate(steps, 1) if self._named(step))
        hit = [
            n for n, step in enumerate(steps, 1) if _can_hit(fault, step, n, last) and self.job.only in step
        ]
        for at in hit[:: every * self.job.every]:
            self._set_up()
            removed = self.work if fault is Fault.REMOUNTED else self.work / self.job.removed
            if fault is Fault.REMOVED:
                removed.mkdir(parents=True, exist_ok=True)
            ended = self.commands.run(self.job.typed, self.work, fault, at, str(removed))
            if fault is Fault.REMOUNTED:
                mounted(self.work, "remount,rw")
            step = steps[at - 1]
            removable = fault in (Fault.FULL, Fault.REMOVED) or (
                fault is Fault.BROKEN and step.split()[0] not in TAKES_NO_SPACE
            )
            gone = map(self._named, steps[: at - 1]) if fault is Fault.REMOVED else ()
            where = f"{fault} at step {at}, {step}"
            self.judge(ended, where, fault, removable=removable, gone=frozenset(filter(None, gone)))

    def _named(self, step: str) -> str | None:
        """The file that it gives its name in the folder that may be removed."""
        kind, _, place = step.partition(" ")
        path = self.work / place
        if kind != "replace" or not path.is_relative_to(self.work / self.job.removed):
            return None
        return path.relative_to(self.work).as_posix()

    def fill(self) -> None:
        """The file system really is full, at sizes from none to enough."""
        self._set_up()
        used = _used(self.work)
        needed = sum(len(self.reference[name]) + 4096 for name in self.written)
        step = max(4096, needed // SIZES // 4096 * 4096)
        for size in range(used, used + 3 * needed + step, step):
            self._set_up()
            mounted(self.work, f"remount,size={size}")
            ended = self.commands.run(self.job.typed, self.work)
            enough = ended.status == self.undisturbed.status and files_of(self.work) == self.reference
            mounted(self.work, "remount,size=1g")
            self.judge(ended, f"{size - used} bytes where about {needed} are needed", Fault.FULL)
            if enough:
                return

    def judge(
        self,
        ended: Ended,
        where: str,
        fault: Fault,
        *,
        removable: bool = True,
        gone: frozenset[str] = frozenset(),
    ) -> None:
        """Count a case by how the command ended and what it has left.

        `removable`: files can be removed; `gone`: those that were whole when somebody removed them.
        """
        found, job = files_of(self.work), self.job
        missing = {name for name in self.written - gone if found.get(name) != self.reference[name]}
        wanted = {name for name in missing if not any(fnmatch(name, pattern) for pattern in job.optional)}
        as_usual = ended.status == self.undisturbed.status
        known = options_of(job.typed.split()[0])
        left = [name for name in found if TEMPORARY in name]
        wrong = {
            "torn": torn(found, self.earlier, self.reference),
            "left": left if removable else [],
            "traceback": ["!"] if ended.traceback else [],
            "status": sorted(wanted or "!") if not (ended.status == 2 or (as_usual and not wanted)) else [],
            "lines": _badly_said(ended),
            "silent": sorted(missing) if as_usual and missing and not _noted(ended) else [],
            "advice": [option for option in advised(ended.errors) if option not in known],
            # What is done may well say that it is.
            "again": [] if as_usual and not missing else self._again(found, fault),
        }
        self.tally.cases += 1
        for kind, what in wrong.items():
            if what:
                self.tally.add(kind, f"{job.name}, {where}: {ended.status} {ended.err[-300:]!r} {what[:5]}")

    def _again(self, found: Files, fault: Fault) -> list[str]:
        """What is not the same when it is run again, once for all cases that have left the same."""
        job = self.job
        state = frozenset((re.sub(r"\.tmp-\d+", TEMPORARY, name), content) for name, content in found.items())
        gone = fault is Fault.REMOVED and any(n.startswith("c/") and n not in found for n in self.earlier)
        # A folder of the demo that is there is left as it is, which the command says.
        refused = job.name == "demo" and "out/" in found
        if state in self._tried_again or gone or refused or (job.interrupted and "run/run.json" not in found):
            return []
        self._tried_again.add(state)
        begun = "run/run.json" in found
        ended = self.commands.run(job.again if begun and job.again else job.typed, self.work)
        left = files_of(self.work)
        other = {name for name in {*left, *self.reference} if left.get(name) != self.reference.get(name)}
        if fault is Fault.REMOVED:
            # What lay in the folder before is gone with it.
            other &= {*self.written, *left}
        wrong = [f"status {ended.status}: {ended.err}"] if ended.status != self.undisturbed.status else []
        return [*wrong, *sorted(other)]


def _can_hit(fault: Fault, step: str, number: int, last: int) -> bool:
    """Whether it matters there: what is removed once all files have their names was whole before."""
    if fault is Fault.REMOVED:
        return number <= last
    return fault is not Fault.FULL or step.split()[0] not in TAKES_NO_SPACE


def _badly_said(ended: Ended) -> list[str]:
    """The errors, unless each is of another file."""
    about = {line.split(": ")[1] for line in ended.errors}
    well = ended.status != 2 or len(about) == len(ended.errors) > 0
    return [] if well else ended.errors or ["none"]


def _noted(ended: Ended) -> bool:
    return any(word in " ".join(f"{ended.out} {ended.err}".split()) for word in NOTES)


def advised(errors: Sequence[str]) -> list[str]:
    """The options that errors advise, after the files that they name."""
    return [option for line in errors for option in re.findall(r"--[a-z-]+", line.rpartition("; ")[2])]


@functools.cache
def options_of(command: str) -> frozenset[str]:
    """What `--help` of a command lists."""
    if command == "demo":
        # What it types is told with its error.
        return frozenset().union(*map(options_of, ("evaluate", "compare", "report", "anatomy")))
    asked = [sys.executable, "-m", "mahtdiag", command, "--help"]
    environment = {**os.environ, "COLUMNS": "200"}
    done = subprocess.run(asked, capture_output=True, text=True, check=True, cwd=ROOT, env=environment)
    return frozenset(re.findall(r"--[a-z-]+", done.stdout))


def mounted(folder: Path, how: str) -> bool:
    """Whether a file system in memory could be mounted there, or mounted otherwise."""
    command = ["mount", "-t", "tmpfs", "-o", how, "tmpfs", str(folder)]
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def _used(folder: Path) -> int:
    said = os.statvfs(folder)
    return (said.f_blocks - said.f_bfree) * said.f_frsize


def prepared(scratch: Path, names: Sequence[str] = tuple(RUNS)) -> tuple[Commands, Path]:
    """Commands to run, and a folder with images, runs, and an empty `work`."""
    runs = scratch / "runs"
    work = runs / "work"
    work.mkdir(parents=True)
    shutil.copy(SAMPLES / "mahtnet-ap.pt", runs / "ckpt.pt")
    for name, count in IMAGES.items():
        (runs / name).mkdir()
        for path in sorted((SAMPLES / "AP").iterdir())[: 2 * count]:
            shutil.copy(path, runs / name)
    commands = Commands(scratch)
    for name in names:
        commands.run(f"evaluate ../ckpt.pt ../{RUNS[name]} --overlays none -q --out {name}", work)
        shutil.move(work / name, runs / name)
    shutil.rmtree(work / "runs", ignore_errors=True)
    return commands, runs


FIGURES = {
    "torn": "files neither as before nor whole",
    "left": "half-written files left",
    "traceback": "tracebacks",
    "status": "another exit status",
    "lines": "not told in one line for each file",
    "silent": "something missing without a note",
    "advice": "advice that the command does not take",
    "again": "not the same when run again",
}


def figures(tallies: dict[str, Tally]) -> Iterator[Figure]:
    """The cases of each command, and how many of them all did not survive, by kind."""
    for name, tally in tallies.items():
        yield Figure(f"{name}: cases", str(tally.cases))
    for kind, words in FIGURES.items():
        count = sum(tally.faults[kind] for tally in tallies.values())
        yield Figure(f"all: {words}", str(count), "0", count == 0)


def studied(jobs: Sequence[Job], faults: Sequence[Fault], *, really: bool) -> dict[str, Tally]:
    """Each command with faults that are injected, or in a file system that really fails; none without one."""
    tallies = {}
    with tempfile.TemporaryDirectory() as name:
        commands, runs = prepared(Path(name))
        if really and not mounted(runs / "work", "size=1g"):
            commands.close()
            return {}
        try:
            for job in jobs:
                study = Study(job, commands, runs)
                for fault in faults:
                    study.inject(fault)
                if really:
                    study.fill()
                tallies[job.name] = study.tally
                sys.stderr.writelines(f"{line}\n" for line in study.tally.said)
        finally:
            commands.close()
            if really:
                subprocess.run(["umount", str(runs / "work")], capture_output=True, check=False)
    return tallies


def run() -> Iterator[Table]:
    """Two tables."""
    injected = studied(JOBS, INJECTED, really=False)
    yield table("A disk that fails at every step of writing", list(figures(injected)))
    found = studied(JOBS, (Fault.REMOUNTED,), really=True)
    rows = list(figures(found)) if found else [Figure("file systems cannot be mounted here", "skipped")]
    yield table("A file system in memory that is full or made read-only", rows)
