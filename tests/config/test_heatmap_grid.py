"""Where heatmap cells lie by what is said of them."""

import pytest

from mahtdiag.config.heatmap_grid import grid_of
from mahtdiag.config.settings import ModelSettings
from mahtdiag.errors import UsageError
from mahtdiag.schema.choices import CoordinateConvention
from mahtdiag.schema.frames import HeatmapGrid, NetworkFrames, Size
from mahtdiag.schema.model_spec import ModelInput

SIZE, CELLS = Size(256, 192), Size(64, 48)


def said(**more: str) -> HeatmapGrid | None:
    scale = ModelInput(SIZE, 3, convention=CoordinateConvention.SCALE)
    return grid_of(ModelSettings.model_validate(more), scale, CELLS)


def test_the_ends_of_the_grid_lie_on_those_of_the_input() -> None:
    """As unbiased data processing has it: cell·(side − 1)/(cells − 1)."""
    grid = said(stride="ends")
    assert grid == HeatmapGrid((191 / 47, 255 / 63), (0.0, 0.0))
    frame = NetworkFrames(SIZE, CELLS, grid=grid).of(SIZE)
    assert frame.heatmap_to_input(CELLS.xy - 1).tolist() == pytest.approx([191.0, 255.0])


def test_sides_that_are_exchanged_are_refused() -> None:
    given = ModelInput(Size(256, 128), 1)
    with pytest.raises(UsageError, match=r"64x128 cells \(height x width\) for an input of 256x128"):
        grid_of(ModelSettings(), given, Size(64, 128))
    assert grid_of(ModelSettings.model_validate({"stride": "fill"}), given, Size(64, 128)) is None
    # The right way round, and cells that are neither.
    assert grid_of(ModelSettings(), given, Size(128, 64)) is None
    assert grid_of(ModelSettings(), given, Size(64, 64)) is None


def test_the_middle_of_the_first_cell() -> None:
    assert said(heatmap_origin="middle") == HeatmapGrid((4.0, 4.0), (2.0, 2.0))
    assert said(heatmap_origin="centre") == HeatmapGrid((4.0, 4.0), (1.5, 1.5))
    assert said(heatmap_origin="corner") is None
    assert said(stride="4") is None
