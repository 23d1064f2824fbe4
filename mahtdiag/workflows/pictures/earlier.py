"""The pictures of an earlier command, which would pass for those of the one that draws there now."""

from contextlib import suppress
from pathlib import Path

from mahtdiag.reports.overlay.png import is_signed
from mahtdiag.runs.files import reporting_write_errors


def remove_pictures(folder: Path, pattern: str, command: str) -> None:
    """Remove the pictures that a command drew and called so (`*.png`); other files stay.

    Raises RunFolderError where one cannot be removed.
    """
    with reporting_write_errors(folder):
        found = [path for path in folder.glob(pattern) if _drawn_by(command, path)]
        for path in found:
            path.unlink()
        # Folders inside that only they filled are of no use.
        for path in found:
            for emptied in path.relative_to(folder).parents[:-1]:
                with suppress(OSError):
                    (folder / emptied).rmdir()


def _drawn_by(command: str, path: Path) -> bool:
    """Whether it is a picture of this command; what cannot be read is taken for somebody else's."""
    if path.is_symlink() or not path.is_file():
        return False
    try:
        with path.open("rb") as file:
            return is_signed(file, command)
    except OSError:
        return False
