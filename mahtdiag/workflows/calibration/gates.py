"""Gates of the configuration on the numbers of a calibration."""

from dataclasses import replace

from mahtdiag.config.gates import GateSettings
from mahtdiag.diagnosis.gates import GateResult
from mahtdiag.workflows.calibration.job import Calibration
from mahtdiag.workflows.evaluate.results import calibration_numbers
from mahtdiag.workflows.gates.baseline import judge_baseline
from mahtdiag.workflows.gates.judging import judged, notes_on

SECTION = "calibration"


def with_gates(calibration: Calibration, gates: GateSettings) -> Calibration:
    """The same with the gates on metrics that begin with `calibration.`; others are for other commands."""
    content = {SECTION: calibration_numbers(calibration.report, calibration.inputs.shares)}
    limits, _ = judged(gates.limits, content, calibration.run.view, only=f"{SECTION}.")
    results = (*limits, *_to_baseline(calibration, gates))
    return replace(calibration, gates=results, notes=(*calibration.notes, *notes_on(results)))


def _to_baseline(calibration: Calibration, gates: GateSettings) -> tuple[GateResult, ...]:
    """The gates on differences to a stored run."""
    if gates.baseline is None:
        return ()
    by = calibration.run.table().conditions
    return judge_baseline(gates.baseline, calibration.run, by.limits, by.rules, only=f"{SECTION}.")
