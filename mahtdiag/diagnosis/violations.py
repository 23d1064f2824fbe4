"""Violations of a set of images as the numbers that `run.json` holds and gates limit."""

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv

from mahtdiag.anatomy.findings import Findings

Interval = tuple[float, float]


def violation_numbers(findings: Findings, level_shifts: int | None) -> dict[str, object]:
    """Findings, the share of images with any, per code and per vertebra; shares have exact intervals.

    A finding belongs to every vertebra with a keypoint that it blames. `level_shifts`: images marked one
    level off as a whole, None where labels are not compared.
    """
    count = findings.findings_by_code()
    by_code = {
        code: {"images": images, "findings": count[code]}
        for code, images in findings.images_by_code().items()
    }
    vertebrae = {}
    for name in findings.skeleton.vertebrae:
        blamed = findings.blame[:, findings.skeleton.keypoints_of(name)].any(axis=1)
        vertebrae[name] = _of(findings.image[blamed], findings.images)
    return {
        **_of(findings.image, findings.images),
        "by_code": by_code,
        "vertebrae": vertebrae,
        "level_shifts": level_shifts,
    }


def _of(image: NDArray[np.int64], images: int) -> dict[str, object]:
    """Numbers of findings in these images (one entry per finding)."""
    violating = int(np.unique(image).size)
    return {
        "violations": int(image.size),
        "images_with_violations": violating / images if images else 0.0,
        "images_with_violations_ci95": exact_interval(violating, images),
    }


def exact_interval(count: int, of: int, confidence: float = 0.95) -> Interval | None:
    """Interval of a share of independent images that keeps its promise for few images and for none found.

    Resampling would call a share of 0 of 3 certain. None without images.
    Source: Clopper, Pearson, The use of confidence or fiducial limits, Biometrika 26 (1934).
    """
    if of == 0:
        return None
    tail = (1.0 - confidence) / 2.0
    low = 0.0 if count == 0 else float(betaincinv(count, of - count + 1, tail))
    high = 1.0 if count == of else float(betaincinv(count + 1, of - count, 1.0 - tail))
    return low, high
