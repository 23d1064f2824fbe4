"""Anatomical violations of two runs, by the names that `run.json` has for them."""

import re
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from mahtdiag.anatomy.findings import Findings
from mahtdiag.anatomy.rules import RULES
from mahtdiag.diagnosis.compared_run import ComparedRun, Ratios
from mahtdiag.schema.skeleton import View

Ints = NDArray[np.int64]

BY_CODE = "anatomy.by_code."
_NAME = re.compile(
    r"anatomy\.(?:by_code\.(?P<code>\w+)\.(?P<counted>images|findings)"
    r"|(?:vertebrae\.(?P<vertebra>\w+)\.)?(?P<what>violations|images_with_violations))"
)


def has_violation(name: str, view: View) -> bool:
    """Whether a name is that of a number of violations of some view."""
    found = _NAME.fullmatch(name)
    if found is None or (found["code"] and found["code"] not in {rule.code for rule in RULES}):
        return False
    return found["vertebra"] is None or found["vertebra"] in view.vertebrae


def add_violations(ratios: Ratios, a: ComparedRun, b: ComparedRun, names: Iterable[str]) -> None:
    """Gather the numbers of violations among `names`: per rule that was checked, per vertebra, and all."""
    for name in names:
        found = _NAME.fullmatch(name)
        if found is None or not has_violation(name, a.view) or not _is_checked(found, a, b):
            continue
        in_a, in_b = (_per_image(side.findings, found) for side in (a, b))
        if found["what"] == "images_with_violations":
            ratios.quotient(name, in_a > 0, in_b > 0, np.ones(a.images, dtype=np.int64))
        elif found["counted"] == "images":
            ratios.total(name, in_a > 0, in_b > 0)
        else:
            ratios.total(name, in_a, in_b)


def _is_checked(name: re.Match[str], a: ComparedRun, b: ComparedRun) -> bool:
    """Whether the rule in the name was checked in both runs."""
    if name["code"] is None:
        return True
    return all(any(rule.code == name["code"] for rule in side.findings.rules) for side in (a, b))


def _per_image(findings: Findings, name: re.Match[str]) -> Ints:
    """Findings per image `[N]`: all, those of a rule, or those that blame a keypoint of a vertebra."""
    chosen: NDArray[np.bool_] = np.ones(len(findings), dtype=np.bool_)
    if name["code"] is not None:
        checked = [rule.code for rule in findings.rules]
        chosen = findings.rule == checked.index(name["code"])
    elif name["vertebra"] is not None:
        members = findings.skeleton.keypoints_of(name["vertebra"])
        chosen = np.asarray(findings.blame[:, members].any(axis=1))
    return np.bincount(findings.image[chosen], minlength=findings.images).astype(np.int64)
