"""`mahtdiag compare`, as a script and a person use it."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from mahtdiag.diagnosis.numbers import find_number
from tests.runs.builders import unseal

from .builders import Bench, build_bench
from .command import Desk, columns_of, document_of

EXPECTED = Path(__file__).with_name("expected_compare.txt")
METRIC_KEYS = {"a", "b", "difference", "ci95", "p_value", "p_holm"}


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """Twelve images: of fewer than ten nothing is said."""
    return build_bench(tmp_path_factory.mktemp("bench"), 12)


def change_points(desk: Desk, change: Callable[[torch.Tensor], torch.Tensor]) -> None:
    """Another checkpoint for the same network: `other.pt`, its places changed."""
    weights = torch.load(desk.path / "lookup-ap.pt", weights_only=True)
    torch.save({**weights, "points": change(weights["points"].clone())}, desk.path / "other.pt")


def worse(points: torch.Tensor) -> torch.Tensor:
    """Two input pixels to the right; in the tenth image closer and bent, in the last two as they were."""
    points[:9, :, 0] += 2.0
    points[9, ::2] -= 1.0
    return points


@pytest.fixture
def runs(desk: Desk) -> Desk:
    """`a`, and `b` with another checkpoint on the same images."""
    assert desk.lookup("exact", "--out", "a", "--pixel-spacing", "0.2").status == 0
    change_points(desk, worse)
    evaluate(desk, "other.pt", "b", "--pixel-spacing", "0.2")
    return desk


def evaluate(desk: Desk, checkpoint: str, out: str, *more: str, status: int = 0) -> None:
    """`evaluate` of the lookup network with these weights."""
    shutil.copy(desk.path / "lookup-ap.pt", desk.path / "lookup-ap.bak")
    if checkpoint != "lookup-ap.pt":
        shutil.copy(desk.path / checkpoint, desk.path / "lookup-ap.pt")
    done = desk.lookup("exact", "--out", out, *more)
    shutil.copy(desk.path / "lookup-ap.bak", desk.path / "lookup-ap.pt")
    assert done.status == status, done.err


def content_of(desk: Desk, *arguments: str, status: int) -> dict[str, Any]:
    done = desk.run("compare", *arguments, "--format", "json")
    assert (done.status, done.err) == (status, "")
    content: dict[str, Any] = json.loads(done.out)
    return content


def test_the_whole_table(runs: Desk) -> None:
    done = runs.run("compare", "a", "b")
    assert (done.status, done.err) == (1, "")
    assert max(map(len, done.text.splitlines())) <= 80
    assert done.text == EXPECTED.read_text(encoding="utf-8")


def test_json_holds_what_the_contract_says(runs: Desk) -> None:
    content = content_of(runs, "a", "b", status=1)
    assert (content["a"], content["b"], content["images"], content["verdict"]) == ("a", "b", 12, "worse")
    for name, metric in content["metrics"].items():
        assert set(metric) >= METRIC_KEYS, name
        assert metric["difference"] == pytest.approx(metric["b"] - metric["a"])
        if metric["units"] < metric["fewest_units"]:
            assert (metric["ci95"], metric["p_value"], metric["detectable"]) == (None, None, None), name
            continue
        assert metric["ci95"][0] <= metric["ci95"][1]
        assert 0.0 <= metric["p_value"] <= metric["p_holm"] <= 1.0
    assert "comparisons" not in content


def test_numbers_are_those_of_the_runs(runs: Desk) -> None:
    """Every number of the comparison is in both `run.json`, under the same name."""
    content = content_of(runs, "a", "b", status=1)
    documents = {name: document_of(runs.path / name) for name in ("a", "b")}
    assert len(content["metrics"]) > 45
    for name, metric in content["metrics"].items():
        for run, document in documents.items():
            assert metric[run] == pytest.approx(find_number(document, name), rel=1e-9, abs=1e-12), name


def test_the_images_that_changed_are_named_in_order(runs: Desk) -> None:
    content = content_of(runs, "a", "b", status=1)
    errors = {
        name: dict(zip(columns["image"], columns["radial_error_px"], strict=True))
        for name in ("a", "b")
        for columns in (columns_of(runs.path / name / "images.parquet"),)
    }
    change = {image: errors["b"][image] - errors["a"][image] for image in errors["a"]}
    assert (content["worse"]["images"], content["better"]["images"]) == (9, 1)
    rising = sorted((image for image in change if change[image] > 1e-9), key=lambda i: -change[i])
    assert [entry["image"] for entry in content["worse"]["most"]] == rising
    entry = content["better"]["most"][0]
    assert entry["difference"] == pytest.approx(min(change.values()))
    assert entry["a"] == pytest.approx(errors["a"][entry["image"]])


def test_the_same_run_twice_differs_by_exactly_nothing(runs: Desk) -> None:
    content = content_of(runs, "a", "a", status=0)
    assert content["verdict"] == "no difference"
    assert content["non_inferior"] is True
    for metric in content["metrics"].values():
        enough = metric["units"] >= metric["fewest_units"]
        assert (metric["difference"], metric["ci95"]) == (0, [0, 0] if enough else None)
        assert {metric["p_value"], metric["p_holm"]} == {1 if enough else None}
    done = runs.run("compare", "a", "a", "--strict")
    assert (done.status, done.err) == (0, "")
    assert "B is further off in no image." in done.text


def test_two_times_the_same_command_compare_as_equal(runs: Desk) -> None:
    evaluate(runs, "lookup-ap.pt", "again", "--pixel-spacing", "0.2")
    content = content_of(runs, "a", "again", status=0)
    assert {metric["difference"] for metric in content["metrics"].values()} == {0}


def test_the_other_way_round_it_is_better(runs: Desk) -> None:
    content = content_of(runs, "b", "a", status=0)
    assert content["verdict"] == "better"
    done = runs.run("compare", "b", "a")
    assert (done.status, done.errors) == (0, [])
    assert "\nverdict: B is better than A: radial_error_mm.mean by " in done.text


def test_margins_decide(runs: Desk) -> None:
    (judged, *_) = content_of(runs, "a", "b", status=1)["judged"]
    assert (judged["metric"], judged["margin"], judged["outcome"]) == ("radial_error_mm.mean", 0, "worse")
    (judged,) = content_of(runs, "a", "b", "--margin", "radial_error_px.mean=0", status=1)["judged"]
    low, high = judged["worsening_ci95"]
    assert 0 < low < high
    for margin, strict, status, outcome in (
        (f"{low / 2}", (), 1, "worse"),
        (f"+{(low + high) / 2}", (), 0, "not shown"),
        (f"{(low + high) / 2}", ("--strict",), 1, "not shown"),
        (f"{high * 1.001}", ("--strict",), 0, "within margin"),
        ("500%", ("--strict",), 0, "within margin"),
    ):
        arguments = ("--margin", f"radial_error_px.mean={margin}", *strict)
        content = content_of(runs, "a", "b", *arguments, status=status)
        assert [judged["outcome"] for judged in content["judged"]] == [outcome]
    several = ("--margin", "sdr_px.16=-99 %", "--margin", "losses.heatmap=9", "--strict")
    assert len(content_of(runs, "a", "b", *several, status=0)["judged"]) == 2


def test_what_strict_misses_is_said(runs: Desk) -> None:
    done = runs.run(
        "compare", "a", "b", "--strict", "--margin", "losses.coord=1e-9", "--margin", "sdr_px.8=0"
    )
    assert done.status == 1
    assert "\nverdict: B is worse than A: losses.coord by " in done.text
    assert "\nstrict: not shown to be within the margin: sdr_px.8\n" in done.text


def test_margins_of_the_settings_hold_where_none_are_given(runs: Desk) -> None:
    settings = '[gates.baseline]\nrun = "a"\n"radial_error_px.mean" = "+500 %"\n'
    (runs.path / "mahtdiag.toml").write_text(settings, encoding="utf-8")
    assert runs.run("compare", "a", "b").status == 0
    assert runs.run("compare", "a", "b", "--margin", "radial_error_px.mean=0").status == 1


def test_several_runs(runs: Desk) -> None:
    content = content_of(runs, "a", "a", "b", status=1)
    assert [(pair["b"], pair["verdict"]) for pair in content["comparisons"]] == [
        ("a", "no difference"),
        ("b", "worse"),
    ]
    assert content["verdict"] == "no difference"
    done = runs.run("compare", "a", "a", "b")
    assert done.status == 1
    assert "\nC  b (" in done.text
    assert "verdict: C is worse than A: " in done.text


def test_the_latest_run_by_its_name(runs: Desk) -> None:
    assert content_of(runs, "a", "latest", status=1)["b"] == "b"
    assert content_of(runs, "a", "runs/latest", status=1)["b"] == "b"


def test_moved_data_make_no_difference(runs: Desk) -> None:
    shutil.move(runs.path / "data" / "AP", runs.path / "elsewhere")
    for path in (runs.path / "elsewhere").iterdir():
        path.rename(path.with_name(f"x{path.name}"))
    done = runs.lookup("exact", "--out", "moved", "--pixel-spacing", "0.2", "--view", "AP", data="elsewhere")
    assert done.status == 0, done.err
    content = content_of(runs, "a", "moved", status=0)
    assert {metric["difference"] for metric in content["metrics"].values()} == {0}


def test_changed_images_are_drawn_side_by_side(runs: Desk) -> None:
    done = runs.run("compare", "a", "b", "--out", "drawn", "--overlays", "worst:2")
    assert done.status == 1
    assert done.errors == []
    assert "\nnote: 3 overlays in drawn\n" in done.text
    drawn = runs.path / "drawn"
    pictures = sorted(str(path.relative_to(drawn)) for path in drawn.rglob("*.png"))
    content = content_of(runs, "a", "b", status=1)
    expected = [
        f"{kind}/{place:02d}-{Path(entry['image']).stem}.png"
        for kind in ("better", "worse")
        for place, entry in enumerate(content[kind]["most"][:2], start=1)
    ]
    assert pictures == expected
    picture = cv2.imdecode(np.fromfile(drawn / pictures[0], np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    assert picture.shape[1] > picture.shape[0]


def test_other_data_is_refused_with_all_that_differs(runs: Desk) -> None:
    data = runs.path / "data" / "AP"
    stems = sorted(path.stem for path in data.glob("*.csv"))
    for suffix in (".csv", ".png"):
        (data / f"{stems[0]}{suffix}").unlink()
    label = data / f"{stems[1]}.csv"
    label.write_text(_moved(label.read_text()))
    evaluate(runs, "lookup-ap.pt", "c", "--pixel-spacing", "0.2")
    runs.run("compare", "a", "c").refused(
        "c: not the data of a; evaluate both on the same, or compare what they have in common with --common",
        f"only in a: 1 image: AP/{stems[0]}.png",
        f"other labels: 1 image: AP/{stems[1]}.png",
    )
    content = content_of(runs, "a", "c", "--common", status=0)
    assert content["images"] == 10
    assert content["notes"][-2:] == [
        f"left out, only in a: 1 image: AP/{stems[0]}.png",
        f"left out, other labels: 1 image: AP/{stems[1]}.png",
    ]


def _moved(text: str) -> str:
    """The annotation with its first point a little further to the right."""
    x, _, rest = text.partition(",")
    return f"{float(x) + 0.25},{rest}"


def edit(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    content = document_of(path)
    change(content)
    (path / "run.json").write_text(json.dumps(content), encoding="utf-8")


def test_runs_that_cannot_be_compared(runs: Desk) -> None:
    for name in ("edited", "table", "version"):
        shutil.copytree(runs.path / "b", runs.path / name)
    edit(runs.path / "edited", lambda content: content["metrics"]["radial_error_px"].update(mean=0.1))
    table = runs.path / "table" / "keypoints.parquet"
    table.write_bytes(table.read_bytes() + b"\0")
    edit(runs.path / "version", lambda content: content.update(schema=2, mahtdiag="9.0"))
    (runs.path / "folder").mkdir()
    place = runs.path
    changed = "changed since the run was finished (checksum); restore the file or evaluate again"
    written = "schema version 2, written by mahtdiag 9.0; mahtdiag 0.1.0 reads version 1"
    for name, problem in (
        ("edited", f"{place}/edited/run.json: {changed}"),
        ("table", f"{table}: {changed}"),
        ("version", f"{place}/version/run.json: {written}: use the version that wrote it"),
        ("gone", f"{place}/gone: no such run folder; check the name, or name latest, the newest run"),
        ("folder", f"{place}/folder: not a run folder, it has no run.json; check the name"),
        ("ap.pt", f"{place}/ap.pt: a file, not a run folder; name the folder that holds run.json"),
    ):
        runs.run("compare", "a", name).refused(problem)
        runs.run("compare", name, "a").refused(problem)


def test_interrupted_and_empty_runs(runs: Desk) -> None:
    edit(runs.path / "b", lambda content: content.update(status="interrupted", checksums=None))
    runs.run("compare", "a", "b").refused(
        "b: interrupted after 12 of 12 images; finish it with evaluate --out b --resume"
    )
    assert runs.lookup("nan_all", "--out", "none").status == 2
    runs.run("compare", "a", "none").refused(
        f"{runs.path / 'none'}: no such run folder; check the name, or name latest, the newest run"
    )


def test_views_and_options_that_do_not_go_together(runs: Desk) -> None:
    assert runs.lookup("exact_la", "--out", "la", view="la").status == 0
    runs.run("compare", "a", "la").refused(
        "la: a run of LA images, a is one of AP images; only runs of one view can be compared"
    )
    runs.run("compare", "a").refused("name two runs or more: mahtdiag compare RUN_A RUN_B")
    runs.run("compare").refused("missing argument 'RUN_A RUN_B [RUN_C …]' (see mahtdiag compare --help)")
    runs.run("compare", "a", "b", "--overlays", "all").refused(
        "--overlays needs --out DIR, the folder to draw into"
    )
    runs.run("compare", "a", "b", "--overlays", "some", "--out", "x").refused(
        "--overlays some: expected worst:N, all or none, for example worst:12"
    )
    runs.run("compare", "a", "b", "--margin", "radial_error_mm.max=1", "--margin", "sdr_px.44=1").refused(
        "--margin sdr_px.44=1: no number of a run has this name; did you mean sdr_px.4?"
    )


def test_a_run_of_an_earlier_version_gets_a_note(runs: Desk) -> None:
    unseal(runs.path / "a")
    done = runs.run("compare", "a", "b")
    assert done.status == 1
    assert "note: a was written by an earlier version, which kept no checksums: it may have" in done.text


BASELINE = """
[gates.baseline]
run = "{run}"
"radial_error_px.mean" = "+0.3"
"anatomy.images_with_violations" = "+0.5"
"calibration.mace" = "+0.5"
"sdr_px.16" = "-0.9"
"""


def test_evaluate_compares_with_the_baseline(runs: Desk) -> None:
    (runs.path / "mahtdiag.toml").write_text(BASELINE.format(run="a"), encoding="utf-8")
    evaluate(runs, "other.pt", "candidate", "--pixel-spacing", "0.2", status=1)
    gates = document_of(runs.path / "candidate")["gates"]
    compared = content_of(runs, "a", "candidate", "--margin", "sdr_px.16=0.9", status=0)["metrics"]
    names = ["radial_error_px.mean", "anatomy.images_with_violations", "calibration.mace", "sdr_px.16"]
    assert [gate["metric"] for gate in gates] == names
    assert {(gate["kind"], gate["baseline"]) for gate in gates} == {("baseline", "a")}
    for gate in gates:
        assert gate["estimate"] == pytest.approx(compared[gate["metric"]]["difference"])
        assert gate["ci95"] == pytest.approx(compared[gate["metric"]]["ci95"])
    assert [gate["passed"] for gate in gates] == [False, True, True, True]
    assert runs.run("anatomy", "candidate", "--no-pictures").status == 0
    own = json.loads(runs.run("calibration", "candidate", "--no-pictures", "--format", "json").out)["gates"]
    assert [(gate["metric"], gate["passed"]) for gate in own] == [("calibration.mace", True)]
    evaluate(runs, "lookup-ap.pt", "same", "--pixel-spacing", "0.2")
    assert all(gate["passed"] for gate in document_of(runs.path / "same")["gates"])


def test_a_baseline_that_is_gone_or_of_other_data_fails_closed(runs: Desk) -> None:
    (runs.path / "mahtdiag.toml").write_text(BASELINE.format(run="gone"), encoding="utf-8")
    evaluate(runs, "lookup-ap.pt", "c", "--pixel-spacing", "0.2", status=1)
    document = document_of(runs.path / "c")
    assert {(gate["passed"], gate["value"]) for gate in document["gates"]} == {(False, None)}
    assert document["notes"][-1].startswith("gates radial_error_px.mean, anatomy.images_with_violations, ")
    assert document["notes"][-1].endswith(
        "no such run folder; check the name, or name latest, the newest run"
    )
    (runs.path / "mahtdiag.toml").write_text(BASELINE.format(run="a"), encoding="utf-8")
    evaluate(runs, "lookup-ap.pt", "d", "--pixel-spacing", "0.3", status=1)
    reasons = {gate["reason"] for gate in document_of(runs.path / "d")["gates"]}
    assert len(reasons) == 1
    assert (
        "d: not the data of a; evaluate both on the same; another pixel spacing: 12 images: AP/"
        in reasons.pop()
    )
