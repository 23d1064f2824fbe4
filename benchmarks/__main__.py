"""`make bench`: speed and memory of the product, each figure beside its target.

    python -m benchmarks [NAME …]

The tables inform: the exit status is 0 whether targets are met or not, because a busy machine misses them.
"""

from collections.abc import Callable, Iterator
from functools import partial
from importlib import import_module

from rich.console import RenderableType

from benchmarks.figures import print_named
from mahtdiag.cli.app import let_threads_sleep

MODULES = {
    "start-up": "start_up",
    "hot-path": "hot_path",
    "host": "host_speed",
    "contents": "contents",
    "end-to-end": "end_to_end",
    "torchrun": "ranks_speed",
    "plain-script": "plain_script",
    "gpu": "gpu_speed",
    "opening": "opening_speed",
    "overlays": "overlay_speed",
    "anatomy-speed": "anatomy_speed",
    "calibration-speed": "calibration_speed",
    "compare-speed": "compare_speed",
    "report-speed": "report_speed",
    "memory": "memory",
    "monitor": "monitor_speed",
}


def _run(module: str) -> Iterator[RenderableType]:
    # Not before: one of them needs no package that another compares with.
    found: Iterator[RenderableType] = import_module(f"benchmarks.{module}").run()
    return found


BENCHMARKS: dict[str, Callable[[], Iterator[RenderableType]]] = {
    name: partial(_run, module) for name, module in MODULES.items()
}


if __name__ == "__main__":
    # As the command line does it, before PyTorch is imported.
    let_threads_sleep()
    print_named(BENCHMARKS, __doc__ or "")
