"""From a finished run to what its tables show."""

from mahtdiag.reports.tables.evaluation import EvaluationResult
from mahtdiag.runs.document import RunDocument
from mahtdiag.workflows.evaluate.job import Evaluation
from mahtdiag.workflows.gates.judging import results_of


def result_of(evaluation: Evaluation) -> EvaluationResult:
    """Everything that is printed at the end of `evaluate`."""
    results, document = evaluation.results, evaluation.results.document
    numbers = results.numbers
    return EvaluationResult(
        title=f"{document.checkpoint.path} ({document.checkpoint.format}) on {document.data.path}",
        subtitle=_subtitle(document),
        evaluated=document.images.evaluated,
        failed=document.images.failed,
        numbers=numbers,
        loss_weights=document.resolved.loss_weights,
        calibration=document.calibration,
        gates=results_of(document.gates),
        failures=results.table.failures,
        notes=document.notes,
        run_folder=str(evaluation.path),
        overlays=evaluation.overlays,
        errors=results.errors,
        ambiguity=results.ambiguity,
    )


def _subtitle(document: RunDocument) -> str:
    seconds = f", {document.seconds.total:.1f} s" if document.seconds else ""
    settings = document.resolved
    return (
        f"{document.view} view, input {settings.input_size}, decode {settings.decode}, "
        f"{document.environment.device}{seconds}"
    )
