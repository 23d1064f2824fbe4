"""The audit script counts what it says it counts."""

import json
from pathlib import Path

import numpy as np
import pytest

from mahtdiag.schema.skeleton import AP
from tests.anatomy.spines import IMAGE_SIZE, natural_spines
from validation.label_audit import WHOLE, area_under_roc, doubt_lines, read_set, report, share


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """Ten spines: 0 with a wrong lumbar label, 1 with a doubtful one, 2 with a wrong thoracic one."""
    spines = natural_spines(WHOLE, 10)
    lumbar = spines[:, -AP.keypoints :]
    lumbar[:2, [8, 9, 10, 11]] = lumbar[:2, [9, 8, 11, 10]]
    labels = [
        {"index": n, "width": IMAGE_SIZE[0], "height": 2 * IMAGE_SIZE[1], "points": points.tolist()}
        for n, points in enumerate(spines)
    ]
    errors = [
        {"index": 0, "kind": "swap", "lumbar_affected": True, "confidence": "confirmed"},
        {"index": 0, "kind": "other", "lumbar_affected": False, "confidence": "probable"},
        {"index": 1, "kind": "swap", "lumbar_affected": True, "confidence": "probable"},
        {"index": 2, "kind": "swap", "lumbar_affected": False, "confidence": "third party"},
    ]
    paths = tmp_path / "labels.json", tmp_path / "errors.json"
    for path, content in zip(paths, (labels, errors), strict=True):
        path.write_text(json.dumps(content), encoding="utf-8")
    return paths


def test_which_labels_count_as_wrong(files: tuple[Path, Path]) -> None:
    audited = read_set(*files)
    assert np.flatnonzero(audited.wrong).tolist() == [0]
    assert np.flatnonzero(~audited.right).tolist() == [0, 1]


def test_whole_spines_have_all_errors(files: tuple[Path, Path]) -> None:
    audited = read_set(*files, WHOLE)
    assert audited.points_px.shape == (10, 68, 2)
    assert np.flatnonzero(audited.wrong).tolist() == [0, 2]
    assert np.flatnonzero(~audited.right).tolist() == [0, 1, 2]
    lines = report(audited).splitlines()
    assert lines[0] == "images: 2 with wrong labels, 7 others, 1 doubtful and left out"
    assert any(line.startswith("A202-thoracic [°]") for line in lines)
    assert any(line.startswith("A202 [°]") for line in lines)
    assert not any("cervical" in line for line in lines)


def test_the_table(files: tuple[Path, Path]) -> None:
    lines = report(read_set(*files)).splitlines()
    assert lines[0] == "images: 1 with wrong lumbar labels, 8 others, 1 doubtful and left out"
    assert lines[1].startswith("wrong labels found:     1/1 = 100.0 %")
    assert lines[2].startswith("other images flagged:   0/8 = 0.0 %")
    assert lines[3].endswith("1.000")
    mirrored = next(line for line in lines if line.startswith("A402"))
    assert mirrored.split()[-2:] == ["1", "0"]


def test_images_in_doubt_are_named_and_left_out_of_a_second_share(
    files: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    audited = read_set(*files)
    monkeypatch.setattr("validation.label_audit.DOUBTS", {"3": "why", "4": "other", "377": "elsewhere"})
    severity = np.zeros(10)
    severity[[3, 5]] = 1.5
    lines = doubt_lines(audited, severity)
    assert lines == ["  without 3: 1/6 = 16.7 % (3.0–56.4)", "    (why)"]


def test_area_under_roc_counts_pairs() -> None:
    rng = np.random.default_rng(0)
    positive, negative = rng.integers(0, 6, 30).astype(float), rng.integers(0, 4, 50).astype(float)
    pairs = [(p > n) + 0.5 * (p == n) for p in positive for n in negative]
    assert area_under_roc(positive, negative) == pytest.approx(np.mean(pairs))


def test_wilson_interval() -> None:
    """81 in 263: 25.5–36.6 % (Newcombe, Statistics in Medicine 17:857, 1998, table I)."""
    assert share(np.arange(263) < 81) == "81/263 = 30.8 % (25.5–36.6)"
