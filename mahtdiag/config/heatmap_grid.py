"""Where the cells of a network's heatmaps lie in its input: derived where they divide it, else asked for."""

from mahtdiag.config.settings import ModelSettings
from mahtdiag.errors import UsageError
from mahtdiag.schema.choices import CoordinateConvention
from mahtdiag.schema.frames import HeatmapGrid, Size
from mahtdiag.schema.model_spec import ModelInput
from mahtdiag.schema.preprocessing import OriginKind, Stride

_LEAST_COVER, _MOST_COVER = 0.5, 1.5


def grid_of(settings: ModelSettings, network_input: ModelInput, heatmap: Size | None) -> HeatmapGrid | None:
    """The distance of cells and the place of the first; None where they fill the input as `--coords` says.

    Raises UsageError where nobody says how cells lie that do not divide the input, and for a stride that
    cannot be that of these heatmaps.
    """
    stride, origin = settings.stride, settings.heatmap_origin
    if heatmap is None:
        if stride is not None or origin is not None:
            raise UsageError("--stride, --heatmap-origin: the network returns no heatmaps; leave them out")
        return None
    size = network_input.size
    even = size.width / heatmap.width, size.height / heatmap.height
    if stride is None and _sides_exchanged(heatmap, size):
        raise UsageError(
            f"the network returns heatmaps of {heatmap} cells (height x width) for an input of {size}, as if "
            "their sides were exchanged: return [B,K,h,w]; --stride fill where they are meant"
        )
    if stride is None and not _divides(heatmap.width, size.width, heatmap.height, size.height):
        raise UsageError(_question(heatmap, size))
    step = even if stride is None or stride == Stride.FILL else (stride.x, stride.y)
    if stride == Stride.ENDS:
        step = (_ends(size.width, heatmap.width), _ends(size.height, heatmap.height))
    _require_cover(step, heatmap, size)
    usual = _place(OriginKind.CENTRE, step)
    if network_input.convention is CoordinateConvention.SCALE:
        usual = _place(OriginKind.CORNER, step)
    if origin is None:
        # Cells that do not fill the input evenly begin at its first pixel, as strided convolutions do.
        place = usual if step == even else _place(OriginKind.CORNER, step)
    else:
        place = (origin.x, origin.y) if origin.kind is OriginKind.GIVEN else _place(origin.kind, step)
    return None if (step, place) == (even, usual) else HeatmapGrid(step, place)


def _sides_exchanged(heatmap: Size, size: Size) -> bool:
    """Whether cells would be as wide as high if height and width were the other one."""
    turned = size.height * heatmap.height == size.width * heatmap.width
    return turned and size.height * heatmap.width != size.width * heatmap.height


def _place(kind: OriginKind, step: tuple[float, float]) -> tuple[float, float]:
    """The centre of the first cell: in the middle of the pixels that it stands for, or on the first pixel."""
    inside = {OriginKind.CORNER: (0.0, 0.0), OriginKind.MIDDLE: (step[0] / 2, step[1] / 2)}
    return inside.get(kind, ((step[0] - 1) / 2, (step[1] - 1) / 2))


def _ends(side: int, cells: int) -> float:
    """The step by which the first and the last cell lie on the first and the last pixel."""
    return (side - 1) / (cells - 1) if cells > 1 else 1.0


def _divides(*sides: int) -> bool:
    pairs = zip(sides[::2], sides[1::2], strict=True)
    return all(side % cells == 0 or cells % side == 0 for cells, side in pairs)


def _question(heatmap: Size, size: Size) -> str:
    """What to say of heatmaps that do not divide the input, with what fits them."""
    known = f"the network returns heatmaps of {heatmap} cells, which do not divide its input of {size}"
    down, across = _steps(heatmap.height, size.height), _steps(heatmap.width, size.width)
    both = [step for step in down if step in across]
    example = "--stride N (or HxW), the input pixels from one cell to the next"
    if both:
        cells, side, step = heatmap.height, size.height, both[0]
        one_more = side % step == 0 and cells == side // step + 1
        why = f" ({cells} cells are {side}/{step} and one more: they lie at multiples of {step})"
        example = f"--stride {step}{why if one_more else ''}"
    return f"{known}: say {example}, or --stride fill where they fill it evenly"


def _steps(cells: int, side: int) -> list[int]:
    """Whole distances at which so many cells lie in an input of this side."""
    return (
        [s for s in range(2, side) if cells == side // s + 1 or cells == -(-side // s)] if cells > 1 else []
    )


def _require_cover(step: tuple[float, float], heatmap: Size, size: Size) -> None:
    """UsageError for a stride by which heatmaps cover another part of the input than they can be of."""
    for apart, cells, side in ((step[1], heatmap.height, size.height), (step[0], heatmap.width, size.width)):
        if not (cells * apart >= _LEAST_COVER * side and (cells - 1) * apart <= _MOST_COVER * side):
            raise UsageError(
                f"--stride {apart:g}: {cells} cells would cover {cells * apart:g} of {side} input pixels; "
                f"about {side / cells:.3g} apart they fill them"
            )
