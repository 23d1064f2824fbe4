"""Networks for the command line to load: exact, slow, or wrong in one way each.

Every test image carries its number as a grey square in its corner; the networks read it there and return what
their weights hold for it, so that their output is known to the last digit. Tests copy this file beside their
data as `nets.py` and name a function of it with `--model nets:FUNCTION`.
"""

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn

from mahtdiag.reports.overlay.draw import draw_overlay

IMAGES = 12
SIDE = 64
PAUSE, MARKS = "NETS_PAUSE", "NETS_MARKS"
RUN = "run"
Outputs = dict[str, Tensor]


class Lookup(nn.Module):
    """Places and log σ in input pixels by the number of the image; `change` makes the output of them."""

    def __init__(self, change: Callable[[Outputs, Tensor], object], keypoints: int = 20) -> None:
        super().__init__()
        self.change = change
        self.points: Tensor
        self.log_sigma: Tensor
        self.register_buffer("points", torch.zeros(IMAGES, keypoints, 2))
        self.register_buffer("log_sigma", torch.zeros(IMAGES, keypoints, 2))

    def forward(self, images: Tensor) -> object:
        """Heatmaps (Gaussians of σ 1.5, one cell per input pixel), coordinates and log σ, changed."""
        # What is made in between lies where the images do.
        with images.device:
            numbers = ((images[:, 0, 2, 2] * 255 - 20) / 15).round().long().clamp(0, IMAGES - 1)
            points = self.points[numbers]
            cells = torch.arange(SIDE, dtype=points.dtype)
            x, y = ((-0.5 * ((cells - points[..., axis, None]) / 1.5) ** 2).exp() for axis in (0, 1))
            heatmaps = y[..., :, None] * x[..., None, :]
            return self.change(
                {"heatmaps": heatmaps, "coords": points, "log_sigma": self.log_sigma[numbers]}, numbers
            )


def exact() -> Lookup:
    """A dict with everything."""
    return Lookup(lambda outputs, _: outputs)


def exact_la() -> Lookup:
    """The same for a lateral network."""
    return Lookup(lambda outputs, _: outputs, 22)


def heatmaps() -> Lookup:
    """A tensor."""
    return Lookup(lambda outputs, _: outputs["heatmaps"])


def one() -> Lookup:
    """A tuple of one."""
    return Lookup(lambda outputs, _: (outputs["heatmaps"],))


def pair() -> Lookup:
    """A tuple of two."""
    return Lookup(lambda outputs, _: (outputs["heatmaps"], outputs["log_sigma"]))


def triple() -> Lookup:
    """A tuple of three."""
    return Lookup(lambda outputs, _: tuple(outputs.values()))


def keypoints_sigma() -> Lookup:
    """The other names of the dict."""
    return Lookup(
        lambda outputs, _: {
            "heatmaps": outputs["heatmaps"],
            "keypoints": outputs["coords"],
            "sigma": outputs["log_sigma"].exp(),
        }
    )


def uncertainty() -> Lookup:
    """σ under its third name, one value per keypoint."""
    return Lookup(
        lambda outputs, _: {
            "heatmaps": outputs["heatmaps"],
            "uncertainty": outputs["log_sigma"][..., 0].exp(),
        }
    )


def log_var() -> Lookup:
    """σ as log variance."""
    return Lookup(lambda outputs, _: {"heatmaps": outputs["heatmaps"], "log_var": 2 * outputs["log_sigma"]})


def double() -> Lookup:
    """Numbers of another precision."""
    return Lookup(lambda outputs, _: {name: value.double() for name, value in outputs.items()})


def seven() -> Lookup:
    """Another number of keypoints."""
    return Lookup(lambda outputs, _: outputs["heatmaps"][:, :7])


def flat() -> Lookup:
    """Heatmaps without a keypoint axis."""
    return Lookup(lambda outputs, _: outputs["heatmaps"][:, 0])


def nameless() -> Lookup:
    """A dict without heatmaps."""
    return Lookup(lambda outputs, _: {"out": outputs["heatmaps"]})


def nothing() -> Lookup:
    """None."""
    return Lookup(lambda outputs, _: None)


def whole_numbers() -> Lookup:
    """Heatmaps that are no floating-point numbers."""
    return Lookup(lambda outputs, _: (255 * outputs["heatmaps"]).byte())


def _nan_where(outputs: Outputs, bad: Tensor) -> Outputs:
    return {
        name: value.masked_fill(bad.view(-1, *[1] * (value.ndim - 1)), float("nan"))
        for name, value in outputs.items()
    }


def nan_some() -> Lookup:
    """NaN for every second image."""
    return Lookup(lambda outputs, numbers: _nan_where(outputs, numbers % 2 == 1))


def absent() -> Lookup:
    """NaN as a whole for a few keypoints of most images: the network says that it finds none."""

    def without(outputs: Outputs, numbers: Tensor) -> Outputs:
        keypoint = torch.arange(outputs["coords"].shape[1])
        gone = (keypoint % 7 == (numbers % 7)[:, None]) & (numbers % 5 != 0)[:, None]
        return {
            name: value.masked_fill(gone.view(*gone.shape, *[1] * (value.ndim - 2)), float("nan"))
            for name, value in outputs.items()
        }

    return Lookup(without)


def never_the_first() -> Lookup:
    """NaN as a whole for the first keypoint of every image."""

    def without(outputs: Outputs, _: Tensor) -> Outputs:
        for value in outputs.values():
            value[:, 0] = float("nan")
        return outputs

    return Lookup(without)


def nan_all() -> Lookup:
    """NaN for every image."""
    return Lookup(lambda outputs, numbers: _nan_where(outputs, numbers >= 0))


def nan_head() -> Lookup:
    """NaN for σ alone."""
    return Lookup(lambda outputs, _: {**outputs, "log_sigma": outputs["log_sigma"] * float("nan")})


def endless_sigma() -> Lookup:
    """log σ so large that σ is infinite, and so small that σ is zero."""
    return Lookup(
        lambda outputs, numbers: {
            **outputs,
            "log_sigma": torch.where(numbers[:, None, None] % 2 == 0, 1e3, -1e3).expand_as(
                outputs["log_sigma"]
            ),
        }
    )


def far_away() -> Lookup:
    """Coordinates as large as float32 holds them."""
    return Lookup(lambda outputs, _: {**outputs, "coords": outputs["coords"] + 3e38})


def other_size() -> Lookup:
    """Heatmaps of another size for a real image than for a black one."""
    return Lookup(lambda outputs, numbers: outputs["heatmaps"][..., : 64 - int(numbers.max())])


def _raise(_outputs: Outputs, numbers: Tensor) -> object:
    if numbers.max() > 0:
        raise RuntimeError("first line\nsecond line of the reason")
    return _outputs


def raises() -> Lookup:
    """Fails on real images."""
    return Lookup(_raise)


def _leave(outputs: Outputs, numbers: Tensor) -> object:
    if numbers.max() > 0:
        sys.exit(0)
    return outputs


def leaves() -> Lookup:
    """Ends the program on real images, as if all were well."""
    return Lookup(_leave)


def _talk(outputs: Outputs, _numbers: Tensor) -> object:
    sys.stdout.write("a line of the network's own\n")
    return outputs


def talks() -> Lookup:
    """Prints to standard output, when it is built and when it is run."""
    sys.stdout.write("a line of the factory's own\n")
    return Lookup(_talk)


def _pause(outputs: Outputs, numbers: Tensor) -> Outputs:
    marks = os.environ.get(MARKS)
    if marks:
        # What is looked at before there is a run is no image of it yet.
        kind = "image" if Path(RUN).exists() else "first"
        Path(marks, f"{kind}-{int(numbers.max())}").touch()
    time.sleep(float(os.environ.get(PAUSE, "0")))
    return outputs


def slow() -> Lookup:
    """Leaves a mark for every batch and then takes its time, as the environment says."""
    return Lookup(_pause)


def slow_pictures() -> Lookup:
    """Makes the drawing of overlays take its time, as the environment says."""

    def slowly(*arguments: Any, **more: Any) -> bytes:
        time.sleep(float(os.environ.get(PAUSE, "0")))
        return draw_overlay(*arguments, **more)

    mock.patch("mahtdiag.reports.overlay.draw.draw_overlay", slowly).start()
    return exact()


def _third_of_a_run(numbers: Tensor) -> bool:
    """Not where the first images are looked at before there is a run."""
    return int(numbers.max()) == 2 and Path(RUN).exists()


class _Finaliser:
    """Is interrupted where an exception cannot be passed on."""

    def __del__(self) -> None:
        signal.raise_signal(signal.SIGINT)
        _wait_for_the_signal()


def _wait_for_the_signal() -> None:
    for _ in range(100):
        time.sleep(0)


def _lose(outputs: Outputs, numbers: Tensor) -> Outputs:
    if _third_of_a_run(numbers):
        _Finaliser()
    if numbers.max() > 2 and Path(RUN).exists():
        time.sleep(10)
    return outputs


def loses() -> Lookup:
    """Is interrupted in a finaliser at the third image."""
    return Lookup(_lose)


def _turn(outputs: Outputs, numbers: Tensor) -> Outputs:
    if _third_of_a_run(numbers):
        try:
            signal.raise_signal(signal.SIGINT)
            _wait_for_the_signal()
        except KeyboardInterrupt:
            raise RuntimeError("some library's own trouble") from None
    return outputs


def turns() -> Lookup:
    """Makes another error of the interruption at the third image."""
    return Lookup(_turn)


def _swallow(outputs: Outputs, numbers: Tensor) -> Outputs:
    if _third_of_a_run(numbers):
        try:
            signal.raise_signal(signal.SIGINT)
            _wait_for_the_signal()
        except KeyboardInterrupt:
            Path(os.environ[MARKS], "swallowed").touch()
            time.sleep(60)
    return outputs


def swallows() -> Lookup:
    """Takes the interruption at the third image for nothing, and goes on for a minute."""
    return Lookup(_swallow)


def fails() -> Lookup:
    """A factory that fails."""
    raise ValueError("no such thing\nwith more to say")


def no_network() -> str:
    """A factory that returns something else."""
    return "a string"


GRID = 16
"""Rows and columns of coarse maps, whose cells are 4 input pixels."""


def _cells(points: Tensor) -> Tensor:
    return (points + 0.5) / (SIDE / GRID) - 0.5


def _with_offsets(outputs: Outputs) -> Outputs:
    """Coarse heatmaps, and what is left of the place from the highest cell, the same in every cell."""
    cells = _cells(outputs["coords"])
    grid = torch.arange(GRID, dtype=cells.dtype)
    x, y = ((-0.5 * (grid - cells[..., axis, None].round()) ** 2).exp() for axis in (0, 1))
    rest = (cells - cells.round()).flatten(1)[..., None, None].expand(-1, -1, GRID, GRID)
    return {"maps": y[..., :, None] * x[..., None, :], "locref": rest / 3}


def _with_locref(outputs: Outputs) -> dict[str, Outputs]:
    """As DeepLabCut has it: logits, and offsets in input pixels by a constant, x and y in turn."""
    coarse = _with_offsets(outputs)
    rest = 3 * coarse["locref"] * (SIDE / GRID)
    return {"bodypart": {"heatmap": torch.logit(coarse["maps"], 1e-6), "locref": rest / 7.2801}}


def _with_bins(outputs: Outputs) -> tuple[Tensor, Tensor]:
    """The place along either axis as a peak among bins of half an input pixel, at the nearest one."""
    bins = torch.arange(2 * SIDE, dtype=torch.float32)
    places = 2 * (outputs["coords"] + 0.5) - 0.5
    x, y = ((-0.5 * ((bins - places[..., axis, None]) / 2) ** 2).exp() for axis in (0, 1))
    return x, y


def _with_centres(outputs: Outputs) -> Outputs:
    """Vertebrae by their centres: one map of all, what is left of each centre, and of its corners."""
    corners = _cells(outputs["coords"]).reshape(len(outputs["coords"]), -1, 4, 2)
    centres = corners.mean(2)
    cells = centres.round().long().clamp(0, GRID - 1)
    batch = torch.arange(len(corners))[:, None].expand(cells.shape[:2])
    hm = torch.zeros(len(corners), 1, GRID, GRID)
    reg, wh = torch.zeros(len(corners), 2, GRID, GRID), torch.zeros(len(corners), 8, GRID, GRID)
    x, y = cells.unbind(-1)
    hm[batch, 0, y, x] = 0.9
    reg[batch, :, y, x] = centres - cells
    wh[batch, :, y, x] = (centres[:, :, None] - corners).flatten(2)
    return {"hm": hm, "reg": reg, "wh": wh}


def _covariances(outputs: Outputs) -> Tensor:
    """Of x and y with a correlation of one half."""
    sigma = outputs["log_sigma"].exp()
    xy = 0.5 * sigma.prod(-1)
    return torch.stack([sigma[..., 0] ** 2, xy, xy, sigma[..., 1] ** 2], -1).reshape(*xy.shape, 2, 2)


CHANGED: dict[str, Callable[[Outputs, Tensor], object]] = {
    "coords_alone": lambda o, _: {"coords": o["coords"], "log_sigma": o["log_sigma"]},
    "coords_bare": lambda o, _: o["coords"],
    "coords_flat": lambda o, _: o["coords"].flatten(1),
    "coords_all_x": lambda o, _: o["coords"].transpose(1, 2).flatten(1),
    "coords_rows": lambda o, _: o["coords"].flip(-1),
    "coords_scored": lambda o, _: torch.cat([o["coords"], o["log_sigma"][..., :1] * 0 + 0.75], -1),
    "coords_unit": lambda o, _: ((o["coords"] + 0.5) / SIDE, o["log_sigma"].exp() / SIDE),
    "coords_cov": lambda o, _: (o["coords"], _covariances(o)),
    "var": lambda o, _: {"heatmaps": o["heatmaps"], "spread": (2 * o["log_sigma"]).exp()},
    "stacks": lambda o, _: torch.stack([0 * o["heatmaps"], o["heatmaps"]], 1),
    "logits": lambda o, _: torch.logit(o["heatmaps"], 1e-6),
    "channels_last": lambda o, _: o["heatmaps"].permute(0, 2, 3, 1),
    "more_channels": lambda o, _: torch.cat([0 * o["heatmaps"].repeat(1, 3, 1, 1)[:, :48], o["heatmaps"]], 1),
    "clockwise": lambda o, _: o["heatmaps"][
        :, torch.arange(20).view(5, 4).flip(0)[:, [0, 1, 3, 2]].flatten()
    ],
    "probabilities": lambda o, _: o["heatmaps"] / o["heatmaps"].sum((2, 3), keepdim=True),
    "stack_list": lambda o, _: [0 * o["heatmaps"], o["heatmaps"]],
    "locref": lambda o, _: _with_locref(o),
    "offsets": lambda o, _: _with_offsets(o),
    "simcc": lambda o, _: _with_bins(o),
    "centres": lambda o, _: _with_centres(o),
}
"""What other networks return, by the name of the form."""


def __getattr__(name: str) -> Callable[[], Lookup]:
    if name not in CHANGED:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return lambda: Lookup(CHANGED[name])
