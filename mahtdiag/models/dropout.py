"""Dropout at work in a network that is otherwise evaluated, for Monte-Carlo dropout."""

from torch import nn


def activate_dropout(network: nn.Module) -> int:
    """Switch every dropout layer to training mode and nothing else; returns how many there are.

    A layer counts by the name of its class, in TorchScript by that of the class it was made of. Dropout that
    a forward pass calls as a function, in attention layers for instance, stays as it is. Gal & Ghahramani,
    Dropout as a Bayesian Approximation, ICML 2016.
    """
    layers = [module for module in network.modules() if "dropout" in _class_name(module).lower()]
    for layer in layers:
        # Not `train()`, which would reach what lies inside of a layer, normalisation for example.
        layer.training = True
    return len(layers)


def _class_name(module: nn.Module) -> str:
    return str(getattr(module, "original_name", type(module).__name__))
