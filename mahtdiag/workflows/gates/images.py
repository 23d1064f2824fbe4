"""Which images are behind any number of a run: by the section that the number is in."""

from collections.abc import Callable, Sequence
from functools import cache

from mahtdiag.diagnosis.anatomy import JudgedImage, LevelShift
from mahtdiag.diagnosis.run_table import RunTable
from mahtdiag.reports.ci.record import WorstImages
from mahtdiag.workflows.gates import worst_images
from mahtdiag.workflows.gates.ci import WorstOf, ranked
from mahtdiag.workflows.gates.worst_images import Ranking


def finder(
    table: RunTable,
    judge_images: Callable[[], Sequence[JudgedImage]],
    shifts: Sequence[LevelShift] | None,
) -> WorstOf:
    """Finds the images behind a number; `judge_images` is called only for numbers of `anatomy`."""
    judged = cache(judge_images)

    def ranking(section: str, metric: str) -> Ranking | None:
        match section:
            case "losses":
                return worst_images.by_loss(metric, table)
            case "anatomy":
                return worst_images.by_violations(metric, table.view, judged())
            case "error_types":
                return worst_images.by_error_type(metric, table)
            case "ambiguity":
                return worst_images.by_ambiguity(table)
            case "calibration":
                residual_px = table.pred_px - table.gt_px
                return worst_images.by_sigma(metric, table.view, table.image, residual_px, table.sigma_px)
        return worst_images.by_errors(metric, table)

    def worst_of(metric: str, too_high: bool) -> WorstImages | None:
        section = metric.partition(".")[0]
        if section == "images":
            return worst_images.failed_images(table.failures)
        if metric.endswith(".level_shifts") and shifts is not None:
            return worst_images.shifted_images(shifts)
        return ranked(ranking(section, metric), too_high)

    return worst_of
