"""How long the anatomical numbers of a very large run take, in a process of its own with one thread.

    python -m benchmarks.anatomy_speed [--images N]

Targets at 100,000 images of 22 keypoints on one core: all rules in under 2 s; the bootstrap of the systematic
error (2,000 resamples) and the agreement of all measurements together in under 10 s.
"""

import argparse
import os
import subprocess
import sys
from collections.abc import Iterator

import numpy as np
from rich.text import Text

from benchmarks.calibration_speed import THREADS, seconds, use_one_core
from mahtdiag.anatomy.findings import check_anatomy
from mahtdiag.anatomy.systematic import fit_systematic_error
from mahtdiag.diagnosis.measured import measure_run
from mahtdiag.diagnosis.run_table import RunTable
from mahtdiag.schema.skeleton import View
from validation.injection_sets import SAMPLE_DATA, annotated_set

VIEW = View.LA
ERROR_PX = 8.0


def report_lines(images: int) -> list[str]:
    """Times, on the sample annotations repeated with noise."""
    clean = annotated_set(SAMPLE_DATA, VIEW)
    rng = np.random.default_rng(0)
    rows = np.arange(images) % len(clean.points_px)
    label, size = clean.points_px[rows], clean.size_px[rows]
    pred = label + rng.normal(0.0, ERROR_PX, label.shape)
    rules = seconds(lambda: check_anatomy(pred, VIEW.skeleton, image_size_px=size), 3)
    bootstrap = seconds(lambda: fit_systematic_error(pred, label))
    names = tuple(str(row) for row in rows)
    table = RunTable(VIEW.skeleton, {"image": names, "pred_px": pred, "gt_px": label})
    agreement = seconds(lambda: measure_run(table))
    return [
        f"{images:,} images of {VIEW.skeleton.keypoints} keypoints, one core",
        f"  all rules                             {rules:6.2f} s   (target at 100,000: 2 s)",
        f"  bootstrap of the systematic error     {bootstrap:6.2f} s",
        f"  agreement of all measurements         {agreement:6.2f} s",
        f"  the last two                          {bootstrap + agreement:6.2f} s   (target at 100,000: 10 s)",
    ]


def run() -> Iterator[Text]:
    """The table, for `python -m benchmarks`."""
    command = [sys.executable, "-m", "benchmarks.anatomy_speed"]
    environment = {**os.environ, **dict.fromkeys(THREADS, "1")}
    yield Text(subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout)


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--images", type=int, default=100_000)
    arguments = parser.parse_args()
    use_one_core()
    sys.stdout.write("\n".join(report_lines(arguments.images)) + "\n")


if __name__ == "__main__":
    main()
