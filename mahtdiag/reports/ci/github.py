"""A command's result for GitHub: a step summary in Markdown, and annotations, one workflow command a line.

In Markdown the verdict is first, then gates, images and numbers. Whatever comes from outside (names, reasons,
metrics) is set as code: in code nothing is markup, a link or a mention. The text is bounded, so that it fits
into a step summary (1 MiB) whatever a run holds.
"""

import re
from collections.abc import Iterable, Sequence

from mahtdiag.diagnosis.worst_images import WorstImages
from mahtdiag.reports.ci.record import CiRecord, GateCase, images_in_words, score_in_words
from mahtdiag.reports.tables.setup import counts as setup_counts
from mahtdiag.reports.tables.setup import headline as setup_headline
from mahtdiag.reports.tables.table import metric_in_words
from mahtdiag.reports.text import ABSENT, counted, interval, shorten
from mahtdiag.schema.records import Failure
from mahtdiag.schema.safe_text import one_line
from mahtdiag.schema.setup import SetupEntry, SetupStatus

MOST_GATES, MOST_FAILURES, MOST_LINES, MOST_METRICS = 100, 50, 20, 5
LONGEST_NAME, LONGEST_SENTENCE = 200, 300
MARKS = {SetupStatus.WRONG: "❌", SetupStatus.WARNING: "⚠️"}
PASSED, FAILED = "✅", "❌"


def markdown(record: CiRecord) -> str:
    """The whole text; every line ends with a newline."""
    parts = [
        f"## {_mark(record)} mahtdiag {record.command}: {record.headline}",
        *([_about(record)] if record.about else []),
        *([code(words, 2 * LONGEST_SENTENCE)] if (words := setup_headline(record.setup)) else []),
        *([record.said] if record.said else []),
        *_items(record.problems),
        *_setup(record.setup),
        *_gates(record.gates),
        *_worst(record),
        *_numbers(record),
        *_failures(record.failures),
        *(["### Notes", *_items(record.notes)] if record.notes else []),
    ]
    return "\n\n".join(parts) + "\n"


def _mark(record: CiRecord) -> str:
    """Passed or failed; a warning where results pass that are not plausible."""
    if not record.passed:
        return FAILED
    return PASSED if setup_headline(record.setup) is None else MARKS[SetupStatus.WARNING]


def code(text: str, longest: int = LONGEST_NAME) -> str:
    """Text as code, for a paragraph or a table cell: no sign of it is taken for markup."""
    plain = shorten(one_line(text), longest)
    if plain.strip() == plain and plain and not re.search(r"[`|]", plain):
        return f"`{plain}`"
    # A pipe would end the cell and a backtick the code; references never do.
    return f"<code>{re.sub(r'[!-,:-@[-`{-~]', lambda sign: f'&#{ord(sign[0])};', plain)}</code>"


def _about(record: CiRecord) -> str:
    return ", ".join(f"{name} {code(value)}" for name, value in record.about)


def _items(sentences: Sequence[str]) -> list[str]:
    """A list of sentences, as one part; none if there is no sentence."""
    if not sentences:
        return []
    lines = [f"- {code(sentence, LONGEST_SENTENCE)}" for sentence in sentences[:MOST_LINES]]
    return ["\n".join([*lines, *_more(len(sentences) - len(lines), "- and {:,} more")])]


def _more(count: int, text: str) -> list[str]:
    return [text.format(count)] if count > 0 else []


def _table(head: str, alignment: str, rows: Iterable[Sequence[str]]) -> str:
    return "\n".join([head, alignment, *(f"| {' | '.join(row)} |" for row in rows)])


def _setup(entries: Sequence[SetupEntry]) -> list[str]:
    """The checks that are off, with what to type; how many say what."""
    if not entries:
        return []
    off = [e for e in entries if e.status in (SetupStatus.WRONG, SetupStatus.WARNING)]
    rows = [
        (code(e.check), f"{MARKS[e.status]} {e.status}", code(e.evidence, LONGEST_SENTENCE),
         code(e.advice, LONGEST_SENTENCE) if e.advice else ABSENT)
        for e in off
    ]  # fmt: skip
    head = "| check | | what was found | what to do |"
    return [
        "### Setup",
        setup_counts(entries),
        *([_table(head, "| --- | --- | --- | --- |", rows)] if rows else []),
    ]


def _gates(gates: Sequence[GateCase]) -> list[str]:
    """The failed gates first, as in the printed table."""
    if not gates:
        return []
    shown = sorted(gates, key=lambda gate: gate.passed)[:MOST_GATES]
    table = _table(
        "| gate | value | 95 % interval | limit | |", "| --- | ---: | ---: | ---: | --- |", map(_gate, shown)
    )
    return ["### Gates", table, *_more(len(gates) - len(shown), "and {:,} more gates")]


def _gate(case: GateCase) -> tuple[str, ...]:
    result, gate = case.result, case.result.gate
    verdict = f"{PASSED} passed" if case.passed else f"{FAILED} failed"
    if result.reason is not None:
        verdict += f": {code(result.reason, LONGEST_SENTENCE)}"
    metric = code(metric_in_words(result))
    metric += "" if result.baseline is None else f" {code(result.baseline)}"
    limit = code(f"{gate.condition}{f' ({gate.view})' if gate.view else ''}")
    return metric, case.value, interval(result.ci95), limit, verdict


def _worst(record: CiRecord) -> list[str]:
    """The worst images by what failed, each ranking once; by the command's own ranking where nothing did."""
    rankings: dict[WorstImages, list[str]] = {}
    for gate in record.failed_gates:
        if gate.worst is not None:
            rankings.setdefault(gate.worst, []).append(metric_in_words(gate.result))
    if not rankings and record.worst is not None:
        rankings = {record.worst: []}
    lines = [_ranking(worst, metrics) for worst, metrics in list(rankings.items())[:MOST_LINES]]
    return ["### Worst images", "\n".join(lines)] if lines else []


def _ranking(worst: WorstImages, metrics: Sequence[str]) -> str:
    distinct = list(dict.fromkeys(metrics))
    named = [*map(code, distinct[:MOST_METRICS]), *(["…"] if len(distinct) > MOST_METRICS else [])]
    images = ", ".join(f"{code(row.image)} {score_in_words(row)}".strip() for row in worst.images)
    behind = f" ({', '.join(named)})" if named else ""
    return f"- {worst.what}{behind}: {images}"


def _numbers(record: CiRecord) -> list[str]:
    if not record.numbers:
        return []
    rows = [(row.name, row.value, row.interval or ABSENT) for row in record.numbers]
    table = _table("| | value | 95 % interval |", "| --- | ---: | ---: |", rows)
    return [f"### Numbers: {counted(record.judged, 'image')}", table]


def _failures(failures: Sequence[Failure]) -> list[str]:
    if not failures:
        return []
    shown = failures[:MOST_FAILURES]
    rows = [(code(failure.image), code(failure.reason, LONGEST_SENTENCE)) for failure in shown]
    table = _table("| image | reason |", "| --- | --- |", rows)
    return [
        f"### Failed images: {len(failures):,}",
        table,
        *_more(len(failures) - len(shown), "and {:,} more images"),
    ]


# A step shows ten of each kind.
MOST = 10
LONGEST = 1000


def annotations(record: CiRecord) -> tuple[str, ...]:
    """What failed: gates and images as errors, images whose failure is allowed as one warning.

    Nothing where all passed; the last of too many says how many are not shown.
    """
    command = f"mahtdiag {record.command}"
    found = [_annotation("error", f"{command} could not be done", problem) for problem in record.problems]
    found += [
        _annotation("error", f"{command}: {gate.name}", *_gate_lines(gate)) for gate in record.failed_gates
    ]
    if record.images_missing:
        found += [
            _annotation("error", f"{command}: image failed", f"{failure.image}: {failure.reason}")
            for failure in record.failures
        ]
    if len(found) > MOST:
        more = len(found) - (MOST - 1)
        found = [*found[: MOST - 1], _annotation("error", command, f"and {more:,} more errors")]
    if record.failures and not record.images_missing:
        title = f"{command}: {counted(len(record.failures), 'image')} failed, which is allowed"
        cut = ", …" if len(record.failures) > MOST else ""
        named = ", ".join(failure.image for failure in record.failures[:MOST]) + cut
        found.append(_annotation("warning", title, named))
    return tuple(found)


def annotation_lines(record: CiRecord) -> str:
    """The annotations of a record as the runner reads them, one a line."""
    return "".join(f"{annotation}\n" for annotation in annotations(record))


def _gate_lines(gate: GateCase) -> list[str]:
    return [gate.sentence, *([images_in_words(gate.worst)] if gate.worst else [])]


def _annotation(kind: str, title: str, *lines: str) -> str:
    message = "\n".join(shorten(one_line(line), LONGEST) for line in lines)
    shown = _escape(shorten(one_line(title), LONGEST)).replace(":", "%3A").replace(",", "%2C")
    return f"::{kind} title={shown}::{_escape(message)}"


def _escape(text: str) -> str:
    """As the runner undoes it in messages; in properties `:` and `,` are escaped as well."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
