"""Numbers of violations, by loops over the findings, and exact intervals of shares."""

import numpy as np
import pytest
from numpy.typing import NDArray

from mahtdiag.diagnosis.metrics.registry import metrics_of
from mahtdiag.diagnosis.numbers import as_content, estimate
from mahtdiag.diagnosis.run_table import RunTable
from mahtdiag.schema.skeleton import View
from tests.anatomy.spines import natural_spines, sizes_for

Floats = NDArray[np.float64]


def table_of(points: Floats, view: View) -> RunTable:
    """Predictions alone."""
    width, height = sizes_for(points).T
    names = tuple(f"{image}.png" for image in range(len(points)))
    return RunTable(view.skeleton, {"image": names, "pred_px": points, "width": width, "height": height})


def spoiled(view: View, images: int, seed: int = 0) -> RunTable:
    """Spines of which some have corners that lie far off."""
    rng = np.random.default_rng(seed)
    points = natural_spines(view, images)
    off = rng.random(points.shape[:2]) < 0.03
    points[off] += rng.normal(0.0, 60.0, (int(off.sum()), 2))
    return table_of(points, view)


def numbers_in(table: RunTable) -> dict[str, object]:
    """The section `anatomy` of its `run.json`."""
    metrics = [metric for metric in metrics_of(table.skeleton).values() if metric.section == "anatomy"]
    section = as_content(metrics, estimate(metrics, table))["anatomy"]
    assert isinstance(section, dict)
    return section


def share(numbers: object, name: str) -> dict[str, object]:
    """The entry of a vertebra or a code."""
    assert isinstance(numbers, dict)
    entry = numbers[name]
    assert isinstance(entry, dict)
    return entry


@pytest.mark.parametrize("view", list(View))
def test_counts_against_loops(view: View) -> None:
    table = spoiled(view, 40)
    numbers, findings = numbers_in(table), table.findings
    each = [finding for image in range(40) for finding in findings.of_image(image)]
    assert 5 < len({finding.image for finding in each}) < 40
    assert numbers["violations"] == len(each)
    assert numbers["images_with_violations"] == len({finding.image for finding in each}) / 40
    # Predictions alone are not marked one level off.
    assert "level_shifts" not in numbers
    vertebrae = numbers["vertebrae"]
    assert isinstance(vertebrae, dict)
    assert list(vertebrae) == list(view.skeleton.vertebrae)
    for name in view.skeleton.vertebrae:
        own = [f for f in each if any(view.skeleton.vertebra_of[k] == name for k in f.keypoints)]
        assert share(vertebrae, name)["violations"] == len(own)
        assert share(vertebrae, name)["images_with_violations"] == len({f.image for f in own}) / 40
    for code in {finding.code for finding in each}:
        of_code = [finding for finding in each if finding.code == code]
        assert share(numbers["by_code"], code) == {
            "images": len({finding.image for finding in of_code}),
            "findings": len(of_code),
        }


def test_the_order_of_the_images_has_no_say() -> None:
    points = natural_spines(View.LA, 20)
    points[::3, 5] += 70.0
    order = np.random.default_rng(1).permutation(20)
    numbers = [numbers_in(table_of(points[rows], View.LA)) for rows in (np.arange(20), order)]
    assert numbers[0] == numbers[1]


def test_no_image_has_no_share_to_speak_of() -> None:
    numbers = numbers_in(table_of(np.empty((0, 20, 2)), View.AP))
    assert (numbers["violations"], numbers["images_with_violations"]) == (0, 0.0)
    assert numbers["images_with_violations_ci95"] is None
