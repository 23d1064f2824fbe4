"""From what a command found to what a pipeline is told of it."""

from collections.abc import Callable, Sequence

from mahtdiag.diagnosis.gates import GateResult
from mahtdiag.diagnosis.metrics.registry import images_behind, is_of_errors
from mahtdiag.diagnosis.run_table import RunTable
from mahtdiag.diagnosis.worst_images import WorstImages
from mahtdiag.reports.ci.record import CiRecord, GateCase
from mahtdiag.workflows.gates.judging import notes_on

Increases = Callable[[str], WorstImages | None]


def not_done(command: str, problems: Sequence[str]) -> CiRecord:
    """A command that ended before it had a result, and why."""
    return CiRecord(command, problems=tuple(problems), failures_allowed=False)


def gate_cases(
    results: Sequence[GateResult], table: RunTable, increases: Increases | None = None
) -> tuple[GateCase, ...]:
    """The gates as a pipeline sees them, with the images of the table behind those that failed.

    `increases` finds those whose error grew against the run of that name.
    """
    return tuple(
        GateCase(result, None if result.passed else _behind(result, table, increases)) for result in results
    )


def _behind(result: GateResult, table: RunTable, increases: Increases | None) -> WorstImages | None:
    """The images behind a failed gate; a number that is missing has none."""
    if result.value is None:
        return None
    name = result.gate.metric
    if increases is not None and result.baseline is not None and is_of_errors(name):
        return increases(result.baseline)
    return images_behind(name, table, too_high=result.value > result.gate.limit)


def other_notes(notes: Sequence[str], results: Sequence[GateResult]) -> tuple[str, ...]:
    """The notes that do not repeat the reason of a gate."""
    return tuple(note for note in notes if note not in notes_on(results))
