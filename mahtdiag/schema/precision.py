"""What a device computes sums in."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def most_precise(device: "torch.device") -> "torch.dtype":
    """The widest float that a device has: MPS has no float64."""
    import torch

    return torch.float32 if device.type == "mps" else torch.float64
