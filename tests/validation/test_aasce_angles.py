"""The script counts what it says it counts."""

import json
from pathlib import Path

import numpy as np

from mahtdiag.anatomy.aasce_angles import aasce_angles
from tests.anatomy.test_coronal import S_CURVE, scoliotic_spines, spine_with
from validation.aasce_angles import WHOLE_SPINE, read_labels, report


def test_the_table(tmp_path: Path) -> None:
    points = np.concatenate([scoliotic_spines(3, 4), spine_with(S_CURVE)[None], spine_with((0,) * 17)[None]])
    labels = [{"index": n, "width": 900, "height": 1500, "points": p.tolist()} for n, p in enumerate(points)]
    (tmp_path / "labels.json").write_text(json.dumps(labels), encoding="utf-8")
    read, heights = read_labels(tmp_path / "labels.json")
    np.testing.assert_array_equal(read, points)
    published = aasce_angles(read, WHOLE_SPINE, heights).angle_deg
    published[0, 1] += 0.02
    published[1, 1] -= 0.005
    lines = report(read, heights, published).splitlines()
    assert lines[:4] == [
        "6 images, of which within 0.01° of the published angle:",
        "  column 1: 6, farthest 0.0000°",
        "  column 2: 5, farthest 0.0200°",
        "  column 3: 6, farthest 0.0000°",
    ]
    assert "  no curve: 1" in lines
    by_region = lines[lines.index("images by the region of their largest curve:") + 1 :][:4]
    assert sum(int(line.rpartition(" ")[2]) for line in by_region) == 6
