"""Comparisons as JSON: no NaN, what is not known is null."""

from collections.abc import Sequence

from mahtdiag.diagnosis.comparison import ComparedMetric, JudgedMetric
from mahtdiag.reports.rendering import Json
from mahtdiag.reports.tables.comparison import ChangedImage, ComparisonView


def comparison_content(views: Sequence[ComparisonView]) -> dict[str, Json]:
    """What `--format json` prints: the first pair, and of more than two runs every pair in `comparisons`."""
    pairs = [_pair(view) for view in views]
    return pairs[0] if len(pairs) == 1 else {**pairs[0], "comparisons": pairs}


def _pair(view: ComparisonView) -> dict[str, Json]:
    """One pair as plain values."""
    comparison = view.comparison
    return {
        "a": view.a,
        "b": view.b,
        "checkpoints": {"a": view.checkpoint_a, "b": view.checkpoint_b},
        "view": str(view.view),
        "images": comparison.images,
        "metrics": {metric.name: _metric(metric) for metric in comparison.metrics},
        "judged": [_judged(judged) for judged in comparison.judged],
        "verdict": str(comparison.verdict),
        "non_inferior": comparison.non_inferior,
        "worse": _changed(view.worse, view.worse_images),
        "better": _changed(view.better, view.better_images),
        "lost": [*comparison.lost],
        "notes": [*view.notes],
    }


def _metric(metric: ComparedMetric) -> dict[str, Json]:
    found = metric.difference
    return {
        "a": found.a,
        "b": found.b,
        "difference": found.difference,
        "ci95": None if found.ci95 is None else list(found.ci95),
        "p_value": found.p_value,
        "p_holm": found.p_holm,
        "test": str(found.method),
        "better": str(metric.better),
        "verdict": None if metric.verdict is None else str(metric.verdict),
    }


def _judged(judged: JudgedMetric) -> dict[str, Json]:
    interval = judged.worsening_ci95
    return {
        "metric": judged.name,
        "margin": judged.margin,
        "worsening": judged.worsening,
        "worsening_ci95": None if interval is None else list(interval),
        "outcome": str(judged.outcome),
    }


def _changed(images: Sequence[ChangedImage], count: int) -> dict[str, Json]:
    """How many, and the most changed of them by name."""
    most: list[Json] = [
        {
            "image": image.image,
            "image_b": image.image_b,
            "a": image.a_px,
            "b": image.b_px,
            "difference": image.change_px,
        }
        for image in images
    ]
    return {"images": count, "most": most}
