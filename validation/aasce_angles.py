"""Which angles the AASCE 2019 set publishes of its radiographs: its labels measured by our rule for them.

    python -m validation.aasce_angles LABELS.json ANGLES.csv

LABELS.json as for `validation.label_audit`; ANGLES.csv: the three published angles of each of these images,
one line each, in their order (Wu et al., MICCAI 2017).
"""

import argparse
import json
import sys
from collections import Counter
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mahtdiag.anatomy.aasce_angles import BODIES, AasceAngles, aasce_angles
from mahtdiag.anatomy.coronal import REGION_TITLES, endplate_cobb_deg, regional_curves
from mahtdiag.schema.skeleton import Levels, Skeleton, View

Floats = NDArray[np.float64]

WHOLE_SPINE = Skeleton.of(View.AP, Levels(BODIES[0], BODIES[-1]))
AGREED_DEG = 0.01


def read_labels(labels_path: Path) -> tuple[Floats, Floats]:
    """Points `[N, 68, 2]` and heights of the images `[N]`."""
    labels = json.loads(labels_path.read_text(encoding="utf-8"))
    points = np.array([label["points"] for label in labels], dtype=np.float64)
    return points, np.array([label["height"] for label in labels], dtype=np.float64)


def orders(angles: AasceAngles) -> Counter[str]:
    """How often the columns stand for the parts of the spine in which order, from above."""
    places = np.argsort(angles.upper + angles.lower, axis=1, kind="stable") + 1
    return Counter(", ".join(str(column) for column in row) for row in places.tolist())


def report(points_px: Floats, heights_px: Floats, published_deg: Floats) -> str:
    """The table as text."""
    angles = aasce_angles(points_px, WHOLE_SPINE, heights_px)
    apart = np.abs(angles.angle_deg - published_deg)
    lines = [f"{len(points_px)} images, of which within {AGREED_DEG}° of the published angle:"]
    lines += [
        f"  column {n + 1}: {int((apart[:, n] <= AGREED_DEG).sum())}, farthest {apart[:, n].max():.4f}°"
        for n in range(3)
    ]
    lines.append("columns from above, by the middle of their two vertebrae:")
    lines += [f"  {order}: {count}" for order, count in orders(angles).most_common()]
    curves = regional_curves(points_px, WHOLE_SPINE)
    size = np.nan_to_num(curves.midline_deg, nan=-1.0).max(axis=2)
    bent = (size > 0).any(axis=1)
    lines.append("images by the region of their largest curve:")
    for region, name in REGION_TITLES.items():
        lines.append(f"  {name}: {int((bent & (size.argmax(axis=1) == region)).sum())}")
    lines.append(f"  no curve: {int((~bent).sum())}")
    alike = np.abs(size.max(axis=1) - angles.angle_deg[:, 0]) <= AGREED_DEG
    lines.append(f"column 1 is the largest curve: {int(alike.sum())}")
    more = endplate_cobb_deg(points_px, WHOLE_SPINE) - angles.angle_deg[:, 0]
    low, middle, high = np.percentile(more, (5, 50, 95))
    lines.append(f"largest angle by endplates less that by midlines: {middle:.1f}° ({low:.1f} to {high:.1f})")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Reads the two files named on the command line and prints the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("labels", type=Path, help="all annotations, JSON")
    parser.add_argument("angles", type=Path, help="the published angles, CSV")
    arguments = parser.parse_args()
    published = np.loadtxt(arguments.angles, delimiter=",", ndmin=2)
    sys.stdout.write(report(*read_labels(arguments.labels), published))


if __name__ == "__main__":
    main()
