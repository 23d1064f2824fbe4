"""Writing a commented `mahtdiag.toml`: every key with its meaning, those not set as comments."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from mahtdiag.anatomy.rule import LimitSpec
from mahtdiag.anatomy.rules import LIMIT_BY_KEY, RULES
from mahtdiag.config.settings import KEYS, Key, Value
from mahtdiag.diagnosis.proposals import ProposedGate
from mahtdiag.schema.skeleton import View

ALIGNED, GATES_ALIGNED = 34, 47


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
        if table == "anatomy":
            lines += _limits(project)
    return "\n".join([*lines, *_gates(project)]) + "\n"


def _line(key: Key, given: Mapping[str, Value], known: Mapping[str, Value]) -> str:
    if key.name in given:
        return _aligned(f"{key.name} = {toml_value(given[key.name])}", key.meaning)
    return _aligned(f"# {key.name} = {toml_value(known.get(key.name, key.shown))}", key.meaning)


def _aligned(setting: str, meaning: str) -> str:
    return f"{setting:<{ALIGNED}}  # {meaning}" if meaning else setting


def _limits(project: ProjectFile) -> Iterator[str]:
    yield from ("", "[anatomy.limits]")
    given = project.settings.get("anatomy.limits", {})
    for rule in RULES:
        for limit in rule.limits:
            default = limit.default(project.view)
            meaning = f"{limit.unit}, {limit.fires}: {rule.title}{_other_view(limit, project.view)}"
            is_set = limit.key in given
            setting = f"{limit.key} = {toml_value(given.get(limit.key, default))}"
            yield _aligned(setting if is_set else f"# {setting}", meaning)
    example = LIMIT_BY_KEY["A201"]
    for view in View:
        yield _aligned(f"# [anatomy.{view}]", f"limits of {view} alone, over those above")
        yield f"# {example.key} = {toml_value(example.default(view))}"


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
    yield from (
        "# [gates.baseline]                # no worse than a stored run, image by image",
        f"# run = {run}",
        '# "radial_error_px.mean" = "+5 %"',
    )


def toml_value(value: Value | Sequence[str]) -> str:
    """A value as TOML writes it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        # JSON escapes what TOML wants escaped, but for one sign.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, (int, float)):
        return repr(value)
    return f"[{', '.join(toml_value(item) for item in value)}]"
