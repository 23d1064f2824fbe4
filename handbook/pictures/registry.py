"""Every picture of the documentation."""

from pathlib import Path
from typing import Final

from handbook.pictures import curves, errors, heatmaps, intervals, losses, measured, regions, sigma, spines
from handbook.pictures.picture import Picture

FOLDER: Final = Path(__file__).parents[2] / "docs" / "pictures"
PICTURES: Final[tuple[Picture, ...]] = tuple(
    picture
    for part in (errors, heatmaps, losses, spines, measured, curves, sigma, regions, intervals)
    for picture in part.PICTURES
)
