"""The happy path: every file, every number, every line of it, from a network whose errors are known."""

import io
import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest

from mahtdiag.runs.document import json_schema
from mahtdiag.runs.reading import open_run
from mahtdiag.schema.skeleton import View

from .builders import Bench, error_px
from .command import Desk, columns_of, document_of
from .json_schema import problems

EXPECTED = Path(__file__).with_name("expected_table.txt")
IMAGE_COLUMNS = (
    "image", "status", "reason", "width", "height", "pixel_spacing_mm", "loss_total", "loss_heatmap",
    "loss_coord", "loss_anatomical", "loss_order", "loss_parallel", "loss_ratio", "loss_uncertainty",
    "radial_error_px", "max_error_px", "violations",
)  # fmt: skip
KEYPOINT_COLUMNS = (
    "image", "index", "vertebra", "corner", "gt_x", "gt_y", "pred_x", "pred_y", "error_px", "error_mm",
    "sigma_x", "sigma_y", "peak",
)  # fmt: skip
DOCUMENT_KEYS = (
    "schema", "mahtdiag", "status", "checkpoint", "data", "view", "settings", "environment", "started",
    "seconds", "images", "metrics", "losses", "anatomy", "calibration", "gates", "failures",
)  # fmt: skip
ERRORS = np.stack([error_px(number, View.AP) for number in range(6)])


def masked(text: str) -> str:
    """The printed tables without the time that the run took."""
    return re.sub(r"cpu, \d+\.\d s", "cpu, … s", text)


def test_the_whole_table(desk: Desk) -> None:
    """To renew it after a change of the tables: evaluate as here and look at every line before storing it."""
    result = desk.lookup("exact", "--pixel-spacing", "0.45")
    assert (result.status, result.errors) == (0, [])
    assert masked(result.text) == EXPECTED.read_text(encoding="utf-8")


def test_the_numbers_are_those_that_the_network_was_made_for(desk: Desk) -> None:
    assert desk.lookup("exact", "--pixel-spacing", "0.45").status == 0
    document = document_of(desk.path / "run")
    stored = document["metrics"]["radial_error_px"]
    expected = {
        "mean": ERRORS.mean(),
        "median": np.median(ERRORS),
        "std": ERRORS.std(),
        "p90": np.quantile(ERRORS, 0.9),
        "p95": np.quantile(ERRORS, 0.95),
        "max": ERRORS.max(),
    }
    assert {name: stored[name] for name in expected} == pytest.approx(expected, abs=1e-4)
    assert stored["ci95"] is stored["median_ci95"] is None
    low, high = document["metrics"]["sdr_px_ci95"]["4"]
    assert low < document["metrics"]["sdr_px"]["4"] < high
    assert document["metrics"]["sdr_px"] == pytest.approx(
        {name: np.less_equal(ERRORS, float(name)).mean() for name in ("2", "4", "8", "16")}
    )
    assert document["metrics"]["sdr_mm"] == pytest.approx(
        {name: np.less_equal(0.45 * ERRORS, float(name)).mean() for name in ("2", "2.5", "3", "4")}
    )
    assert document["images"] == {"total": 6, "evaluated": 6, "failed": 0, "patients": 6}
    assert (document["status"], document["gates"], document["failures"]) == ("complete", [], [])


def test_the_document_has_every_key_and_obeys_its_schema(desk: Desk, bench: Bench) -> None:
    assert desk.lookup("exact").status == 0
    document = document_of(desk.path / "run")
    assert [key for key in DOCUMENT_KEYS if key not in document] == []
    schema = json.loads(desk.run("schema").text)
    assert schema == json_schema()
    assert problems(document, schema, schema) == []
    # The validator can fail.
    assert problems({**document, "extra": 1}, schema, schema) != []
    assert problems({**document, "view": "PA"}, schema, schema) != []
    assert problems({**document, "seconds": {"total": -1.0}}, schema, schema) != []
    assert problems({key: value for key, value in document.items() if key != "status"}, schema, schema) != []


def test_the_tables_have_the_columns_of_the_contract(desk: Desk, bench: Bench) -> None:
    assert desk.lookup("exact").status == 0
    images = columns_of(desk.path / "run/images.parquet")
    keypoints = columns_of(desk.path / "run/keypoints.parquet")
    assert [name for name in IMAGE_COLUMNS if name not in images] == []
    assert [name for name in KEYPOINT_COLUMNS if name not in keypoints] == []
    assert images["image"] == [f"AP/{truth.stem}.png" for truth in bench.ap]
    assert images["width"] == [truth.size.width for truth in bench.ap]
    assert images["height"] == [160] * 6
    assert images["pixel_spacing_mm"] == images["reason"] == [None] * 6
    assert images["radial_error_px"] == pytest.approx(list(ERRORS.mean(1)), abs=1e-4)
    assert images["max_error_px"] == pytest.approx(list(ERRORS.max(1)), abs=1e-4)
    assert keypoints["vertebra"][:5] == ["L1", "L1", "L1", "L1", "L2"]
    assert keypoints["corner"][:5] == ["UL", "UR", "LL", "LR", "UL"]
    assert keypoints["index"] == list(range(20)) * 6
    truth = np.concatenate([truth.keypoints_px for truth in bench.ap])
    np.testing.assert_array_equal(np.stack([keypoints["gt_x"], keypoints["gt_y"]], -1), truth)
    np.testing.assert_allclose(keypoints["error_px"], ERRORS.ravel(), atol=1e-4)
    np.testing.assert_allclose(keypoints["sigma_x"], 0.5 * ERRORS.ravel(), rtol=1e-4)


def test_json_is_the_document_byte_for_byte(desk: Desk) -> None:
    result = desk.lookup("exact", "--format", "json")
    assert (result.status, result.errors) == (0, [])
    assert result.out == (desk.path / "run/run.json").read_bytes()
    assert result.err.startswith("evaluating: 6/6, ")


def test_the_same_command_gives_the_same_numbers_bit_for_bit(desk: Desk) -> None:
    arguments = ("evaluate", "ap.pt", "data", "--overlays", "none", "--workers")
    for out, workers in (("a", "1"), ("b", "4")):
        assert desk.run(*arguments, workers, "--out", out).status == 0
    for name in ("images.parquet", "keypoints.parquet"):
        assert (desk.path / "a" / name).read_bytes() == (desk.path / "b" / name).read_bytes()
    documents = [document_of(desk.path / out) for out in ("a", "b")]
    for document in documents:
        for key in ("started", "seconds"):
            del document[key]
        del document["settings"]["workers"]
    assert documents[0] == documents[1]


@pytest.mark.parametrize("size", ["1", "4", "auto", "100"])
def test_the_size_of_a_batch_decides_nothing(desk: Desk, size: str) -> None:
    assert desk.lookup("exact", "--batch-size", size).status == 0
    stored = columns_of(desk.path / "run/keypoints.parquet")["error_px"]
    np.testing.assert_allclose(stored, ERRORS.ravel(), atol=1e-4)


def test_a_run_can_be_opened(desk: Desk) -> None:
    assert desk.lookup("exact").status == 0
    run = open_run(None, desk.path)
    assert run.document.status == "complete"
    np.testing.assert_allclose(run.table().error_px, ERRORS, atol=1e-4)


def test_standard_output_in_another_encoding(desk: Desk) -> None:
    """A terminal without Greek letters shows escapes; JSON stays what it is."""
    assert isinstance(sys.stdout, io.TextIOWrapper)
    sys.stdout.reconfigure(encoding="ascii")
    result = desk.lookup("exact")
    assert (result.status, result.errors) == (0, [])
    assert result.out.isascii()
    assert rb"\u03c3" in result.out
    result = desk.lookup("exact", "--format", "json", "--resume")
    assert result.out == (desk.path / "run/run.json").read_bytes()


def test_kinds_of_mistakes_and_ambiguous_heatmaps_are_stored(desk: Desk) -> None:
    assert desk.lookup("exact").status == 0
    document = document_of(desk.path / "run")
    types = document["error_types"]
    assert types["keypoints"] == 120
    assert types["mean_error_px"] == pytest.approx(ERRORS.mean())
    assert sum(entry["keypoints"] for entry in types["by_type"].values()) == 120
    assert sum(entry["error_share"] for entry in types["by_type"].values()) == pytest.approx(1)
    assert (types["level_shifts"], types["level_shift_by_image"]) == (0, {})
    ambiguity = document["ambiguity"]
    assert ambiguity["all"]["keypoints"] == 120
    assert set(ambiguity["by_vertebra"]) == {"L1", "L2", "L3", "L4", "L5"}
    assert ambiguity["sentences"] == []
