"""Two overlays of one radiograph side by side: what run A and what run B made of it."""

from dataclasses import dataclass
from typing import Final, Protocol

import cv2
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from numpy.typing import NDArray

from mahtdiag.reports import palette
from mahtdiag.reports.numbers import pixels
from mahtdiag.reports.overlay.lettering import shorten

HEADER_PX: Final = 46
GAP_PX: Final = 8
FONT_PX: Final = 19.0
DPI: Final = 72
PNG_COMPRESSION: Final = 3


class _Canvas(Protocol):
    """What is used of matplotlib's Agg canvas, which carries no types."""

    def draw(self) -> None: ...

    def buffer_rgba(self) -> memoryview: ...


@dataclass(frozen=True, slots=True)
class Half:
    """One overlay as PNG, with the letter and the name of its run and its mean radial error."""

    png: bytes
    letter: str
    run: str
    error_px: float


def draw_side_by_side(a: Half, b: Half) -> bytes:
    """Both overlays as one PNG, A at the left; the same input gives the same bytes."""
    panels = [_panel(half) for half in (a, b)]
    height = max(len(panel) for panel in panels)
    background = _colour(palette.PAPER)
    page = np.empty((height, sum(panel.shape[1] for panel in panels) + GAP_PX, 3), dtype=np.uint8)
    page[:] = background
    page[: len(panels[0]), : panels[0].shape[1]] = panels[0]
    page[: len(panels[1]), -panels[1].shape[1] :] = panels[1]
    page[:, panels[0].shape[1] : panels[0].shape[1] + GAP_PX] = _colour(palette.RULE)
    done, encoded = cv2.imencode(".png", page, [cv2.IMWRITE_PNG_COMPRESSION, PNG_COMPRESSION])
    if not done:
        raise RuntimeError("OpenCV could not encode a PNG")
    return encoded.tobytes()


def _panel(half: Half) -> NDArray[np.uint8]:
    """An overlay below a line that says whose it is, blue first as OpenCV has it."""
    overlay = np.asarray(
        cv2.imdecode(np.frombuffer(half.png, dtype=np.uint8), cv2.IMREAD_COLOR), dtype=np.uint8
    )
    return np.concatenate([_header(half, overlay.shape[1]), overlay])


def _header(half: Half, width: int) -> NDArray[np.uint8]:
    figure = Figure(figsize=(width / DPI, HEADER_PX / DPI), dpi=DPI, facecolor=palette.PAPER)
    canvas: _Canvas = FigureCanvasAgg(figure)
    text = f"{half.letter}   mean {pixels(half.error_px)} px   {half.run}"
    # Every property is given: what is left out would come from the user's matplotlibrc.
    font = FontProperties(
        family="DejaVu Sans", style="normal", variant="normal", weight="bold", stretch="normal", size=FONT_PX
    )
    figure.text(
        14 / width,
        0.5,
        shorten(text, width - 28, FONT_PX, bold=True, keep_end=True),
        color=palette.INK,
        fontproperties=font,
        verticalalignment="center_baseline",
        parse_math=False,
        usetex=False,
    )
    canvas.draw()
    rgba = np.asarray(canvas.buffer_rgba(), dtype=np.uint8)
    return np.ascontiguousarray(rgba[..., 2::-1])


def _colour(code: str) -> tuple[int, int, int]:
    """`#RRGGBB` as blue, green, red."""
    return int(code[5:7], 16), int(code[3:5], 16), int(code[1:3], 16)
