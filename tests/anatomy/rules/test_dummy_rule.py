"""A rule that is written in one file arrives everywhere: nothing else knows the rules by name."""

import io
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from mahtdiag.anatomy.findings import check_anatomy, image_reason
from mahtdiag.anatomy.rule import Shape, Sign
from mahtdiag.anatomy.rules import RULES, Limits, get_rule, select_rules
from mahtdiag.config.project_file import parse_settings
from mahtdiag.diagnosis.anatomy import judge
from mahtdiag.diagnosis.columns import Values
from mahtdiag.diagnosis.conditions import Conditions
from mahtdiag.diagnosis.metrics.registry import images_behind, metric_of
from mahtdiag.diagnosis.numbers import numbers_of
from mahtdiag.diagnosis.run_table import RunTable
from mahtdiag.errors import ExitStatus
from mahtdiag.reports.json import anatomy_content, anatomy_csv
from mahtdiag.reports.overlay.marks import shown_quantities
from mahtdiag.reports.overlay.scene import Box, Stage, make_scene
from mahtdiag.reports.tables.anatomy import anatomy_parts, rule_content, rule_text
from mahtdiag.reports.tables.table import printable
from mahtdiag.schema.frames import Size
from mahtdiag.schema.skeleton import AP, LA, View
from mahtdiag.workflows.anatomy.job import AnatomyRequest, judge_anatomy
from mahtdiag.workflows.progress import NoProgress
from tests.anatomy.rules.dummy_rule import DUMMY, register
from tests.anatomy.spines import Floats, straight_spine
from tests.reports.overlay.overlay_records import make_record
from tests.workflows.anatomy_runs import write_run


def one_wide_body() -> Floats:
    """Two images; L3 of the second is twice as wide as it should be."""
    points = np.stack([straight_spine(AP)] * 2)
    body = points[1, 8:12]
    body[:, 0] = body[:, 0].mean() + 2.0 * (body[:, 0] - body[:, 0].mean())
    return points


def test_a_rule_can_be_checked_without_being_registered() -> None:
    found = check_anatomy(one_wide_body(), AP, image_size_px=None, rules=(DUMMY, *select_rules(["A1"])))
    assert found.codes_per_image() == ((), ("A999",))
    assert found.findings_by_code() == {"A999": 1, "A101": 0, "A102": 0, "A103": 0}
    (finding,) = found.of_image(1)
    assert (finding.value, finding.limit) == pytest.approx((2.0, 1.5))
    assert finding.keypoints == (8, 9, 10, 11)
    assert [tally.images for tally in judge(["a", "b"], found).tallies] == [1, 0, 0, 0]


def test_a_registered_rule_is_like_any_other(monkeypatch: pytest.MonkeyPatch) -> None:
    register(monkeypatch)
    assert get_rule("a999") is DUMMY
    assert select_rules(["A9"]) == (DUMMY,)
    assert Limits.of(View.LA)["A999"] == 2.5
    found = check_anatomy(one_wide_body(), AP, image_size_px=None)
    assert found.rules == (*RULES, DUMMY)
    sides = dict.fromkeys(("width", "height"), np.full(2, 1000.0))
    conditions = Conditions(Limits.of(View.AP), (*RULES, DUMMY))
    values: dict[str, Values] = {"image": ("a", "b"), "pred_px": one_wide_body(), **sides}
    table = RunTable(AP, values, conditions=conditions)
    for counted in ("images", "findings"):
        assert numbers_of(table)[f"anatomy.by_code.A999.{counted}"].value == 1
    behind = images_behind("anatomy.by_code.A999.images", table, too_high=True)
    assert behind is not None
    assert [row.image for row in behind.images] == ["b"]
    assert metric_of("anatomy.by_code.A999.images") is not None
    worst = next(tally for tally in judge(["a", "b"], found).tallies if tally.rule is DUMMY)
    assert (worst.images, worst.keypoints, worst.worst_image) == (1, 4, "b")
    assert "L3: 2.0 widths, usual 1.0: a dummy" in image_reason(found.of_image(1), AP, most=None)
    strict = check_anatomy(one_wide_body(), AP, image_size_px=None, limits=Limits.of(View.AP, {"A999": 0.9}))
    assert strict.findings_by_code()["A999"] == 10
    assert not len(check_anatomy(np.stack([straight_spine(LA)]), LA, image_size_px=None))


def test_a_rule_explains_itself() -> None:
    assert "A999 fires above 1.5 widths in AP and 2.5 widths in LA by default" in rule_text(DUMMY)
    assert "'origin': 'Made up.'" in str(rule_content(DUMMY))


def test_what_a_rule_sketches_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    register(monkeypatch)
    points = one_wide_body()[1]
    found = check_anatomy(points[None], AP, image_size_px=None, rules=[DUMMY]).of_image(0)
    stage = Stage(Box(0, 0, 1000, 1000), Box(0, 0, 1000, 1000), Size(1000, 1000))
    (drawn,) = shown_quantities(make_scene(make_record(AP, pred=points), AP, stage, 0), found)
    assert drawn.mark is Sign.LENGTH
    ((shape, places),) = drawn.shapes
    assert shape is Shape.RING
    np.testing.assert_allclose(places, points[8:12] + 0.5)


def test_a_registered_rule_reaches_gates_table_json_and_csv(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(monkeypatch)
    labels = np.stack([straight_spine(AP)] * 2)
    write_run(tmp_path / "runs" / "a", labels, one_wide_body(), View.AP)
    name = "anatomy.by_code.A999.images"
    settings = parse_settings({"gates": {name: "== 0"}, "anatomy": {"limits": {"A999": 1.75}}}, "x.toml")
    judged = judge_anatomy(
        AnatomyRequest(settings, None, None, None, None, None, False, tmp_path), NoProgress()
    )
    assert judged.status is ExitStatus.GATE_FAILED
    assert [(gate.gate.metric, gate.value) for gate in judged.report.gates] == [(name, 1.0)]
    content = anatomy_content(judged.report)
    assert isinstance(content["by_code"], dict)
    assert content["by_code"]["A999"] == {
        "images": 1, "findings": 1, "keypoints": 4, "group": "shape", "worst_image": "0001.jpg"
    }  # fmt: skip
    assert "A999" in anatomy_csv(judged.report)
    console = Console(file=io.StringIO(), width=80, color_system=None)
    with console.capture() as text:
        console.print(printable(anatomy_parts(judged.report, 80)))
    rows = [line.split() for line in text.get().splitlines()]
    assert "A999" in [row[0] for row in rows if row]
    assert "a dummy" in text.get()
