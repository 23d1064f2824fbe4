"""`run.json`: what it holds, how it is written, what is refused."""

import json
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import JsonValue, ValidationError

from mahtdiag.errors import RunFolderError
from mahtdiag.runs.document import (
    CheckpointSource,
    FailureEntry,
    ImageCounts,
    RunDocument,
    json_schema,
    parse_document,
)
from mahtdiag.runs.results import MODELS
from mahtdiag.schema.skeleton import View

from .builders import finished, header

CONTRACT_KEYS = [
    *("schema", "mahtdiag", "status", "checkpoint", "data", "view", "settings", "environment", "started"),
    *("seconds", "images", "metrics", "losses", "anatomy", "calibration", "gates", "failures"),
]


def _content(document: RunDocument) -> dict[str, JsonValue]:
    content: dict[str, JsonValue] = json.loads(document.to_json())
    return content


def test_holds_every_key_of_the_contract_in_its_order() -> None:
    content = _content(finished(header(), 12, 1).with_status("complete"))
    assert [key for key in content if key in CONTRACT_KEYS] == CONTRACT_KEYS
    assert content["schema"] == 1
    assert content["started"] == "2026-11-23T10:15:00Z"
    assert content["view"] == "AP"
    metrics, losses = content["metrics"], content["losses"]
    assert isinstance(metrics, dict)
    assert isinstance(losses, dict)
    assert list(metrics)[:4] == ["radial_error_px", "radial_error_mm", "sdr_px", "sdr_mm"]
    assert metrics["radial_error_mm"] is None
    assert metrics["sdr_px"] == {"2": 0.4, "4": 0.8, "8": 0.9, "16": 1.0}
    radial = metrics["radial_error_px"]
    assert isinstance(radial, dict)
    assert list(radial) == [
        *("mean", "median", "std", "p90", "p95", "max", "missed", "ci95"),
        *("median_ci95", "p90_ci95", "p95_ci95"),
    ]
    assert radial["ci95"] == [2.0, 4.0]
    parts = ["total", "heatmap", "coord", "anatomical", "order", "parallel", "ratio", "uncertainty"]
    assert list(losses)[:8] == parts
    assert losses["uncertainty"] is None


def test_text_is_utf8_json_that_ends_with_a_newline_and_reads_back() -> None:
    document = finished(header(), 12, 1).with_status("complete")
    text = document.to_json()
    assert text.endswith("}\n")
    assert "0003 größe.jpg" in text
    assert parse_document(text.encode(), "run.json") == document
    assert parse_document(text, "run.json").to_json() == text


def test_an_interrupted_run_has_null_results() -> None:
    content = _content(header())
    assert content["status"] == "interrupted"
    results = ("seconds", "metrics", "losses", "anatomy", "calibration")
    assert [content[key] for key in results] == [None] * 5


ERRORS = {"mean": 1.0, "median": 1.0, "std": 0.0, "p90": 1.0, "p95": 1.0, "max": 1.0, "ci95": None}


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_no_number_that_is_not_finite_gets_in(bad: float) -> None:
    with pytest.raises(ValidationError, match="finite number"):
        MODELS["ErrorSummary"].model_validate({**ERRORS, "mean": bad})
    with pytest.raises(ValidationError, match="finite number"):
        MODELS["Losses"].model_validate({"total": bad})
    free_form = header().model_copy(update={"calibration": {"deep": [{"mace": bad}]}})
    with pytest.raises(ValueError, match="Out of range float values"):
        free_form.to_json()


@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
        max_leaves=8,
    )
)
def test_free_form_values_survive(value: JsonValue) -> None:
    document = header().model_copy(update={"settings": {"value": value}, "calibration": {"value": value}})
    again = parse_document(document.to_json().encode(), "run.json")
    assert again.settings == document.settings
    assert again.calibration == document.calibration


def test_halves_of_pairs_in_any_text_survive() -> None:
    source = CheckpointSource(path="a.pt", sha256="a" * 64, format="\ud800 é")
    document = header().model_copy(
        update={
            "checkpoint": source,
            "settings": {"value": "\udcff"},
            "calibration": {"\udfff": "\ud83d\ude00"},
        }
    )
    again = parse_document(document.to_json().encode(), "run.json")
    assert again.checkpoint.format == "\ud800 é"
    assert again.settings == {"value": "\udcff"}


def test_file_names_that_are_no_text_are_written_as_escapes() -> None:
    name = b"radiograph-\xff.pt".decode("utf-8", "surrogateescape")
    document = header().model_copy(
        update={"checkpoint": CheckpointSource(path=name, sha256="a" * 64, format="mahtdiag")}
    )
    assert "radiograph-\\xff.pt" in parse_document(document.to_json().encode(), "run.json").checkpoint.path


def test_times_are_kept_in_utc_and_need_a_zone() -> None:
    values = dict(header())
    tokyo = datetime(2026, 11, 23, 19, 15, tzinfo=timezone(timedelta(hours=9)))
    document = RunDocument.model_validate({**values, "started": tokyo})
    assert document.started == datetime(2026, 11, 23, 10, 15, tzinfo=UTC)
    assert '"2026-11-23T10:15:00Z"' in document.to_json()
    with pytest.raises(ValidationError, match="timezone"):
        RunDocument.model_validate({**values, "started": datetime(2026, 11, 23)})


def test_every_threshold_of_the_contract_and_no_other_is_accepted() -> None:
    summary, metrics = MODELS["ErrorSummary"].model_validate(ERRORS), MODELS["Metrics"]
    with pytest.raises(ValidationError, match="sdr_px"):
        metrics.model_validate({"radial_error_px": summary, "sdr_px": {"2": 1, "4": 1, "8": 1, "32": 1}})
    with pytest.raises(ValidationError, match="sdr_px"):
        metrics.model_validate({"radial_error_px": summary, "sdr_px": {"2": 1.0}})
    with pytest.raises(ValidationError, match="sdr_mm"):
        metrics.model_validate(
            {"radial_error_px": summary, "sdr_px": {"2": 1, "4": 1, "8": 1, "16": 1}, "sdr_mm": {"2": 1}}
        )


def test_counts_must_add_up() -> None:
    with pytest.raises(ValidationError, match="12 evaluated and 0 failed of 13"):
        header().model_copy(update={"images": ImageCounts(total=13, evaluated=12)}).with_status("complete")
    with pytest.raises(ValidationError, match="13 evaluated and 1 failed of 13"):
        header().model_copy(update={"images": ImageCounts(total=13, evaluated=13, failed=1)}).with_status(
            "interrupted"
        )


def test_parts_are_frozen_and_closed() -> None:
    attribute = "view"
    with pytest.raises(ValidationError, match="frozen"):
        setattr(header(), attribute, View.LA)
    with pytest.raises(ValidationError, match="Extra inputs"):
        RunDocument.model_validate({**dict(header()), "colour": "red"})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "not valid JSON"),
        (b'{"schema": 1, ', "not valid JSON"),
        (b"\xff\xfe", "not valid JSON"),
        (b"[]", "not a run.json"),
        (b"{}", "not a run.json of mahtdiag; the file is damaged"),
        (b'{"epochs": 3}', "not a run.json of mahtdiag; the file is damaged"),
        (
            b'{"mahtdiag": "0.0"}',
            "schema version None, written by mahtdiag 0.0; mahtdiag 0.1.0 reads",
        ),
        (b'{"schema": 2, "mahtdiag": "9.1"}', "schema version 2, written by mahtdiag 9.1"),
        (b'{"schema": true}', "schema version True"),
    ],
)
def test_an_unreadable_document_is_explained(text: bytes, message: str) -> None:
    with pytest.raises(RunFolderError) as caught:
        parse_document(text, "runs/x/run.json")
    assert message in str(caught.value)
    assert str(caught.value).startswith("runs/x/run.json: ")
    assert "\n" not in str(caught.value)


def test_all_problems_of_a_document_are_named_at_once() -> None:
    content = _content(header())
    content["view"] = "PA"
    content["images"] = {"total": -1}
    del content["checkpoint"]
    with pytest.raises(RunFolderError) as caught:
        parse_document(json.dumps(content), "run.json")
    assert len(caught.value.problems) == 3
    assert all(name in str(caught.value) for name in ("checkpoint", "view", "images.total"))
    content["images"] = 3
    with pytest.raises(RunFolderError) as caught:
        parse_document(json.dumps(content), "run.json")
    assert (
        "run.json: images: Input should be a valid object; the file is damaged, restore it or evaluate again"
        in caught.value.problems
    ), "without a type of Python"


def test_the_schema_describes_what_is_written() -> None:
    schema = json_schema()
    assert json.loads(json.dumps(schema, allow_nan=False)) == schema
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["additionalProperties"] is False
    properties, required = schema["properties"], schema["required"]
    assert isinstance(properties, dict)
    assert isinstance(required, list)
    content = _content(finished(header(), 12, 1))
    assert list(properties) == list(content)
    assert set(CONTRACT_KEYS) <= {str(name) for name in required}
    _require_valid(content, schema, schema)


def _require_valid(value: JsonValue, schema: JsonValue, root: dict[str, JsonValue]) -> None:
    """A small JSON Schema validator: enough for the keywords that decide about structure."""
    assert isinstance(schema, dict)
    reference = schema.get("$ref")
    if isinstance(reference, str):
        definitions = root["$defs"]
        assert isinstance(definitions, dict)
        _require_valid(value, definitions[reference.removeprefix("#/$defs/")], root)
    choices = schema.get("anyOf")
    if isinstance(choices, list):
        assert any(_is_valid(value, choice, root) for choice in choices), value
    if "const" in schema:
        assert value == schema["const"]
    _require_valid_object(value, schema, root)


def _require_valid_object(value: JsonValue, schema: dict[str, JsonValue], root: dict[str, JsonValue]) -> None:
    kinds: dict[str, type | tuple[type, ...]] = {
        "object": dict,
        "array": list,
        "string": str,
        "integer": int,
        "number": (int, float),
        "null": type(None),
    }
    kind = schema.get("type")
    if isinstance(kind, str) and kind in kinds:
        assert isinstance(value, kinds[kind]), (value, kind)
    properties = schema.get("properties")
    if isinstance(value, dict) and isinstance(properties, dict):
        required = schema.get("required", [])
        assert isinstance(required, list)
        assert set(required) <= set(value)
        assert set(value) <= set(properties)
        for name, inner in value.items():
            _require_valid(inner, properties[name], root)
    if isinstance(value, list) and "items" in schema:
        for inner in value:
            _require_valid(inner, schema["items"], root)


def _is_valid(value: JsonValue, schema: JsonValue, root: dict[str, JsonValue]) -> bool:
    try:
        _require_valid(value, schema, root)
    except AssertionError:
        return False
    return True


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"anatomy_limits": {"A201": "22"}}, "anatomy_limits.A201: Input should be a valid number"),
        ({"anatomy_limits": {"A999": 1.0}}, "anatomy_limits: no limit is called A999"),
        ({"input_size": "0x3"}, "input_size: String should match"),
        ({"heatmap_size": "9" * 5000 + "x3"}, "heatmap_size: String should match"),
        ({"heatmap_sigma": -1}, "heatmap_sigma: Input should be greater than or equal to 0.001"),
        ({"pixel_spacing_mm": "0.1"}, "pixel_spacing_mm: Input should be a valid number"),
        ({"batch_size": True}, "batch_size: Input should be a valid integer"),
        ({"recalibration": {"by_keypoint": {"L1 UL": "x"}}}, "recalibration.by_keypoint.L1 UL: Input"),
        ({"loss": {"min_sigma": 0}, "calibration": {"seed": -1}}, "loss.min_sigma: Input should be greater"),
    ],
)
def test_settings_from_which_numbers_follow_are_of_their_kind(
    settings: dict[str, JsonValue], said: str
) -> None:
    content = _content(header())
    stored = content["settings"]
    assert isinstance(stored, dict)
    content["settings"] = {**stored, **settings, "of a later version": [1, {"a": None}]}
    with pytest.raises(RunFolderError) as caught:
        parse_document(json.dumps(content), "run.json")
    (problem,) = caught.value.problems
    assert problem.startswith(f"run.json: settings: {said}")
    assert len(problem) < 400


def test_settings_of_later_versions_pass() -> None:
    content = _content(header())
    stored = content["settings"]
    assert isinstance(stored, dict)
    content["settings"] = {**stored, "of a later version": [1, {"a": None}]}
    assert parse_document(json.dumps(content), "run.json").settings["of a later version"] == [1, {"a": None}]


@pytest.mark.parametrize("depth", [300, 1_500, 200_000])
@pytest.mark.parametrize("place", ["settings", "failures", "whole"])
def test_nested_documents_are_refused_in_one_line(depth: int, place: str) -> None:
    nested = "[" * depth + "]" * depth
    text = nested
    if place != "whole":
        content = _content(header())
        content[place] = {"x": "NESTED"} if place == "settings" else "NESTED"
        text = json.dumps(content).replace('"NESTED"', nested)
    with pytest.raises(RunFolderError) as caught:
        parse_document(text, "run.json")
    (problem,) = caught.value.problems
    assert len(problem) < 400


def test_messages_are_short_however_long_the_names_are() -> None:
    content = _content(header())
    for number in range(50):
        content[f"{number}" + "x" * 100_000] = 1
    with pytest.raises(RunFolderError) as caught:
        parse_document(json.dumps(content), "run.json")
    assert len(caught.value.problems) == 21
    assert caught.value.problems[-1] == "run.json: 30 more of its values are not as they are written"
    assert max(map(len, caught.value.problems)) < 400
    with pytest.raises(RunFolderError) as caught:
        parse_document(json.dumps({"schema": "y" * 10**6, "mahtdiag": "z" * 10**6}), "run.json")
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("path", ["a\0b", "x" * 5000, "a/" + "b" * 256])
def test_a_data_folder_that_no_system_has(path: str) -> None:
    content = _content(header())
    data = content["data"]
    assert isinstance(data, dict)
    data["path"] = path
    with pytest.raises(RunFolderError, match=r"data\.path: no path of a file"):
        parse_document(json.dumps(content), "run.json")


def _with(**changed: object) -> bytes:
    return json.dumps({**_content(header()), **changed}).encode()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"[" + b"{}," * 2_000_000 + b"{}]", "more than 4,000,000 values, which no run has"),
        (_with(notes=[{}] * 100_000), "more than 100,000 values, which no run has"),
        (_with(settings={str(key): 1 for key in range(100_001)}), "more than 100,000 values"),
        (_with(failures=[{"image": "a", "reason": "b", "c": 1}] * 40_000), "more than 100,000 values"),
        (_with(failures=[{"image": ["a"], "reason": "b"}] * 40_000), "more than 100,000 values"),
    ],
    ids=["everything", "notes", "settings", "failures of three", "lists in failures"],
)
def test_a_document_of_many_values_is_refused_in_one_line(content: bytes, said: str) -> None:
    with pytest.raises(RunFolderError, match=said) as caught:
        parse_document(content, "run.json")
    (problem,) = caught.value.problems
    assert problem.startswith("run.json: more than")


def test_of_many_wrong_failures_the_first_is_told() -> None:
    with pytest.raises(RunFolderError) as caught:
        parse_document(_with(failures=[{"image": 1, "reason": "b"}] * 90_000), "run.json")
    assert len(caught.value.problems) == 1
    assert caught.value.problems[0].startswith("run.json: failures.0.image: ")


def test_a_run_has_as_many_failures_as_images() -> None:
    failures = [FailureEntry(image=f"{at}.png", reason="no annotation") for at in range(120_000)]
    text = header(len(failures)).model_copy(update={"failures": tuple(failures)}).to_json()
    assert len(parse_document(text, "run.json").failures) == len(failures)
