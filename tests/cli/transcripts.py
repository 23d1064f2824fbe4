"""What a command said and wrote, as one text that two versions of the product can be compared by.

Left out is what differs from machine to machine: the place of the folder, the pixels of pictures, the drawing
instructions of plots, and the last digits of numbers (`same`).
"""

import math
import re
from pathlib import Path

import cv2
import numpy as np

from .command import Finished

TEXTS = (".csv", ".html", ".json", ".md", ".toml", ".xml")
PICTURES = (".jpg", ".png")
# Fits end where rounding ends them, which differs between processors.
TOLERANCE = 1e-6
_LONG_SVG = 5000
_NUMBER = re.compile(r"(-?\d+\.\d+(?:e[+-]?\d+)?)")
_DIGITS_OF_A_WHOLE_NUMBER = 9
_LEFT_OUT = (
    (re.compile(r"(?s)(<style>).*?(</style>)"), r"\1…\2"),
    (re.compile(r"(?s)(<script>).*?(</script>)"), r"\1…\2"),
    (re.compile(r"(?s)(<script type=\"text/plain\"[^>]*>).*?(</script>)"), r"\1…\2"),
    (re.compile(r"(data:image/\w+;base64,)[\w+/=]+"), r"\1…"),
    (re.compile(r'("bytes": )\d+'), r"\1…"),
    (re.compile(r"\(\d+\.\d MB"), "(… MB"),
    (re.compile(r' timestamp="[^"]+" hostname="[^"]+"'), ' timestamp="…" hostname="…"'),
    (re.compile(r'(<testsuite [^>]*) time="[\d.]+"'), r'\1 time="…"'),
)
_SVG = re.compile(r"(?s)<svg\b.*?</svg>")


def transcript(folder: Path, before: frozenset[Path], arguments: tuple[str, ...], done: Finished) -> str:
    """The command, its status, both streams, and every file of `folder` that was not there `before`."""
    parts = [
        f"$ mahtdiag {' '.join(arguments)}\nstatus {done.status}\n",
        _section("standard output", done.text),
        _section("standard error", "".join(f"{line}\n" for line in done.lasting)),
    ]
    for path in sorted(files_of(folder) - before):
        name = path.relative_to(folder).as_posix()
        if path.suffix in TEXTS:
            parts.append(_section(name, path.read_text(encoding="utf-8")))
        else:
            parts.append(f"===== {name}{_size(path) if path.suffix in PICTURES else ''}\n")
    return _portable("".join(parts), folder)


def files_of(folder: Path) -> frozenset[Path]:
    """All files below a folder."""
    return frozenset(path for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc")


def same(found: str, expected: str) -> bool:
    """Whether the texts are equal but for the last digits of long numbers."""
    a, b = _NUMBER.split(found), _NUMBER.split(expected)
    return len(a) == len(b) and all(x == y or _close(x, y) for x, y in zip(a, b, strict=True))


def _close(x: str, y: str) -> bool:
    long = all(_NUMBER.fullmatch(text) and len(text) > _DIGITS_OF_A_WHOLE_NUMBER for text in (x, y))
    return long and math.isclose(float(x), float(y), rel_tol=TOLERANCE, abs_tol=TOLERANCE)


def _section(title: str, text: str) -> str:
    ended = text if not text or text.endswith("\n") else f"{text}\n(no line end)\n"
    return f"===== {title}\n{ended}"


def _size(path: Path) -> str:
    picture = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED)
    assert picture is not None, path
    height, width = picture.shape[:2]
    return f" {width}x{height}"


def _portable(text: str, folder: Path) -> str:
    for place in (folder.resolve(), folder):
        text = text.replace(str(place), "/desk")
    for pattern, replacement in _LEFT_OUT:
        text = pattern.sub(replacement, text)
    return _SVG.sub(lambda drawing: "<svg>…</svg>" if len(drawing[0]) > _LONG_SVG else drawing[0], text)
