"""What was done: wall time, and images evaluated and failed; told by whoever ran it, not by the table."""

from collections.abc import Iterator

from mahtdiag.diagnosis.metrics.metric import Better, Metric, everything
from mahtdiag.diagnosis.run_table import RunTable
from mahtdiag.diagnosis.worst_images import WorstImages, failed_images
from mahtdiag.schema.skeleton import Skeleton

SECONDS, IMAGES = "seconds", "images"
PARTS = ("total", "forward", "decode", "analyse")
COUNTS = {"total": Better.HIGHER, "evaluated": Better.HIGHER, "failed": Better.LOWER}


def run_metrics(skeleton: Skeleton) -> tuple[Metric, ...]:
    """All numbers of the sections `seconds` and `images`."""
    return tuple(_metrics(skeleton))


def _metrics(skeleton: Skeleton) -> Iterator[Metric]:
    group = everything(skeleton)
    for part in PARTS:
        yield Metric((SECONDS, part), f"{part}, s", group, Better.LOWER, unit="s")
    for name, better in COUNTS.items():
        yield Metric(
            *((IMAGES, name), f"images {name}", group, better),
            unit="count",
            behind=_failed,
            proposed=1 if name == "failed" else 0,
        )


def _failed(table: RunTable) -> WorstImages | None:
    return failed_images(table.failures)
