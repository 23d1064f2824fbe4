"""`explain`: everything that has a name which anything prints."""

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace

from mahtdiag.anatomy.rules import LIMIT_BY_KEY, RULE_BY_CODE, RULES
from mahtdiag.calibration.verdict import FAULTS
from mahtdiag.config.settings import KEYS
from mahtdiag.diagnosis.metrics.metric import GroupKind, Metric
from mahtdiag.diagnosis.metrics.registry import is_open, known_metrics, metric_of
from mahtdiag.diagnosis.setup.registry import CHECK_BY_NAME
from mahtdiag.errors import UsageError
from mahtdiag.reports.tables.explained import Explained, NamedSetting, OptionWords
from mahtdiag.reports.text import shorten
from mahtdiag.schema.column_words import COLUMN_GROUPS, CSV_GROUPS
from mahtdiag.schema.glossary import TERMS, Term
from mahtdiag.schema.headings import HEADINGS
from mahtdiag.schema.skeleton import View

MOST_METRICS = 4
LONGEST_NAME = 80
CLOSE = 0.75
"""How much alike a word has to be to be suggested."""
GLOSSARY = "mahtdiag rules lists the rules, run.json the numbers, the glossary of the documentation the words"

FAULT_TERMS = tuple(Term(code, f"Fault of σ: {meaning}.") for code, meaning in FAULTS.items())
WORDS = (*TERMS, *HEADINGS, *FAULT_TERMS)
# A unit behind a comma, a percentage sign, what a colon or brackets add.
_UNIT = re.compile(r"(, ?(px|mm|%|°|% of .+|input px)| ?%| px| mm)$")
_TAIL = re.compile(r"[:;(].*$| \d.*$|, .*$", re.DOTALL)
_LEFT_OVER = re.compile(r" (in|of|by|to|− baseline)$")
# Of which keypoint or level a row is, and the mark of a group that is too small.
_LEVEL = r"[CTLS]\d+([/–][CTLS]\d+)?"
_OF_LEVEL = re.compile(rf"^(UL|UR|LL|LR) (?=off|right|down)| {_LEVEL}$| \*$")
_PLACES = ((re.compile(_LEVEL), "levels"), (re.compile(rf"{_LEVEL} (UL|UR|LL|LR)( \*)?"), "keypoints"))


def look_up(
    name: str, limits: Mapping[View, Mapping[str, float]], options: Iterable[OptionWords] = ()
) -> Explained:
    """What has this name, in capitals or not. Raises UsageError, with near names, where nothing has.

    `options`: those of all commands.
    """
    options = tuple(options)
    found = _found(name.strip(), limits, options)
    if found.nothing:
        # A heading with what it says of one run: `Gates: 3 of 3 failed`.
        found = _found(heading_of(name), limits, options)
    if not found.nothing:
        return found
    if is_open(name.strip()):
        raise UsageError(
            f"{shorten(name.strip(), LONGEST_NAME)}: a number that is known only once a run has it; see its "
            "run.json"
        )
    near = _near(name.strip(), options)
    raise UsageError(f"{shorten(name, LONGEST_NAME)!r}: nothing that is printed has this name; {near}")


def _found(
    asked: str, limits: Mapping[View, Mapping[str, float]], options: Iterable[OptionWords]
) -> Explained:
    code = asked.upper()
    found = Explained(
        rules=tuple(
            rule
            for rule in RULES
            if rule.code == code or code in {limit.key.upper() for limit in rule.limits}
        ),
        metrics=_metrics(asked),
        checks=tuple(check for check in CHECK_BY_NAME.values() if check.name == asked.lower()),
        terms=_terms(asked),
        options=tuple(option for option in options if asked in option.names),
        settings=_settings(asked),
        columns=tuple(group for group in (*COLUMN_GROUPS, *CSV_GROUPS) if asked in group.names),
        limits=limits,
    )
    return replace(found, figures=_figures(asked.lower())) if found.nothing else found


def _terms(asked: str) -> tuple[Term, ...]:
    """The words that are spelt so, else those that are without a unit."""
    for same in (str.lower, plain):
        word = same(asked)
        found = tuple(term for term in WORDS if word and word in map(same, (term.name, *term.also)))
        if found:
            return found
    return ()


def plain(name: str) -> str:
    """A name without capitals, its unit and underscores, and with the minus of keyboards."""
    text = " ".join(name.lower().replace("−", "-").replace("_", " ").split())
    return _UNIT.sub("", text) or text


def heading_of(title: str) -> str:
    """What a heading begins with, before what it says of one run: `Gates` of `Gates: 3 of 3 failed`."""
    text = _OF_LEVEL.sub("", " ".join(title.split()))
    for place, word in _PLACES:
        if place.fullmatch(" ".join(title.split())):
            return word
    return _LEFT_OVER.sub("", _TAIL.sub("", text[:1] + _TAIL.sub("", text[1:])).strip())


def _metrics(asked: str) -> tuple[Metric, ...]:
    """The number of this name, or those that tables call so."""
    by_name = metric_of(asked)
    if by_name is not None:
        return (by_name,)
    wanted = asked.lower()
    called = [
        m for m in known_metrics() if wanted and wanted in (m.label.lower().strip(), m.short.lower().strip())
    ]
    whole = [metric for metric in called if metric.group.kind is GroupKind.ALL]
    return tuple((whole or called)[:MOST_METRICS])


def _figures(asked: str) -> tuple[Term, ...]:
    # What draws is slow to import: it is asked for names alone that nothing else has.
    from mahtdiag.reports.figures.registry import FIGURES

    return tuple(
        Term(figure.name, f"{figure.title} {figure.shows}. mahtdiag figures --figure {figure.name} draws it.")
        for figure in FIGURES
        if asked in (figure.name, figure.title.lower())
    )


def _settings(asked: str) -> tuple[NamedSetting, ...]:
    table, _, key = asked.strip("[]").rpartition(".")
    return tuple(
        NamedSetting(name, setting.name, setting.meaning, setting.option)
        for name, keys in KEYS.items()
        for setting in keys
        if (setting.name == key and table in ("", name)) or setting.option == asked
    )


def _near(asked: str, options: Iterable[OptionWords]) -> str:
    codes = [code for code in RULE_BY_CODE if asked and code.startswith(asked.upper())]
    if codes:
        return f"did you mean {' or '.join(codes)}?"
    names = {plain(name): name for term in WORDS for name in (term.name, *term.also)}
    names |= {name.lower(): name for name in (*RULE_BY_CODE, *LIMIT_BY_KEY, *CHECK_BY_NAME)}
    names |= {metric.name.lower(): metric.name for metric in known_metrics()}
    names |= {name.lower(): name for option in options for name in option.names}
    close = difflib.get_close_matches(plain(asked[: 2 * LONGEST_NAME]), names, 1, CLOSE)
    return f"did you mean {names[close[0]]}?" if close else GLOSSARY
