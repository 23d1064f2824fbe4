"""Comparisons as JSON: no NaN, what is not known is null."""

from collections.abc import Sequence

from mahtdiag.diagnosis.comparison import ComparedMetric, JudgedMetric
from mahtdiag.reports.rendering import Json
from mahtdiag.reports.tables.comparison import ComparisonResult

MOST_IMAGES = 1000
"""A comparison of 100,000 images does not name each; `images.parquet` of the runs has them all."""


def comparison_content(results: Sequence[ComparisonResult]) -> dict[str, Json]:
    """What `--format json` prints: the first pair, and of more than two runs every pair in `comparisons`."""
    pairs = [_pair(result) for result in results]
    return pairs[0] if len(pairs) == 1 else {**pairs[0], "comparisons": pairs}


def _pair(result: ComparisonResult) -> dict[str, Json]:
    """One pair as plain values."""
    comparison = result.comparison
    worse, better = comparison.changed()
    return {
        "a": result.a,
        "b": result.b,
        "checkpoints": {"a": result.checkpoint_a, "b": result.checkpoint_b},
        "view": str(result.view),
        "images": comparison.images,
        "metrics": {metric.name: _metric(metric) for metric in comparison.metrics},
        "judged": [_judged(judged) for judged in comparison.judged],
        "verdict": str(comparison.verdict),
        "non_inferior": comparison.non_inferior,
        "worse": _changed(result, worse),
        "better": _changed(result, better),
        "lost": [*comparison.lost],
        "notes": [*result.notes],
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


def _changed(result: ComparisonResult, rows: Sequence[int]) -> dict[str, Json]:
    """How many, and the most changed of them by name."""
    comparison = result.comparison
    most: list[Json] = [
        {
            "image": result.names_a[row],
            "image_b": result.names_b[row],
            "a": float(comparison.error_a_px[row]),
            "b": float(comparison.error_b_px[row]),
            "difference": float(comparison.change_px[row]),
        }
        for row in rows[:MOST_IMAGES]
    ]
    return {"images": len(rows), "most": most}
