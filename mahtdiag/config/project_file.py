"""`mahtdiag.toml` or `[tool.mahtdiag]`: found and read with all its problems at once, and written anew."""

import difflib
import os
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from mahtdiag.anatomy.limit import LimitSpec
from mahtdiag.anatomy.rules import LIMIT_BY_KEY, RULES
from mahtdiag.config.gates import LONGEST_SHOWN, read_gates
from mahtdiag.config.gates import SECTION as GATES
from mahtdiag.config.settings import KEYS, SettingKey, Settings, Value
from mahtdiag.config.values import WRONG_LIMITS
from mahtdiag.diagnosis.gates import ProposedGate
from mahtdiag.errors import UsageError
from mahtdiag.opening import read_bytes
from mahtdiag.schema.json_values import has_more
from mahtdiag.schema.safe_text import brief, toml_text, unrecorded
from mahtdiag.schema.skeleton import Skeleton, View, skeleton_said

FILE_NAME = "mahtdiag.toml"
_LONGEST_KEY = 100
_LARGEST_BYTES = 2**20
_MOST_DEEP = 30
_MOST_PARTS = 100
_MOST_VALUES = 5_000
_PART = r"""(?:[\w-]+|"[^"\n]*"|'[^'\n]*')[ \t]*\.[ \t]*"""
_LONG_KEY = re.compile(rf"(?<![\w-])(?:{_PART}){{{_MOST_PARTS}}}")
PROJECT_FILE = "pyproject.toml"
# Columns at which the comments of a new file begin.
MEAN_ERRORS = ("radial_error_mm.mean", "radial_error_px.mean")
ALIGNED, GATES_ALIGNED = 34, 47


def read_settings(path: Path | None, cwd: Path) -> Settings:
    """The settings of the given file, else of `./mahtdiag.toml`, else of `[tool.mahtdiag]`, else none.

    Paths in a file begin at its folder.

    Raises UsageError, one line per problem: unreadable file, invalid TOML, unknown keys (with the nearest
    known one), wrong types and impossible values.
    """
    if path is not None:
        settings = parse_settings(_section(path), str(path))
        return based_in(Path() if _is_folder(path.parent, cwd) else path.parent, settings, cwd)
    for name in (FILE_NAME, PROJECT_FILE):
        # A folder or a broken link of that name is an error too: gates must not be lost in silence.
        if os.path.lexists(cwd / name):
            table = _section(cwd / name)
            if table or name == FILE_NAME:
                return based_in(Path(), parse_settings(table, name), cwd)
    return Settings()


def _is_folder(folder: Path, cwd: Path) -> bool:
    return (cwd / folder).resolve() == cwd.resolve()


def based_in(folder: Path, settings: Settings, cwd: Path) -> Settings:
    """The same with the paths of a file that lies in `folder`, as they are seen from the current folder.

    A name that is no UTF-8, which TOML cannot hold, is written with the escapes of records, `d\\xff`.
    """

    def seen(path: str) -> str:
        meant = unrecorded(path)
        path = meant if os.path.lexists(cwd / folder / meant) else path
        return path if folder == Path() else str(folder / path)

    def checkpoints(text: str) -> str:
        """Of an ensemble each; the name of an existing file is one checkpoint."""
        parts = [text] if os.path.exists(cwd / seen(text)) else text.split(",")
        return ",".join(seen(part.strip()) if part.strip() else part for part in parts)

    model, data, evaluate, gates = settings.model, settings.data, settings.evaluate, settings.gates
    if model.checkpoint is not None:
        model = model.model_copy(update={"checkpoint": checkpoints(model.checkpoint)})
    if data.path is not None:
        data = data.model_copy(update={"path": seen(data.path)})
    if data.subgroups is not None:
        data = data.model_copy(update={"subgroups": seen(data.subgroups)})
    if data.labels2 is not None:
        data = data.model_copy(update={"labels2": seen(data.labels2)})
    if evaluate.recalibration is not None:
        evaluate = evaluate.model_copy(update={"recalibration": seen(evaluate.recalibration)})
    if gates.baseline is not None:
        gates = replace(gates, baseline=replace(gates.baseline, run=seen(gates.baseline.run)))
    changed = {"model": model, "data": data, "evaluate": evaluate, "gates": gates}
    return settings.model_copy(update=changed)


def _section(path: Path) -> Mapping[str, Any]:
    try:
        # Some editors begin a file with a byte order mark.
        text = read_bytes(path, _LARGEST_BYTES).decode("utf-8-sig")
        # What reads TOML takes the square of the parts of a key.
        if _LONG_KEY.search(text):
            raise UsageError(f"{path}: a key of more than {_MOST_PARTS} parts; no key is")
        content: Mapping[str, Any] = tomllib.loads(text)
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror})") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: not valid TOML: {error}") from None
    except ValueError:
        raise UsageError(f"{path}: not valid TOML: a number of absurd length") from None
    except RecursionError:
        raise UsageError(f"{path}: not valid TOML: tables or lists are nested too deeply") from None
    if _is_deep(content):
        raise UsageError(f"{path}: tables or lists are nested more than {_MOST_DEEP} deep; no key is")
    if path.name == PROJECT_FILE:
        tool = content.get("tool")
        table = tool.get("mahtdiag", {}) if isinstance(tool, Mapping) else {}
        if not isinstance(table, Mapping):
            raise UsageError(f"{path}: tool.mahtdiag = {_shown(table)}: expected a table, [tool.mahtdiag]")
        content = table
    if has_more(content, _MOST_VALUES):
        raise UsageError(f"{path}: more than {_MOST_VALUES:,} values; no configuration has as many")
    return content


def _is_deep(content: Mapping[str, Any]) -> bool:
    """Whether tables and lists are nested as no key of ours is, level by level."""
    level: list[Any] = [content]
    for _ in range(_MOST_DEEP):
        inner = [[*each.values()] if isinstance(each, Mapping) else each for each in level]
        level = [value for values in inner for value in values if isinstance(value, Mapping | list)]
        if not level:
            return False
    return True


def parse_settings(table: Mapping[str, Any], where: str) -> Settings:
    """Validate a table; `where` names its source in messages."""
    data = table.get("data")
    levels = data.get("levels") if isinstance(data, Mapping) else None
    gates, problems = read_gates(table.get(GATES, {}), levels)
    try:
        settings = Settings.model_validate({key: value for key, value in table.items() if key != GATES})
    except ValidationError as error:
        problems = (*describe(error, Settings), *problems)
    if problems:
        raise UsageError(*(brief(f"{where}: {' '.join(problem.splitlines())}") for problem in problems))
    return settings.model_copy(update={GATES: gates})


def _clipped(key: str) -> str:
    return key if len(key) <= _LONGEST_KEY else f"{key[:_LONGEST_KEY]}…"


def describe(error: ValidationError, model: type[BaseModel]) -> tuple[str, ...]:
    """One line per problem: the key, what is wrong, and the nearest known key for an unknown one."""
    lines = []
    for item in error.errors():
        keys = [_clipped(str(part)) for part in item["loc"]]
        if item["type"] == WRONG_LIMITS:
            table, found = ".".join(keys), item["ctx"]
            lines += [
                f"unknown key {table}.{_clipped(key)}; {hint[:1].lower()}{hint[1:]}"
                for key, hint in found["unknown"].items()
            ]
            lines += [f"{table}.{problem}" for problem in found["wrong"]]
        elif item["type"] == "extra_forbidden":
            known = _known(model, keys[:-1])
            close = difflib.get_close_matches(keys[-1], known, 1, 0.5)
            hint = f"did you mean {close[0]}?" if close else f"known here: {', '.join(sorted(known))}"
            lines.append(f"unknown key {'.'.join(keys)}; {hint}")
        elif (
            keys[:2] == ["anatomy", "limits"]
            and keys[-1] in tuple(View)
            and isinstance(item["input"], Mapping)
        ):
            lines.append(f"unknown table [{'.'.join(keys)}]; did you mean [anatomy.{keys[-1]}]?")
        elif item["type"] in ("model_type", "dict_type"):
            lines.append(f"{'.'.join(keys)} = {_shown(item['input'])}: expected a table, [{'.'.join(keys)}]")
        else:
            message = item["msg"].removeprefix("Value error, ").replace("valid tuple", "list")
            # What is wrong with several keys of a table together is said of the table.
            together = len(keys) == 1 and isinstance(item["input"], Mapping)
            if together:
                lines.append(f"[{keys[0]}]: {message}")
            else:
                said = f"{message[:1].lower()}{message[1:]}"
                lines.append(f"{'.'.join(keys)} = {_shown(item['input'])}: {said}")
    return tuple(dict.fromkeys(lines))


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= LONGEST_SHOWN else f"{text[: LONGEST_SHOWN - 1]}…"


def _known(model: type[BaseModel], keys: Iterable[str]) -> list[str]:
    """Names allowed in the table that `keys` lead to."""
    for key in keys:
        field = model.model_fields.get(key)
        inner = field.annotation if field else None
        if not (isinstance(inner, type) and issubclass(inner, BaseModel)):
            return []
        model = inner
    return [field.alias or name for name, field in model.model_fields.items()]


@dataclass(frozen=True, slots=True)
class ProjectFile:
    """What a new file says.

    `settings`: values that are set, by table and key; `known`: values of keys that stay comments, in place of
    the defaults. `baseline`: a run that later ones may be compared with. `header`: lines of its beginning,
    `remarks` lines before the keys of a table; `view`: whose default limits are shown.
    """

    header: tuple[str, ...]
    settings: Mapping[str, Mapping[str, Value]] = field(default_factory=dict)
    known: Mapping[str, Mapping[str, Value]] = field(default_factory=dict)
    remarks: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    gates: tuple[ProposedGate, ...] = ()
    baseline: str | None = None
    view: View = View.AP


def file_text(project: ProjectFile) -> str:
    """The text of the file; `read_settings` takes it, and takes it with every comment of a key opened."""
    lines = [f"# {line}".rstrip() for line in project.header]
    for table, keys in KEYS.items():
        lines += ["", f"[{table}]", *(f"# {line}" for line in project.remarks.get(table, ()))]
        given, known = project.settings.get(table, {}), project.known.get(table, {})
        lines += [_line(key, given, known) for key in keys]
        if table == "data":
            lines += [
                _aligned(
                    "# [data.keypoints]", "names in annotation files that say no keypoint by themselves"
                ),
                '# v1 = "L1"',
                '# tip = "L1 UL"',
            ]
        if table == "anatomy":
            lines += _limits(project)
    return "\n".join([*lines, *_gates(project)]) + "\n"


def _line(key: SettingKey, given: Mapping[str, Value], known: Mapping[str, Value]) -> str:
    if key.name in given:
        return _aligned(f"{key.name} = {toml_value(given[key.name])}", key.meaning)
    return _aligned(f"# {key.name} = {toml_value(known.get(key.name, key.shown))}", key.meaning)


def _aligned(setting: str, meaning: str) -> str:
    return f"{setting:<{ALIGNED}}  # {meaning}" if meaning else setting


def _limits(project: ProjectFile) -> Iterator[str]:
    yield from ("", "[anatomy.limits]")
    given = project.settings.get("anatomy.limits", {})
    regions = _skeleton(project).regions
    for rule in RULES:
        for limit in rule.limits:
            if limit.key not in given and not (limit.region is None or limit.region in regions):
                continue
            default = limit.default(project.view)
            meaning = f"{limit.unit}, {limit.fires}: {rule.title}{_other_view(limit, project.view)}"
            is_set = limit.key in given
            setting = f"{limit.key} = {toml_value(given.get(limit.key, default))}"
            yield _aligned(setting if is_set else f"# {setting}", meaning)
    example = LIMIT_BY_KEY["A201"]
    for view in View:
        yield _aligned(f"# [anatomy.{view}]", f"limits of {view} alone, over those above")
        yield f"# {example.key} = {toml_value(example.default(view))}"


def _skeleton(project: ProjectFile) -> Skeleton:
    """What its images are marked with."""
    said = project.settings.get("data", {}).get("levels")
    return skeleton_said(project.view, said if isinstance(said, str) else None)


def _other_view(limit: LimitSpec, view: View) -> str:
    other = View.LA if view is View.AP else View.AP
    return "" if limit.ap == limit.la else f" ({other}: {limit.default(other):g})"


def _gates(project: ProjectFile) -> Iterator[str]:
    yield from ("", "[gates]", *(f"# {line}" for line in project.remarks.get("gates", ())))
    for gate in project.gates:
        conditions = [toml_value(text) for text in gate.conditions]
        value = conditions[0] if len(conditions) == 1 else f"[{', '.join(conditions)}]"
        setting = f"{'' if gate.active else '# '}{toml_value(gate.metric)} = {value}"
        yield f"{setting:<{GATES_ALIGNED}}  # {gate.value:.4g} in the run"
    yield ""
    run = toml_value(project.baseline or "runs/good")
    limited = {gate.metric for gate in project.gates}
    error = next((name for name in MEAN_ERRORS if name in limited), None if limited else MEAN_ERRORS[-1])
    yield from (
        "# [gates.baseline]                # no worse than a stored run, image by image",
        f"# run = {run}",
        f'# "{error}" = "+5 %"' if error else '# "anatomy.images_with_violations" = "+0.02"',
    )


def toml_value(value: Value | Sequence[str]) -> str:
    """A value as TOML writes it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return toml_text(value)
    if isinstance(value, (int, float)):
        return repr(value)
    return f"[{', '.join(toml_value(item) for item in value)}]"
