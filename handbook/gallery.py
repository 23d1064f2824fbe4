"""The gallery: every figure, overlay and page, drawn of the sample run while the site is built."""

import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

SAMPLES: Final = Path(__file__).parents[1] / "sample_data"
OVERLAYS: Final = 2
# Name, question, and the rest of a caption.
_CAPTION: Final = re.compile(r"^\*\*([^*]+)\*\* ([^?]+\?) (.+)$", re.MULTILINE)
_INTRODUCTION: Final = """# Gallery

Everything here was drawn from the sample lateral run while this site was built:

```sh
mahtdiag evaluate ckpt.pt data/ --overlays worst:2 --overlay-heatmaps --out runs/gallery
mahtdiag figures runs/gallery --format svg --out figures
mahtdiag report runs/gallery --out report.html
```

[The report of that run](gallery/report.html) is one page that opens from disk.

## Overlays
"""


@cache
def files() -> tuple[tuple[str, str | bytes], ...]:
    """The page and its pictures, each with its name in the site."""
    with TemporaryDirectory() as folder:
        return tuple(_made(Path(folder)))


def _made(folder: Path) -> Iterator[tuple[str, str | bytes]]:
    run, figures, report = folder / "run", folder / "figures", folder / "report.html"
    _mahtdiag("evaluate", str(SAMPLES / "mahtnet-la.pt"), str(SAMPLES), "--view", "LA", "--out", str(run),
              "--overlays", f"worst:{OVERLAYS}", "--overlay-heatmaps")  # fmt: skip
    _mahtdiag("figures", str(run), "--format", "svg", "--out", str(figures))
    _mahtdiag("report", str(run), "--out", str(report))
    lines = [_INTRODUCTION]
    for number, picture in enumerate(sorted((run / "overlays").rglob("*.png")), start=1):
        yield f"gallery/overlay-{number}.png", picture.read_bytes()
        lines += [f"![Overlay of one of the worst images, with heatmaps](gallery/overlay-{number}.png)", ""]
    lines += ["## Figures", ""]
    for name, question, told in _CAPTION.findall((figures / "captions.md").read_text(encoding="utf-8")):
        yield f"gallery/{name}.svg", (figures / f"{name}.svg").read_bytes()
        lines += [f"### {question}", "", f"`--figure {name}`: {told}", ""]
        lines += [f"![{question}](gallery/{name}.svg){{.figure}}", ""]
    yield "gallery/report.html", report.read_bytes()
    yield "gallery.md", "\n".join(lines)


def _mahtdiag(*arguments: str) -> None:
    command = [sys.executable, "-m", "mahtdiag", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr}")
