"""Draw the sample sets: `python -m training.make_sample_data sample_data`.

Consecutive seeds that training never sees; the first hundred seeds start a set with too few slips to show, so
the set starts at the second hundred.
"""

import argparse
from pathlib import Path

import cv2
from rich.progress import track

from mahtdiag.schema.skeleton import View
from training.annotations import format_annotation
from training.radiographs import Radiograph, draw_radiograph

FIRST_SEED = 101
IMAGES_PER_VIEW = 24
JPEG_QUALITY = 80
# Every twelfth radiograph is lossless, since readers must take both.
LOSSLESS_EVERY = 12


def write_radiograph(folder: Path, number: int, view: View, radiograph: Radiograph) -> None:
    """Image and annotation under a BUU-LSPINE name, such as `0001-F-037Y0`."""
    stem = f"{number:04d}-{radiograph.sex}-{radiograph.age:03d}Y{0 if view is View.AP else 1}"
    lossless = number % LOSSLESS_EVERY == 0
    suffix, options = (".png", []) if lossless else (".jpg", [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    encoded = cv2.imencode(suffix, radiograph.image, options)[1]
    (folder / f"{stem}{suffix}").write_bytes(encoded.tobytes())
    annotation = format_annotation(radiograph.keypoints_px, radiograph.listhesis, decimals=0)
    (folder / f"{stem}.csv").write_text(annotation, encoding="ascii")


def main() -> None:
    """Parse the command line and draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--images", type=int, default=IMAGES_PER_VIEW, help="per view")
    options = parser.parse_args()
    for view in View:
        folder = options.folder / str(view)
        folder.mkdir(parents=True, exist_ok=True)
        for number in track(range(1, options.images + 1), f"drawing {view} radiographs"):
            write_radiograph(folder, number, view, draw_radiograph(view, FIRST_SEED + number - 1))


if __name__ == "__main__":
    main()
