"""Draw the sample sets: `python -m training.make_sample_data sample_data`.

Lumbar radiographs of both views in the layout of BUU-LSPINE, whole spines in that of AASCE. Consecutive seeds
that training never sees; the first hundred seeds start a set with too few slips to show, so the sets start at
the second hundred.
"""

import argparse
from pathlib import Path

import cv2
from rich.progress import track

from mahtdiag.schema.skeleton import View
from training.annotations import aasce_matlab, aasce_row, format_annotation
from training.radiographs import Radiograph, draw_radiograph, draw_whole_spine

FIRST_SEED = 101
IMAGES_PER_VIEW = 24
JPEG_QUALITY = 80
# Every twelfth radiograph is lossless, since readers must take both.
LOSSLESS_EVERY = 12
WHOLE_SPINES = 12
# The folder that the published archive unpacks to: so deep that `sample_data` is still a set of one format.
WHOLE = Path("whole", "boostnet_labeldata")


def write_radiograph(folder: Path, number: int, view: View, radiograph: Radiograph) -> None:
    """Image and annotation under a BUU-LSPINE name, such as `0001-F-037Y0`."""
    stem = f"{number:04d}-{radiograph.sex}-{radiograph.age:03d}Y{0 if view is View.AP else 1}"
    lossless = number % LOSSLESS_EVERY == 0
    suffix, options = (".png", []) if lossless else (".jpg", [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    encoded = cv2.imencode(suffix, radiograph.image, options)[1]
    (folder / f"{stem}{suffix}").write_bytes(encoded.tobytes())
    annotation = format_annotation(radiograph.keypoints_px, radiograph.listhesis, decimals=0)
    (folder / f"{stem}.csv").write_text(annotation, encoding="ascii")


def write_whole_spines(folder: Path, images: int) -> None:
    """Images, MATLAB files and the two tables of AASCE's training part."""
    pictures, labels = folder / "data" / "training", folder / "labels" / "training"
    for each in (pictures, labels):
        each.mkdir(parents=True, exist_ok=True)
    names, rows = [], []
    for number in track(range(1, images + 1), "drawing whole spines"):
        drawn = draw_whole_spine(FIRST_SEED + number - 1)
        name = f"synthetic-{number:03d} A AP.jpg"
        encoded = cv2.imencode(".jpg", drawn.image, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1]
        (pictures / name).write_bytes(encoded.tobytes())
        (labels / f"{name}.mat").write_bytes(aasce_matlab(drawn.keypoints_px))
        names.append(f"{name}\n")
        rows.append(aasce_row(drawn.keypoints_px, *drawn.image.shape))
    (labels / "filenames.csv").write_text("".join(names), encoding="ascii")
    (labels / "landmarks.csv").write_text("".join(rows), encoding="ascii")


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
    write_whole_spines(options.folder / WHOLE, min(options.images, WHOLE_SPINES))


if __name__ == "__main__":
    main()
