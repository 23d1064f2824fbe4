"""`make bench`: speed and memory of the product, each figure beside its target.

    python -m benchmarks [NAME …]

The tables inform: the exit status is 0 whether targets are met or not, because a busy machine misses them.
"""

import argparse
from collections.abc import Callable, Iterator

from rich.console import Console, RenderableType
from rich.text import Text

from benchmarks import (
    anatomy_speed,
    calibration_speed,
    calibration_verdicts,
    compare_speed,
    end_to_end,
    hot_path,
    injection,
    overlay_speed,
    report_speed,
    start_up,
)

BENCHMARKS: dict[str, Callable[[], Iterator[RenderableType]]] = {
    "start-up": start_up.run,
    "hot-path": hot_path.run,
    "end-to-end": end_to_end.run,
    "overlays": overlay_speed.run,
    "injection": injection.run,
    "anatomy-speed": anatomy_speed.run,
    "calibration-speed": calibration_speed.run,
    "calibration-verdicts": calibration_verdicts.run,
    "compare-speed": compare_speed.run,
    "report-speed": report_speed.run,
}


def main() -> None:
    """Run the named benchmarks, or all, and print each table as soon as it is measured."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="name", help=", ".join(BENCHMARKS))
    names = parser.parse_args().names
    unknown = [name for name in names if name not in BENCHMARKS]
    if unknown:
        parser.error(f"no benchmark {', '.join(unknown)}; there are {', '.join(BENCHMARKS)}")
    console = Console()
    for name in names or BENCHMARKS:
        for result in BENCHMARKS[name]():
            # Text has lines of its own, which a narrow terminal must not break.
            console.print(result, soft_wrap=isinstance(result, Text))


if __name__ == "__main__":
    main()
