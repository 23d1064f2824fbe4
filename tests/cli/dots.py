"""A network that finds dots by their grey value: errors are 0 where it is shown images as it expects them.

Each keypoint is a dot of a grey level of its own on a grey ground, with a black and a white patch. It knows
the levels, not the places: where it is shown images otherwise it finds other dots, or none.
Tests copy this file as `dots.py` and name a function of it with `--model dots:FUNCTION`.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

KEYPOINTS = 20
LEVELS = [45 + 9 * k for k in range(KEYPOINTS)]
GROUND = 30
HEIGHT, WIDTH, STRIDE, SIGMA = 256, 192, 4, 2.0
Grey = Callable[[Tensor], Tensor]
Check = Callable[[Tensor], Tensor]


def always(images: Tensor) -> Tensor:
    """Whatever it is shown is as in training."""
    return torch.ones(len(images), dtype=torch.bool)


def unit(images: Tensor) -> Tensor:
    """0 to 255 of 0 to 1."""
    return 255 * images[:, 0]


class Dots(nn.Module):
    """Heatmaps at the dots; `grey` turns `[B, C, H, W]` into grey values `[B, H, W]`, 0 to 255."""

    def __init__(
        self,
        grey: Grey = unit,
        *,
        as_trained: Check = always,
        stride: float = STRIDE,
        origin: float = (STRIDE - 1) / 2,
        cells: tuple[int, int] = (HEIGHT // STRIDE, WIDTH // STRIDE),
    ) -> None:
        super().__init__()
        self.grey, self.as_trained = grey, as_trained
        self.stride, self.origin, self.cells = stride, origin, cells
        self.exchanged = False
        self.levels: Tensor
        self.register_buffer("levels", torch.tensor(LEVELS, dtype=torch.float32))

    def forward(self, images: Tensor) -> Tensor:
        """`[B, 20, h, w]`."""
        # What is made in between lies where the images do.
        with images.device:
            grey = self.grey(images)
            like = (1 - (grey[:, None] - self.levels[:, None, None]).abs() / 4.5).clamp(min=0)
            solid = nn.functional.avg_pool2d(like, 3, 1, 1)
            _, _, height, width = solid.shape
            best = solid.flatten(2).argmax(-1)
            y0, x0 = best // width, best % width
            y, x = torch.arange(height).float(), torch.arange(width).float()
            near = ((y - y0[..., None]).abs() < 14).float()[..., None] * (
                (x - x0[..., None]).abs() < 14
            ).float()[..., None, :]
            weight = torch.where(solid > 0.55, solid, 0) * near + 1e-9
            total = weight.sum((2, 3))
            x_in = (weight.sum(2) * x).sum(-1) / total
            y_in = (weight.sum(3) * y).sum(-1) / total
            if self.exchanged:
                x_in, y_in = (v.view(len(images), -1, 2).flip(2).flatten(1) for v in (x_in, y_in))
            # What it was not trained on it sees 40 pixels off.
            off = 40.0 * (~self.as_trained(images))[:, None]
            return self.drawn(x_in + off, y_in)

    def drawn(self, x_in: Tensor, y_in: Tensor) -> Tensor:
        """Gaussians around places in input pixels."""
        rows, columns = (torch.arange(n).float() for n in self.cells)
        cx, cy = ((v - self.origin) / self.stride for v in (x_in, y_in))
        x = torch.exp(-((columns - cx[..., None]) ** 2) / (2 * SIGMA**2))
        y = torch.exp(-((rows - cy[..., None]) ** 2) / (2 * SIGMA**2))
        return y[..., None] * x[..., None, :]


def plain() -> nn.Module:
    """For images of 0 to 1."""
    return Dots()


def corners(first: float, last: float) -> Check:
    """Images whose first and last pixel have these values."""
    return lambda images: (
        ((images[:, 0, 0, 0] - first).abs() < 1e-4) & ((images[:, 0, -1, -1] - last).abs() < 1e-4)
    )


def filling() -> nn.Module:
    """For images that fill the input."""
    return Dots(as_trained=corners(0.0, GROUND / 255))


def black_bars() -> nn.Module:
    """For letterboxed images on black."""
    return Dots(as_trained=corners(0.0, 0.0))


def grey_bars() -> nn.Module:
    """For letterboxed images in the upper left corner, on 114."""
    return Dots(as_trained=corners(0.0, 114 / 255))


def grey_frame() -> nn.Module:
    """For letterboxed images in the middle of a larger box of 114."""
    return Dots(as_trained=corners(114 / 255, 114 / 255))


def white_edge() -> nn.Module:
    """For images in the middle of a larger box, whose border goes on."""
    return Dots(as_trained=corners(0.0, GROUND / 255))


def spread(images: Tensor) -> Tensor:
    """0 to 255 between the darkest and the brightest pixel."""
    grey = images[:, 0]
    low, high = grey.amin((1, 2), keepdim=True), grey.amax((1, 2), keepdim=True)
    return 255 * (grey - low) / (high - low)


def of_bytes() -> nn.Module:
    """For values of 0 to 255."""
    return Dots(lambda images: images[:, 0])


def standardised() -> nn.Module:
    """For images of mean 0 and deviation 1."""
    return Dots(
        spread,
        as_trained=lambda x: (x.mean((1, 2, 3)).abs() < 1e-3) & ((x.std((1, 2, 3)) - 1).abs() < 1e-3),
    )


def imagenet_blue_first() -> nn.Module:
    """For images of blue, green, red with ImageNet's statistics, dots being red."""
    return Dots(lambda images: 255 * (images[:, 2] * 0.229 + 0.485))


def one_more() -> nn.Module:
    """Heatmaps of 33x25 cells, at multiples of 8 pixels."""
    return Dots(stride=8, origin=0, cells=(HEIGHT // 8 + 1, WIDTH // 8 + 1))


def late() -> nn.Module:
    """Heatmaps that divide the input by 8, the first cell on its third pixel."""
    return Dots(stride=8, origin=2, cells=(HEIGHT // 8, WIDTH // 8))


MIRRORED = corners(1.0, GROUND / 255)
"""The white patch is the first, and the ground the last."""


def mirrored_by_body() -> nn.Module:
    """For mirrored images; corners keep their names."""
    return Dots(as_trained=MIRRORED)


def mirrored_by_image() -> nn.Module:
    """For mirrored images; the left corners are those that are left in them."""
    network = Dots(as_trained=MIRRORED)
    network.exchanged = True
    return network
