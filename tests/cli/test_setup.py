"""The checks of the setup through the real command: refused, accepted, strict, gated, and shown first."""

import json
from collections.abc import Callable

import numpy as np
import pytest

from training.annotations import format_annotation

from .builders import INPUT_OPTIONS, Bench
from .command import Desk, document_of, finish, start
from .test_gates import MODEL, rows, write

Labels = Callable[[np.ndarray[tuple[int, ...], np.dtype[np.float64]], tuple[int, int]], object]


def relabel(desk: Desk, bench: Bench, change: Labels, decimals: int = 4) -> None:
    """Other labels in all annotations."""
    for truth in bench.ap:
        size = truth.size.width, truth.size.height
        points = np.asarray(change(truth.keypoints_px.copy(), size))
        path = desk.path / "data" / "AP" / f"{truth.stem}.csv"
        path.write_text(format_annotation(points, [0] * 10, decimals=decimals), encoding="utf-8")


def as_shares(desk: Desk, bench: Bench) -> tuple[float, float]:
    """Labels as shares of their images; the smallest and the largest."""
    relabel(desk, bench, lambda points, size: points / size)
    found = np.concatenate([t.keypoints_px / t.size.xy for t in bench.ap]).round(4)
    return float(found.min()), float(found.max())


def unmarked(desk: Desk, bench: Bench) -> None:
    """The last keypoint of every image is 0,0."""
    relabel(desk, bench, lambda points, size: np.vstack([points[:-1], [[0, 0]]]))


def entries(desk: Desk, run: str = "run") -> dict[str, dict[str, str]]:
    """`setup` of a run, by check."""
    return {entry["check"]: entry for entry in document_of(desk.path / run)["setup"]}


def refusal(least: float, most: float) -> str:
    """What is said of labels as shares."""
    return (
        f"labels.unit: labels are shares of the image, 0 to 1: all of 6 images lie between {least:.3g} and "
        f"{most:.3g}; multiply x by the image's width and y by its height, or --accept labels.unit to go on"
    )


# ---- refused, accepted ----


def test_what_cannot_be_meant_is_refused_in_one_line_and_leaves_nothing(desk: Desk, bench: Bench) -> None:
    least, most = as_shares(desk, bench)
    before = sorted(desk.path.rglob("*"))
    desk.lookup("exact").refused(refusal(least, most))
    desk.lookup("exact", "--accept", "network.decode").refused(refusal(least, most))
    assert not (desk.path / "run").exists()
    assert [path for path in sorted(desk.path.rglob("*")) if "__pycache__" not in path.parts] == before


def test_all_that_is_refused_is_said_at_once(desk: Desk, bench: Bench) -> None:
    least, most = as_shares(desk, bench)
    result = desk.lookup("heatmaps", "--decode", "soft-argmax")
    assert result.status == 2
    beta, unit = sorted(result.errors, reverse=True)
    assert unit == f"error: {refusal(least, most)}"
    assert beta.startswith("error: network.decode: soft-argmax without a β: 1 is only a default; ")
    assert beta.endswith(", or --accept network.decode to go on")


def test_the_installed_command_refuses_and_goes_on_when_accepted(desk: Desk, bench: Bench) -> None:
    least, most = as_shares(desk, bench)
    arguments = (
        "evaluate", "lookup-ap.pt", "data", "--view", "AP", "--model", "nets:exact", "--trust",
        *INPUT_OPTIONS, "--out", "run", "--overlays", "none",
    )  # fmt: skip
    refused = finish(start(desk.path, *arguments))
    assert (refused.status, refused.out, refused.err) == (2, b"", f"error: {refusal(least, most)}\n")
    assert not (desk.path / "run").exists()
    accepted = finish(start(desk.path, *arguments, "--accept", "labels.unit"))
    assert (accepted.status, accepted.errors) == (0, [])
    assert entries(desk)["labels.unit"]["status"] == "wrong"
    assert accepted.text.startswith("Results are not plausible: mean error ")


def test_the_settings_accept_as_well(desk: Desk, bench: Bench) -> None:
    as_shares(desk, bench)
    write(desk, MODEL.replace("[evaluate]", '[evaluate]\naccept = ["labels.unit"]'))
    assert desk.run("evaluate", "--trust", "--out", "run").status == 0
    write(desk, MODEL.replace("[evaluate]", '[evaluate]\naccept = "labels.unit"'))
    assert desk.run("evaluate", "--trust", "--out", "again").status == 0


def test_an_unknown_check_names_the_nearest(desk: Desk) -> None:
    desk.lookup("exact", "--accept", "labels.units").refused(
        "--accept labels.units: no check of the setup is called 'labels.units'; did you mean labels.unit?"
    )
    result = desk.lookup("exact", "--accept", "zzz", "--accept", "network.decoder")
    assert result.status == 2
    (problem,) = result.errors
    of_none = "no check of the setup is called"
    assert problem.startswith(f"error: --accept zzz network.decoder: {of_none} 'zzz'; known are images.")
    assert problem.endswith(f"; {of_none} 'network.decoder'; did you mean network.decode?")


# ---- strict ----


def test_strict_fails_for_what_is_wrong_and_not_accepted(desk: Desk, bench: Bench) -> None:
    assert desk.lookup("exact", "--strict-setup").status == 0
    unmarked(desk, bench)
    assert desk.lookup("exact", "--out", "lenient").status == 0
    strict = desk.lookup("exact", "--strict-setup", "--out", "strict", "--markdown", "said.md")
    assert (strict.status, strict.errors) == (1, [])
    first = (desk.path / "said.md").read_text(encoding="utf-8").splitlines()[0]
    assert first.startswith("## ❌ mahtdiag evaluate: ")
    assert first.endswith("the setup is wrong (labels.missing)")
    assert document_of(desk.path / "strict")["setup"] == document_of(desk.path / "lenient")["setup"]
    accepted = desk.lookup("exact", "--strict-setup", "--accept", "labels.missing", "--out", "accepted")
    assert accepted.status == 0


# ---- gates ----


@pytest.mark.parametrize(
    ("gate", "value"),
    [
        ("setup.wrong", 2.0),
        ("setup.labels.missing", 2.0),
        ("setup.labels.unit", 0.0),
        ("setup.warnings", 0.0),
    ],
)
def test_gates_on_the_setup(desk: Desk, bench: Bench, gate: str, value: float) -> None:
    unmarked(desk, bench)
    write(desk, f'[gates]\n"{gate}" = "<= 0"\n')
    result = desk.lookup("exact")
    assert (result.status, result.errors) == (int(value > 0), [])
    (judged,) = document_of(desk.path / "run")["gates"]
    assert (judged["metric"], judged["value"], judged["passed"]) == (gate, value, value <= 0)
    assert [row[0] for row in rows(result)] == [gate]


def test_a_dotted_gate_without_quotes_is_the_same(desk: Desk) -> None:
    write(desk, '[gates]\nsetup.wrong = "<= 0"\nsetup.labels.unit = "<= 0"\n')
    assert desk.lookup("exact").status == 0
    assert {g["metric"] for g in document_of(desk.path / "run")["gates"]} == {
        "setup.wrong",
        "setup.labels.unit",
    }


def test_a_gate_on_a_check_that_was_not_made_fails_closed(desk: Desk) -> None:
    write(desk, '[gates]\n"setup.together.transform" = "<= 0"\n')
    result = desk.lookup("exact")
    assert result.status == 1
    (judged,) = document_of(desk.path / "run")["gates"]
    assert (judged["value"], judged["passed"]) == (None, False)


def test_a_misspelt_gate_is_an_error(desk: Desk) -> None:
    write(desk, '[gates]\n"setup.labels.units" = "<= 0"\n"setup.wrongs" = "<= 0"\n')
    of_none = "no check of the setup has this name; did you mean"
    desk.lookup("exact").refused(
        f'mahtdiag.toml: gates."setup.labels.units" = "<= 0": {of_none} setup.labels.unit?',
        f'mahtdiag.toml: gates."setup.wrongs" = "<= 0": {of_none} setup.wrong?',
    )
    assert not (desk.path / "run").exists()


# ---- shown first ----


def test_the_headline_leads_everything(desk: Desk, bench: Bench) -> None:
    relabel(desk, bench, lambda points, size: points / 2)
    result = desk.lookup("exact", "--markdown", "said.md")
    assert result.status == 0
    found = entries(desk)
    cause = "labels.unit: labels are for images of "
    assert found["results"]["advice"].startswith(f"likeliest cause, {cause}")
    shown = " ".join(result.text.split("\n\n")[0].split())
    evidence = found["results"]["evidence"]
    assert shown == f"R{evidence[1:]}. L{found['results']['advice'][1:]}."
    first, *rest = (desk.path / "said.md").read_text(encoding="utf-8").splitlines()
    assert first == "## ⚠️ mahtdiag evaluate: results are not plausible"
    assert any("`labels.unit`" in line and "❌" in line for line in rest)
    as_json = desk.lookup("exact", "--out", "again", "--format", "json")
    assert list(json.loads(as_json.text)["setup"][0]) == ["check", "status", "evidence", "advice"]
    assert json.loads(as_json.text)["setup"] == document_of(desk.path / "run")["setup"]


def test_without_anything_to_say_the_results_lead(desk: Desk) -> None:
    result = desk.lookup("exact", "--markdown", "said.md")
    assert result.text.splitlines()[0] == "lookup-ap.pt (state-dict) on data"
    assert "Setup: 23 fine, 2 not checked" in result.text
    assert (desk.path / "said.md").read_text(encoding="utf-8").startswith("## ✅ mahtdiag evaluate: ")
    assert {entry["status"] for entry in entries(desk).values()} == {"fine", "not checked"}


def test_a_run_that_is_read_again_keeps_its_setup(desk: Desk, bench: Bench) -> None:
    unmarked(desk, bench)
    desk.lookup("exact")
    before = document_of(desk.path / "run")["setup"]
    assert desk.lookup("exact", "--resume").status == 0
    assert document_of(desk.path / "run")["setup"] == before


def test_labels_alone_are_checked_by_anatomy(desk: Desk, bench: Bench) -> None:
    unmarked(desk, bench)
    result = desk.run("anatomy", "--labels", "data", "--view", "AP", "--no-pictures", "--format", "json")
    found = {entry["check"]: entry for entry in json.loads(result.text)["setup"]}
    assert found["labels.missing"]["status"] == "wrong"
    assert found["labels.missing"]["advice"].startswith("label these places, or take the images out")
    assert [name for name in found if name.startswith(("network", "together", "results"))] == []
