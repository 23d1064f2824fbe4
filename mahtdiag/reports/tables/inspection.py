"""What `inspect` tells of a checkpoint, as tables and as plain values."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Final

from mahtdiag.reports.rendering import Json
from mahtdiag.reports.tables.table import (
    INDENT,
    STANDARD_WIDTH,
    Cell,
    Line,
    Part,
    Style,
    Table,
    TableColumn,
    table,
)
from mahtdiag.reports.text import counted
from mahtdiag.schema.checkpoint_file import CheckpointFacts, CheckpointInspection, InputFact, TensorFact
from mahtdiag.schema.safe_text import one_line

MOST_SETS: Final = 20
MOST_CLASSES: Final = 8
_UNITS: Final = ((1 << 30, "GB"), (1 << 20, "MB"), (1 << 10, "kB"))


def inspection_parts(found: CheckpointInspection) -> Iterator[Part]:
    """The file, its weights, what lies beside them, one pass, and what to type."""
    yield _file_table(found)
    yield from _facts_parts(found.facts)
    if found.tree:
        yield _tree_table(found)
    for note in found.notes:
        yield Line(f"note: {one_line(note)}", Style.DIM)
    for problem in found.problems:
        yield Line(f"cannot be run: {one_line(problem)}", Style.BAD)
    if found.missing:
        yield table(
            "Missing",
            ("option", TableColumn("what it says", wraps="words")),
            ((option, one_line(why)) for option, why in found.missing.items()),
        )
    yield Line("To evaluate it:" if not found.missing else "To evaluate it, with capitals filled in:")
    yield from (Line(line, Style.STRONG) for line in _typed(found.command))


def _file_table(found: CheckpointInspection) -> Table:
    facts = found.facts
    trust = "yes, it runs code" if found.needs_trust else "no, no code of it runs"
    rows = [
        ("format", f"{found.format} ({found.title})"),
        ("size", f"{_size(found.size_bytes)} ({found.size_bytes:,} bytes)"),
        ("sha256", found.sha256),
        ("needs --trust", trust),
    ]
    if facts.declared is not None:
        rows.append(("declared input", _declared(facts.declared)))
    rows += [(f"declared {name}", one_line(form)) for name, form in facts.outputs.items()]
    if found.described:
        rows.append(("it says", " ".join(f"{k} {v}" for k, v in found.described.items())))
    if facts.classes:
        more = f" and {len(facts.classes) - MOST_CLASSES} more" if len(facts.classes) > MOST_CLASSES else ""
        rows.append(("classes", ", ".join(map(one_line, facts.classes[:MOST_CLASSES])) + more))
    if facts.first_channels is not None:
        taken = counted(facts.first_channels, "channel")
        rows.append(("convolutions", f"the first takes {taken}, the last gives {facts.last_channels}"))
    return table(one_line(found.path), (TableColumn(""), TableColumn("", wraps="anywhere")), rows)


def _typed(command: str) -> Iterator[str]:
    """The command in lines that a shell joins, broken before options."""
    first, *options = one_line(command).split(" --")
    lines = [INDENT + first]
    for option in options:
        if len(lines[-1]) + len(option) + len(" -- \\") > STANDARD_WIDTH:
            lines[-1] += " \\"
            lines.append(f"{INDENT}{INDENT}--{option}")
        else:
            lines[-1] += f" --{option}"
    yield from lines


def _facts_parts(facts: CheckpointFacts) -> Iterator[Part]:
    if facts.sets:
        yield _sets_table(facts)
    if facts.metadata:
        columns = (TableColumn("key", wraps="anywhere", most=40), TableColumn("value", wraps="anywhere"))
        rows = ((one_line(name), one_line(value)) for name, value in facts.metadata.items())
        yield table("Beside the weights", columns, rows)
    for note in facts.notes:
        yield Line(f"note: {one_line(note)}", Style.DIM)


def _sets_table(facts: CheckpointFacts) -> Table:
    rows = [
        (
            one_line(part.key),
            f"{part.tensors:,}",
            f"{part.parameters:,}",
            ", ".join(part.types),
            _kinship(part.same_as, part.differs_from),
            ", ".join(part.fronts),
        )
        for part in facts.sets[:MOST_SETS]
    ]
    left = len(facts.sets) - MOST_SETS
    return table(
        f"Weights: {counted(len(facts.sets), 'set')}",
        (
            TableColumn("set", wraps="anywhere", most=24),
            TableColumn("tensors", right=True),
            TableColumn("numbers", right=True),
            TableColumn("type", wraps="words"),
            TableColumn("", wraps="words"),
            TableColumn("names begin with", wraps="words"),
        ),
        rows,
        note=f"{left} more" if left > 0 else "",
    )


def _kinship(same_as: str | None, differs_from: str | None) -> str:
    if same_as is not None:
        return f"same as {one_line(same_as)}"
    return "" if differs_from is None else f"differs from {one_line(differs_from)}"


def _tree_table(found: CheckpointInspection) -> Table:
    def row(fact: TensorFact, name: str) -> tuple[str | Cell, ...]:
        span = "not finite" if fact.low is None else f"{fact.low:.4g} … {fact.high:.4g}"
        return name, str(list(fact.shape)), fact.type, span, fact.read_as

    given = () if found.given is None else (row(found.given, f"in: {one_line(found.given.path)}"),)
    return table(
        "One pass of the network",
        (
            TableColumn("tensor", wraps="anywhere"),
            TableColumn("shape"),
            TableColumn("type"),
            TableColumn("range"),
            TableColumn("read as"),
        ),
        (*given, None, *(row(fact, one_line(fact.path)) for fact in found.tree)),
        note="Names are paths as --output takes them; what is read as nothing is left out.",
    )


def _declared(fact: InputFact) -> str:
    sizes = [fact.channels, fact.height, fact.width]
    ordered = [*sizes[1:], sizes[0]] if fact.nhwc else sizes
    return f"[{', '.join('any' if n is None else str(n) for n in (fact.batch, *ordered))}] {fact.type}"


def _size(count: int) -> str:
    unit = next(((size, name) for size, name in _UNITS if count >= size), None)
    return f"{count} bytes" if unit is None else f"{count / unit[0]:.1f} {unit[1]}"


def inspection_content(found: CheckpointInspection) -> dict[str, Json]:
    """The same as plain values; texts of the file as JSON can hold them."""
    plain: Json = _plain(asdict(found))
    assert isinstance(plain, dict)
    return plain


def _plain(value: object) -> Json:
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if isinstance(value, str):
        return value
    return value if isinstance(value, int | float) or value is None else str(value)
