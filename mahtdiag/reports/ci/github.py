"""A command's result as annotations of GitHub Actions: workflow commands, one a line."""

from mahtdiag.reports.ci.record import CiRecord, GateCase, images_in_words
from mahtdiag.reports.numbers import counted, shorten
from mahtdiag.reports.one_line import one_line

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
