"""Two run folders, compared: which images, by which numbers, and why not."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydantic import JsonValue

from mahtdiag.config.gates import read_gates
from mahtdiag.config.settings import Settings
from mahtdiag.diagnosis.comparison import PRIMARY, PRIMARY_MM, ComparedMetric, Outcome, Verdict
from mahtdiag.diagnosis.run_table import RunTable
from mahtdiag.errors import DataError, ExitStatus, MahtdiagError, RunFolderError, UsageError
from mahtdiag.reports.tables.comparison import ComparisonResult
from mahtdiag.runs.reading import open_run
from mahtdiag.schema.records import Failure
from mahtdiag.schema.skeleton import View
from mahtdiag.workflows.compare.job import ComparedRuns, CompareRequest, compare
from mahtdiag.workflows.compare.pairing import columns_of
from tests.runs.builders import unseal
from tests.workflows.compared_folders import Options, Pictured, image_set, renamed, sha256_of, write_run

MEAN = "radial_error_px.mean"


def run(
    folder: Path, name: str, images: list[Pictured], radius_px: float, options: Options | None = None
) -> str:
    """Write a run under `runs` and return its name."""
    write_run(folder / "runs" / name, images, radius_px, options)
    return f"runs/{name}"


def compared(
    folder: Path,
    *runs: str,
    settings: Settings | None = None,
    margins: tuple[str, ...] = (),
    strict: bool = False,
    common: bool = False,
) -> ComparedRuns:
    paths = tuple(map(Path, runs))
    return compare(
        CompareRequest(paths, settings or Settings(), folder, margins, strict=strict, common=common)
    )


def pair(
    folder: Path,
    *runs: str,
    settings: Settings | None = None,
    margins: tuple[str, ...] = (),
    common: bool = False,
) -> ComparisonResult:
    (only,) = compared(folder, *runs, settings=settings, margins=margins, common=common).pairs
    return only


def metric(found: ComparisonResult, name: str = MEAN) -> ComparedMetric:
    return next(metric for metric in found.comparison.metrics if metric.name == name)


def test_numbers_are_those_of_the_folders(tmp_path: Path) -> None:
    images = image_set()
    names = run(tmp_path, "a", images, 3.0), run(tmp_path, "b", images, 4.0)
    found = pair(tmp_path, *names)
    for name, side in zip(names, ("a", "b"), strict=True):
        error_px = open_run(Path(name), tmp_path).table().error_px
        assert getattr(metric(found).difference, side) == pytest.approx(float(error_px.mean()))
    assert (found.a, found.b) == names
    assert found.comparison.verdict is Verdict.WORSE
    assert [judged.name for judged in found.comparison.judged] == list(PRIMARY)


def test_millimetres_decide_and_lead_where_both_runs_know_them_of_every_image(tmp_path: Path) -> None:
    """Spacings that differ turn the order of the images: their errors in mm are computed again by hand."""
    images = [replace(image, spacing_mm=1.0 / (1 + n)) for n, image in enumerate(image_set())]
    a, b = run(tmp_path, "a", images, 3.0), run(tmp_path, "b", images, 4.0)
    found = pair(tmp_path, a, b)
    assert [judged.name for judged in found.comparison.judged] == list(PRIMARY_MM)
    spacing_of = {image.name: image.spacing_mm or 0.0 for image in images}
    error_mm = []
    for table in (open_run(Path(name), tmp_path).table() for name in (a, b)):
        assert tuple(table.image) == found.names_a
        error_mm.append(table.error_px * np.array([spacing_of[name] for name in table.image])[:, None])
    assert metric(found, "radial_error_mm.mean").difference.b == pytest.approx(error_mm[1].mean())
    assert metric(found, "vertebrae.L5.radial_error_mm.mean").difference.a == pytest.approx(
        error_mm[0][:, -4:].mean()
    )
    change = (error_mm[1] - error_mm[0]).mean(axis=1)
    worse, better = found.comparison.errors.changed()
    assert found.comparison.errors.unit.words == "mm"
    np.testing.assert_allclose(found.comparison.errors.change, change)
    assert [*worse, *better[::-1]] == np.argsort(-change).tolist()
    assert worse != found.comparison.in_px.changed()[0], "in pixels it is another order"


def test_pixels_decide_where_one_image_has_no_spacing(tmp_path: Path) -> None:
    images = image_set(spacing_mm=0.2)
    images[4] = replace(images[4], spacing_mm=None)
    names = run(tmp_path, "a", images, 3.0), run(tmp_path, "b", images, 4.0)
    found = pair(tmp_path, *names)
    assert [judged.name for judged in found.comparison.judged] == list(PRIMARY)
    assert found.comparison.errors.unit.words == "px"
    assert not [each.name for each in found.comparison.metrics if each.name.startswith("vertebrae.")]


def test_images_are_paired_by_content_whatever_they_are_called(tmp_path: Path) -> None:
    images = image_set()
    a = run(tmp_path, "a", images, 3.0)
    b, moved = run(tmp_path, "b", images, 4.0), run(tmp_path, "moved", renamed(images, "x/"), 4.0)
    straight, paired = pair(tmp_path, a, b), pair(tmp_path, a, moved)
    assert paired.names_b == tuple(f"x/{name}" for name in paired.names_a)
    np.testing.assert_array_equal(paired.comparison.errors.change, straight.comparison.errors.change)
    assert paired.comparison.metrics == straight.comparison.metrics


def test_the_same_run_twice(tmp_path: Path) -> None:
    a = run(tmp_path, "a", image_set(spacing_mm=0.2), 3.0)
    found = pair(tmp_path, a, a)
    for each in found.comparison.metrics:
        assert (each.difference.difference, each.difference.p_value) in ((0.0, 1.0), (0.0, None))
        assert each.verdict in (Verdict.SAME, None)
    assert {judged.outcome for judged in found.comparison.judged} == {Outcome.WITHIN}
    assert found.comparison.errors.changed() == ([], [])
    assert found.notes == ("A and B are the same run, which cannot differ from itself",)
    assert compared(tmp_path, a, a, strict=True).status is ExitStatus.OK


def test_everything_that_differs_is_listed_at_once(tmp_path: Path) -> None:
    images = image_set(9, spacing_mm=0.2)
    a = run(tmp_path, "a", images, 3.0)
    other = list(images[2:])
    other[0] = replace(other[0], content="edited")
    other[1] = replace(other[1], label_px=other[1].label_px + 1e-9)
    other[2] = replace(other[2], spacing_mm=None)
    b = run(tmp_path, "b", [*other, Pictured("new.png", "new", images[0].label_px, 0.2)], 4.0)
    with pytest.raises(DataError) as caught:
        pair(tmp_path, a, b)
    assert caught.value.problems == (
        "runs/b: not the data of runs/a; evaluate both on the same, or compare what they have in common with "
        "--common",
        "only in runs/a: 2 images: 0.png, 1.png",
        "only in runs/b: 1 image: new.png",
        "another content under the same name: 1 image: 2.png",
        "other labels: 1 image: 3.png",
        "another pixel spacing: 1 image: 4.png",
    )
    found = pair(tmp_path, a, b, common=True)
    assert found.names_a == ("4.png", "5.png", "6.png", "7.png", "8.png")
    assert found.notes == (
        "left out, only in runs/a: 2 images: 0.png, 1.png",
        "left out, only in runs/b: 1 image: new.png",
        "left out, another content under the same name: 1 image: 2.png",
        "left out, other labels: 1 image: 3.png",
        "without millimetres, another pixel spacing: 1 image: 4.png",
    )
    run_a = open_run(Path(a), tmp_path)
    kept = {"px": [4, 5, 6, 7, 8], "mm": [5, 6, 7, 8]}
    for unit, rows in kept.items():
        errors = getattr(run_a.table(), f"error_{unit}")[rows]
        assert metric(found, f"radial_error_{unit}.mean").difference.a == pytest.approx(float(errors.mean()))


def test_many_images_are_not_all_named(tmp_path: Path) -> None:
    images = image_set(8)
    a, b = run(tmp_path, "a", images, 3.0), run(tmp_path, "b", images[5:], 3.0)
    with pytest.raises(DataError) as caught:
        pair(tmp_path, a, b)
    assert caught.value.problems[1:] == ("only in runs/a: 5 images: 0.png, 1.png, 2.png and 2 more",)


@pytest.mark.parametrize("common", [False, True])
def test_no_image_in_common(tmp_path: Path, common: bool) -> None:
    images = image_set(4)
    a, b = run(tmp_path, "a", images[:2], 3.0), run(tmp_path, "b", images[2:], 3.0)
    with pytest.raises(
        DataError, match=r"^runs/b: no image in common with runs/a; evaluate both on the same"
    ):
        pair(tmp_path, a, b, common=common)
    relabelled = [replace(image, label_px=image.label_px + 1.0) for image in images[:2]]
    c = run(tmp_path, "c", relabelled, 3.0)
    with pytest.raises(DataError, match="no image with the same labels in common"):
        pair(tmp_path, a, c, common=common)


def test_runs_of_two_views(tmp_path: Path) -> None:
    a = run(tmp_path, "a", image_set(2), 3.0)
    b = run(tmp_path, "b", image_set(2, View.LA), 3.0, Options(view=View.LA))
    with pytest.raises(DataError, match="runs/b: a run of LA images, runs/a is one of AP images; only runs"):
        pair(tmp_path, a, b, common=True)


def test_images_that_a_run_failed_on(tmp_path: Path) -> None:
    images = image_set(7)
    unread = Failure("broken.png", "0 bytes")
    a = run(tmp_path, "a", images, 3.0, Options(fails=("1.png", "3.png"), failed=(unread,)))
    b = run(tmp_path, "b", images, 2.0, Options(fails=("2.png", "3.png")))
    found = pair(tmp_path, a, b)
    assert found.names_a == ("0.png", "4.png", "5.png", "6.png")
    assert found.notes == (
        "failed in runs/b alone, which counts as worse: 1 image: 2.png",
        "failed in runs/a alone, left out: 1 image: 1.png",
        "failed in both, left out: 1 image: 3.png",
    )
    assert (found.comparison.lost, found.comparison.verdict) == (("2.png",), Verdict.WORSE)
    assert compared(tmp_path, a, b).status is ExitStatus.GATE_FAILED
    assert compared(tmp_path, b, a).status is ExitStatus.GATE_FAILED
    assert compared(tmp_path, a, a, strict=True).status is ExitStatus.OK


def test_other_settings_are_told_and_losses_left_out(tmp_path: Path) -> None:
    images = image_set(4)
    a = run(tmp_path, "a", images, 3.0)
    b = run(
        tmp_path, "b", images, 3.0,
        Options(settings={
            "decode": "argmax", "input_size": "256x128", "workers": 9, "anatomy_limits": {"A201": 1.0},
        }),
    )  # fmt: skip
    found = pair(tmp_path, a, b)
    assert found.notes == (
        "settings that differ: input_size 500x250 → 256x128, decode dark → argmax",
        "losses are not compared: they are measured in the network's frame, and input_size differs",
        "violations of both are judged by the rules and limits of runs/a, not of runs/b",
    )
    assert not [each.name for each in found.comparison.metrics if each.name.startswith("losses")]
    with pytest.raises(UsageError, match=r"margin on losses.total: the losses of the two runs are not known"):
        pair(tmp_path, a, b, margins=("losses.total=1",))


def test_violations_of_both_are_judged_alike(tmp_path: Path) -> None:
    images = image_set(6)
    strict: dict[str, JsonValue] = {"anatomy_limits": {"A201": 0.5}}
    a = run(tmp_path, "a", images, 3.0)
    b, c = run(tmp_path, "b", images, 3.0, Options(settings=strict)), run(tmp_path, "c", images, 3.0)
    name = "anatomy.violations"
    loosely = metric(pair(tmp_path, a, b), name)
    assert loosely == metric(pair(tmp_path, a, c), name)
    strictly = metric(pair(tmp_path, b, a), name).difference
    assert strictly.a == strictly.b > loosely.difference.a


def test_losses_without_the_same_parts(tmp_path: Path) -> None:
    images = image_set(4)
    a = run(tmp_path, "a", images, 3.0)
    b = run(tmp_path, "b", images, 3.0, Options(uncertainty_loss=np.nan))
    names = {each.name for each in pair(tmp_path, a, b).comparison.metrics}
    assert "losses.coord" in names
    assert not names & {"losses.total", "losses.uncertainty"}


@pytest.mark.parametrize(("sigmas", "label"), [((None, 3.0), "runs/a"), ((3.0, None), "runs/b")])
def test_a_run_without_sigma(tmp_path: Path, sigmas: tuple[float | None, float | None], label: str) -> None:
    images = image_set(4)
    names = [run(tmp_path, n, images, 3.0, Options(sigma_px=s)) for n, s in zip("ab", sigmas, strict=True)]
    found = pair(tmp_path, *names)
    assert found.notes == (f"calibration is not compared: {label} has no σ",)
    assert [judged.name for judged in found.comparison.judged] == list(PRIMARY[:2])
    with pytest.raises(UsageError, match=r"^margin on calibration.mace: σ is not known in both runs$"):
        pair(tmp_path, *names, margins=("calibration.mace=0.1",))


def test_the_spread_of_heatmaps_serves_the_ellipses(tmp_path: Path) -> None:
    images, name = image_set(5), "calibration.radial.coverage.0.95.observed"
    for source in ("auto", "heatmap"):
        for letter, radius in (("a", 3.0), ("b", 5.0)):
            run(tmp_path, f"{source}-{letter}", images, radius, Options(settings={"uncertainty": source}))
    heads = metric(pair(tmp_path, "runs/auto-a", "runs/auto-b"), name).difference
    maps = metric(pair(tmp_path, "runs/heatmap-a", "runs/heatmap-b"), name).difference
    # The spread is σ² on both axes and no covariance: the same ellipses.
    assert (maps.a, maps.b) == pytest.approx((heads.a, heads.b))
    assert RunTable.spread_px2 not in columns_of(open_run(Path("runs/auto-a"), tmp_path))


def test_margins_are_chosen_by_option_then_by_settings_then_by_default(tmp_path: Path) -> None:
    images = image_set()
    a, b = run(tmp_path, "a", images, 3.0), run(tmp_path, "b", images, 3.2)
    gates, problems = read_gates({"baseline": {"run": "runs/a", "sdr_px.4": "-0.5", MEAN: "+100 %"}})
    assert problems == ()
    settings = Settings(gates=gates)
    found = pair(tmp_path, a, b, settings=settings)
    assert [judged.name for judged in found.comparison.judged] == ["sdr_px.4", MEAN]
    named = pair(tmp_path, a, b, settings=settings, margins=("losses.coord=0.4", "by_vertebra.L5 = 10 %"))
    assert [judged.name for judged in named.comparison.judged] == ["losses.coord", "by_vertebra.L5"]
    assert named.comparison.judged[0].margin == 0.4


def test_a_number_that_is_usually_not_compared_can_have_a_margin(tmp_path: Path) -> None:
    images = image_set()
    a, b = run(tmp_path, "a", images, 3.0), run(tmp_path, "b", images, 4.5)
    found = pair(tmp_path, a, b, margins=("vertebrae.L5.sdr_px.4=1%",))
    assert found.comparison.judged[0].outcome is Outcome.WORSE
    assert metric(found, "vertebrae.L5.sdr_px.4").difference.a > 0


def test_margins_that_cannot_be_obeyed_are_named_at_once(tmp_path: Path) -> None:
    images = image_set(3)
    a = run(tmp_path, "a", images, 3.0)
    wrong = (
        "radial_error_px.men=1", "sdr_px.4", f"{MEAN}=much", "calibration.sigma_scale=0.1", "sdr_px.4=+0.1",
    )  # fmt: skip
    with pytest.raises(UsageError) as caught:
        pair(tmp_path, a, a, margins=wrong)
    assert len(caught.value.problems) == 5
    for text, problem in zip(wrong, caught.value.problems, strict=True):
        assert problem.startswith(f"--margin {text}: ")
    assert "did you mean radial_error_px.mean?" in caught.value.problems[0]
    with pytest.raises(UsageError) as caught:
        pair(tmp_path, a, a, margins=("radial_error_px.max=1", "sdr_mm.4=0.1"))
    assert caught.value.problems == (
        "margin on radial_error_px.max: not compared between runs; choose a mean, share, count or quantile "
        "over images",
        "margin on sdr_mm.4: no image has a pixel spacing in both runs",
    )


def test_strict_wants_proof(tmp_path: Path) -> None:
    images = image_set()
    a, b = run(tmp_path, "a", images, 3.0), run(tmp_path, "b", images, 3.0, Options(seed=2))
    assert compared(tmp_path, a, b).status is ExitStatus.OK
    assert compared(tmp_path, a, b, strict=True).status is ExitStatus.GATE_FAILED
    assert compared(tmp_path, a, b, strict=True, margins=(f"{MEAN}=50%",)).status is ExitStatus.OK


def test_several_runs_each_against_the_first(tmp_path: Path) -> None:
    images = image_set()
    names = [run(tmp_path, n, images, r) for n, r in (("a", 3.0), ("b", 3.0), ("c", 5.0))]
    found = compared(tmp_path, *names)
    assert [(each.a, each.b) for each in found.pairs] == [
        ("runs/a", "runs/b"),
        ("runs/a", "runs/c"),
    ]
    assert [each.comparison.verdict for each in found.pairs] == [Verdict.SAME, Verdict.WORSE]
    assert found.status is ExitStatus.GATE_FAILED
    together, apart = (
        [each.difference for each in result.comparison.metrics]
        for result in (found.pairs[1], pair(tmp_path, names[0], names[2]))
    )
    assert [(d.ci95, d.p_value) for d in together] == [(d.ci95, d.p_value) for d in apart]
    # Corrected for the numbers of all pairs.
    assert all((d.p_holm or 1.0) >= (e.p_holm or 1.0) for d, e in zip(together, apart, strict=True))
    assert any((d.p_holm or 1.0) > (e.p_holm or 1.0) for d, e in zip(together, apart, strict=True))


def test_which_images_changed_most(tmp_path: Path) -> None:
    images = image_set(6)
    a, b = run(tmp_path, "a", images, 3.0), run(tmp_path, "b", images, 3.0, Options(seed=1))
    found = pair(tmp_path, a, b)
    worse, better = found.comparison.errors.changed()
    change = found.comparison.errors.change
    assert sorted([*worse, *better]) == list(range(6))
    assert [change[row] for row in worse] == sorted(change[change > 0], reverse=True)
    assert [change[row] for row in better] == sorted(change[change < 0])


def test_a_run_of_an_earlier_version_is_compared_with_a_note(tmp_path: Path) -> None:
    images = image_set(3)
    a, b = run(tmp_path, "a", images, 3.0), run(tmp_path, "b", images, 3.0)
    unseal(tmp_path / "runs" / "a")
    assert pair(tmp_path, a, b).notes == (
        "runs/a was written by an earlier version, which kept no checksums: it may have been edited",
    )


def test_runs_that_cannot_be_compared(tmp_path: Path) -> None:
    images = image_set(3)
    a = run(tmp_path, "a", images, 3.0)
    run(tmp_path, "half", images, 3.0, Options(complete=False))
    run(tmp_path, "empty", images, 3.0, Options(fails=("0.png", "1.png", "2.png")))
    edited = tmp_path / run(tmp_path, "edited", images, 3.0) / "keypoints.parquet"
    edited.write_bytes(edited.read_bytes()[:-1] + b"?")
    mixed = tmp_path / unseal(tmp_path / run(tmp_path, "mixed", images[:2], 3.0))
    (mixed / "images.parquet").write_bytes((tmp_path / a / "images.parquet").read_bytes())
    expected: dict[str, tuple[type[MahtdiagError], str]] = {
        "half": (
            RunFolderError,
            "runs/half: interrupted after 0 of 3 images; finish it with evaluate --out runs/half --resume",
        ),
        "empty": (
            RunFolderError,
            "runs/empty: no image was evaluated (3 failed), there is nothing to compare; evaluate again",
        ),
        "edited": (RunFolderError, f"{edited}: changed since the run was finished (checksum); "),
        "mixed": (RunFolderError, "runs/mixed: its tables list different images; damaged, evaluate again"),
        "gone": (RunFolderError, f"{tmp_path}/runs/gone: no such run folder; check the name"),
    }
    for name, (kind, message) in expected.items():
        for names in ((a, f"runs/{name}"), (f"runs/{name}", a)):
            with pytest.raises(kind) as caught:
                pair(tmp_path, *names)
            assert len(caught.value.problems) == 1
            assert str(caught.value).startswith(message)
    with pytest.raises(UsageError, match="name two runs or more"):
        compared(tmp_path, a)


def test_copies_of_one_image_are_compared_once_each(tmp_path: Path) -> None:
    images = image_set(3)
    twins = [*images, replace(images[0], name="9.png")]
    a, b = run(tmp_path, "a", twins, 3.0), run(tmp_path, "b", twins, 4.0)
    found = pair(tmp_path, a, b)
    assert found.names_a == found.names_b == ("0.png", "1.png", "2.png", "9.png")
    assert sha256_of("pixels 0") == images[0].digest
