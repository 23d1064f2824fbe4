"""No command judges the same points by the same limits and rules twice: it is most of the work of many."""

import hashlib
import importlib
import pkgutil
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

import mahtdiag
from mahtdiag.anatomy.findings import Findings, check_anatomy
from mahtdiag.anatomy.rule import Rule
from mahtdiag.anatomy.rules import RULES, Limits
from mahtdiag.schema.skeleton import Skeleton

from .command import Desk, Finished, document_of
from .test_gates import GATES, MODEL
from .test_stored_runs import FIXTURES, RESUMED

Floats = np.typing.NDArray[np.float64]
Judged = Counter[str]

# They need a package that comes with PyTorch for CUDA alone.
OF_TRITON = ("mahtdiag.heatmaps.fused", "mahtdiag.heatmaps.kernels")
# Loaded before anything is counted: a module that a command loads has to hold the function itself.
ALL_MODULES = [
    importlib.import_module(module.name)
    for module in pkgutil.walk_packages(mahtdiag.__path__, "mahtdiag.")
    if module.name not in OF_TRITON
    if not module.name.endswith("__main__")
]

STORED = {
    "anatomy": ("anatomy", "runs/a", "--overlays", "all"),
    "anatomy with other limits and a baseline": ("anatomy", "runs/a", "--config", "now.toml"),
    "anatomy by some rules": ("anatomy", "runs/la", "--select", "A2,A4", "--format", "json"),
    "anatomy of labels": ("anatomy", "--labels", "data", "--view", "LA", "--out", "drawn"),
    "calibration with a baseline": ("calibration", "runs/a", "--config", "now.toml"),
    "compare": ("compare", "runs/a", "runs/b", "--out", "drawn"),
    "compare three": ("compare", "runs/a", "runs/b", "runs/earlier", "--format", "json"),
    "report with a baseline": ("report", "runs/a", "--config", "now.toml"),
    "evaluate of a complete run": (*RESUMED, "--junit", "ci.xml"),
}

# `earlier` is a copy of `a`, and the baseline of the evaluation has its points: two runs hold the same ones.
SHARED = "compare three"

# No number of this command follows from the rules.
WITHOUT_RULES = "calibration with a baseline"


@pytest.fixture
def judged(monkeypatch: pytest.MonkeyPatch) -> Judged:
    """How often the points of an image were judged, by a digest of points, limits and rules."""
    found: Judged = Counter()

    def counted(
        points_px: Floats,
        skeleton: Skeleton,
        *,
        image_size_px: Floats | None,
        limits: Limits | None = None,
        rules: Sequence[Rule] | None = None,
    ) -> Findings:
        codes = [rule.code for rule in (RULES if rules is None else rules)]
        by = repr((limits or Limits.of(skeleton.view), codes)).encode()
        found.update(hashlib.sha256(by + points.tobytes()).hexdigest() for points in np.asarray(points_px))
        return check_anatomy(points_px, skeleton, image_size_px=image_size_px, limits=limits, rules=rules)

    for module in ALL_MODULES:
        if getattr(module, "check_anatomy", None) is check_anatomy:
            monkeypatch.setattr(module, "check_anatomy", counted)
    return found


@pytest.mark.parametrize("name", STORED)
def test_commands_on_a_stored_run(
    name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    command: Callable[..., Finished],
    judged: Judged,
) -> None:
    shutil.copytree(FIXTURES / "desk", tmp_path / "desk")
    monkeypatch.chdir(tmp_path / "desk")
    assert command(*STORED[name]).status in (0, 1)
    expected = {SHARED: {1, 2}, WITHOUT_RULES: set[int]()}
    assert set(judged.values()) == expected.get(name, {1})


def test_evaluate(desk: Desk, judged: Judged) -> None:
    """Predictions once in the run and once in its baseline; labels once, for whether they are possible."""
    assert desk.lookup("exact", "--out", "good", "--pixel-spacing", "0.25").status == 0
    judged.clear()
    baseline = '[gates.baseline]\nrun = "good"\n"anatomy.images_with_violations" = "+0.1"\n'
    (desk.path / "mahtdiag.toml").write_text(MODEL + GATES + baseline, encoding="utf-8")
    done = desk.run("evaluate", "--trust", "--out", "run", "--overlays", "all", "--junit", "ci.xml")
    assert done.status == 1
    predictions, labels = 2, 1
    images = document_of(desk.path / "run")["images"]["evaluated"]
    assert Counter(judged.values()) == {predictions: images, labels: images}
