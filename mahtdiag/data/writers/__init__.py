"""The formats that are written for annotation tools: one writer each, found by its name."""

from typing import Final, Protocol

from mahtdiag.data.outgoing import OutgoingSet, Written
from mahtdiag.data.writers.coco import CocoWriter
from mahtdiag.data.writers.label_studio import LabelStudioWriter
from mahtdiag.data.writers.labelme import LabelMeWriter
from mahtdiag.data.writers.slicer import SlicerWriter
from mahtdiag.data.writers.tables import CsvWriter
from mahtdiag.data.writers.yolo import YoloWriter
from mahtdiag.errors import UsageError


class Writer(Protocol):
    """One format; stateless and pure: it turns points into bytes and opens no file."""

    @property
    def name(self) -> str:
        """What `export --to` takes: permanent."""

    @property
    def title(self) -> str:
        """What people call it."""

    @property
    def ending(self) -> str | None:
        """The ending by which tools know the file, in small letters; None for a folder of files."""

    @property
    def prefix(self) -> str | None:
        """What stands before the name of an image where the user says nothing; None where files name none.

        `{data}` is the name of the data folder.
        """

    @property
    def needs_size(self) -> bool:
        """Whether an image of unknown size cannot be written."""

    @property
    def in_mm(self) -> bool:
        """Whether places are in millimetres of 3D Slicer, so that images have their `mm_per_px`."""

    @property
    def beside(self) -> bool:
        """Whether a file names its image by the way from its own folder to it."""

    @property
    def hint(self) -> str:
        """What to do next; a command for the shell is a line of its own.

        `{file}` is what was written, `{data}` the data folder, `{link}` the latter as seen from the former.
        """

    def write(self, outgoing: OutgoingSet, name: str) -> Written:
        """The files. `name`: what the file or folder will be called.

        Paths are below the folder, or beside the file where it is one. Points that are NaN are left out or
        said to be missing. Images have a point at least.
        """


WRITERS: Final[tuple[Writer, ...]] = (
    CocoWriter(),
    YoloWriter(),
    CsvWriter(),
    LabelMeWriter(),
    LabelStudioWriter(),
    SlicerWriter(),
)
"""Every format that is written, in the order in which help names them."""


def writer_named(name: str) -> Writer:
    """The writer of this name. Raises UsageError, which lists them, where there is none."""
    found = next((writer for writer in WRITERS if writer.name == name), None)
    if found is None:
        raise UsageError(f"--to {name}: not a format: one of {', '.join(writer.name for writer in WRITERS)}")
    return found
