"""`mahtdiag anatomy`, as a script and a person use it."""

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest

from mahtdiag.anatomy.rules import RULES
from mahtdiag.schema.skeleton import View
from tests.anatomy.spines import natural_spines
from tests.workflows.anatomy_runs import write_run

from .command import Desk


@pytest.fixture
def ap_run(desk: Desk) -> Path:
    """The latest run: AP, L3 mirrored in the second of three predictions."""
    labels = natural_spines(View.AP, 3)
    predictions = labels.copy()
    predictions[1, 8:12] = predictions[1, [9, 8, 11, 10]]
    return write_run(desk.path / "runs" / "a", labels, predictions, View.AP)


@pytest.mark.parametrize("arguments", [(), ("runs/a",), ("--view", "AP"), ("--view", "auto")])
def test_the_latest_run_or_a_named_one(desk: Desk, ap_run: Path, arguments: tuple[str, ...]) -> None:
    done = desk.run("anatomy", "--no-pictures", *arguments)
    assert done.status == 0
    assert "Violations in 1 of 3 predictions (33.3 %), in 0 of their labels" in done.text
    assert "A402" in done.text
    assert max(map(len, done.text.splitlines())) <= 80
    assert not (ap_run / "anatomy").exists()


def test_json_is_all_that_is_printed(desk: Desk, ap_run: Path) -> None:
    done = desk.run("anatomy", "--format", "json")
    content = json.loads(done.out)
    assert (done.status, done.err) == (0, "")
    assert (content["view"], content["source"], content["gates"]) == ("AP", "run", [])
    assert content["images"][0]["image"] == "0001.jpg"
    assert content["images_with_violations"] == pytest.approx(1 / 3)
    assert content["by_code"]["A402"]["images"] == 1
    assert sorted(path.name for path in (ap_run / "anatomy").iterdir())[:2] == [
        "cobb_deg.png",
        "cobb_deg.svg",
    ]


def test_rules_are_chosen_by_code_and_prefix(desk: Desk, ap_run: Path) -> None:
    done = desk.run("anatomy", "--format", "json", "--no-pictures", "--select", "A4,A1", "--ignore", "A40")
    assert list(json.loads(done.out)["by_code"]) == ["A101", "A102", "A103"]
    (desk.path / "mahtdiag.toml").write_text('[anatomy]\nselect = ["A4"]\nignore = ["A402"]\n')
    done = desk.run("anatomy", "--format", "json", "--no-pictures")
    assert list(json.loads(done.out)["by_code"]) == ["A401", "A403", "A404", "A405"]


def test_limits_of_the_settings_hold_for_their_view(desk: Desk, ap_run: Path) -> None:
    (desk.path / "mahtdiag.toml").write_text("[anatomy.AP]\nA301-max = 1.0\n[anatomy.LA]\nA201 = 0.1\n")
    counts = json.loads(desk.run("anatomy", "--format", "json", "--no-pictures").out)["by_code"]
    assert (counts["A301"]["images"], counts["A201"]["images"]) == (3, 0)


def test_the_wrong_view_names_both(desk: Desk, ap_run: Path) -> None:
    desk.run("anatomy", "--view", "LA").refused(
        f"--view LA: {ap_run} is a run of AP images; leave --view out or name a run of LA images"
    )


def test_no_run_yet(desk: Desk) -> None:
    done = desk.run("anatomy")
    assert (done.status, done.text) == (2, "")
    assert "no finished run yet" in done.err


def test_a_code_that_no_rule_has(desk: Desk, ap_run: Path) -> None:
    desk.run("anatomy", "--select", "B1,A1").refused(
        f"select: no anatomical rule 'B1'. Known are {', '.join(rule.code for rule in RULES)}."
    )
    desk.run("anatomy", "--explain", "A30").refused("no anatomical rule 'A30'. Did you mean A301 or A302?")


def test_explain_needs_no_run(desk: Desk) -> None:
    done = desk.run("anatomy", "--explain", "a301")
    assert (done.status, done.err) == (0, "")
    assert done.text.startswith("A301 width/height outside the band (aspect ratio)\n")
    assert "A301-max fires above 4 by default; in an ordinary spine about 1.8." in done.text


def test_explain_names_sources_that_every_user_can_look_up(desk: Desk) -> None:
    """No module that is not installed."""
    texts = {rule.code: desk.run("anatomy", "--explain", rule.code).text for rule in RULES}
    named = r"python -m|benchmarks|validation|training"
    assert {code: text for code, text in texts.items() if re.search(named, text)} == {}


def test_explain_knows_the_project(desk: Desk) -> None:
    (desk.path / "mahtdiag.toml").write_text("[anatomy.AP]\nA201 = 30\n")
    assert "\nSet here: 30° in AP.\n" in desk.run("anatomy", "--explain", "A201").text
    found = json.loads(desk.run("anatomy", "--explain", "A201", "--format", "json").out)
    assert found["limits"]["A201"]["in_force"] == {"AP": 30.0, "LA": 32.0}
    (desk.path / "mahtdiag.toml").write_text("[anatomy.limits]\nA201 = 30\n[anatomy.limits.LA]\nA202 = 40\n")
    desk.run("anatomy", "--explain", "A201").refused(
        "mahtdiag.toml: unknown table [anatomy.limits.LA]; did you mean [anatomy.LA]?"
    )


@pytest.mark.parametrize("view", list(View))
def test_clean_labels(desk: Desk, view: View) -> None:
    done = desk.run("anatomy", "--labels", "data", "--view", view)
    assert done.status == 0
    assert f"{view} view, labels of 6 images" in done.text
    assert "No rule fired in any image." in done.text


def test_label_audit_ranks_and_writes_a_table(desk: Desk) -> None:
    data = desk.path / "data" / "AP"
    stems = sorted(path.stem for path in data.glob("*.csv"))
    swap = data / f"{stems[3]}.csv"
    rows = swap.read_text().splitlines()
    rows[4:6] = reversed(rows[4:6])
    swap.write_text("\n".join(rows))
    short = data / f"{stems[1]}.csv"
    short.write_text("\n".join(short.read_text().splitlines()[:-1]))
    done = desk.run("anatomy", "--labels", "data/AP", "--csv", "audit.csv")
    table = list(csv.DictReader((desk.path / "audit.csv").open(encoding="utf-8")))
    assert (table[0]["image"], table[0]["status"]) == (f"{stems[3]}.png", "suspicious")
    assert "A103" in table[0]["codes"].split()
    assert table[0]["reason"].startswith("L3: upper endplate ")
    assert (table[1]["image"], table[1]["status"]) == (f"{stems[1]}.png", "unreadable")
    assert [row["status"] for row in table[2:]] == ["clean"] * 4
    assert done.status == 2
    assert "Could not be judged: 1" in done.text
    assert "Most suspicious labels by severity: 1 of 1" in done.text


def test_labels_that_are_shares_of_the_image_are_not_judged_clean(desk: Desk) -> None:
    path = min((desk.path / "data" / "AP").glob("*.csv"))
    rows = [line.split(",") for line in path.read_text().splitlines()]
    small = [",".join([*(str(float(cell) / 1e4) for cell in row[:4]), row[4]]) for row in rows]
    path.write_text("\n".join(small))
    done = desk.run("anatomy", "--labels", "data/AP")
    assert done.status == 2
    assert "all keypoints lie in the first pixel" in " ".join(done.text.split())


@pytest.mark.parametrize("option", ["--select", "--ignore"])
def test_no_rule_at_all_is_named(desk: Desk, option: str) -> None:
    desk.run("anatomy", "--labels", "data/AP", option, " , ").refused(f"{option} ' , ': names no rule")


def test_a_folder_without_images(desk: Desk) -> None:
    (desk.path / "empty").mkdir()
    done = desk.run("anatomy", "--labels", "empty")
    assert done.status == 2
    assert "empty: no image and no annotation" in done.err


def test_labels_have_no_baseline(desk: Desk) -> None:
    margins = '"anatomy.violations" = "+0"\n"sdr_px.8" = "-0.1"\n'
    (desk.path / "mahtdiag.toml").write_text(f'[gates.baseline]\nrun = "run"\n{margins}')
    done = desk.run("anatomy", "--labels", "data/AP")
    assert done.status == 0
    note = "note: [gates.baseline] compares runs; labels are not judged by its anatomy.violations"
    assert note in " ".join(done.text.split())


def test_an_annotation_with_a_gap_breaks_no_rule_and_is_counted(desk: Desk) -> None:
    path = next((desk.path / "data" / "LA").glob("*.csv"))
    rows = path.read_text().splitlines()
    rows[0] = "," + rows[0].partition(",")[2]
    path.write_text("\n".join(rows))
    done = desk.run("anatomy", "--labels", "data/LA", "--format", "json")
    assert done.status == 0
    found = json.loads(done.out)
    assert {image["image"]: image["codes"] for image in found["images"]}[f"{path.stem}.png"] == []
    assert found["images_with_violations"] == 0
    shown = desk.run("anatomy", "--labels", "data/LA").text
    assert "note: 131 of 132 keypoints labelled, 1 image only in part" in shown


def test_a_run_and_labels_together_are_refused(desk: Desk) -> None:
    desk.run("anatomy", "run", "--labels", "data").refused(
        "name a run, or an annotated set with --labels, not both"
    )


def test_a_table_that_cannot_be_written(desk: Desk) -> None:
    done = desk.run("anatomy", "--labels", "data/AP", "--csv", "ap.pt/audit.csv")
    assert (done.status, done.text) == (2, "")
    assert done.errors == [
        "error: --csv ap.pt/audit.csv: a file stands where a folder is needed; name another"
    ]


def test_a_network_that_is_off_by_a_known_amount(desk: Desk) -> None:
    """From `evaluate` to `anatomy`: all keypoints of image n lie 2.5·(n + 1) px to the right and down."""
    assert desk.lookup("exact", data="data/AP").status == 0
    content = json.loads(desk.run("anatomy", "run", "--format", "json", "--no-pictures").out)
    assert content["error_types"]["mean_error_px"] == pytest.approx(
        np.mean([2.5 * n for n in range(1, 7)]) + 0.02 * 9.5, abs=1e-3
    )
    assert content["level_shifts"] == []
    assert {pair["name"] for pair in content["measurements"]} == {
        "cobb_deg", "lateral_slip_percent", "tilt_deg",
    }  # fmt: skip


def test_suspicious_labels_are_drawn_where_the_user_wants(desk: Desk) -> None:
    path = min((desk.path / "data" / "AP").glob("*.csv"))
    rows = path.read_text().splitlines()
    rows[4:6] = reversed(rows[4:6])
    path.write_text("\n".join(rows))
    done = desk.run("anatomy", "--labels", "data/AP", "--out", "drawn")
    assert done.status == 0
    assert "note: 1 overlay in drawn" in done.text
    assert [picture.name for picture in (desk.path / "drawn").iterdir()] == [f"{path.stem}.png"]
    assert desk.run("anatomy", "--labels", "data/AP", "--out", "all", "--overlays", "all").status == 0
    assert len(list((desk.path / "all").iterdir())) == 6
    desk.run("anatomy", "--labels", "data", "--out", "all", "--overlays", "12").refused(
        "--overlays 12: expected worst:N, all or none, for example worst:12"
    )
