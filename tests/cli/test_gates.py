"""Gates through the real commands: one verdict in the table, the JSON, run.json and the exit status."""

import json
import operator
from typing import Any

import pytest

from mahtdiag.diagnosis.metrics.angles import ANGLE_PATHS
from mahtdiag.diagnosis.metrics.metric import IntervalKind
from mahtdiag.diagnosis.metrics.registry import known_metrics, metric_of
from mahtdiag.diagnosis.numbers import find_interval, find_number, paths_of

from .builders import INPUT_OPTIONS
from .command import Desk, Finished, document_of

MODEL = """
[model]
checkpoint = "lookup-ap.pt"
factory = "nets:exact"
input_size = "64x64"
channels = 1
normalize = "unit"
heatmap_sigma = 1.5
[data]
path = "data/AP"
pixel_spacing_mm = 0.25
[evaluate]
overlays = "none"
"""


def write(desk: Desk, text: str) -> None:
    """The configuration of a project."""
    (desk.path / "mahtdiag.toml").write_text(text, encoding="utf-8")


def rows(result: Finished) -> list[list[str]]:
    """The rows of the printed table of gates, as words."""
    lines = result.text.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("Gates: "))
    # What is to be typed is one line, however long.
    assert max(len(line) for line in lines[start:] if not line.startswith("next: ")) <= 80
    found = []
    for line in lines[start + 3 :]:
        if not line.strip():
            break
        found.append(line.split())
    return found


@pytest.mark.parametrize(("view", "network"), [("ap", "exact"), ("la", "exact_la")])
def test_every_number_of_a_run_is_known_with_its_interval(desk: Desk, view: str, network: str) -> None:
    done = desk.run(
        "evaluate", f"lookup-{view}.pt", "data", "--view", view.upper(), "--model", f"nets:{network}",
        "--trust", *INPUT_OPTIONS, "--out", "run", "--overlays", "none", "--pixel-spacing", "0.5",
    )  # fmt: skip
    assert done.status == 0
    content = document_of(desk.path / "run")
    sections = ("metrics", "clean_labels", "losses", "anatomy", "error_types", "calibration")
    closed = ("seconds", "images", *sections)
    found = {name.removeprefix("metrics.") for name in paths_of({key: content[key] for key in closed})}
    without = ("calibration.groups.", "error_types.level_shift_by_image.")
    unknown = {name for name in found if metric_of(name) is None and not name.startswith(without)}
    assert unknown == set()
    missing = {metric.name for metric in known_metrics()} - found
    # A network with a head tells no parts of σ apart, and an AP image has no S1.
    shares = {"calibration.aleatoric_share", "calibration.epistemic_share"}
    # And six images do not tell what chance does.
    shares |= {"calibration.mace_by_chance", "calibration.mace_by_chance_most", "anatomy.suspicious_labels"}
    # Nor how large bodies are predicted.
    shares |= {"anatomy.body_scale.width", "anatomy.body_scale.height"}
    # Nor is there more than the lumbar spine.
    shares |= {".".join(path) for path in ANGLE_PATHS}
    regions = ("regions.", "by_region.", "anatomy.regions.")
    shares |= {metric.name for metric in known_metrics() if metric.name.startswith(regions)}
    # Nothing was asked about what heatmaps expect.
    shares |= {"expected_error_px", "clean_labels.expected_error_px"}
    shares |= {"calibration.expected_error.ratio", "calibration.expected_error.spearman"}
    sacral = {metric.name for metric in known_metrics() if ".S1" in metric.name} if view == "ap" else set()
    assert missing == shares | sacral
    for metric in known_metrics():
        if metric.name in found:
            value, interval = find_number(content, metric.name), find_interval(content, metric.name)
            too_few = metric.fewest > content["images"]["evaluated"]
            has_none = too_few or metric.interval is IntervalKind.NONE
            assert (interval is None) is has_none, metric.name
            assert value is not None
            assert metric.least is None or value >= metric.least, metric.name
            assert metric.most is None or value <= metric.most, metric.name
            if interval is not None:
                assert interval[0] <= value <= interval[1], metric.name


TOO_FEW = "too few images for an interval: 6, at least 10"
GATES = """
[gates]
"radial_error_px.mean" = ["<= 12.0", "upper <= 9.0"]
"vertebrae.L5.radial_error_px.mean" = "lower >= 1.0"
"anatomy.images_with_violations" = "upper <= 0.9"
"anatomy.vertebrae.L5.violations" = "<= 0"
"calibration.sigma_scale" = [">= 2.5", "<= 2.6"]
"calibration.groups.vertebra.L5.mace" = "<= 0.5"
"images.failed" = "<= 0"
[gates.AP]
"sdr_mm.4" = ">= 0.99"
[gates.LA]
"radial_error_px.mean" = "<= 0.001"
"""


HOLDS = {"<=": operator.le, ">=": operator.ge, "<": operator.lt, ">": operator.gt, "==": operator.eq}


def verdicts(gates: list[dict[str, Any]]) -> list[tuple[str, str, bool]]:
    """Metric, bound and verdict of gates as JSON has them."""
    return [(gate["metric"], gate["bound"], gate["passed"]) for gate in gates]


def test_one_verdict_everywhere(desk: Desk) -> None:
    write(desk, MODEL + GATES)
    result = desk.run("evaluate", "--trust", "--out", "run")
    assert (result.status, result.errors) == (1, [])
    gates = document_of(desk.path / "run")["gates"]
    assert len(gates) == 10
    content = document_of(desk.path / "run")
    for gate in gates:
        low, high = gate["ci95"] or (None, None)
        assert gate["value"] == {"estimate": gate["estimate"], "lower": low, "upper": high}[gate["bound"]]
        assert gate["estimate"] == find_number(content, gate["metric"])
        if gate["value"] is None:
            assert (gate["reason"], gate["passed"]) == (TOO_FEW, False)
        else:
            assert gate["passed"] is HOLDS[gate["comparison"]](gate["value"], gate["limit"])
    failed = [gate for gate in gates if not gate["passed"]]
    assert [(gate["metric"], gate["bound"], gate["reason"]) for gate in failed] == [
        ("radial_error_px.mean", "upper", TOO_FEW),
        ("vertebrae.L5.radial_error_px.mean", "lower", TOO_FEW),
        ("calibration.sigma_scale", "estimate", None),
    ]
    printed = rows(result)
    assert [row[0] for row in printed] == [g["metric"] for g in sorted(gates, key=lambda g: g["passed"])]
    assert [row[-1] for row in printed] == ["FAILED"] * len(failed) + ["passed"] * (10 - len(failed))
    for command in ("anatomy", "calibration"):
        own = [gate for gate in gates if gate["metric"].startswith(command)]
        assert own
        said = desk.run(command, "run", "--no-pictures", "--format", "json")
        assert json.loads(said.text)["gates"] == own
        shown = desk.run(command, "run", "--no-pictures")
        assert sorted(row[0] for row in rows(shown)) == sorted(gate["metric"] for gate in own)
        assert said.status == shown.status == int(not all(gate["passed"] for gate in own))


def test_gates_of_the_other_view_are_silent(desk: Desk) -> None:
    write(desk, '[gates.LA]\n"images.failed" = "<= 0"\n')
    result = desk.lookup("exact")
    assert (result.status, "Gates" in result.text) == (0, False)
    assert document_of(desk.path / "run")["gates"] == []


def test_a_gate_that_finds_nothing_fails_closed_and_says_why(desk: Desk) -> None:
    write(
        desk,
        '[gates]\n"radial_error_mm.mean" = "<= 1000"\n"calibration.mace" = "<= 1"\n'
        '"ambiguity.al.two_peaks" = "<= 1000"\n',
    )
    result = desk.lookup("exact", "--uncertainty", "none")
    assert result.status == 1
    document = document_of(desk.path / "run")
    assert [(gate["value"], gate["passed"]) for gate in document["gates"]] == [(None, False)] * 3
    assert document["notes"] == [
        "gate radial_error_mm.mean fails: not known in this run: no image has a pixel spacing; give "
        "--pixel-spacing",
        "gate calibration.mace fails: not known in this run: it has no σ; evaluate with --uncertainty "
        "heatmap",
        "gate ambiguity.al.two_peaks fails: the run has no such number; did you mean "
        "ambiguity.all.two_peaks?",
    ]
    assert [row[-2:] for row in rows(result)] == [["–", "FAILED"]] * 3


def test_a_bound_of_a_single_image_fails_closed(desk: Desk) -> None:
    for file in sorted((desk.path / "data/AP").iterdir())[2:]:
        file.unlink()
    write(desk, '[gates]\n"radial_error_px.mean" = "upper <= 1000"\n')
    assert desk.lookup("exact").status == 1
    (gate,) = document_of(desk.path / "run")["gates"]
    assert (gate["value"], gate["ci95"]) == (None, None)
    assert gate["reason"] == "too few images for an interval: 1, at least 10"
    assert gate["estimate"] > 0


@pytest.mark.parametrize("name", ["mahtdiag.toml", "pyproject.toml"])
def test_no_command_needs_arguments(desk: Desk, name: str) -> None:
    text = MODEL + '[gates]\n"anatomy.violations" = "<= 1000"\n"calibration.mace" = "<= 1"\n'
    if name == "pyproject.toml":
        text = "[project]\nname = 'x'\n" + text.replace("\n[", "\n[tool.mahtdiag.")
    (desk.path / name).write_text(text, encoding="utf-8")
    result = desk.run("evaluate", "--trust")
    assert (result.status, result.errors) == (0, [])
    for command, metric in (("anatomy", "anatomy.violations"), ("calibration", "calibration.mace")):
        result = desk.run(command)
        assert (result.status, result.errors) == (0, [])
        assert [row[0] for row in rows(result)] == [metric]


def test_a_native_checkpoint_needs_no_trust_either(desk: Desk) -> None:
    write(desk, '[model]\ncheckpoint = "ap.pt"\n[data]\npath = "data"\n')
    for command in ("evaluate", "anatomy", "calibration"):
        result = desk.run(command)
        assert (result.status, result.errors) == (0, []), command
