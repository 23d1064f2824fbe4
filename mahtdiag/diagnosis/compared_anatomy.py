"""Anatomical violations of two runs, by the names that `run.json` has for them."""

import re
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from mahtdiag.anatomy.findings import Findings
from mahtdiag.anatomy.rules import RULES
from mahtdiag.diagnosis.compared_run import ComparedRun, Ratios

Floats = NDArray[np.float64]

BY_CODE = "anatomy.by_code."
_NAME = re.compile(
    r"anatomy\.(?:by_code\.(?P<code>\w+)\.(?P<counted>images|findings)"
    r"|(?:vertebrae\.(?P<vertebra>\w+)\.)?(?P<what>violations|images_with_violations))"
)


def add_violations(ratios: Ratios, a: ComparedRun, b: ComparedRun, names: Iterable[str]) -> None:
    """Gather the numbers of violations among `names`: per rule that was checked, per vertebra, and all."""
    for name in names:
        found = _NAME.fullmatch(name)
        if found is None or not _is_known(found, a):
            continue
        per_image = [_per_image(side.findings, found) for side in (a, b)]
        if found["what"] == "images_with_violations":
            ratios.mean(name, *((side > 0).astype(np.float64) for side in per_image))
        elif found["counted"] == "images":
            ratios.total(name, *((side > 0).astype(np.float64) for side in per_image))
        else:
            ratios.total(name, *per_image)


def _is_known(name: re.Match[str], run: ComparedRun) -> bool:
    if name["code"] is not None:
        return any(rule.code == name["code"] for rule in run.findings.rules)
    return name["vertebra"] is None or name["vertebra"] in run.view.vertebrae


def _per_image(findings: Findings, name: re.Match[str]) -> Floats:
    """Findings per image `[N]`: all, those of a rule, or those that blame a keypoint of a vertebra."""
    chosen = np.ones(len(findings), dtype=np.bool_)
    if name["code"] is not None:
        chosen = findings.rule == next(n for n, rule in enumerate(RULES) if rule.code == name["code"])
    elif name["vertebra"] is not None:
        members = np.flatnonzero(np.array(findings.view.vertebra_of) == name["vertebra"])
        chosen = (findings.keypoints & sum(1 << int(k) for k in members)) != 0
    return np.bincount(findings.image[chosen], minlength=findings.images).astype(np.float64)
