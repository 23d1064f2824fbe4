"""`init`: a commented `mahtdiag.toml` from a run, with gates at what it reached and a margin."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mahtdiag.anatomy.rules import LIMIT_BY_KEY, RULES
from mahtdiag.config.project_file import FILE_NAME, PROJECT_FILE, ProjectFile, file_text, toml_value
from mahtdiag.config.settings import KEYS, Value
from mahtdiag.data.files import recorded_path
from mahtdiag.diagnosis.gates import propose_gates
from mahtdiag.errors import RunFolderError, UsageError
from mahtdiag.models.checkpoint import IN_MEMORY, CheckpointFormat
from mahtdiag.models.formats import format_named
from mahtdiag.runs.document import RunDocument
from mahtdiag.runs.files import require_file, write_named
from mahtdiag.runs.reading import LATEST, RUNS, Run, open_run

OWN_COORDINATES = "network"
OF_FILE = ("decode", "uncertainty")
# 0 without labels as well, where nobody could look.
OF_LABELS = ("anatomy.level_shifts",)
KEPT_OF_EVALUATE = ("precision", "allow_failures", "expected_error")
TEMPLATE_HEADER = (
    "mahtdiag.toml: what a project fixes once; the command line wins over it.",
    "Take away the # of a key to set it; what is shown are the defaults, or examples.",
)


@dataclass(frozen=True, slots=True)
class InitRequest:
    """What a user asked for; `run` None means the latest, `margin` is a share (0.1 for 10 %)."""

    run: Path | None
    out: Path
    margin: float
    force: bool
    template: bool
    cwd: Path


@dataclass(frozen=True, slots=True)
class Source:
    """Where predictions come from: a checkpoint, `predictions`, a file of them, or a network in memory."""

    predictions: str | None = None
    in_memory: bool = False

    @staticmethod
    def of(document: RunDocument) -> "Source":
        """That of a run."""
        path = document.checkpoint.path if document.resolved.from_file else None
        return Source(path, IN_MEMORY in document.checkpoint.format.split(","))

    @property
    def is_checkpoint(self) -> bool:
        """Whether the file may name it."""
        return self.predictions is None and not self.in_memory


@dataclass(frozen=True, slots=True)
class Initialised:
    """The file that was written, how many gates it sets, the run it came from, and what is to be known.

    `source`: where the predictions of the run come from.
    """

    file: Path
    gates: int
    run: str | None
    needs_trust: bool
    notes: tuple[str, ...]
    source: "Source"


def initialise(request: InitRequest) -> Initialised:
    """Write the file.

    Raises UsageError where a file is in the way, RunFolderError where there is no finished run to start from.
    """
    file = request.cwd / request.out
    if request.out.name == PROJECT_FILE:
        raise UsageError(
            f"--out {request.out}: init writes a file of its own; write mahtdiag.toml, or copy its tables "
            "into [tool.mahtdiag] by hand"
        )
    if file.is_dir():
        raise UsageError(f"--out {request.out}: a folder; name a file, as in {request.out / FILE_NAME}")
    if os.path.lexists(file) and not request.force:
        raise UsageError(f"{request.out}: exists; overwrite it with --force or choose another --out")
    require_file("--out", request.out, request.cwd)
    notes, source = tuple[str, ...](), Source()
    if request.template:
        project, run = ProjectFile(TEMPLATE_HEADER), None
    else:
        found = _finished_run(request)
        project, notes = _project(found, request)
        run, source = project.baseline, Source.of(found.document)
    write_named("--out", request.out, file_text(project).encode(), request.cwd, fresh=not request.force)
    active = sum(len(gate.conditions) for gate in project.gates if gate.active)
    trust = "evaluate --trust" in project.header[1]
    return Initialised(request.out, active, run, trust, notes, source)


def _finished_run(request: InitRequest) -> Run:
    if request.run is None and not os.path.lexists(request.cwd / RUNS / LATEST):
        raise RunFolderError(
            f"no finished run in {RUNS}: run `mahtdiag evaluate CHECKPOINT DATA` first, name a run folder, "
            "or write a file without gates with --template"
        )
    run = open_run(request.run, request.cwd)
    if run.document.status != "complete":
        raise RunFolderError(f"{run.path}: the run is not finished; finish it with evaluate --resume first")
    if not run.document.images.evaluated:
        raise RunFolderError(f"{run.path}: no image was evaluated, so there is nothing to start from")
    return run


def _project(run: Run, request: InitRequest) -> tuple[ProjectFile, tuple[str, ...]]:
    document, folder = run.document, request.cwd / request.out.parent
    path = _seen_from(folder, str(run.path), request.cwd)
    evaluate = _other_than_shown("evaluate", document)
    known = _values("model", document)
    if known.get("decode") == OWN_COORDINATES:
        del known["decode"]
    source, labelled = Source.of(document), document.metrics is not None
    if source.predictions is not None:
        known = {name: value for name, value in known.items() if name not in OF_FILE}
    checkpoint = {"checkpoint": _checkpoint(document, folder, request.cwd)} if source.is_checkpoint else {}
    settings: dict[str, dict[str, Value]] = {
        "model": _settled(document, known) | checkpoint,
        "data": {
            **_values("data", document),
            "path": _seen_from(folder, document.data.path, request.cwd),
            "view": str(document.view),
            **_levels(document),
            **({} if labelled else {"no_labels": True}),
        },
        "evaluate": {name: evaluate[name] for name in KEPT_OF_EVALUATE if name in evaluate},
        "loss": _other_than_shown("loss", document),
        "calibration": _other_than_shown("calibration", document),
        **_anatomy(document),
    }
    proposed = propose_gates(document.model_dump(mode="json", by_alias=True), request.margin)
    project = ProjectFile(
        header=_header(document, path),
        settings=settings,
        known={"model": known},
        remarks=_remarks(document, request.margin),
        gates=tuple(gate for gate in proposed if labelled or gate.metric not in OF_LABELS),
        baseline=path,
        view=document.view,
    )
    return project, _notes(project, folder)


def _levels(document: RunDocument) -> dict[str, Value]:
    """The vertebrae of the run, where they are not the usual ones of its view."""
    skeleton = document.skeleton
    return {} if skeleton is skeleton.view.skeleton else {"levels": str(skeleton.levels)}


def _values(table: str, document: RunDocument) -> dict[str, Value]:
    """What the run was made with, by the keys of a table; those without a value are left out."""
    stored, found = document.resolved.table(table), dict[str, Value]()
    for key in KEYS[table]:
        value = stored.get(key.name)
        if isinstance(value, list):
            found[key.name] = tuple(map(str, value))
        elif isinstance(value, str | int | float | bool):
            found[key.name] = value
    return found


def _other_than_shown(table: str, document: RunDocument) -> dict[str, Value]:
    """What a comment with the default would not say."""
    shown = {key.name: key.shown for key in KEYS[table]}
    return {name: value for name, value in _values(table, document).items() if value != shown[name]}


def _settled(document: RunDocument, known: Mapping[str, Value]) -> dict[str, Value]:
    """Keys of `[model]` that the run was given, because its checkpoint does not say them."""
    given = document.resolved.given
    if given is None:
        given = () if _describes_itself(document) else tuple(known)
    return {name: value for name, value in known.items() if name in (*given, "factory", "args")}


def _formats(document: RunDocument) -> list[CheckpointFormat | None]:
    """How the checkpoints of a run are stored; those of an ensemble may differ. None: by another version."""
    return [format_named(name) for name in document.checkpoint.format.split(",")]


def _describes_itself(document: RunDocument) -> bool:
    return all(kind is not None and kind.describes_itself for kind in _formats(document))


def _anatomy(document: RunDocument) -> dict[str, dict[str, Value]]:
    """Rules and limits that are not the defaults of the view."""
    rules, limits = document.conditions.rules, document.conditions.limits.values
    return {
        "anatomy": {} if rules == RULES else {"select": tuple(rule.code for rule in rules)},
        "anatomy.limits": {
            key: limits[key]
            for key, spec in LIMIT_BY_KEY.items()
            if key in limits and limits[key] != spec.default(document.view)
        },
    }


def _checkpoint(document: RunDocument, folder: Path, cwd: Path) -> str:
    paths = [member.path for member in document.checkpoint.members] or [document.checkpoint.path]
    return ",".join(_seen_from(folder, path, cwd) for path in paths)


def _seen_from(folder: Path, path: str, cwd: Path) -> str:
    """A path of the current folder as it is written in a file in `folder`."""
    if os.path.isabs(path) and not Path(path).is_relative_to(cwd):
        return path
    same = folder.resolve() == cwd.resolve() and not os.path.isabs(path)
    return path if same else os.path.relpath(cwd / path, folder)


def _header(document: RunDocument, run: str) -> tuple[str, ...]:
    needs_trust = any(kind and (kind.carries_code or kind.needs_factory) for kind in _formats(document))
    evaluate = "evaluate --trust" if needs_trust else "evaluate"
    judged = "`anatomy`" if document.calibration is None else "`anatomy` and `calibration`"
    comma = " and" if document.calibration is None else ","
    enough = f"With it `mahtdiag {evaluate}`{comma} {judged} need no arguments."
    source = Source.of(document)
    if source.predictions is not None:
        enough = "The run read predictions from a file: `mahtdiag evaluate --predictions FILE` names it."
    elif source.in_memory:
        enough = "The network of the run was in memory: name a checkpoint, or use `mahtdiag.evaluate`."
    return (
        "mahtdiag.toml: what this project fixes once; the command line wins over it.",
        enough,
        f"Written from the run {toml_value(run)}: {document.images.evaluated} {document.view} images, "
        f"{document.started:%Y-%m-%d}.",
        "A key behind # is not set; what is shown is its default, or an example.",
    )


def _remarks(document: RunDocument, margin: float) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {
        "loss": ("The loss that the network was trained with.",),
        "gates": (
            f"What the run reached and {100 * margin:g} %: errors may grow by so much, shares may have so "
            "many more bad",
            "cases (at least 0.01). Any number of run.json can be limited, or an end of its 95 % interval",
            '("upper <= 4.0"), for one view ([gates.AP]) or vertebra; a number that is missing fails.',
        ),
    }
    if _describes_itself(document):
        found["model"] = ("The checkpoint says the rest itself; a key that is set here wins over it.",)
    if document.resolved.recalibrated:
        found["evaluate"] = ("The run multiplied σ by the factors of a file: name it as recalibration.",)
    return found


def _notes(project: ProjectFile, folder: Path) -> tuple[str, ...]:
    """What the file names and is not there: it was evaluated from another folder, or has been moved."""
    named = {"model": "checkpoint", "data": "path"}
    notes = []
    for table, key in named.items():
        if key not in project.settings[table]:
            continue
        text = str(project.settings[table][key])
        parts = [text] if recorded_path(folder, text).exists() else text.split(",")
        notes += [
            f"[{table}] {key}: {part} is not there; correct it in the file"
            for part in parts
            if not recorded_path(folder, part).exists()
        ]
    return tuple(notes)
