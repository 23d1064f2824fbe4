"""How long the calibration numbers take for a very large run, and against a published package.

    python -m benchmarks.calibration_speed [--images N] [--against N]

Targets on one core: 100,000 images of 22 keypoints without intervals in under 3 s, with them in under 30 s,
under 2 GB; all scores and curves of 100,000 residuals at least 30 times faster than the MACE
alone of uncertainty-toolbox. Ratios are measured in one run, each side its best of several.
"""

import argparse
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import numpy as np
import uncertainty_toolbox
from rich.text import Text

from mahtdiag.calibration.report import calibration_report
from mahtdiag.calibration.scores import collect_points
from mahtdiag.calibration.sums import image_sums, numbers
from mahtdiag.schema.skeleton import View
from validation.simulated_models import calibrated

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
VIEW = View.LA


def use_one_core() -> None:
    """Start again with one thread: numerical libraries ask for the number only when they are loaded."""
    if any(os.environ.get(name) != "1" for name in THREADS):
        os.environ.update(dict.fromkeys(THREADS, "1"))
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def seconds(job: Callable[[], object], times: int = 1) -> float:
    """The fastest of several runs."""
    best = float("inf")
    for _ in range(times):
        started = time.perf_counter()
        job()
        best = min(best, time.perf_counter() - started)
    return best


def peak_gigabytes() -> float:
    """The most memory this process has held."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9


def report_lines(images: int) -> list[str]:
    """Time of all numbers, without and with intervals, and the memory that took."""
    data = calibrated(np.random.default_rng(0), images, VIEW.skeleton.keypoints)
    groups = {
        "vertebra": np.array(VIEW.skeleton.vertebra_of),
        "corner": np.array(VIEW.skeleton.corner_of),
        "keypoint": np.array(VIEW.skeleton.keypoint_names),
        "sex": np.resize(["F", "M"], images)[:, None],
    }

    def numbers(*, intervals: bool) -> Callable[[], object]:
        return lambda: calibration_report(
            data.residual_px, data.sigma_px, groups=groups, large_error_px=8.0, intervals=intervals
        )

    plain, full = seconds(numbers(intervals=False), 2), seconds(numbers(intervals=True))
    return [
        f"{images:,} images of {VIEW.skeleton.keypoints} keypoints, one core",
        f"  all numbers, four kinds of groups     {plain:6.2f} s   (target at 100,000: 3 s)",
        f"  the same with intervals               {full:6.2f} s   (target at 100,000: 30 s)",
        f"  peak memory, input included           {peak_gigabytes():6.2f} GB  (target at 100,000: 2 GB)",
    ]


def package_lines(n: int) -> list[str]:
    """All scores and curves, against the MACE alone of uncertainty-toolbox, of the same n residuals."""
    rng = np.random.default_rng(1)
    sigma = np.exp(rng.normal(1.0, 0.5, n))
    truth = rng.normal(size=n)
    predicted = truth + sigma * rng.normal(size=n)
    theirs = uncertainty_toolbox.metrics_calibration.mean_absolute_calibration_error

    def ours() -> float:
        points = collect_points(*(values.reshape(1, -1, 2) for values in (predicted - truth, sigma)))
        return float(numbers(image_sums(points).sum(axis=0)).mace)

    ours_s, theirs_s = seconds(ours, 7), seconds(lambda: theirs(predicted, sigma, truth), 3)
    gap = abs(ours() - float(theirs(predicted, sigma, truth)))
    return [
        f"MACE of {n:,} residuals, here with all other scores",
        f"  mahtdiag                              {1e3 * ours_s:6.1f} ms",
        f"  uncertainty-toolbox 0.1.1             {1e3 * theirs_s:6.1f} ms",
        f"  ratio                                 {theirs_s / ours_s:6.0f}     (target: 30)",
        f"  difference of the two values          {gap:6.0e}",
    ]


def run() -> Iterator[Text]:
    """Both tables, for `python -m benchmarks`: measured in a process of its own, with one thread."""
    command = [sys.executable, "-m", "benchmarks.calibration_speed"]
    environment = {**os.environ, **dict.fromkeys(THREADS, "1")}
    yield Text(subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout)


def main() -> None:
    """Prints both tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--against", type=int, default=100_000, help="residuals for the comparison")
    arguments = parser.parse_args()
    use_one_core()
    lines = [*package_lines(arguments.against), "", *report_lines(arguments.images)]
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
