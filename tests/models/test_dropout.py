"""Dropout switched on: every kind of layer, and nothing else."""

import warnings

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mahtdiag.models.loading import activate_dropout

from .networks import mahtnet

KINDS = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout)


class ConcreteDropout(nn.Module):
    """A layer of somebody's own, with normalisation inside."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(3)

    def forward(self, features: Tensor) -> Tensor:
        """`[B, 3, h, w]` -> same."""
        return F.dropout(self.norm(features), 0.5, self.training)


def test_every_kind_of_layer_and_nothing_else() -> None:
    network = nn.Sequential(*(kind(0.5) for kind in KINDS), nn.BatchNorm2d(3), ConcreteDropout()).eval()
    assert activate_dropout(network) == len(KINDS) + 1
    for module in network.modules():
        assert module.training == ("Dropout" in type(module).__name__), module


def test_no_layer() -> None:
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2)).eval()
    assert activate_dropout(network) == 0
    assert not any(module.training for module in network.modules())


def test_statistics_stay_and_passes_differ() -> None:
    network = mahtnet()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    images = torch.rand(1, 3, 64, 32)
    with torch.inference_mode():
        still = [network(images)["heatmaps"] for _ in range(2)]
        assert activate_dropout(network) > 0
        moving = [network(images)["heatmaps"] for _ in range(2)]
    assert torch.equal(*still)
    assert not torch.equal(*moving)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_in_torchscript_the_class_a_layer_was_made_of_counts() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        network: nn.Module = torch.jit.script(nn.Sequential(nn.Conv2d(1, 2, 3), nn.Dropout2d(0.5)).eval())
    assert activate_dropout(network) == 1
    assert [module.training for module in network.modules()] == [False, False, True]
