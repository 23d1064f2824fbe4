"""A command's result as JUnit XML: one test suite, one test case per gate and one for the images.

Only what the schemas of Ant, Jenkins and GitLab have in common is used, so that each of them reads it.
"""

from collections.abc import Sequence
from datetime import UTC
from xml.etree import ElementTree as ET

from mahtdiag import __version__
from mahtdiag.diagnosis.worst_images import WorstImages
from mahtdiag.reports.ci.record import (
    CiRecord,
    GateCase,
    images_in_words,
    interval_in_words,
    score_in_words,
)
from mahtdiag.reports.text import counted, shorten
from mahtdiag.schema.records import Failure
from mahtdiag.schema.safe_text import one_line

IMAGES = "images evaluated"
MOST_LISTED = 100
LONGEST_MESSAGE = 500


def junit_xml(record: CiRecord) -> bytes:
    """The whole file: UTF-8, indented, a newline at the end."""
    suite = ET.Element(
        "testsuite",
        {
            "name": f"mahtdiag {record.command}",
            "package": "mahtdiag",
            "id": "0",
            "timestamp": f"{record.started.astimezone(UTC):%Y-%m-%dT%H:%M:%S}",
            "hostname": "localhost",
            "tests": str(1 + len(record.gates)),
            "failures": str(len(record.failed_gates) + _images_fail(record)),
            "errors": str(int(bool(record.problems))),
            "skipped": "0",
            "time": f"{record.seconds:.3f}",
        },
    )
    properties = ET.SubElement(suite, "properties")
    for name, value in (("mahtdiag", __version__), *record.about):
        ET.SubElement(properties, "property", {"name": name, "value": one_line(value)})
    _add_images(suite, record)
    for gate in record.gates:
        _add_gate(suite, record.command, gate)
    ET.SubElement(suite, "system-out").text = _lines(_printed(record))
    ET.SubElement(suite, "system-err").text = _lines([f"note: {one_line(note)}" for note in record.notes])
    suites = ET.Element("testsuites")
    suites.append(suite)
    ET.indent(suites)
    content: bytes = ET.tostring(suites, encoding="utf-8", xml_declaration=True)
    return content + b"\n"


def _images_fail(record: CiRecord) -> bool:
    """Whether the images' test case is a failure; what could not be done at all is an error."""
    return record.images_missing and not record.problems


def _case(suite: ET.Element, command: str, name: str) -> ET.Element:
    attributes = {"classname": f"mahtdiag.{command}", "name": one_line(name), "time": "0"}
    return ET.SubElement(suite, "testcase", attributes)


def _add_images(suite: ET.Element, record: CiRecord) -> None:
    case = _case(suite, record.command, IMAGES)
    failed = len(record.failures)
    listed = _failures(record.failures)
    if record.problems:
        problems = [one_line(problem) for problem in record.problems]
        _add_outcome(case, "error", "not done", "; ".join(problems), [*problems, *_apart(listed)])
    elif record.images_missing:
        message = f"{failed:,} of {counted(record.judged + failed, 'image')} failed"
        _add_outcome(case, "failure", "images", message, listed)


def _add_gate(suite: ET.Element, command: str, gate: GateCase) -> None:
    case = _case(suite, command, gate.name)
    if gate.passed:
        return
    said = one_line(gate.sentence)
    message = said if gate.worst is None else f"{said}; {one_line(images_in_words(gate.worst))}"
    bounds = interval_in_words(gate.result.ci95)
    lines = [said, *([f"95 % interval: {bounds}"] if bounds else [])]
    if gate.result.baseline is not None:
        lines.append(f"baseline: {one_line(gate.result.baseline)}")
    _add_outcome(case, "failure", "gate", message, [*lines, *_apart(_worst(gate.worst))])


def _add_outcome(case: ET.Element, tag: str, kind: str, message: str, lines: Sequence[str]) -> None:
    outcome = ET.SubElement(case, tag, {"type": kind, "message": shorten(message, LONGEST_MESSAGE)})
    outcome.text = _lines(lines)


def _worst(worst: WorstImages | None) -> list[str]:
    if worst is None:
        return []
    return [
        f"{worst.what}:",
        *(f"  {one_line(row.image)}  {score_in_words(row)}".rstrip() for row in worst.images),
    ]


def _failures(failures: Sequence[Failure]) -> list[str]:
    lines = [f"{one_line(failure.image)}: {one_line(failure.reason)}" for failure in failures[:MOST_LISTED]]
    more = len(failures) - len(lines)
    return [*lines, f"and {more:,} more"] if more else lines


def _printed(record: CiRecord) -> list[str]:
    """The main numbers, and the images whose failure is allowed."""
    lines = [f"{record.command}: {record.headline}", *([record.said] if record.said else [])]
    for row in record.numbers:
        lines.append(f"{row.name}: {row.value}" + (f" ({row.interval})" if row.interval else ""))
    if record.failures and record.failures_allowed:
        lines += _apart(_failures(record.failures))
    return lines


def _apart(lines: list[str]) -> list[str]:
    """The lines after an empty one, if there are any."""
    return ["", *lines] if lines else []


def _lines(lines: Sequence[str]) -> str:
    return "".join(f"{line}\n" for line in lines)
