"""`make bench`: speed and memory of the product, each figure beside its target.

    python -m benchmarks [NAME …]

The tables inform: the exit status is 0 whether targets are met or not, because a busy machine misses them.
"""

from collections.abc import Callable, Iterator

from rich.console import RenderableType

from benchmarks import (
    anatomy_speed,
    calibration_speed,
    compare_speed,
    contents,
    end_to_end,
    host_speed,
    hot_path,
    monitor_speed,
    opening_speed,
    overlay_speed,
    ranks_speed,
    report_speed,
    start_up,
)
from benchmarks.figures import print_named

BENCHMARKS: dict[str, Callable[[], Iterator[RenderableType]]] = {
    "start-up": start_up.run,
    "hot-path": hot_path.run,
    "host": host_speed.run,
    "contents": contents.run,
    "end-to-end": end_to_end.run,
    "torchrun": ranks_speed.run,
    "opening": opening_speed.run,
    "overlays": overlay_speed.run,
    "anatomy-speed": anatomy_speed.run,
    "calibration-speed": calibration_speed.run,
    "compare-speed": compare_speed.run,
    "report-speed": report_speed.run,
    "monitor": monitor_speed.run,
}


if __name__ == "__main__":
    print_named(BENCHMARKS, __doc__ or "")
