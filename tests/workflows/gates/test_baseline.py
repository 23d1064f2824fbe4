"""Gates on the difference to a stored run: passed when shown, failed with a reason when not."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from mahtdiag.anatomy.rules import RULES, Limits
from mahtdiag.config.gates import read_gates
from mahtdiag.config.settings import Settings
from mahtdiag.diagnosis.gates import BaselineGates, GateKind, GateResult
from mahtdiag.runs.reading import Run, open_run
from mahtdiag.schema.skeleton import View
from mahtdiag.workflows.compare.job import CompareRequest, compare
from mahtdiag.workflows.gates.judging import judge_baseline, notes_on, results_of, stored
from tests.runs.builders import unseal
from tests.workflows.compared_folders import Options, image_set, write_run

MEAN, SHARE = "radial_error_px.mean", "sdr_px.4"
MARGINS = {MEAN: "+0.3", SHARE: "-5 %", "anatomy.violations": "+1", "calibration.mace": "+10 %"}


def baseline(margins: dict[str, str] | None = None, run: str = "runs/base") -> BaselineGates:
    gates, problems = read_gates({"baseline": {"run": run, **(margins or MARGINS)}})
    assert problems == ()
    assert gates.baseline is not None
    return gates.baseline


def current(path: Path) -> Run:
    """A run as `evaluate` has it in memory; baselines are named from the folder of all runs."""
    run = open_run(path, path.parents[1])
    run.table()
    return run


def judged(
    folder: Path,
    margins: dict[str, str] | None = None,
    *,
    name: str = "new",
    only: str = "",
    run: str = "runs/base",
) -> tuple[GateResult, ...]:
    found = current(folder / "runs" / name)
    view = found.document.view
    return judge_baseline(baseline(margins, run), found, Limits.of(view), RULES, only=only)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A baseline and a new run that is half a pixel worse."""
    write_run(tmp_path / "runs" / "base", image_set(), 3.0)
    write_run(tmp_path / "runs" / "new", image_set(), 3.6)
    return tmp_path


def test_the_numbers_are_those_of_compare(folder: Path) -> None:
    results = judged(folder)
    request = CompareRequest((Path("runs/base"), Path("runs/new")), Settings(), folder)
    metrics = {metric.name: metric.difference for metric in compare(request).pairs[0].comparison.metrics}
    assert [result.gate.metric for result in results] == list(MARGINS)
    for result in results:
        difference = metrics[result.gate.metric]
        assert result.estimate == difference.difference
        assert result.ci95 == difference.ci95
        assert (result.baseline, result.reason, result.gate.kind) == ("runs/base", None, GateKind.BASELINE)


def test_the_bad_end_of_the_interval_is_held_against_the_margin(folder: Path) -> None:
    mean, share, violations, mace = judged(folder)
    assert (mean.gate.condition, mean.gate.limit) == ("upper <= 0.3", 0.3)
    assert mean.ci95 is not None
    assert (mean.value, mean.passed) == (mean.ci95[1], False)
    assert share.gate.condition.startswith("lower >= -0.0")
    assert share.ci95 is not None
    assert share.value == share.ci95[0]
    assert (violations.value, violations.passed) == (0.0, True)
    assert mace.gate.limit > 0


@pytest.mark.parametrize(("amount", "passed"), [("+5", True), ("+0", False), ("+200 %", True)])
def test_a_gate_passes_once_the_whole_interval_is_within(folder: Path, amount: str, passed: bool) -> None:
    (result,) = judged(folder, {MEAN: amount})
    assert result.passed is passed
    write_run(folder / "runs" / "alike", image_set(), 3.0)
    (alike,) = judged(folder, {MEAN: "+0"}, name="alike")
    assert alike.passed
    assert alike.ci95 == (0.0, 0.0)


def test_a_run_is_no_baseline_of_its_own(folder: Path) -> None:
    """Not even as a copy: it cannot differ from itself, and the gate would always pass."""
    (folder / "runs" / "base").rename(folder / "runs" / "moved")
    shutil.copytree(folder / "runs" / "moved", folder / "runs" / "base")
    (own,) = judged(folder, {MEAN: "+5"}, name="moved")
    assert not own.passed
    assert own.reason == "runs/base is the run that is judged; name another one as its baseline"


def test_commands_judge_their_own_part(folder: Path) -> None:
    assert [result.gate.metric for result in judged(folder, only="anatomy.")] == ["anatomy.violations"]
    assert judged(folder, {MEAN: "+1"}, only="calibration.") == ()
    found = current(folder / "runs" / "new")
    assert judge_baseline(None, found, Limits.of(View.AP), RULES) == ()


def reasons(results: tuple[GateResult, ...]) -> str:
    """The one reason for which all gates failed."""
    assert {(result.passed, result.value, result.ci95) for result in results} == {(False, None, None)}
    (reason,) = {result.reason for result in results}
    assert reason is not None
    assert "\n" not in reason
    return reason


def test_other_data_fails_every_gate_and_is_listed(folder: Path) -> None:
    images = image_set()
    write_run(folder / "runs" / "other", [*images[1:], replace(images[0], content="x", name="x.png")], 3.0)
    results = judged(folder, name="other")
    assert reasons(results) == (
        "runs/other: not the data of runs/base; evaluate both on the same; only in runs/base: 1 image: "
        "0.png; only in runs/other: 1 image: x.png"
    )
    assert notes_on(results) == (
        f"gates {MEAN}, {SHARE}, anatomy.violations, calibration.mace fail: {results[0].reason}",
    )


def test_what_is_wrong_with_a_baseline_fails_every_gate(folder: Path) -> None:
    runs = folder / "runs"
    write_run(runs / "half", image_set(), 3.0, Options(complete=False))
    write_run(runs / "empty", image_set(1), 3.0, Options(fails=("0.png",)))
    write_run(runs / "lateral", image_set(12, View.LA), 3.0, Options(view=View.LA))
    unseal(write_run(runs / "old", image_set(), 3.0))
    edited = write_run(runs / "edited", image_set(), 3.0) / "images.parquet"
    edited.write_bytes(edited.read_bytes() + b" ")
    for name, reason in (
        ("gone", f"{runs}/gone: no such run folder"),
        ("half", "runs/half: interrupted after 0 of 12 images"),
        ("empty", "runs/empty: no image was evaluated"),
        ("lateral", "runs/new: a run of AP images, runs/lateral is one of LA images"),
        ("edited", f"{edited}: changed since the run was finished (checksum)"),
        (
            "old",
            "runs/old: written by an earlier version without checksums, so it may have been edited; evaluate",
        ),
    ):
        assert reasons(judged(folder, run=f"runs/{name}")).startswith(reason)


def test_images_that_the_new_run_failed_on(folder: Path) -> None:
    write_run(folder / "runs" / "lost", image_set(), 1.0, Options(fails=("3.png", "5.png")))
    assert reasons(judged(folder, name="lost")) == (
        "not evaluated, but in the baseline runs/base: 2 images: 3.png, 5.png"
    )


def test_a_number_that_is_not_there_fails_alone(folder: Path) -> None:
    margins = {
        "radial_error_mm.mean": "+1",
        MEAN: "+9",
        "calibration.spearman": "-0.1",
        "losses.total": "+20 %",
    }
    results = judged(folder, margins)
    assert [(result.passed, result.reason) for result in results] == [
        (False, "no image has a pixel spacing in both runs"),
        (True, None),
        (False, "not compared between runs; choose a mean, share, count or quantile over images"),
        (False, None),
    ]
    assert notes_on(results)[0] == (
        "gate radial_error_mm.mean fails: no image has a pixel spacing in both runs"
    )


def test_a_single_image_shows_nothing(tmp_path: Path) -> None:
    for name, off_px in (("base", 3.0), ("new", 3.5)):
        write_run(tmp_path / "runs" / name, image_set(1), off_px)
    (result,) = judged(tmp_path, {MEAN: "+1"})
    assert (result.passed, result.value, result.gate.limit) == (False, None, 1.0)
    assert 0.0 < (result.estimate or 0.0) < 1.0
    assert result.reason == "too few images: 1, at least 10"


def test_margins_on_quantiles_need_images_beyond_them(tmp_path: Path) -> None:
    for name, off_px in (("base", 3.0), ("new", 3.5)):
        write_run(tmp_path / "runs" / name, image_set(12), off_px)
    results = judged(tmp_path, {"radial_error_px.p90": "+99", "radial_error_px.p95": "+99"})
    assert [(each.passed, each.reason) for each in results] == [
        (True, None),
        (False, "too few images: 12, at least 24"),
    ]


@pytest.mark.parametrize("images", [1, 12, 24])
def test_where_nothing_differs_everything_passes(tmp_path: Path, images: int) -> None:
    for name in ("base", "new"):
        write_run(tmp_path / "runs" / name, image_set(images), 3.0)
    margins = (MEAN, "radial_error_px.p95", "anatomy.violations", "calibration.mace")
    for result in judged(tmp_path, dict.fromkeys(margins, "+0")):
        assert (result.passed, result.value, result.estimate, result.reason) == (True, 0.0, 0.0, None)


def test_violations_are_judged_by_the_limits_of_now(folder: Path) -> None:
    found, gates = current(folder / "runs" / "new"), baseline({"anatomy.violations": "+0"})
    loose, tight = (
        judge_baseline(gates, found, Limits.of(View.AP, {"A201": degrees}), RULES)[0]
        for degrees in (40.0, 1.0)
    )
    assert (loose.estimate, loose.passed) == (0.0, True)
    assert (tight.estimate or 0.0) > 0
    assert not tight.passed


def test_results_survive_in_the_document(folder: Path) -> None:
    results = judged(folder)
    assert results_of(stored(results)) == results
