"""No regular expression of the package takes longer than in proportion to a text, whoever wrote the text."""

import ast
import gc
import importlib
import re
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from re import _constants as sre  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from types import FrameType
from typing import Any, Final

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "mahtdiag"
WAYS: Final = ("search", "match", "fullmatch", "sub", "subn", "split", "findall", "finditer")
# Text of this size takes milliseconds; in quadratic time it takes seconds.
SIZE: Final = 1 << 15
MOST_SECONDS: Final = 0.25
# Patterns that are made where they are used, and what becomes of them.
MADE: Final = {
    ("errors", "sub"): rf"(?<!\w){re.escape('a name')}(?!\w)",  # a text as it stands
    # What `--patient` says: looked at before it is used, and used in a process that can be stopped.
    ("config.values", "compile"): None,
}


@dataclass(frozen=True)
class Used:
    """A pattern, and how it meets a text."""

    place: str
    pattern: "re.Pattern[Any]"
    way: str


def _trees() -> Iterator[tuple[str, ast.Module]]:
    for file in sorted(PACKAGE.rglob("*.py")):
        name = ".".join(file.relative_to(PACKAGE).with_suffix("").parts)
        yield name.removesuffix(".__init__"), ast.parse(file.read_text(encoding="utf-8"))


def _called(tree: ast.AST) -> Iterator[tuple[ast.Call, ast.expr, str]]:
    """Calls of methods: the call, whose, and which."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            yield node, node.func.value, node.func.attr


def _is_re(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id == "re"


def patterns() -> list[Used]:
    """Every pattern of the package in every way in which it is used."""
    found = []
    for name, tree in _trees():
        calls = [*_called(tree)]
        of_re = [(call, way) for call, whose, way in calls if _is_re(whose) and way in (*WAYS, "compile")]
        for call, way in of_re:
            text = call.args[0]
            if way == "compile" and (name, way) not in MADE:
                continue
            said = text.value if isinstance(text, ast.Constant) else MADE[name, way]
            if said is not None:
                found.append(Used(name, re.compile(said), way))
        compiled = [*_compiled(name)] if any(way == "compile" for _, way in of_re) else []
        direct = {(node.id, way) for _, node, way in calls if isinstance(node, ast.Name)}
        known = {variable for variable, _ in compiled}
        others = {
            way
            for _, whose, way in calls
            if not _is_re(whose) and not (isinstance(whose, ast.Name) and whose.id in known)
        }
        for variable, pattern in compiled:
            ways = {way for way in WAYS if (variable, way) in direct}
            # One of several, which are used by another name.
            found += [Used(f"{name}.{variable}", pattern, way) for way in sorted(ways or others & {*WAYS})]
    return found


def _compiled(module: str) -> Iterator[tuple[str, "re.Pattern[Any]"]]:
    def within(value: object) -> Iterator["re.Pattern[Any]"]:
        if isinstance(value, re.Pattern):
            yield value
        elif isinstance(value, tuple | list):
            for part in value:
                yield from within(part)

    for name, value in vars(importlib.import_module(f"mahtdiag.{module}")).items():
        for pattern in within(value):
            yield name, pattern


def _pieces(tree: Any) -> Iterator[tuple[Any, Any]]:
    """Every part of a pattern, from outside to inside."""
    for op, value in tree:
        yield op, value
        for inner in _inside(op, value):
            yield from _pieces(inner)


def _inside(op: Any, value: Any) -> list[Any]:
    """The patterns that a part holds."""
    if op in (sre.MAX_REPEAT, sre.MIN_REPEAT, sre.POSSESSIVE_REPEAT):
        return [value[2]]
    if op is sre.SUBPATTERN:
        return [value[3]]
    if op is sre.BRANCH:
        return [*value[1]]
    if op in (sre.ASSERT, sre.ASSERT_NOT):
        return [value[1]]
    if op is sre.ATOMIC_GROUP:
        return [value]
    assert op in (sre.LITERAL, sre.NOT_LITERAL, sre.IN, sre.ANY, sre.AT, sre.GROUPREF), op
    return []


_CATEGORIES: Final = {
    sre.CATEGORY_DIGIT: "7", sre.CATEGORY_NOT_DIGIT: "x", sre.CATEGORY_SPACE: " ",
    sre.CATEGORY_NOT_SPACE: "x", sre.CATEGORY_WORD: "a", sre.CATEGORY_NOT_WORD: "-",
}  # fmt: skip


def _signs(op: Any, value: Any) -> list[str]:
    """A few signs that a part takes which takes one."""
    if op is sre.LITERAL:
        return [chr(value)]
    if op is sre.ANY:
        return ["x"]
    if op is sre.NOT_LITERAL:
        return ["x" if value != ord("x") else "y"]
    if op is not sre.IN:
        return []
    taken, negated = [], False
    for kind, what in value:
        if kind is sre.NEGATE:
            negated = True
        elif kind is sre.LITERAL:
            taken.append(chr(what))
        elif kind is sre.RANGE:
            taken += [chr(what[0]), chr(what[1])]
        else:
            taken.append(_CATEGORIES[what])
    if not negated:
        return [*dict.fromkeys(taken)]
    compiled = re.compile("[^" + "".join(map(re.escape, taken)) + "]")
    return [sign for sign in "x 7-A" if compiled.match(sign)][:2]


def _sample(tree: Any, times: int = 1) -> str:
    """A text that a pattern takes; what may be left out stands there `times`."""
    text = ""
    for op, value in tree:
        if op is sre.BRANCH:
            text += _sample(value[1][0], times)
        elif op in (sre.MAX_REPEAT, sre.MIN_REPEAT, sre.POSSESSIVE_REPEAT):
            text += _sample(value[2], times) * max(value[0], min(times, value[1]))
        elif op in (sre.SUBPATTERN, sre.ATOMIC_GROUP):
            text += _sample(_inside(op, value)[0], times)
        else:
            text += (_signs(op, value) or [""])[0]
    return text


def _repeats(parts: list[tuple[Any, Any]]) -> list[Any]:
    """What may stand there any number of times, or very often."""
    kinds = (sre.MAX_REPEAT, sre.MIN_REPEAT, sre.POSSESSIVE_REPEAT)
    return [value[2] for op, value in parts if op in kinds and value[1] > 50]


def attacks(pattern: "re.Pattern[Any]") -> set[str]:
    """Texts on which a slow pattern is slow: what its repeats take, and its beginnings, very often."""
    tree = parser.parse(pattern.pattern, pattern.flags & ~re.DEBUG)
    parts = [*_pieces(tree)]
    repeats = _repeats(parts)
    repeated = [sign for inner in repeats for part in _pieces(inner) for sign in _signs(*part)]
    signs = [*dict.fromkeys((*repeated, *(sign for part in parts for sign in _signs(*part))))][:10]
    units = {*signs, *(one + other for one in signs[:5] for other in signs[:5])}
    prefixes = {""}
    # Without a repeat only so much is looked at from each place.
    for within in [tree, *(inner for part in parts for inner in _inside(*part))] if repeats else ():
        for at in range(1, len(within) + 1):
            prefixes |= {_sample(within[:at]), _sample(within[:at], 0)}
    units |= prefixes - {""}
    many = {unit: unit * (SIZE // len(unit)) for unit in units}
    whole = {text + end for text in many.values() for end in ("", "\x00", "x\n!", _sample(tree))}
    return whole | {
        prefix + many[sign] + end for prefix in prefixes for sign in signs for end in ("\x00", "x\n!")
    }


class SlowError(Exception):
    """A text took too long."""


def slow_on(used: Used) -> str | None:
    """The text that takes too long, as Python writes its beginning."""
    act: Callable[..., Any] = getattr(used.pattern, "search" if used.way == "compile" else used.way)
    given = ("",) if used.way in ("sub", "subn") else ()
    as_bytes = isinstance(used.pattern.pattern, bytes)
    replacing = tuple(text.encode() if as_bytes else text for text in given)

    def meet(content: str | bytes) -> None:
        found = act(*replacing, content)
        if used.way == "finditer":
            list(found)

    for text in sorted(attacks(used.pattern)):
        content = text.encode("latin-1", "replace") if as_bytes else text
        # Once may be what else this process has to do.
        if not any(_is_done_in_time(partial(meet, content)) for _ in range(3)):
            return f"{text[:30]!r}…{text[-5:]!r}"
    return None


def _is_done_in_time(work: Callable[[], None]) -> bool:
    before = signal.signal(signal.SIGPROF, _stop)
    gc.disable()
    try:
        signal.setitimer(signal.ITIMER_PROF, MOST_SECONDS)
        work()
        signal.setitimer(signal.ITIMER_PROF, 0)
    except SlowError:
        return False
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        gc.enable()
        signal.signal(signal.SIGPROF, before)
    return True


def _stop(_: int, __: FrameType | None) -> None:
    raise SlowError


ALL: Final = patterns()


@pytest.mark.parametrize(
    "used", ALL, ids=lambda used: f"{used.place} {used.way} {used.pattern.pattern!r}"[:90]
)
def test_time_grows_with_the_text(used: Used) -> None:
    assert slow_on(used) is None


SLOW: Final = {
    "search": (r"\s*x", r"(?:ab)+c", r"<[^>]*>", r"x.*y", r"\w+@"),
    "fullmatch": (r"\s*,?\s*x", r"(a+)+", r"(a|aa)+b", r"\d+\.?\d*", r"(.*)x(.*)y(.*)z"),
    "sub": (r"\s+$", r"[:;].*$"),
    "split": (r",(?![^\[]*\])",),
    "match": (r"(?:x?\s*)*,", r"(?:a*)*b"),
}


@pytest.mark.parametrize(("way", "pattern"), [(way, text) for way, those in SLOW.items() for text in those])
def test_slow_patterns_are_found(way: str, pattern: str) -> None:
    assert slow_on(Used("here", re.compile(pattern), way)) is not None


def test_every_pattern_is_looked_at() -> None:
    places = {used.place for used in ALL}
    assert "config.values" not in places
    expected = {
        "errors",
        "errors._DIGITS",
        "cli.init",
        "data.readers.tables._PAIR",
        "schema.safe_text._PLAIN",
    }
    assert expected <= places
    assert {used.way for used in ALL if used.place == "data.readers.tables._PAIR"} == {"fullmatch"}
    other = ("match_substring_regex", "replace_substring_regex", "extract_regex", "count_substring_regex")
    assert [way for _, tree in _trees() for _, _, way in _called(tree) if way in other] == []
