"""Agreement with values that an independent implementation computed in float64."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from mahtdiag.losses import (
    AnatomicalStructureLoss,
    AWingLoss,
    FocalHeatmapLoss,
    HeatmapMSELoss,
    MAHTNetLoss,
    SmoothL1Loss,
    UncertaintyLoss,
    WingLoss,
)

CASES: list[dict[str, Any]] = json.loads((Path(__file__).parent / "data" / "losses.json").read_text())[
    "cases"
]
NAMES = tuple(CASES[0]["expected_per_image"])


def computed(case: dict[str, Any], dtype: torch.dtype) -> dict[str, Tensor]:
    inputs = {
        name: torch.tensor(case[name], dtype=torch.float64).to(dtype)
        for name in case
        if name not in ("view", "expected_per_image")
    }
    maps = inputs["pred_heatmaps"], inputs["target_heatmaps"]
    points = inputs["pred_coords"], inputs["target_coords"]
    view = case["view"]
    terms = AnatomicalStructureLoss(view=view, reduction="none")(points[0])
    combined = MAHTNetLoss(view=view, reduction="none")
    return {
        "heatmap_mse": HeatmapMSELoss(reduction="none")(*maps),
        "heatmap_focal_gamma2": FocalHeatmapLoss(reduction="none")(*maps),
        "heatmap_awing": AWingLoss(reduction="none")(*maps),
        "wing": WingLoss(reduction="none")(*points),
        "smooth_l1": SmoothL1Loss(reduction="none")(*points),
        "order": terms.order,
        "parallel": terms.parallel,
        "ratio": terms.ratio,
        "anatomical": terms.total,
        "uncertainty": UncertaintyLoss(reduction="none")(*points, inputs["log_sigma"]),
        "uncertainty_per_axis": UncertaintyLoss(reduction="none")(*points, inputs["log_sigma_per_axis"]),
        "total": combined(*maps, *points, inputs["log_sigma"]).total,
    }


def test_both_views_are_covered() -> None:
    assert {case["view"] for case in CASES} == {"AP", "LA"}
    assert len(NAMES) == 12


@pytest.mark.parametrize("number", range(len(CASES)))
def test_float64(number: int) -> None:
    values = computed(CASES[number], torch.float64)
    assert set(values) == set(NAMES)
    for name, expected in CASES[number]["expected_per_image"].items():
        assert values[name].tolist() == pytest.approx(expected, rel=1e-9, abs=1e-9), name


@pytest.mark.parametrize("number", range(len(CASES)))
def test_float32(number: int) -> None:
    values = computed(CASES[number], torch.float32)
    for name, expected in CASES[number]["expected_per_image"].items():
        assert values[name].dtype == torch.float32, name
        assert values[name].tolist() == pytest.approx(expected, rel=1e-5, abs=1e-12), name


@pytest.mark.parametrize("number", range(len(CASES)))
def test_the_mean_is_the_mean(number: int) -> None:
    case = CASES[number]
    maps = [torch.tensor(case[name], dtype=torch.float64) for name in ("pred_heatmaps", "target_heatmaps")]
    points = [torch.tensor(case[name], dtype=torch.float64) for name in ("pred_coords", "target_coords")]
    sigma = torch.tensor(case["log_sigma"], dtype=torch.float64)
    parts = MAHTNetLoss(view=case["view"])(*maps, *points, sigma)
    expected = case["expected_per_image"]
    for part, name in (
        ("heatmap", "heatmap_focal_gamma2"),
        ("coord", "wing"),
        ("anatomical", "anatomical"),
        ("uncertainty", "uncertainty"),
        ("total", "total"),
    ):
        assert parts[part].item() == pytest.approx(sum(expected[name]) / len(expected[name]), abs=1e-9), part
