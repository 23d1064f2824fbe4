"""What the panel beside an overlay is made of: rows of text and numbers, in blocks."""

from dataclasses import dataclass
from enum import Enum, auto

from mahtdiag.anatomy.sketch import Sign


class Style(Enum):
    """How a row of the panel looks."""

    TITLE = auto()
    HEAD = auto()
    PLAIN = auto()
    DETAIL = auto()


class Mark(Enum):
    """A mark that the legend explains, beside the signs of findings."""

    LABEL = auto()
    PREDICTION = auto()
    ERROR = auto()
    SPREAD = auto()
    WORST = auto()
    FINDING = auto()
    OFF_STAGE = auto()
    SECOND_PEAK = auto()


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the panel: text at the left, a number at the right, or a mark and its meaning."""

    left: str
    right: str = ""
    style: Style = Style.PLAIN
    mark: Mark | Sign | None = None


Block = tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class Detail:
    """How much the panel says of findings: titles of the worst, and how many rows of the others."""

    titles: bool
    further_rows: int
