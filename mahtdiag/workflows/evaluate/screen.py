"""From a finished run to what its tables show."""

from mahtdiag.anatomy.rules import RULES
from mahtdiag.diagnosis.summary import LOSS_NAMES
from mahtdiag.reports.tables.evaluation import AnatomyRow, CalibrationGlance, EvaluationView, WorstImage
from mahtdiag.runs.document import RunDocument
from mahtdiag.schema.choices import ImageChoice
from mahtdiag.workflows.evaluate.job import Evaluation
from mahtdiag.workflows.evaluate.overlays import worst_images
from mahtdiag.workflows.evaluate.results import RunResults
from mahtdiag.workflows.gates.judging import results_of
from mahtdiag.workflows.stored_weights import stored_weights

WORST_ROWS = 8


def view_of(evaluation: Evaluation) -> EvaluationView:
    """Everything that is printed at the end of `evaluate`."""
    results, document = evaluation.results, evaluation.results.document
    losses = document.losses
    return EvaluationView(
        title=f"{document.checkpoint.path} ({document.checkpoint.format}) on {document.data.path}",
        subtitle=_subtitle(document),
        evaluated=document.images.evaluated,
        failed=document.images.failed,
        summary=results.summary,
        loss_weights=stored_weights(document),
        keypoint_share=losses.heatmap_keypoint_share if losses else None,
        worst=_worst(results),
        anatomy=_anatomy(document),
        images_with_violations=document.anatomy.images_with_violations if document.anatomy else 0.0,
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
    settings = document.settings
    return (
        f"{document.view} view, input {settings['input_size']}, decode {settings['decode']}, "
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
        for i in worst_images(results, ImageChoice.parse(f"worst:{WORST_ROWS}"))
    )


def _anatomy(document: RunDocument) -> tuple[AnatomyRow, ...]:
    counts = document.anatomy.by_code if document.anatomy else {}
    return tuple(
        AnatomyRow(rule.code, rule.title, counts[rule.code].images, counts[rule.code].findings)
        for rule in RULES
        if rule.code in counts
    )


def _calibration(document: RunDocument) -> CalibrationGlance | None:
    stored = document.calibration
    if stored is None:
        return None

    def number(*keys: str) -> float | None:
        value: object = stored
        for key in keys:
            value = value.get(key) if isinstance(value, dict) else None
        return float(value) if isinstance(value, (int, float)) else None

    return CalibrationGlance(
        mace=number("mace"),
        radial_coverage_95=number("radial", "coverage", "0.95", "observed"),
        sharpness_px=number("sharpness_px"),
        sigma_scale=number("sigma_scale"),
        spearman=number("spearman"),
        verdict=str(stored.get("verdict", "")),
    )
