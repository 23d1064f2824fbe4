"""Runs and annotated sets are judged, whatever state they are in."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from mahtdiag.config.project_file import parse_settings
from mahtdiag.config.settings import AnatomySettings, Settings
from mahtdiag.diagnosis.anatomy import AnatomyReport, PredictionDiagnosis, Source
from mahtdiag.diagnosis.numbers import numbers_of
from mahtdiag.errors import DataError, ExitStatus, RunFolderError, UsageError
from mahtdiag.schema.choices import FacingSide
from mahtdiag.schema.records import Failure
from mahtdiag.schema.skeleton import View
from mahtdiag.workflows.anatomy.job import Anatomy, AnatomyRequest, judge_anatomy
from mahtdiag.workflows.progress import NoProgress
from tests.anatomy.spines import natural_spines
from tests.data.builders import annotation, write_pair
from tests.workflows.anatomy_runs import CELL_PX, SETTINGS, write_run

Floats = NDArray[np.float64]
PICTURES = {
    View.AP: ["cobb_deg", "lateral_slip_percent", "tilt_deg"],
    View.LA: ["disc_height_index", "lordosis_deg", "segmental_deg", "slip_percent", "wedging"],
}


def judged(
    cwd: Path,
    *,
    run: Path | None = None,
    labels: Path | None = None,
    view: View | None = None,
    select: tuple[str, ...] | None = None,
    ignore: tuple[str, ...] | None = None,
    settings: Settings | None = None,
    pictures: bool = False,
) -> Anatomy:
    """What the command makes of it."""
    request = AnatomyRequest(settings or Settings(), run, labels, view, select, ignore, pictures, cwd)
    return judge_anatomy(request, NoProgress())


def swapped(points: Floats, *images: int) -> Floats:
    """Left and right exchanged in L3 of some images."""
    changed = points.copy()
    changed[list(images), 8:12] = changed[list(images), 8:12][:, [1, 0, 3, 2]]
    return changed


def diagnosis_of(report: AnatomyReport) -> PredictionDiagnosis:
    """The diagnosis of a run."""
    assert report.diagnosis is not None
    return report.diagnosis


@pytest.mark.parametrize("view", list(View))
def test_the_latest_run_beside_its_labels(tmp_path: Path, view: View) -> None:
    labels = natural_spines(view, 6)
    write_run(tmp_path / "runs" / "a", swapped(labels, 4), swapped(labels, 1, 4), view)
    anatomy = judged(tmp_path, view=view, pictures=True)
    report = anatomy.report
    assert (anatomy.status, report.source, report.subject) == (ExitStatus.OK, Source.RUN, "runs/a")
    mirrored = {i.image: ("A402" in i.codes, "A402" in i.label_codes) for i in report.verdict.images}
    assert set(list(mirrored)[:2]) == {"0001.jpg", "0004.jpg"}
    assert (mirrored["0001.jpg"], mirrored["0004.jpg"]) == ((True, False), (True, True))
    assert len(mirrored) == 6
    assert (report.verdict.violating, report.verdict.label_violating) == (2, 1)
    files = sorted(f"runs/a/anatomy/{name}.{kind}" for name in PICTURES[view] for kind in ("png", "svg"))
    assert sorted(report.pictures) == files
    assert all((tmp_path / name).stat().st_size for name in files)


def test_pictures_are_the_same_every_time(tmp_path: Path) -> None:
    labels = natural_spines(View.AP, 5)
    run = write_run(tmp_path / "runs" / "a", labels, labels + 1.0, View.AP)
    written = judged(tmp_path, run=run, pictures=True).report.pictures
    first = [(tmp_path / name).read_bytes() for name in written]
    assert judged(tmp_path, pictures=True).report.pictures == written
    assert [(tmp_path / name).read_bytes() for name in written] == first


def test_a_run_of_the_other_view_is_named(tmp_path: Path) -> None:
    labels = natural_spines(View.LA, 2)
    write_run(tmp_path / "runs" / "a", labels, labels, View.LA)
    with pytest.raises(UsageError, match=r"--view AP: .*a is a run of LA images"):
        judged(tmp_path, view=View.AP)


def test_a_run_without_an_evaluated_image(tmp_path: Path) -> None:
    none = np.empty((0, 20, 2))
    write_run(tmp_path / "runs" / "a", none, none, View.AP, failures=[Failure("x.jpg", "0 bytes")])
    with pytest.raises(RunFolderError, match=r"no image was evaluated \(1 failed\)"):
        judged(tmp_path)


def test_a_run_and_labels_are_too_much(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not both"):
        judged(tmp_path, run=Path("a"), labels=Path("b"))


def test_facing_that_was_said_gives_measurements_their_sign(tmp_path: Path) -> None:
    labels = natural_spines(View.LA, 3)
    write_run(tmp_path / "runs" / "a", labels, labels, View.LA)
    bias = {}
    for side in FacingSide:
        settings = Settings(anatomy=AnatomySettings(facing=side))
        measured = diagnosis_of(judged(tmp_path, settings=settings).report).measured
        assert measured.facing is not None
        assert (measured.facing.given, measured.facing.unknown) == (True, 0)
        bias[side] = next(pair.labelled for pair in measured.pairs if pair.name == "lordosis_deg")
    np.testing.assert_allclose(bias[FacingSide.LEFT], -bias[FacingSide.RIGHT])
    unknown = diagnosis_of(judged(tmp_path).report).measured
    assert unknown.facing is not None
    assert unknown.facing.unknown == 3
    with pytest.raises(UsageError, match="--facing is for"):
        judge_anatomy(
            AnatomyRequest(
                *(Settings(), None, Path("b"), None, None, None, False, tmp_path), facing=FacingSide.LEFT
            ),
            NoProgress(),
        )


def test_failed_images_of_a_run_are_listed(tmp_path: Path) -> None:
    labels = natural_spines(View.AP, 2)
    failure = Failure("x.jpg", "0 bytes")
    write_run(tmp_path / "runs" / "a", labels, labels, View.AP, failures=[failure])
    anatomy = judged(tmp_path)
    assert [(f.image, f.reason) for f in anatomy.report.failures] == [("x.jpg", "0 bytes")]
    assert anatomy.status is ExitStatus.OK


def test_an_unfinished_run_is_judged_as_far_as_it_got(tmp_path: Path) -> None:
    labels = natural_spines(View.AP, 3)
    run = write_run(tmp_path / "runs" / "a", labels, labels, View.AP, complete=False)
    report = judged(tmp_path, run=run).report
    assert len(report.verdict.images) == 3
    assert report.notes[0].startswith("the run is not finished")


def test_plots_that_cannot_be_written_are_noted(tmp_path: Path) -> None:
    labels = natural_spines(View.AP, 3)
    run = write_run(tmp_path / "runs" / "a", labels, labels, View.AP)
    assert judged(tmp_path).report.notes == ()
    (run / "anatomy").write_text("in the way")
    report = judged(tmp_path, pictures=True).report
    assert report.pictures == ()
    assert report.notes[0].startswith("no plots: ")


def test_limits_of_the_run_hold_unless_the_settings_say_otherwise(tmp_path: Path) -> None:
    labels = natural_spines(View.AP, 3)
    write_run(tmp_path / "runs" / "a", labels, labels, View.AP,
              settings={**SETTINGS, "anatomy_limits": {"A301-max": 1.0}})  # fmt: skip
    assert judged(tmp_path).report.verdict.violating == 3
    settings = Settings.model_validate({"anatomy": {"AP": {"A301-max": 4.0}}})
    assert judged(tmp_path, settings=settings).report.verdict.violating == 0


def test_rules_of_the_options_replace_those_of_the_settings(tmp_path: Path) -> None:
    labels = natural_spines(View.AP, 3)
    write_run(tmp_path / "runs" / "a", labels, swapped(labels, 0), View.AP)
    settings = Settings.model_validate({"anatomy": {"select": "A1, A4", "ignore": ["A402"]}})

    def codes(select: tuple[str, ...] | None = None, ignore: tuple[str, ...] | None = None) -> list[str]:
        report = judged(tmp_path, settings=settings, select=select, ignore=ignore).report
        return [tally.rule.code for tally in report.verdict.tallies]

    assert codes() == ["A101", "A102", "A103", "A401", "A403", "A404", "A405"]
    assert codes(select=("A402", "A401"), ignore=()) == ["A401", "A402"]
    with pytest.raises(UsageError, match="no anatomical rule 'A9'"):
        codes(select=("A9",))


@pytest.mark.parametrize("cells", [0.5, 1.0])
def test_a_shift_is_seen_in_heatmap_cells(tmp_path: Path, cells: float) -> None:
    labels = natural_spines(View.AP, 20)
    write_run(tmp_path / "runs" / "a", labels, labels + cells * CELL_PX, View.AP)
    found = diagnosis_of(judged(tmp_path).report)
    assert found.in_cells is not None
    assert found.in_cells.shift_x.value == pytest.approx(-cells)
    assert found.sentence is not None
    assert ("half a heatmap cell" in found.sentence) == (cells == 0.5)


def test_a_run_that_does_not_say_how_images_became_heatmaps(tmp_path: Path) -> None:
    labels = natural_spines(View.AP, 4)
    write_run(tmp_path / "runs" / "a", labels, labels + 5.0, View.AP, settings={"resize": "stretch"})
    found = diagnosis_of(judged(tmp_path).report)
    assert found.in_cells is None
    assert found.in_px is not None


DEGENERATE = {
    "NaN": (np.nan, "A603"), "infinite": (np.inf, "A603"), "all equal": (300.0, "A602"),
    "far outside": (5e6, "A601"), "beyond all bounds": (1e12, "A603"),
}  # fmt: skip


@pytest.mark.parametrize("view", list(View))
@pytest.mark.parametrize("name", DEGENERATE)
def test_degenerate_predictions_get_the_finding_that_names_them(
    tmp_path: Path, view: View, name: str
) -> None:
    value, code = DEGENERATE[name]
    labels = natural_spines(view, 3)
    write_run(tmp_path / "runs" / "a", labels, np.full_like(labels, value), view)
    report = judged(tmp_path).report
    assert all(code in image.codes for image in report.verdict.images)
    assert report.verdict.label_violating == 0


def test_one_vertebra_only(tmp_path: Path) -> None:
    labels = natural_spines(View.LA, 2)
    labels[:, 4:] = np.nan
    write_run(tmp_path / "runs" / "a", labels, labels, View.LA)
    report = judged(tmp_path).report
    assert all(image.codes == ("A603",) for image in report.verdict.images)
    assert int(numbers_of(report.judged)["error_types.keypoints"].value) == 8


def test_collinear_predictions(tmp_path: Path) -> None:
    labels = natural_spines(View.AP, 2)
    line = np.linspace(100, 400, 20)[:, None] * [1.0, 1.0]
    write_run(tmp_path / "runs" / "a", labels, np.repeat(line[None], 2, axis=0), View.AP)
    assert all("A403" in image.codes for image in judged(tmp_path).report.verdict.images)


def with_row(text: str, row: int, cells: str) -> str:
    """An annotation with another row."""
    rows = text.splitlines()
    rows[row] = cells
    return "\n".join(rows) + "\n"


def test_labels_are_judged_with_their_faults(tmp_path: Path) -> None:
    for stem in "abcdef":
        write_pair(tmp_path / "data", stem, View.AP)
    (tmp_path / "data" / "b.csv").write_text(with_row(annotation(View.AP), 2, "nan,,100,50,0"))
    (tmp_path / "data" / "c.csv").write_text(with_row(annotation(View.AP), 0, "60,20,9000,20,0"))
    (tmp_path / "data" / "d.csv").write_text("1,2,3,4,0\n" * 9)
    (tmp_path / "data" / "e.png").write_bytes(b"no image")
    (tmp_path / "data" / "f.csv").unlink()
    anatomy = judged(tmp_path, labels=Path("data"))
    report = anatomy.report
    assert (anatomy.status, report.source, report.subject) == (ExitStatus.NOT_DONE, Source.LABELS, "data")
    codes = {image.image: image.codes for image in report.verdict.images}
    assert list(codes) == ["c.png", "a.png", "b.png"]
    assert codes["a.png"] == codes["b.png"] == ()
    assert "59 of 60 keypoints labelled, 1 image only in part" in report.notes
    assert "A601" in codes["c.png"]
    assert [failure.image for failure in report.failures] == ["d.png", "e.png", "f.png"]
    assert report.verdict.label_violating is None
    assert report.diagnosis is None


def test_clean_labels_are_done(tmp_path: Path) -> None:
    write_pair(tmp_path / "LA", "a", View.LA)
    anatomy = judged(tmp_path, labels=Path("LA"))
    assert anatomy.status is ExitStatus.OK
    assert anatomy.report.verdict.violating == 0


def test_labels_none_of_which_can_be_judged(tmp_path: Path) -> None:
    write_pair(tmp_path / "data", "a", View.AP, rows=9)
    anatomy = judged(tmp_path, labels=Path("data"), view=View.AP)
    assert anatomy.status is ExitStatus.NOT_DONE
    assert len(anatomy.report.verdict.images) == 0


def test_a_view_that_nothing_tells_and_a_folder_that_is_not_there(tmp_path: Path) -> None:
    for view in View:
        write_pair(tmp_path / "data" / view, "a", view)
    with pytest.raises(DataError, match="--view"):
        judged(tmp_path, labels=Path("data"))
    settings = Settings.model_validate({"data": {"view": "LA"}})
    assert judged(tmp_path, labels=Path("data"), settings=settings).report.verdict.view is View.LA
    with pytest.raises(DataError, match="no such folder"):
        judged(tmp_path, labels=Path("nowhere"))


@pytest.mark.parametrize(
    ("metric", "limit", "value"),
    [
        ("anatomy.images_with_violations", "<= 0.2", 0.25),
        ("anatomy.by_code.A402.images", "== 0", 1.0),
        ("anatomy.level_shifts", "< 1", 1.0),
        # Of four images nothing is said, and that is not "none".
        ("anatomy.suspicious_labels", "<= 0", None),
        ("anatomy.vertebrae.S1.violations", "<= 3", None),
    ],
)
def test_a_gate_that_fails(tmp_path: Path, metric: str, limit: str, value: float | None) -> None:
    labels = natural_spines(View.AP, 4)
    predictions = swapped(labels, 0)
    predictions[1] += [0.0, 72.0]
    write_run(tmp_path / "runs" / "a", labels, predictions, View.AP)
    settings = parse_settings({"gates": {metric: limit, "sdr_px.4": ">= 0.9"}}, "x.toml")
    anatomy = judged(tmp_path, settings=settings)
    assert anatomy.status is ExitStatus.GATE_FAILED
    assert [(g.gate.metric, g.value, g.passed) for g in anatomy.report.gates] == [(metric, value, False)]
    assert bool(anatomy.report.notes) == (value is None)


def test_a_gate_that_passes(tmp_path: Path) -> None:
    labels = natural_spines(View.AP, 4)
    write_run(tmp_path / "runs" / "a", labels, labels, View.AP)
    settings = parse_settings({"gates": {"anatomy.violations": "<= 0"}}, "x.toml")
    anatomy = judged(tmp_path, settings=settings)
    assert (anatomy.status, anatomy.report.gates[0].passed) == (ExitStatus.OK, True)
