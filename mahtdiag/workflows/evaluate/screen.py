"""From a finished run to what its tables show."""

from collections.abc import Iterator

from mahtdiag.anatomy.rules import RULES
from mahtdiag.diagnosis.metrics.anatomy import ANATOMY
from mahtdiag.diagnosis.metrics.losses import LOSS_NAMES
from mahtdiag.diagnosis.metrics.metric import GroupKind
from mahtdiag.diagnosis.numbers import RunNumbers, find_number
from mahtdiag.reports.tables.evaluation import AnatomyRow, CalibrationGlance, EvaluationResult, WorstImage
from mahtdiag.runs.document import RunDocument
from mahtdiag.schema.choices import ImageChoice
from mahtdiag.workflows.evaluate.job import Evaluation
from mahtdiag.workflows.evaluate.results import RunResults
from mahtdiag.workflows.gates.judging import results_of
from mahtdiag.workflows.pictures import worst_rows

WORST_ROWS = 8
WITH_VIOLATIONS = "anatomy.images_with_violations"


def view_of(evaluation: Evaluation) -> EvaluationResult:
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
        worst=_worst(results),
        anatomy=tuple(_anatomy(numbers)),
        images_with_violations=numbers[WITH_VIOLATIONS].value if numbers else 0.0,
        calibration=_calibration(document),
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


def _worst(results: RunResults) -> tuple[WorstImage, ...]:
    table = results.table
    return tuple(
        WorstImage(
            image=table.image[i],
            error_px=float(table.radial_error_px[i]),
            max_error_px=float(table.max_error_px[i]),
            losses={name: float(table.loss(name)[i]) for name in LOSS_NAMES},
            codes=table.violations[i],
        )
        for i in worst_rows(results.table.radial_error_px, ImageChoice.parse(f"worst:{WORST_ROWS}"))
    )


def _anatomy(numbers: RunNumbers | None) -> Iterator[AnatomyRow]:
    """The rules that were checked, and how often they fired."""
    title_of = {rule.code: rule.title for rule in RULES}
    for group, of in (numbers.by_group(ANATOMY, GroupKind.RULE) if numbers else {}).items():
        images, findings = int(of["images"].value), int(of["findings"].value)
        yield AnatomyRow(group.name, title_of[group.name], images, findings)


def _calibration(document: RunDocument) -> CalibrationGlance | None:
    stored = document.calibration
    if stored is None:
        return None
    return CalibrationGlance(
        mace=find_number(stored, "mace"),
        radial_coverage_95=find_number(stored, "radial.coverage.0.95.observed"),
        sharpness_px=find_number(stored, "sharpness_px"),
        sigma_scale=find_number(stored, "sigma_scale"),
        spearman=find_number(stored, "spearman"),
        verdict=str(stored.get("verdict", "")),
    )
