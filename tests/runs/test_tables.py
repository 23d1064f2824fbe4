"""Records to tables and back: nothing lost, nothing invented, NaN is null."""

import re
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from mahtdiag import __version__
from mahtdiag.anatomy.error_types import ErrorType, classify_errors
from mahtdiag.diagnosis.run_table import RunTable
from mahtdiag.errors import RunFolderError
from mahtdiag.runs.folder import RunFolder
from mahtdiag.runs.parquet_files import read_table
from mahtdiag.runs.tables import images_rows, images_schema, keypoints_rows, keypoints_schema, write_table
from mahtdiag.schema.records import Failure, ImageLosses, ImageRecord, KeypointResults, PeakPlaces
from mahtdiag.schema.skeleton import View
from tests.anatomy.spines import natural_spines

from .builders import header, record

IMAGE_COLUMNS = [
    *("image", "status", "reason", "width", "height", "pixel_spacing_mm", "loss_total", "loss_heatmap"),
    *("loss_coord", "loss_anatomical", "loss_order", "loss_parallel", "loss_ratio", "loss_uncertainty"),
    *("radial_error_px", "max_error_px", "violations"),
]
KEYPOINT_COLUMNS = [
    *("image", "index", "vertebra", "corner", "gt_x", "gt_y", "pred_x", "pred_y"),
    *("error_px", "error_mm", "sigma_x", "sigma_y", "peak"),
]


def _images_of(records: Sequence[ImageRecord], failures: Sequence[Failure], view: View) -> pa.Table:
    return images_rows(RunTable.of_records(records, failures, view.skeleton))


def _keypoints_of(records: Sequence[ImageRecord], view: View) -> pa.Table:
    return keypoints_rows(RunTable.of_records(records, (), view.skeleton))


def test_columns_of_the_contract_are_there() -> None:
    assert set(IMAGE_COLUMNS) <= set(images_schema(View.AP.skeleton).names)
    assert set(KEYPOINT_COLUMNS) <= set(keypoints_schema(View.AP.skeleton).names)


@pytest.mark.parametrize("view", list(View))
def test_a_file_says_who_wrote_it_and_of_which_view(view: View, tmp_path: Path) -> None:
    path = tmp_path / "keypoints.parquet"
    write_table(path, [_keypoints_of([record("a.jpg", view)], view)], keypoints_schema(view.skeleton))
    metadata = pq.read_schema(path).metadata
    stored = {key: metadata[key] for key in (b"mahtdiag", b"schema", b"view")}
    assert stored == {b"mahtdiag": __version__.encode(), b"schema": b"1", b"view": view.value.encode()}


@pytest.mark.parametrize("view", list(View))
def test_keypoint_rows_equal_a_loop_over_cells(view: View) -> None:
    records = [record(name, view) for name in ("b.jpg", "a é.jpg", "a.jpg")]
    parts = np.random.default_rng(3).random((2, view.skeleton.keypoints, 2))
    codes = (np.arange(view.skeleton.keypoints) // 2 % 5).astype(np.float64)
    told_apart = replace(
        records[1].keypoints,
        sigma_aleatoric_px=parts[0],
        sigma_epistemic_px=parts[1],
        listhesis=codes,
        gt2_px=parts[0] + 3,
        expected_error_px=parts[0, :, 0],
    )
    records[1] = replace(records[1], keypoints=told_apart)
    expected = []
    for r in sorted(records, key=lambda r: r.image):
        x = r.keypoints
        kinds = classify_errors(x.pred_px[None], x.gt_px[None]).types[0]
        for i in range(view.skeleton.keypoints):
            cells = {
                "image": r.image,
                "index": i,
                "vertebra": ["L1", "L2", "L3", "L4", "L5", "S1"][i // 4],
                "corner": ["UL", "UR", "LL", "LR"][i % 4],
                "gt_x": x.gt_px[i, 0],
                "gt_y": x.gt_px[i, 1],
                "pred_x": x.pred_px[i, 0],
                "pred_y": x.pred_px[i, 1],
                "error_px": x.error_px[i],
                "error_mm": x.error_mm[i],
                "sigma_x": x.sigma_px[i, 0],
                "sigma_y": x.sigma_px[i, 1],
                "sigma_aleatoric_x": None if x.sigma_aleatoric_px is None else x.sigma_aleatoric_px[i, 0],
                "sigma_aleatoric_y": None if x.sigma_aleatoric_px is None else x.sigma_aleatoric_px[i, 1],
                "sigma_epistemic_x": None if x.sigma_epistemic_px is None else x.sigma_epistemic_px[i, 0],
                "sigma_epistemic_y": None if x.sigma_epistemic_px is None else x.sigma_epistemic_px[i, 1],
                "peak": x.peak[i],
                "spread_xx": x.spread_px2[i, 0],
                "spread_xy": x.spread_px2[i, 1],
                "spread_yy": x.spread_px2[i, 2],
                "flags": x.flags[i],
                "at_min_x": x.at_min[i, 0],
                "at_min_y": x.at_min[i, 1],
                "at_max_x": x.at_max[i, 0],
                "at_max_y": x.at_max[i, 1],
                "second_peak": None if x.peaks is None else x.peaks.second_share[i],
                "second_x": None if x.peaks is None else x.peaks.second[i, 0],
                "second_y": None if x.peaks is None else x.peaks.second[i, 1],
                "argmax_x": None if x.peaks is None else x.peaks.argmax[i, 0],
                "argmax_y": None if x.peaks is None else x.peaks.argmax[i, 1],
                "local_x": None if x.peaks is None else x.peaks.local[i, 0],
                "local_y": None if x.peaks is None else x.peaks.local[i, 1],
                "listhesis": None if x.listhesis is None else x.listhesis[i],
                "averaged_xx": None if x.averaged_px2 is None else x.averaged_px2[i, 0],
                "averaged_xy": None if x.averaged_px2 is None else x.averaged_px2[i, 1],
                "averaged_yy": None if x.averaged_px2 is None else x.averaged_px2[i, 2],
                "gt2_x": None if x.gt2_px is None else x.gt2_px[i, 0],
                "gt2_y": None if x.gt2_px is None else x.gt2_px[i, 1],
                "expected_error_px": None if x.expected_error_px is None else x.expected_error_px[i],
                "labelled": bool(np.isfinite(x.gt_px[i]).all()),
                **dict.fromkeys(("head_xx", "head_xy", "head_yy")),
                "missed": bool(np.isfinite(x.gt_px[i]).all() and not np.isfinite(x.pred_px[i]).all()),
                "error_input_px": None,
                "error_type": None if kinds[i] < 0 else ErrorType(kinds[i]).title,
            }
            expected.append({key: None if value != value else value for key, value in cells.items()})
    assert _keypoints_of(records, view).to_pylist() == expected


def test_image_rows_tell_which_images_are_one_level_off() -> None:
    label = natural_spines(View.AP, 1)[0]
    step = (label[4:] - label[:-4]).mean(axis=0)

    def moved(name: str, by: float) -> ImageRecord:
        made = record(name)
        return replace(made, keypoints=replace(made.keypoints, gt_px=label, pred_px=label + by * step))

    records = [moved("a.jpg", 1.0), moved("b.jpg", -1.0), moved("c.jpg", 0.1)]
    table = _images_of(records, [Failure("d.jpg", "0 bytes")], View.AP)
    assert table.column("level_shift").to_pylist() == [1, -1, 0, None]


def test_image_rows_hold_both_kinds_in_the_order_of_their_names() -> None:
    failures = [Failure("b.jpg", "0 bytes", annotation_sha256="e" * 64), Failure("Z.jpg", "1×1")]
    rows = _images_of([record("c.jpg"), record("a.jpg")], failures, View.AP).to_pylist()
    assert [(row["image"], row["status"], row["reason"]) for row in rows] == [
        ("Z.jpg", "failed", "1×1"),
        ("a.jpg", "ok", None),
        ("b.jpg", "failed", "0 bytes"),
        ("c.jpg", "ok", None),
    ]
    assert rows[2]["annotation_sha256"] == "e" * 64
    assert all(rows[2][name] is None for name in ("width", "loss_total", "radial_error_px", "violations"))
    a = record("a.jpg")
    assert rows[1]["violations"] == sorted({finding.code for finding in a.findings})
    errors = [e for e in a.keypoints.error_px.tolist() if e == e]
    assert rows[1]["radial_error_px"] == pytest.approx(sum(errors) / len(errors), rel=1e-12)
    assert rows[1]["max_error_px"] == max(errors)
    assert rows[1]["loss_coord"] == a.losses.coord
    assert rows[1]["loss_uncertainty"] is None
    assert (rows[1]["width"], rows[1]["height"], rows[1]["sex"], rows[1]["age_years"]) == (
        2012,
        2446,
        "F",
        37,
    )


def test_no_rows_still_have_all_columns() -> None:
    assert _images_of([], [], View.LA).schema.equals(images_schema(View.LA.skeleton), check_metadata=True)
    assert _keypoints_of([], View.LA).schema.equals(keypoints_schema(View.LA.skeleton), check_metadata=True)
    assert _keypoints_of([], View.LA).num_rows == 0


def test_a_record_of_the_other_view_is_refused() -> None:
    with pytest.raises(ValueError, match=r"a\.jpg: \(22, 2\) points, AP has 20"):
        _keypoints_of([record("a.jpg", View.LA)], View.AP)


def test_text_columns_are_plain_text_for_any_reader() -> None:
    types = {f.type for f in keypoints_schema(View.AP.skeleton) if f.name in ("image", "vertebra", "corner")}
    assert types == {pa.string()}


NUMBERS = st.floats(-1e100, 1e100) | st.sampled_from([np.nan, np.inf, -np.inf])
PLACES = st.just(np.nan) | st.floats(-1e50, 1e50)
SIGMAS = st.just(np.nan) | st.floats(1e-84, 1e74) | st.sampled_from([0.0, np.inf])
ERRORS = st.just(0.0) | st.floats(1e-100, 1e6)
NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)


@st.composite
def records(draw: st.DrawFn, view: View) -> ImageRecord:
    k = view.skeleton.keypoints

    def numbers(*shape: int, elements: st.SearchStrategy[float] = NUMBERS) -> NDArray[np.float64]:
        return draw(hnp.arrays(np.float64, shape, elements=elements))

    def bools(*shape: int) -> NDArray[np.bool_]:
        return draw(hnp.arrays(np.bool_, shape))

    label, pred = numbers(k, 2, elements=PLACES), numbers(k, 2, elements=PLACES)
    return ImageRecord(
        image=draw(NAMES),
        image_sha256="0" * 64,
        annotation_sha256="1" * 64,
        width=draw(st.integers(1, 30000)),
        height=draw(st.integers(1, 30000)),
        pixel_spacing_mm=draw(st.none() | st.floats(0.01, 2.0)),
        sex=draw(st.none() | st.sampled_from("FM")),
        age_years=draw(st.none() | st.integers(0, 120)),
        losses=ImageLosses(*(draw(NUMBERS) for _ in range(9))),
        keypoints=KeypointResults(
            label,
            pred,
            np.where(np.isnan(label + pred).any(axis=1), np.nan, numbers(k, elements=ERRORS)),
            numbers(k, elements=ERRORS),
            numbers(k, 2, elements=SIGMAS),
            numbers(k, 3, elements=PLACES),
            numbers(k),
            bools(k, 2),
            bools(k, 2),
            draw(hnp.arrays(np.int64, (k,), elements=st.integers(0, 2**20))),
            sigma_aleatoric_px=numbers(k, 2, elements=SIGMAS) if draw(st.booleans()) else None,
            sigma_epistemic_px=numbers(k, 2, elements=SIGMAS) if draw(st.booleans()) else None,
            peaks=PeakPlaces(numbers(k), *(numbers(k, 2, elements=PLACES) for _ in range(3)))
            if draw(st.booleans())
            else None,
        ),
        findings=(),
    )


@settings(max_examples=25, deadline=None)
@given(st.lists(records(View.AP), max_size=3, unique_by=lambda r: r.image))
def test_records_survive_the_way_to_the_disk_and_back(
    tmp_path_factory: pytest.TempPathFactory, made: list[ImageRecord]
) -> None:
    folder = RunFolder.create(tmp_path_factory.mktemp("run") / "run", header(total=len(made)))
    folder.append(0, made)
    table = folder.tables().table()
    ordered = sorted(made, key=lambda r: r.image)
    assert table.image == tuple(r.image for r in ordered)
    for row, r in enumerate(ordered):
        x, found = r.keypoints, table.record(row)
        unknown = np.full(x.sigma_px.shape, np.nan)
        peaks = PeakPlaces(unknown[:, 0], unknown, unknown, unknown)
        known = replace(
            x,
            sigma_aleatoric_px=unknown if x.sigma_aleatoric_px is None else x.sigma_aleatoric_px,
            sigma_epistemic_px=unknown if x.sigma_epistemic_px is None else x.sigma_epistemic_px,
            listhesis=unknown[:, 0] if x.listhesis is None else x.listhesis,
            peaks=None,
            averaged_px2=np.full(x.spread_px2.shape, np.nan) if x.averaged_px2 is None else x.averaged_px2,
            gt2_px=unknown if x.gt2_px is None else x.gt2_px,
            expected_error_px=unknown[:, 0] if x.expected_error_px is None else x.expected_error_px,
            head_covariance_px2=np.full(x.spread_px2.shape, np.nan),
        )
        assert_same(replace(found.keypoints, peaks=None), known)
        assert_same(found.keypoints.peaks, peaks if x.peaks is None else x.peaks)
        assert_same(found.losses, r.losses)
        zero = ImageLosses(*[0.0] * 9)
        assert replace(found, keypoints=known, losses=zero, findings=()) == replace(
            r, keypoints=known, losses=zero, findings=()
        )


def assert_same(found: object, expected: object) -> None:
    """Records of arrays and numbers with the same values and types; NaN equals NaN."""
    assert type(found) is type(expected)
    for part in fields(expected):  # type: ignore[arg-type]
        a, b = getattr(found, part.name), getattr(expected, part.name)
        np.testing.assert_array_equal(a, b, strict=isinstance(b, np.ndarray))


def test_more_rows_than_a_file_of_its_size_has_are_not_read(tmp_path: Path) -> None:
    """A few kilobytes would fill gigabytes."""
    count, path = 3_100_000, tmp_path / "images.parquet"
    names = pa.DictionaryArray.from_arrays(
        pa.array(np.zeros(count, np.int32), pa.int32()), pa.array(["a.png"])
    )
    pq.write_table(pa.table({"image": names}), path, row_group_size=count)
    size = path.stat().st_size
    said = f"images.parquet: 3,100,000 rows in {size:,} bytes, which no run has; evaluate again"
    with pytest.raises(RunFolderError, match=re.escape(said)):
        read_table(path, pa.schema([("image", pa.string())]))
    # Those that differ take room.
    values = np.random.default_rng(1).integers(0, 1 << 40, count)
    pq.write_table(pa.table({"index": values}), path)
    assert read_table(path, pa.schema([("index", pa.int64())])).num_rows == count
