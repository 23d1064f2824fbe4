"""`mahtdiag.load`: numbers, tables and judgements of a run as objects."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import mahtdiag
from mahtdiag.api import tables
from mahtdiag.errors import MahtdiagError, RunFolderError, UsageError
from mahtdiag.runs.files import file_sha256
from mahtdiag.runs.reading import read_document
from tests.api.conftest import FIXTURES

ROOT = Path(__file__).parents[2]


def json_of(name: str) -> dict[str, object]:
    """What a command has printed as JSON, of the expected texts."""
    text = (FIXTURES / "expected" / f"{name}.txt").read_text(encoding="utf-8")
    content: dict[str, object] = json.loads(text[text.index("\n{") : text.rindex("\n}") + 2])
    return content


def test_importing_it_loads_nothing_and_offers_few_names() -> None:
    code = (
        "import mahtdiag, sys\n"
        "heavy = ('torch', 'numpy', 'pyarrow', 'rich', 'mahtdiag.api')\n"
        "print(*(name for name in heavy if name in sys.modules))\n"
        "print(*mahtdiag.__all__)\n"
        "assert set(mahtdiag.__all__) <= set(dir(mahtdiag))\n"
        "assert all(getattr(mahtdiag, name) is not None for name in mahtdiag.__all__)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    loaded, names = done.stdout.splitlines()
    assert loaded == ""
    told = (ROOT / "mahtdiag" / "__init__.pyi").read_text(encoding="utf-8")
    typed = set(re.findall(r"import \w+ as (\w+)", told)) | set(re.findall(r"^(\w+):", told, re.MULTILINE))
    assert set(names.split()) == typed


def test_a_name_that_there_is_not() -> None:
    with pytest.raises(AttributeError, match="no attribute 'evaluat'"):
        mahtdiag.evaluat  # type: ignore[attr-defined]  # noqa: B018


def test_numbers_are_those_of_run_json(desk: Path) -> None:
    run = mahtdiag.load("runs/a")
    content = json.loads((desk / "runs" / "a" / "run.json").read_text(encoding="utf-8"))
    error = content["metrics"]["radial_error_px"]
    assert run.radial_error_px is not None
    assert run.radial_error_px.value == float(run.radial_error_px) == error["mean"]
    assert run.radial_error_px.ci95 == (None if error["ci95"] is None else tuple(error["ci95"]))
    assert run.numbers["metrics.sdr_px.4"].value == content["metrics"]["sdr_px"]["4"]
    assert run.numbers["sdr_px.4"].unit == "share"
    assert run.numbers["calibration.mace"] == run.mace
    assert run.mace is not None
    assert run.mace.value == content["calibration"]["mace"]
    assert run.images_with_violations is not None
    assert (run.images_with_violations.better, run.images_with_violations.unit) == ("lower", "share")
    l5 = content["metrics"]["vertebrae"]["L5"]["radial_error_px"]["mean"]
    assert run.numbers["vertebrae.L5.radial_error_px.mean"].value == l5
    assert all(run.numbers[name].value is not None for name in run.numbers)
    assert len(run.numbers) == len([*run.numbers]) > 500
    assert next(iter(run.headline)) == "radial_error_mm.mean", "millimetres lead where they are known"
    assert f"{run.radial_error_mm}" in repr(run)


def test_a_number_that_there_is_not(desk: Path) -> None:
    numbers = mahtdiag.load("runs/a").numbers
    with pytest.raises(KeyError) as caught:
        numbers["radial_error_px.maen"]
    assert (
        str(caught.value)
        == "the run has no number 'radial_error_px.maen'; did you mean radial_error_px.mean?"
    )
    assert isinstance(caught.value, MahtdiagError)
    assert numbers.get("radial_error_px.maen") is None
    assert numbers.get("settings.channels") is None


def test_tables_are_those_of_the_files(desk: Path) -> None:
    run = mahtdiag.load("runs/a")
    for table, name in ((run.images, "images"), (run.keypoints, "keypoints")):
        with (desk / "runs" / "a" / f"{name}.parquet").open("rb") as file:
            stored = pq.read_table(file)
        ours = table.arrow.select(stored.column_names)
        for column in stored.column_names:
            a, b = ours.column(column).to_pylist(), stored.column(column).to_pylist()
            assert a == b, column
    assert run.images["status"].tolist().count("failed") == len(run.failures) == 2
    assert run.keypoints["error_px"].dtype == np.float64


def test_kinds_of_mistakes_are_a_column_also_of_earlier_runs(desk: Path) -> None:
    for name in ("a", "earlier"):
        run = mahtdiag.load(f"runs/{name}")
        kinds = run.keypoints["error_type"].tolist()
        labelled = np.isfinite(run.keypoints["gt_x"])
        assert [kind is not None for kind in kinds] == labelled.tolist()
        by_type = run.content["error_types"]
        if name == "a":
            assert isinstance(by_type, dict)
            counted = {kind: entry["keypoints"] for kind, entry in by_type["by_type"].items()}
            assert {kind: kinds.count(kind) for kind in counted} == counted


def test_the_latest_run_and_what_is_none(desk: Path) -> None:
    assert mahtdiag.load().path == desk / "runs" / "la"
    assert mahtdiag.load("latest").view == "LA"
    (desk / "empty").mkdir()
    for wrong, problem in (("nothing", "no such run folder"), ("empty", "it has no run.json")):
        with pytest.raises(RunFolderError, match=problem):
            mahtdiag.load(wrong)


def test_an_edited_run_is_refused(desk: Path) -> None:
    document = desk / "runs" / "b" / "run.json"
    document.write_text(document.read_text(encoding="utf-8").replace('"mean": ', '"mean": 1', 1))
    with pytest.raises(RunFolderError) as caught:
        mahtdiag.load("runs/b")
    assert "\n" not in str(caught.value)


def test_gates_and_setup(desk: Path) -> None:
    run = mahtdiag.load("runs/a")
    stored = read_document(desk / "runs" / "a").gates
    assert [(g.gate.metric, g.passed) for g in run.gates] == [(g.metric, g.passed) for g in stored]
    assert [g.passed for g in run.gates].count(False) == 3
    assert not run.passed
    assert run.complete


@pytest.mark.parametrize("name", ["a", "b", "la", "earlier"])
def test_anatomy_is_that_of_the_command(desk: Path, name: str) -> None:
    found = mahtdiag.load(f"runs/{name}").anatomy()
    expected = json_of(f"anatomy-{name}-json")
    for key in ("by_code", "level_shifts", "subject"):
        assert found.content[key] == expected[key]
    assert found.images_with_violations == pytest.approx(expected["images_with_violations"])
    assert len(found.findings) == sum(entry["findings"] for entry in expected["by_code"].values())  # type: ignore[attr-defined]
    assert "\nViolations in " in str(found)


def test_anatomy_by_some_rules(desk: Path) -> None:
    run = mahtdiag.load("runs/a")
    assert set(run.anatomy(select=["A4"]).images_by_code) == {"A401", "A402", "A403", "A404", "A405"}
    with pytest.raises(UsageError, match="A9"):
        run.anatomy(select=["A9"])


@pytest.mark.parametrize("name", ["a", "la"])
def test_calibration_is_that_of_the_command(desk: Path, name: str) -> None:
    run = mahtdiag.load(f"runs/{name}")
    found, expected = run.calibration(), json_of(f"calibration-{name}-json")
    assert found.mace == pytest.approx(expected["mace"], rel=1e-9)
    assert found.status == expected["status"] or found.verdict == expected["verdict"]
    assert found.verdict in " ".join(str(found).split())


def test_comparison_is_that_of_the_command(desk: Path) -> None:
    a = mahtdiag.load("runs/a")
    found = a.compare("runs/b")
    expected = json_of("compare-a-b-json")
    assert found.verdict == expected["verdict"]
    again = a.compare(mahtdiag.load("runs/b"))
    assert again.differences == found.differences
    for name, metric in expected["metrics"].items():  # type: ignore[attr-defined]
        ours = found.differences[name]
        assert ours.difference == pytest.approx(metric["difference"], rel=1e-9, abs=1e-12)
    with pytest.raises(MahtdiagError):
        a.compare("runs/la")
    with pytest.raises(MahtdiagError, match="nothing"):
        a.compare("runs/nothing")
    with pytest.raises(UsageError, match="--margin"):
        a.compare("runs/b", margins=["radial_error_px.mean"])


def test_what_notebooks_show_does_nothing(desk: Path) -> None:
    bad = "<img src=x onerror=alert(1)>\n\x1b[31m\u202e"
    document = read_document(desk / "runs" / "a")
    data = document.data.model_copy(update={"path": bad})
    text = document.model_copy(update={"data": data}).sealed_again().to_json()
    (desk / "runs" / "a" / "run.json").write_text(text, encoding="utf-8")
    run = mahtdiag.load("runs/a")
    shown = run._repr_html_()
    assert "<img" not in shown
    assert "&lt;img" in shown
    assert not set("\x1b\u202e") & set(shown)
    assert "FAILED" in shown
    table = tables.Table(pa.table({"<b>": ["<script>", None], "x": [1.0, None]}))
    assert "<script>" not in table._repr_html_()
    assert "<b>" not in table._repr_html_()
    for part in (run.anatomy(), run.calibration(), run.numbers, run.images, run.compare("runs/b")):
        assert re.search(r"<(script|img)", part._repr_html_()) is None


def test_frames_of_other_libraries(desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = mahtdiag.load("runs/a").keypoints
    assert pa.table(table).equals(table.arrow)
    for library, make in (("pandas", table.to_pandas), ("polars", table.to_polars)):
        monkeypatch.setitem(sys.modules, library, None)
        with pytest.raises(UsageError, match=rf"^{library} is not installed: pip install {library}"):
            make()
    with pytest.raises(UsageError, match="no column 'nope'; there are image, "):
        table["nope"]


def test_reading_a_run_changes_nothing(desk: Path) -> None:
    def digests() -> dict[Path, str]:
        return {file: file_sha256(file) for file in desk.rglob("*") if file.is_file()}

    before = digests()
    run = mahtdiag.load("runs/a")
    run.anatomy(), run.calibration(), run.compare("runs/b"), run._repr_html_()
    assert digests() == before


def test_figures_by_their_names(desk: Path) -> None:
    run = mahtdiag.load("runs/a")
    for name in ("error-curve", "error-vectors", "reliability"):
        figure = run.figure(name)
        figure.savefig(desk / f"{name}.png")
        assert (desk / f"{name}.png").stat().st_size > 1000
    with pytest.raises(UsageError, match=r"^no figure 'error-curv'; there are error-curve, "):
        run.figure("error-curv")


def test_the_page(desk: Path) -> None:
    run = mahtdiag.load("runs/la")
    page = run.report()
    assert page == run.path / "report.html"
    assert run.report(desk / "other.html").read_bytes()[:15] == page.read_bytes()[:15] == b"<!DOCTYPE html>"


@pytest.mark.parametrize("wrong", [3.5, b"runs/a", ["runs/a"]])
def test_what_is_no_path_is_an_error_in_one_line(desk: Path, wrong: object) -> None:
    kind = type(wrong).__name__
    run = mahtdiag.load("runs/a")
    calls: dict[str, Callable[[], object]] = {
        "run": lambda: mahtdiag.load(wrong),  # type: ignore[arg-type]
        "other run": lambda: run.compare(wrong),  # type: ignore[arg-type]
        "out": lambda: run.report(wrong),  # type: ignore[arg-type]
        "data": lambda: mahtdiag.evaluate("ap.pt", wrong),  # type: ignore[arg-type]
        "config": lambda: mahtdiag.evaluate("ap.pt", "data", config=wrong),  # type: ignore[arg-type]
    }
    for what, call in calls.items():
        with pytest.raises(UsageError) as refused:
            call()
        assert str(refused.value) == f"{what}: expected a path, found {kind}"


def test_a_key_that_is_no_name_is_no_number(desk: Path) -> None:
    wrong: Any = 3
    numbers = mahtdiag.load("runs/a").numbers
    assert wrong not in numbers
    with pytest.raises(KeyError, match=r"no number 3$"):
        numbers[wrong]
