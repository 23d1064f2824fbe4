"""What a closer look leaves out where nobody asks for it."""

import torch

from mahtdiag.engine.inspection import BETAS, _places
from mahtdiag.schema.choices import DecodeMethod
from mahtdiag.schema.model_spec import Decoding


def test_factors_of_soft_argmax_are_tried_only_where_it_decodes() -> None:
    heatmaps = torch.rand(2, 3, 16, 12)
    usual = _places(heatmaps, Decoding(1.5, DecodeMethod.DARK))
    soft = _places(heatmaps, Decoding(1.5, DecodeMethod.SOFT_ARGMAX, 7.0))
    assert set(usual) == {"argmax", "local", "dark"}
    assert set(soft) - set(usual) == {f"soft-argmax {beta:g}" for beta in (*BETAS, 7.0)}
