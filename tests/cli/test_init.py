"""`mahtdiag init`: a run's settings and gates, in a file with which the run can be made again."""

import re
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

import mahtdiag
from mahtdiag.anatomy.rules import LIMIT_BY_KEY
from mahtdiag.config.project_file import read_settings
from mahtdiag.config.settings import settings_from_options
from mahtdiag.schema.skeleton import View
from mahtdiag.workflows.evaluate.job import EvaluateRequest, evaluate
from mahtdiag.workflows.progress import NoProgress

from . import networks
from .builders import INPUT_OPTIONS
from .command import Desk, document_of
from .test_resuming import interrupted_run

FILE = "mahtdiag.toml"
UNLABELLED = {"images.failed", "anatomy.images_with_violations"}
NUMBERS = ("metrics", "losses", "anatomy", "error_types", "calibration", "ambiguity")


def written(desk: Desk, name: str = FILE) -> str:
    """The text of a file."""
    return (desk.path / name).read_text(encoding="utf-8")


@dataclass(frozen=True)
class Case:
    """A way to evaluate: a settings file, arguments, and whether the checkpoint runs code."""

    name: str
    arguments: tuple[str, ...]
    settings: str = ""
    broken: bool = False

    @property
    def trust(self) -> tuple[str, ...]:
        """The option without which the network is not run."""
        return ("--trust",) if "--trust" in self.arguments else ()

    def __str__(self) -> str:
        return self.name


LOOKUP = ("lookup-ap.pt", "data", "--model", "nets:exact", "--trust", *INPUT_OPTIONS)
SETTINGS = """
[loss]
lambda_coord = 2.0
use_focal = false
[anatomy]
select = "A1,A4"
[anatomy.limits]
A404 = 0.3
[calibration]
seed = 4
groups = ["vertebra"]
"""
CASES = (
    Case("a native AP network", ("ap.pt", "data/AP")),
    Case("a native LA network of a mixed set", ("la.pt", "data")),
    Case("read otherwise than the checkpoint says", ("ap.pt", "data", "--decode", "argmax",
         "--heatmap-sigma", "1.25", "--uncertainty", "heatmap", "--pixel-spacing", "0.3")),
    Case("a factory", LOOKUP),
    Case("a lateral factory", ("lookup-la.pt", "data/LA", "--model", "nets:exact_la", "--trust",
         *INPUT_OPTIONS)),
    Case("without a head", (*LOOKUP[:3], "nets:heatmaps", *LOOKUP[4:], "--coords", "scale")),
    Case("without σ", (*LOOKUP, "--uncertainty", "none")),
    Case("failures that are allowed", (*LOOKUP, "--allow-failures", "2"), broken=True),
    Case("settings of every kind", LOOKUP, SETTINGS),
    Case("an ensemble", ("ap.pt,ap.pt", "data", "--decode", "local")),
    Case("without labels", ("ap.pt", "data", "--no-labels")),
    Case("without labels and σ", (*LOOKUP, "--no-labels", "--uncertainty", "none")),
)  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_run_can_be_made_again_and_keeps_its_gates(desk: Desk, case: Case) -> None:
    if case.broken:
        (desk.path / "data/AP/broken.png").write_bytes(b"")
    if case.settings:
        (desk.path / FILE).write_text(case.settings, encoding="utf-8")
    done = desk.run("evaluate", *case.arguments, "--out", "first", "--overlays", "none")
    assert (done.status, done.errors) == (0, [])
    result = desk.run("init", "--force")
    assert (result.status, result.err) == (0, "")
    evaluate = " ".join(("mahtdiag evaluate", *case.trust))
    assert result.text.startswith("mahtdiag.toml: written from first, ")
    assert re.search(rf" gates?; now `{evaluate}` is enough\n$", result.text)
    again = desk.run("evaluate", *case.trust, "--out", "again", "--overlays", "none")
    assert (again.status, again.errors) == (0, [])
    first, second = (document_of(desk.path / name) for name in ("first", "again"))
    assert {name: second[name] for name in NUMBERS} == {name: first[name] for name in NUMBERS}
    assert second["view"] == first["view"]
    same = ("given", "overlays")
    changed = {key for key, value in second["settings"].items() if first["settings"][key] != value}
    assert changed <= set(same)
    gates = second["gates"]
    labelled = first["metrics"] is not None
    named = {gate["metric"] for gate in gates}
    assert len(gates) >= 5 if labelled else {"images.failed"} <= named <= UNLABELLED
    assert ("radial_error_px.mean" in named) is labelled
    leading = "mm" if "--pixel-spacing" in case.arguments else "px"
    example = re.findall(r'^# "?radial_error_(\w+)\.mean"? *= *"\+', written(desk), re.MULTILINE)
    assert example == [leading] * labelled
    assert ("`calibration` need no arguments" in written(desk)) is (first["calibration"] is not None)
    assert all(gate["passed"] for gate in gates)
    assert any(gate["metric"].startswith("calibration.") for gate in gates) is bool(first["calibration"])


@pytest.mark.parametrize("labels", [True, False])
@pytest.mark.parametrize("sigma", [True, False])
def test_predictions_of_a_file(desk: Desk, *, labels: bool, sigma: bool) -> None:
    """No network is named, no decoder and no σ of it; what is to be typed has the run again."""
    noted = () if sigma else ("--uncertainty", "none")
    assert desk.run("evaluate", "ap.pt", "data/AP", "--out", "network", *noted).status == 0
    assert desk.run("export", "network", "--to", "csv", "my preds.csv").status == 0
    asked = ("evaluate", "--predictions", "my preds.csv", "data/AP", "--out", "first", "--overlays", "none")
    assert desk.run(*asked, *(() if labels else ("--no-labels",))).status == 0
    result = desk.run("init", "first")
    assert (result.status, result.err) == (0, "")
    limits = [line.partition('"')[2] for line in written(desk).splitlines() if line.startswith('"')]
    gates = sum(len(re.findall(r'"[<>]', line)) for line in limits)
    assert any(line.startswith("radial_error_px") for line in limits) is labels
    assert any(line.startswith("calibration") for line in limits) is (labels and sigma)
    assert result.text == (
        f"mahtdiag.toml: written from first, {gates} gate{'s' * (gates > 1)}; "
        "now `mahtdiag evaluate --predictions 'my preds.csv'` is enough\n"
    )
    keys = [line.partition(" = ")[0] for line in written(desk).splitlines() if line[:1].isalpha()]
    assert keys == ["path", "view", *([] if labels else ["no_labels"])]
    again = desk.run("evaluate", "--predictions", "my preds.csv", "--out", "again", "--overlays", "none")
    assert (again.status, again.errors) == (0, [])
    first, second = (document_of(desk.path / name) for name in ("first", "again"))
    assert {name: second[name] for name in NUMBERS} == {name: first[name] for name in NUMBERS}
    assert len(second["gates"]) >= len(limits)
    assert all(gate["passed"] for gate in second["gates"])
    assert desk.run("report", "first").status == 0


def test_a_network_in_memory(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(desk.path)
    network = networks.exact()
    network.load_state_dict(torch.load("lookup-ap.pt", weights_only=True))
    how = {"input_size": "64x64", "channels": 1, "normalize": "unit", "heatmap_sigma": 1.5}
    mahtdiag.evaluate(network, "data", view="AP", out="run", **how)  # type: ignore[arg-type]
    result = desk.run("init")
    assert (result.status, result.err) == (0, "")
    assert result.text.endswith(
        " gates; its network was in memory: set a checkpoint in it, or use mahtdiag.evaluate in Python\n"
    )
    assert "\ncheckpoint" not in written(desk)
    assert desk.run("report", "run").status == 0


def test_the_text(desk: Desk) -> None:
    assert desk.run("evaluate", "ap.pt", "data/AP", "--out", "run", "--decode", "local").status == 0
    assert desk.run("init").status == 0
    lines = written(desk).splitlines()
    assert lines[0] == "# mahtdiag.toml: what this project fixes once; the command line wins over it."
    assert lines[2].startswith('# Written from the run "run": 6 AP images, ')
    keys = [line.split(" = ")[0] for line in lines if " = " in line and not line.startswith("#")]
    assert keys[:4] == ["checkpoint", "decode", "path", "view"]
    assert all(key.startswith('"') for key in keys[4:])
    assert "# heatmap_sigma = 1.5               # σ of the target heatmaps, in heatmap cells" in lines
    assert '# run = "run"' in lines
    assert not [line for line in lines if line != line.rstrip()]
    assert max(len(line) for line in lines) <= 110


def test_a_larger_margin(desk: Desk) -> None:
    assert desk.lookup("exact").status == 0
    limits = []
    for margin in ("0%", "10%", " 12.5 %"):
        assert desk.run("init", "run", "--margin", margin, "--out", "x.toml", "--force").status == 0
        (gate,) = (g for g in read_settings(desk.path / "x.toml", desk.path).gates.limits
                   if g.metric == "radial_error_px.mean")  # fmt: skip
        limits.append(gate.limit)
    mean = document_of(desk.path / "run")["metrics"]["radial_error_px"]["mean"]
    assert limits == pytest.approx([mean, 1.1 * mean, 1.125 * mean], rel=0.01)
    assert limits == sorted(limits)


def test_a_file_is_not_overwritten_unasked(desk: Desk) -> None:
    assert desk.lookup("exact").status == 0
    (desk.path / FILE).write_text("[model]\n", encoding="utf-8")
    refused = "mahtdiag.toml: exists; overwrite it with --force or choose another --out"
    desk.run("init").refused(refused)
    desk.run("init", "--template").refused(refused)
    assert written(desk) == "[model]\n"
    assert desk.run("init", "--force").status == 0
    assert "[gates]" in written(desk)


def test_a_file_in_another_folder_names_the_same_things(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    assert desk.run("evaluate", "ap.pt", "data/AP", "--out", "runs/a", "--overlays", "none").status == 0
    assert desk.run("init", "--out", "conf/project.toml").status == 0
    settings = read_settings(desk.path / "conf/project.toml", desk.path / "conf")
    assert (settings.model.checkpoint, settings.data.path) == ("../ap.pt", "../data/AP")
    assert '# run = "../runs/a"' in written(desk, "conf/project.toml")
    (desk.path / "else").mkdir()
    for folder, named in ((".", "conf/project.toml"), ("else", "../conf/project.toml")):
        monkeypatch.chdir(desk.path / folder)
        result = desk.run("evaluate", "--config", named, "--out", "again", "--overlays", "none")
        assert (result.status, result.errors) == (0, [])


def test_what_is_not_there_any_more_is_said(desk: Desk) -> None:
    assert desk.run("evaluate", "ap.pt", "data/AP", "--out", "run", "--overlays", "none").status == 0
    (desk.path / "ap.pt").rename(desk.path / "other.pt")
    (desk.path / "data").rename(desk.path / "others")
    result = desk.run("init")
    assert result.status == 0
    assert result.err.splitlines() == [
        "note: [model] checkpoint: ap.pt is not there; correct it in the file",
        "note: [data] path: data/AP is not there; correct it in the file",
    ]


def test_without_a_run(desk: Desk) -> None:
    desk.run("init").refused(
        "no finished run in runs: run `mahtdiag evaluate CHECKPOINT DATA` first, name a run folder, or write "
        "a file without gates with --template"
    )
    result = desk.run("init", "nowhere")
    assert result.status == 2
    assert result.err.endswith("no such run folder; check the name, or name latest, the newest run\n")
    assert not (desk.path / FILE).exists()


def test_a_template(desk: Desk) -> None:
    result = desk.run("init", "--template")
    expected = "mahtdiag.toml: written; set a checkpoint, the data and gates in it\n"
    assert (result.status, result.text, result.err) == (0, expected, "")
    desk.run("evaluate").refused(
        "missing CHECKPOINT and DATA: name them on the command line or in mahtdiag.toml ([model] checkpoint, "
        "[data] path)"
    )
    assert desk.run("evaluate", "ap.pt", "data", "--overlays", "none").status == 0


def test_a_run_that_is_not_finished(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    interrupted_run(desk, monkeypatch)
    result = desk.run("init", "run")
    assert result.status == 2
    assert result.err.endswith("the run is not finished; finish it with evaluate --resume first\n")


def test_a_run_of_nothing(desk: Desk) -> None:
    for image in (desk.path / "data/AP").glob("*.png"):
        image.write_bytes(b"")
    # The command leaves none; earlier versions did.
    asked = settings_from_options({"CHECKPOINT": "ap.pt", "DATA": "data"})
    evaluate(EvaluateRequest(asked, Path("run"), resume=False, trust=False, cwd=desk.path), NoProgress())
    result = desk.run("init", "run")
    assert result.status == 2
    assert result.err.endswith("no image was evaluated, so there is nothing to start from\n")


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("--margin", "10"), "--margin 10: expected a percentage up to 1000%, for example 10%"),
        (("--margin", "-5%"), "--margin -5%: expected a percentage up to 1000%, for example 10%"),
        (("--margin", "nan%"), "--margin nan%: expected a percentage up to 1000%, for example 10%"),
        (("--margin", "1e9%"), "--margin 1e9%: expected a percentage up to 1000%, for example 10%"),
        (("--margin", "5000%"), "--margin 5000%: expected a percentage up to 1000%, for example 10%"),
        (("--template", "run"), "--template starts from no run; leave RUN or --template out"),
        (
            ("--out", "pyproject.toml", "--force"),
            "--out pyproject.toml: init writes a file of its own; write mahtdiag.toml, or copy its tables "
            "into [tool.mahtdiag] by hand",
        ),
        (
            ("--out", "data", "--force", "--template"),
            "--out data: a folder; name a file, as in data/mahtdiag.toml",
        ),
        (
            ("--out", "ap.pt/x.toml", "--template"),
            "--out ap.pt/x.toml: a file stands where a folder is needed; name another",
        ),
    ],
)
def test_what_cannot_be_obeyed(desk: Desk, arguments: tuple[str, ...], problem: str) -> None:
    desk.run("init", *arguments).refused(problem)


def test_a_device_is_written_into(desk: Desk) -> None:
    """As by every command that writes a file of one's own choice: nothing replaces it."""
    assert desk.run("evaluate", "ap.pt", "data", "--out", "run", "--overlays", "none").status == 0
    nowhere = desk.path / "nowhere"
    nowhere.symlink_to("/dev/null")
    for command in (
        ("init", "run", "--out", "nowhere", "--force"),
        ("report", "run", "--out", "nowhere", "--images", "none"),
        ("anatomy", "run", "--csv", "nowhere", "--no-pictures"),
        ("export", "run", "--to", "coco", "nowhere", "--force"),
    ):
        assert desk.run(*command).status == 0
        assert nowhere.is_symlink()
        assert nowhere.is_char_device()


def test_the_view_decides_which_default_limits_are_shown(desk: Desk) -> None:
    for view in View:
        arguments = (f"{view.lower()}.pt", "data", "--out", view, "--overlays", "none")
        assert desk.run("evaluate", *arguments).status == 0
        assert desk.run("init", view, "--out", f"{view}.toml").status == 0
        (line,) = [line for line in written(desk, f"{view}.toml").splitlines() if "A203 = " in line]
        assert line.split()[3] == str(LIMIT_BY_KEY["A203"].default(view))
