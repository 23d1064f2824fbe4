"""`evaluate` audits the labels that it judges by: marks, a second headline, gates on either."""

import json
from pathlib import Path

from .command import Desk, columns_of, document_of


def exchange_levels(annotation: Path) -> None:
    """L2 and L3 of an annotation change places."""
    rows = annotation.read_text(encoding="utf-8").splitlines()
    rows[2:6] = [*rows[4:6], *rows[2:4]]
    annotation.write_text("\n".join(rows) + "\n", encoding="utf-8")


def test_a_label_that_breaks_a_rule_is_marked_and_the_headline_told_without_it(desk: Desk) -> None:
    wrong = sorted((desk.path / "data" / "AP").glob("*.csv"))[1]
    exchange_levels(wrong)
    gates = (
        "[gates]\n"
        '"clean_labels.radial_error_px.mean" = "<= 9.8"\n'
        '"clean_labels.left_out" = "<= 0"\n'
        '"radial_error_px.mean" = "<= 9.8"\n'
    )
    (desk.path / "mahtdiag.toml").write_text(gates, encoding="utf-8")
    done = desk.lookup("exact", "--out", "run", "--markdown", "ci.md")
    content = document_of(desk.path / "run")
    clean, of_all = content["clean_labels"], content["metrics"]
    assert (clean["images"], clean["left_out"]) == (content["images"]["evaluated"] - 1, 1)
    assert clean["radial_error_px"]["mean"] < of_all["radial_error_px"]["mean"]
    assert clean["sdr_px"].keys() == of_all["sdr_px"].keys()
    columns = columns_of(desk.path / "run" / "images.parquet")
    broken = {
        Path(n).stem: c for n, c in zip(columns["image"], columns["labels_suspicious"], strict=True) if c
    }
    assert broken.keys() == {wrong.stem}
    assert "A101" in broken[wrong.stem]
    assert f"Labels that break a rule: 1 of {content['images']['evaluated']} images" in done.text
    assert f"{wrong.stem}.png* " in done.text
    assert "*: its label breaks a rule." in done.text
    passed = {gate["metric"]: gate["passed"] for gate in content["gates"]}
    assert passed == {
        "clean_labels.radial_error_px.mean": True,
        "clean_labels.left_out": False,
        "radial_error_px.mean": False,
    }
    assert done.status == 1
    markdown = (desk.path / "ci.md").read_text(encoding="utf-8")
    assert "its label breaks A101" in markdown
    assert "without 1 image whose label breaks a rule" in markdown
    judged = json.loads(desk.run("anatomy", "run", "--no-pictures", "--format", "json").text)
    assert [image["image"] for image in judged["images"] if image["label_codes"]] == [
        name for name, codes in zip(columns["image"], columns["labels_suspicious"], strict=True) if codes
    ]


def test_nothing_is_said_where_every_label_keeps_the_rules(desk: Desk) -> None:
    done = desk.lookup("exact", "--out", "run")
    clean = document_of(desk.path / "run")["clean_labels"]
    assert clean["left_out"] == 0
    assert clean["radial_error_px"] == document_of(desk.path / "run")["metrics"]["radial_error_px"]
    assert "its label breaks" not in done.text
    assert "Labels that break" not in done.text


def test_each_keypoint_tells_whether_it_is_labelled_and_what_kind_of_mistake_it_is(desk: Desk) -> None:
    path = next((desk.path / "data" / "AP").glob("*.csv"))
    rows = path.read_text().splitlines()
    path.write_text("\n".join(["," + rows[0].partition(",")[2], *rows[1:]]))
    assert desk.lookup("exact", data="data/AP").status == 0
    columns = columns_of(desk.path / "run" / "keypoints.parquet")
    places = zip(columns["image"], columns["index"], strict=True)
    gaps = [place for place, known in zip(places, columns["labelled"], strict=True) if not known]
    assert gaps == [(f"{path.stem}.png", 0)]
    counts = document_of(desk.path / "run")["error_types"]["by_type"]
    for kind, found in counts.items():
        assert columns["error_type"].count(kind) == found["keypoints"], kind
    assert columns["error_type"].count(None) == 1
