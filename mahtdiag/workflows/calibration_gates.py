"""Gates of the configuration on the numbers of a calibration."""

from collections.abc import Sequence
from dataclasses import replace

from mahtdiag.diagnosis.gates import Gate
from mahtdiag.workflows.calibration import Calibration
from mahtdiag.workflows.gates import judged
from mahtdiag.workflows.results import calibration_numbers

SECTION = "calibration"


def with_gates(calibration: Calibration, gates: Sequence[Gate]) -> Calibration:
    """The same with the gates on metrics that begin with `calibration.`; others are for other commands."""
    content = {SECTION: calibration_numbers(calibration.report, calibration.inputs.shares)}
    results, notes = judged(gates, content, calibration.run.view, only=f"{SECTION}.")
    return replace(calibration, gates=results, notes=(*calibration.notes, *notes))
