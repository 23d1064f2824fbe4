"""Gates of the configuration on the numbers that `calibration` prints."""

from collections.abc import Sequence
from dataclasses import replace

from mahtdiag.diagnosis.gates import Gate
from mahtdiag.workflows.calibration import Calibration
from mahtdiag.workflows.calibration_view import as_json
from mahtdiag.workflows.gates import judged

SECTION = "calibration"


def with_gates(calibration: Calibration, gates: Sequence[Gate]) -> Calibration:
    """The same with the gates on metrics that begin with `calibration.`; others are for other commands."""
    stored, notes = judged(gates, {SECTION: as_json(calibration)}, only=f"{SECTION}.")
    return replace(calibration, gates=stored, notes=(*calibration.notes, *notes))
