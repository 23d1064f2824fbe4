"""What `anatomy` prints: readable at 80 columns, complete as JSON and CSV, no NaN anywhere."""

import csv
import io
import json
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.axes import Axes
from numpy.typing import NDArray
from rich.console import Console

from mahtdiag.anatomy.agreement import bland_altman, icc_a1
from mahtdiag.anatomy.difference_shape import percentile_limits, regression_limits
from mahtdiag.anatomy.findings import check_anatomy
from mahtdiag.anatomy.rules import RULES, Rule
from mahtdiag.diagnosis.anatomy import AnatomyReport, Source, diagnose_predictions, judge
from mahtdiag.diagnosis.gates import Gate, GateResult
from mahtdiag.diagnosis.measured import MeasuredPair
from mahtdiag.diagnosis.metrics.error_units import ERROR_UNITS
from mahtdiag.reports.figures.errors import bland_altman_figure
from mahtdiag.reports.figures.registry import FigureData, agreement_files
from mahtdiag.reports.html.sections import anatomy_chapter
from mahtdiag.reports.json import CSV_COLUMNS, anatomy_content, anatomy_csv
from mahtdiag.reports.rendering import Result, json_bytes
from mahtdiag.reports.tables.anatomy import anatomy_parts, rule_content, rule_text
from mahtdiag.reports.tables.table import Table, printable
from mahtdiag.schema.records import Failure
from mahtdiag.schema.skeleton import Skeleton, View
from mahtdiag.statistics.spread import Bounded
from tests.anatomy.spines import T1_TO_L5, natural_spines, sizes_for
from tests.diagnosis.builders import table_of

Floats = NDArray[np.float64]
FAILURES = (Failure("[red]odd[/red].jpg", "0 bytes [bold]"),)


def messy(view: View, images: int = 12) -> tuple[Floats, Floats]:
    """Labels with a fault in the first image, predictions with every kind of fault."""
    labels = natural_spines(view, images)
    rng = np.random.default_rng(1)
    predictions = labels + rng.normal(size=labels.shape) * rng.uniform(0, 60, size=(images, 1, 1))
    labels[0, 8:12] = labels[0, [9, 8, 11, 10]]
    predictions[1] = np.nan
    predictions[2] = 7.0
    predictions[3] = 3e8
    predictions[4, :16] = labels[4, 4:20]
    labels[5, 0] = np.nan
    return labels, predictions


def run_report(view: View, labels: Floats, predictions: Floats) -> AnatomyReport:
    """The report of a run with these points."""
    names = [f"{view}/{n:04d}-F-037Y0.jpg" for n in range(len(labels))]
    of_labels, found = (
        check_anatomy(points, view.skeleton, image_size_px=sizes_for(points))
        for points in (labels, predictions)
    )
    table = table_of(names, predictions, labels, cell_px=20.0)
    return AnatomyReport(
        source=Source.RUN,
        subject="runs/a",
        judged=table,
        verdict=judge(names, found, of_labels),
        diagnosis=diagnose_predictions(table),
        failures=FAILURES,
        notes=("a note",),
        pictures=("runs/a/anatomy/cobb_deg.png",),
    )


def label_report(of: Skeleton | View, points: Floats) -> AnatomyReport:
    """The report of an annotated set with these points."""
    skeleton = of.skeleton if isinstance(of, View) else of
    found = check_anatomy(points, skeleton, image_size_px=sizes_for(points))
    names = [f"{n:04d}.jpg" for n in range(len(points))]
    table = table_of(names, points, points, skeleton=skeleton)
    return AnatomyReport(Source.LABELS, "data", table, judge(names, found), None, FAILURES, ())


def printed(report: AnatomyReport, width: int = 80) -> str:
    """The report as text."""
    console = Console(file=io.StringIO(), width=width, color_system=None)
    with console.capture() as text:
        console.print(printable(anatomy_parts(report, width)))
    return text.get()


def anatomy_json(report: AnatomyReport) -> str:
    """The report as `--format json` prints it."""
    return json_bytes(Result(lambda _: (), lambda: anatomy_content(report))).decode()


@pytest.mark.parametrize("view", list(View))
@pytest.mark.parametrize("width", [80, 130])
def test_tables_fit_and_hold_no_nan(view: View, width: int) -> None:
    text = printed(run_report(view, *messy(view)), width)
    lines = [line.rstrip() for line in text.splitlines()]
    assert max(map(len, lines)) <= width
    assert "nan" not in text.lower().replace("not a finite", "")
    # Nothing is cut off: the folder of the view, which all images share, is left out.
    assert not [line for line in lines if "…" in line]
    assert "0003-F-037Y0.jpg" in text
    assert "[red]odd[/red].jpg" in text
    assert "0 bytes [bold]" in text


def test_the_groups_lead_in_their_order() -> None:
    lines = [line.strip() for line in printed(run_report(View.AP, *messy(View.AP))).splitlines()]
    names = ("ordering", "parallelism", "aspect ratio", "shape", "levels", "points")
    places = [next(n for n, line in enumerate(lines) if line.startswith(name)) for name in names]
    assert places == sorted(places)


def test_every_finding_of_a_run_is_beside_its_label() -> None:
    labels, _ = messy(View.AP)
    text = printed(run_report(View.AP, labels, labels))
    assert "Violations in 2 of 12 predictions (16.7 %), in 2 of their labels" in text
    assert "its label breaks A402" in text


def test_a_clean_run_says_so() -> None:
    labels = natural_spines(View.AP, 5)
    text = printed(run_report(View.AP, labels, labels))
    assert "Violations in 0 of 5 predictions (0.0 %)" in text
    assert "No rule fired in any image." in text
    assert "No image is marked one level off as a whole." in text


def test_level_shifts_are_named() -> None:
    labels, predictions = messy(View.AP)
    predictions[4, 16:] = labels[4, 16:] + [0.0, 72.0]
    text = " ".join(printed(run_report(View.AP, labels, predictions)).split())
    assert "1 image marked one level off as a whole" in text
    assert "(+1)" in text


@pytest.mark.parametrize("images", [0, 1, 2])
def test_few_images(images: int) -> None:
    labels = natural_spines(View.LA, 2)[:images]
    report = label_report(View.LA, labels)
    assert ("Nothing was judged." in printed(report)) == (images == 0)
    assert "NaN" not in anatomy_json(report)
    if images:
        text = printed(run_report(View.LA, labels, labels + 1.0))
        assert "nan" not in text
        assert "NaN" not in anatomy_json(run_report(View.LA, labels, labels))


@pytest.mark.parametrize("view", list(View))
def test_json_keeps_the_contract(view: View) -> None:
    report = run_report(view, *messy(view))
    content = json.loads(anatomy_json(report), parse_constant=lambda name: pytest.fail(name))
    assert (content["view"], content["source"], content["gates"]) == (str(view), "run", [])
    assert len(content["images"]) == 12
    severities = [image["severity"] for image in content["images"]]
    assert severities == sorted(severities, reverse=True)
    for image in content["images"]:
        assert image["codes"] == list(dict.fromkeys(f["code"] for f in image["findings"]))
        assert (image["severity"] == 0) == (not image["findings"])
        for found in image["findings"]:
            assert {"code", "value", "unit", "limit", "vertebra", "keypoints"} <= found.keys()
            assert all(0 <= k < view.skeleton.keypoints for k in found["keypoints"])
    assert list(content["by_code"]) == [rule.code for rule in RULES]
    for code, counts in content["by_code"].items():
        with_code = [image for image in content["images"] if code in image["codes"]]
        assert counts["images"] == len(with_code)
        assert counts["findings"] == sum(f["code"] == code for i in with_code for f in i["findings"])
    share = sum(bool(severity) for severity in severities) / 12
    assert content["images_with_violations"] == pytest.approx(share)
    types = content["error_types"]["types"]
    assert sum(row["keypoint_share"] for row in types) == pytest.approx(1.0)
    assert (content["meyerding"] is None) == (view is View.AP)


def test_json_of_labels_has_no_word_on_predictions() -> None:
    content = anatomy_content(label_report(View.AP, messy(View.AP)[0]))
    assert content["source"] == "labels"
    assert not {"labels", "error_types", "measurements", "level_shifts"} & content.keys()
    assert content["failures"] == [{"image": FAILURES[0].image, "reason": FAILURES[0].reason}]


def test_gates_are_shown() -> None:
    labels = natural_spines(View.AP, 3)
    gate = GateResult(Gate("anatomy.images_with_violations", "<=", 0.05), 0.0, True)
    missing = GateResult(Gate("anatomy.by_code.A9.images", "<=", 0.0), None, False)
    report = replace(run_report(View.AP, labels, labels), gates=(gate, missing))
    assert "Gates: 1 of 2 failed" in printed(report)
    assert json.loads(anatomy_json(report))["gates"] == [gate.as_json(), missing.as_json()]


def test_a_path_that_is_no_text_is_escaped() -> None:
    labels = natural_spines(View.AP, 2)
    report = replace(label_report(View.AP, labels), subject="data\udcff")
    assert json.loads(anatomy_json(report))["subject"] == "data\\xff"


def test_csv_ranks_suspicious_then_unreadable_then_clean() -> None:
    report = label_report(View.AP, messy(View.AP)[0])
    rows = list(csv.DictReader(io.StringIO(anatomy_csv(report))))
    assert tuple(rows[0]) == CSV_COLUMNS
    assert [row["rank"] for row in rows] == [str(n) for n in range(1, 14)]
    assert [row["status"] for row in rows] == ["suspicious"] * 2 + ["unreadable"] + ["clean"] * 10
    assert rows[0]["image"] == "0000.jpg"
    assert rows[0]["codes"].split()[0] == "A402"
    assert rows[0]["reason"].startswith("L3: left corners")
    assert "L3 UL" in rows[0]["keypoints"]
    assert rows[2]["reason"] == FAILURES[0].reason
    assert rows[3]["reason"] == ""


def test_labels_that_the_network_speaks_against_stand_in_csv_and_on_the_page() -> None:
    labels = natural_spines(View.AP, 40)
    predictions = labels + np.random.default_rng(2).normal(0, 1, labels.shape)
    labels[3, 5, 0] += 60.0
    report = run_report(View.AP, labels, predictions)
    assert report.diagnosis is not None
    assert report.diagnosis.suspicious is not None
    found = {label.image: label for label in report.diagnosis.suspicious.labels}
    rows = {row["image"]: row for row in csv.DictReader(io.StringIO(anatomy_csv(report)))}
    doubted = {image for image, row in rows.items() if row["label_evidence"]}
    assert "AP/0003-F-037Y0.jpg" in doubted == found.keys()
    row = rows["AP/0003-F-037Y0.jpg"]
    assert float(row["label_evidence"]) == pytest.approx(found[row["image"]].evidence, abs=1e-3)
    assert row["label_reason"].startswith("L2 UR lies ")
    assert all(bool(row["label_reason"]) == (image in doubted) for image, row in rows.items())
    data = FigureData(report.judged, ERROR_UNITS[0], {}, tallies=report.verdict.tallies)
    blocks = [block for stacks in anatomy_chapter(report, data).rows for stack in stacks for block in stack]
    titles = [block.title for block in blocks if isinstance(block, Table)]
    assert any(title.startswith(f"Suspicious labels: {len(found)} image") for title in titles)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.code)
def test_every_rule_is_explained(rule: Rule) -> None:
    text = rule_text(rule)
    assert max(map(len, text.splitlines())) <= 80
    flat = " ".join(text.split())
    assert text.startswith(f"{rule.code} {rule.title} ({rule.group})\n")
    assert rule.meaning in flat
    assert rule.formula in flat
    for limit in rule.limits:
        assert f"{limit.key} fires {limit.fires} {limit.ap:g}" in flat
        assert limit.origin in flat
        assert f'"{limit.key}"' in flat


def test_limits_that_differ_by_view_are_both_given() -> None:
    rule = next(rule for rule in RULES if rule.code == "A203")
    text = " ".join(rule_text(rule).split())
    assert "A203 fires above 17° in AP and 20° in LA by default; in an ordinary spine about 2°." in text
    assert "Set here" not in text


def test_limits_of_a_project_stand_beside_the_defaults() -> None:
    rule = next(rule for rule in RULES if rule.code == "A203")
    text = rule_text(rule, {View.LA: {"A203": 30.0, "A201": 50.0}, View.AP: {"A203": 17.0}})
    assert [line for line in text.splitlines() if line.startswith("Set here")] == ["Set here: 30° in LA."]
    content = json.loads(
        json_bytes(Result(lambda _: (), lambda: rule_content(rule, {View.LA: {"A203": 30.0}})))
    )
    assert (content["code"], content["formula"]) == ("A203", rule.formula)
    assert content["limits"]["A203"]["default"] == {"AP": 17.0, "LA": 20.0}
    assert content["limits"]["A203"]["in_force"] == {"AP": 17.0, "LA": 30.0}
    assert list(content["limits"]) == ["A203", "A203-S1", "A203-thoracic", "A203-cervical"]


@pytest.mark.parametrize("view", list(View))
def test_bland_altman_plots(view: View) -> None:
    labels, predictions = messy(view)
    table = table_of("x" * 12, predictions, labels)
    pairs = diagnose_predictions(table).measured.pairs
    files = agreement_files(table, pairs)
    assert {name.split(".")[0] for name in files} == {pair.name for pair in pairs}
    assert all(content.startswith(b"\x89PNG") for name, content in files.items() if name.endswith("png"))
    assert all(b"<svg" in content for name, content in files.items() if name.endswith("svg"))
    assert agreement_files(table, pairs) == files


def _heights(axes: Axes) -> set[float]:
    """Where the lines of a plot begin."""
    lines = [np.asarray(line.get_xydata()) for line in axes.get_lines()]
    return {float(line[0, 1]) for line in lines if len(line)}


def test_bland_altman_plots_show_the_limits_that_hold() -> None:
    """Lines where the table says so: percentiles of skewed differences, regression where they grow."""
    rng = np.random.default_rng(0)
    labelled = rng.uniform(5, 45, 200)
    predicted = {
        "L1/L2": labelled + rng.normal(1, 2, 200),
        "L2/L3": labelled + 0.4 * rng.exponential(4, 200),
        "L3/L4": 1.2 * labelled + rng.normal(0, 2, 200),
    }
    units = np.arange(200)
    pairs = [
        MeasuredPair(
            name="segmental_deg",
            level=level,
            unit="°",
            labelled=labelled,
            predicted=values,
            difference=bland_altman(values, labelled),
            icc=icc_a1(np.stack([labelled, values], axis=1)),
            sem=Bounded(1.0, 0.9, 1.1),
            mdc=Bounded(2.8, 2.5, 3.0),
            not_normal=level == "L2/L3",
            percentiles=percentile_limits(values, labelled, units) if level == "L2/L3" else None,
            regression=regression_limits(values, labelled) if level == "L3/L4" else None,
        )
        for level, values in predicted.items()
    ]
    figure = bland_altman_figure(pairs)
    usual, skewed, growing = figure.axes
    styles = [[line.get_linestyle() for line in axes.get_lines()] for axes in figure.axes]
    assert [style.count(":") for style in styles] == [0, 2, 2]
    found = pairs[1].percentiles
    assert found is not None
    assert {found.lower, found.upper} <= _heights(skewed)
    assert not {found.lower, found.upper} & _heights(usual)
    (limits,) = (line for line in growing.get_lines() if line.get_label() == "limits by regression")
    assert pairs[2].regression is not None
    first, low = np.asarray(limits.get_xydata())[0].tolist()
    assert low == pytest.approx(pairs[2].regression.at(first)[0])
    assert first == pytest.approx(((labelled + predicted["L3/L4"]) / 2).min())
    (legend,) = figure.legends
    named = {text.get_text() for text in legend.get_texts()}
    assert named == {"2.5th and 97.5th percentile", "bias by regression", "limits by regression"}
    assert bland_altman_figure(pairs[:1]).legends == []


def test_no_plot_without_a_pair() -> None:
    nothing = np.full((2, 20, 2), np.nan)
    table = table_of("ab", nothing, nothing)
    assert agreement_files(table, diagnose_predictions(table).measured.pairs) == {}
    one = natural_spines(View.AP, 1)
    table = table_of("a", one, one)
    assert len(agreement_files(table, diagnose_predictions(table).measured.pairs)) == 6


def test_a_whole_spine_is_reported_under_its_own_names() -> None:
    points = natural_spines(T1_TO_L5, 2)
    points[1, 67] = np.nan
    points[1, 4:8] = points[1, [5, 4, 7, 6]]
    report = label_report(T1_TO_L5, points)
    text = printed(report)
    assert "L5 LR: no place" in text
    assert "T2: left corners" in text
    (image, _) = json.loads(anatomy_json(report))["images"]
    missing = next(finding for finding in image["findings"] if finding["code"] == "A603")
    assert (missing["keypoints"], missing["vertebra"]) == ([67], "L5")
    row = next(csv.DictReader(io.StringIO(anatomy_csv(report))))
    assert "L5 LR" in row["keypoints"]
    assert "T2 UL" in row["keypoints"]
