"""What a network may return, and what is said when it returns something else."""

from collections import OrderedDict
from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from mahtdiag.errors import ModelOutputError
from mahtdiag.models.loading import ACCEPTED, read_outputs
from mahtdiag.schema.choices import UncertaintyKind

from .networks import problems_of

B, K = 2, 20
MAPS = torch.rand(B, K, 8, 6)
COORDS = torch.rand(B, K, 2)
BOTH = torch.rand(B, K, 2)
ONE = torch.rand(B, K)


class Named(NamedTuple):
    """A named tuple is a tuple."""

    maps: Tensor
    points: Tensor
    log_sigma: Tensor


Accepted = tuple[object, Tensor | None, Tensor | None, UncertaintyKind | None]
ACCEPTED_FORMS: dict[str, Accepted] = {
    "tensor": (MAPS, None, None, None),
    "half": (MAPS.half(), None, None, None),
    "double": (MAPS.double(), None, None, None),
    "two, per axis": ((MAPS, BOTH), None, BOTH, UncertaintyKind.LOG_SIGMA),
    "two, one": ((MAPS, ONE), None, ONE, UncertaintyKind.LOG_SIGMA),
    "three, per axis": ((MAPS, COORDS, BOTH), COORDS, BOTH, UncertaintyKind.LOG_SIGMA),
    "three, one": ((MAPS, COORDS, ONE), COORDS, ONE, UncertaintyKind.LOG_SIGMA),
    "list": ([MAPS, COORDS, ONE], COORDS, ONE, UncertaintyKind.LOG_SIGMA),
    "named tuple": (Named(MAPS, COORDS, ONE), COORDS, ONE, UncertaintyKind.LOG_SIGMA),
    "dict": ({"heatmaps": MAPS}, None, None, None),
    "ordered dict": (OrderedDict(heatmaps=MAPS), None, None, None),
    "more keys": ({"heatmaps": MAPS, "features": torch.rand(3), "name": "x"}, None, None, None),
    "coords": ({"heatmaps": MAPS, "coords": COORDS}, COORDS, None, None),
    "keypoints": ({"keypoints": COORDS, "heatmaps": MAPS}, COORDS, None, None),
    "log_sigma": ({"heatmaps": MAPS, "log_sigma": BOTH}, None, BOTH, UncertaintyKind.LOG_SIGMA),
    "sigma": ({"heatmaps": MAPS, "sigma": ONE}, None, ONE, UncertaintyKind.SIGMA),
    "uncertainty": ({"heatmaps": MAPS, "uncertainty": BOTH}, None, BOTH, UncertaintyKind.SIGMA),
    "log_var": ({"heatmaps": MAPS, "log_var": ONE}, None, ONE, UncertaintyKind.LOG_VAR),
    "all": (
        {"heatmaps": MAPS, "keypoints": COORDS, "log_var": BOTH},
        COORDS,
        BOTH,
        UncertaintyKind.LOG_VAR,
    ),
}


@pytest.mark.parametrize("form", ACCEPTED_FORMS.values(), ids=ACCEPTED_FORMS.keys())
def test_accepted(form: Accepted) -> None:
    output, coords, uncertainty, kind = form
    found = read_outputs(output, B)
    assert found.heatmaps.shape == MAPS.shape
    assert found.coords is coords
    assert found.uncertainty is uncertainty
    assert found.uncertainty_kind is kind


WRONG_FORMS: dict[str, tuple[object, str]] = {
    "other batch": (torch.rand(3, K, 8, 6), "tensor [3, 20, 8, 6] for 2 image(s)"),
    "three dimensions": (torch.rand(K, 8, 6), "tensor [20, 8, 6]"),
    "five dimensions": (torch.rand(B, 1, K, 8, 6), "tensor [2, 1, 20, 8, 6]"),
    "no cells": (torch.rand(B, K, 0, 6), "tensor [2, 20, 0, 6]"),
    "no keypoints": (torch.rand(B, 0, 8, 6), "tensor [2, 0, 8, 6]"),
    "integers": (torch.ones(B, K, 8, 6, dtype=torch.int64), "tensor [2, 20, 8, 6] of int64"),
    "bools": (torch.ones(B, K, 8, 6, dtype=torch.bool), "tensor [2, 20, 8, 6] of bool"),
    "complex": (torch.ones(B, K, 8, 6, dtype=torch.complex64), "tensor [2, 20, 8, 6] of complex64"),
    "coordinates alone": (COORDS, "tensor [2, 20, 2]"),
    "array": (MAPS.numpy(), "ndarray"),
    "nothing": (None, "NoneType"),
    "text": ("abc", "str"),
    "empty tuple": ((), "tuple ()"),
    "four": ((MAPS, COORDS, ONE, ONE), "tuple (tensor [2, 20, 8, 6], tensor [2, 20, 2]"),
    "none inside": ((MAPS, None), "tuple (tensor [2, 20, 8, 6], NoneType)"),
    "nested tuple": (((MAPS, ONE), COORDS), "tuple (tuple (tensor"),
    "wrong order": ((ONE, MAPS), "tuple (tensor [2, 20], tensor [2, 20, 8, 6])"),
    "stacked heatmaps": ((MAPS, MAPS), "tuple (tensor [2, 20, 8, 6], tensor [2, 20, 8, 6])"),
    "σ for others": ((MAPS, torch.rand(B, 22)), "tensor [2, 22]"),
    "σ of three axes": ((MAPS, torch.rand(B, K, 3)), "tensor [2, 20, 3]"),
    "σ flat": ((MAPS, torch.rand(B, 2 * K)), "tensor [2, 40]"),
    "coords for others": ((MAPS, torch.rand(B, 22, 2), ONE), "tensor [2, 22, 2]"),
    "coords with visibility": (
        {"heatmaps": MAPS, "coords": torch.rand(B, K, 3)},
        "coords: tensor [2, 20, 3]",
    ),
    "coords of one image": ({"heatmaps": MAPS, "keypoints": COORDS[:1]}, "keypoints: tensor [1, 20, 2]"),
    "no heatmaps": ({"heatmap": MAPS}, "dict {heatmap: tensor [2, 20, 8, 6]}"),
    "empty dict": ({}, "dict {}"),
    "nested dict": ({"out": {"heatmaps": MAPS}}, "dict {out: dict {heatmaps: tensor [2, 20, 8, 6]}}"),
    "nested heatmaps": ({"heatmaps": {"a": MAPS}}, "dict {heatmaps: dict {a: tensor"),
    "list of heatmaps": ({"heatmaps": [MAPS, MAPS]}, "dict {heatmaps: list (tensor"),
    "none in dict": ({"heatmaps": MAPS, "sigma": None}, "sigma: NoneType"),
    "two uncertainties": (
        {"heatmaps": MAPS, "sigma": ONE, "log_var": ONE},
        "sigma: tensor [2, 20], log_var: tensor [2, 20]",
    ),
    "two places": ({"heatmaps": MAPS, "coords": COORDS, "keypoints": COORDS}, "keypoints: tensor [2, 20, 2]"),
}


@pytest.mark.parametrize(("output", "said"), WRONG_FORMS.values(), ids=WRONG_FORMS.keys())
def test_wrong(output: object, said: str) -> None:
    (problem,) = problems_of(lambda: read_outputs(output, B), ModelOutputError)
    assert problem.startswith("the network returned ")
    assert said in problem
    assert problem.endswith(ACCEPTED)


def test_the_accepted_forms_are_those_of_the_contract() -> None:
    for name in ("coords", "keypoints", "log_sigma", "sigma", "uncertainty", "log_var", "[B,K,h,w]"):
        assert name in ACCEPTED
