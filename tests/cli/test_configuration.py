"""`mahtdiag.toml`: what a project fixes once."""

import pytest

from .command import Desk, document_of

WHOLE = """
[model]
checkpoint = "lookup-ap.pt"
factory = "nets:exact"
input_size = "64x64"
channels = 1
normalize = "unit"
heatmap_sigma = 1.5

[data]
path = "data"
pixel_spacing_mm = 0.25

[evaluate]
overlays = "none"
workers = 2

[anatomy.limits]
"""


def test_a_project_needs_no_arguments(desk: Desk) -> None:
    (desk.path / "mahtdiag.toml").write_text(WHOLE, encoding="utf-8")
    result = desk.run("evaluate", "--trust", "--out", "run")
    assert (result.status, result.errors) == (0, [])
    document = document_of(desk.path / "run")
    assert (document["checkpoint"]["path"], document["data"]["path"]) == ("lookup-ap.pt", "data")
    assert document["settings"]["pixel_spacing_mm"] == 0.25
    assert document["settings"]["workers"] == 2


def test_no_file_grants_trust(desk: Desk) -> None:
    (desk.path / "mahtdiag.toml").write_text(WHOLE, encoding="utf-8")
    desk.run("evaluate").refused("--model nets:exact runs code of yours: add --trust if you trust it")
    (desk.path / "mahtdiag.toml").write_text(
        f"[evaluate]\ntrust = true\n{WHOLE}".replace("[evaluate]\no", "o")
    )
    result = desk.run("evaluate")
    assert result.status == 2
    assert "unknown key evaluate.trust" in result.err


def test_the_command_line_wins(desk: Desk) -> None:
    (desk.path / "mahtdiag.toml").write_text(WHOLE.replace('"data"', '"nowhere"'), encoding="utf-8")
    result = desk.run(
        "evaluate", "lookup-ap.pt", "data", "--trust", "--out", "run", "--pixel-spacing", "0.5",
        "--heatmap-sigma", "2", "--batch-size", "2",
    )  # fmt: skip
    assert (result.status, result.errors) == (0, [])
    settings = document_of(desk.path / "run")["settings"]
    assert (settings["pixel_spacing_mm"], settings["heatmap_sigma"], settings["batch_size"]) == (0.5, 2.0, 2)
    assert settings["normalize"] == "unit"


def test_view_auto_wins_over_the_view_of_the_file(desk: Desk) -> None:
    (desk.path / "mahtdiag.toml").write_text('[data]\nview = "LA"\n', encoding="utf-8")
    arguments = ("evaluate", "ap.pt", "data", "--overlays", "none", "--out", "run")
    assert desk.run(*arguments).status == 2
    assert desk.run(*arguments, "--view", "auto").status == 0


@pytest.mark.parametrize("name", ["pyproject.toml", "other.toml"])
def test_other_files(desk: Desk, name: str) -> None:
    table = "[tool.mahtdiag.data]" if name == "pyproject.toml" else "[data]"
    (desk.path / name).write_text(f'{table}\npath = "data"\n', encoding="utf-8")
    asked = () if name == "pyproject.toml" else ("--config", name)
    assert desk.run("evaluate", "ap.pt", "--overlays", "none", "--out", "run", *asked).status == 0


def test_mahtdiag_toml_comes_before_pyproject(desk: Desk) -> None:
    (desk.path / "pyproject.toml").write_text('[tool.mahtdiag.data]\npath = "nowhere"\n', encoding="utf-8")
    (desk.path / "mahtdiag.toml").write_text('[data]\npath = "data"\n', encoding="utf-8")
    assert desk.run("evaluate", "ap.pt", "--overlays", "none", "--out", "run").status == 0


def test_every_mistake_is_named_at_once(desk: Desk) -> None:
    (desk.path / "mahtdiag.toml").write_text(
        "[model]\nheatmap_sgma = 2\nchannels = 2\n[evaluate]\nworkers = true\n[modle]\n", encoding="utf-8"
    )
    desk.run("evaluate", "ap.pt", "data").refused(
        "mahtdiag.toml: model.channels = 2: input should be 1 or 3",
        "mahtdiag.toml: unknown key model.heatmap_sgma; did you mean heatmap_sigma?",
        "mahtdiag.toml: evaluate.workers = True: true and false have no meaning here",
        "mahtdiag.toml: unknown key modle; did you mean model?",
    )


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"[model", "mahtdiag.toml: not valid TOML: "),
        (b"\xff\xfe", "mahtdiag.toml: not valid TOML: "),
        (b"model = 3", "mahtdiag.toml: model = 3: expected a table, [model]"),
        (b"[anatomy.limits]\nno_such_limit = 1", "no_such_limit"),
    ],
)
def test_a_broken_file(desk: Desk, content: bytes, problem: str) -> None:
    (desk.path / "mahtdiag.toml").write_bytes(content)
    result = desk.run("evaluate", "ap.pt", "data")
    assert (result.status, result.text, len(result.err.splitlines())) == (2, "", 1)
    assert problem in result.err


@pytest.mark.parametrize(
    ("name", "reason"), [("none.toml", "No such file or directory"), ("data", "a folder, not a file")]
)
def test_a_file_that_cannot_be_read(desk: Desk, name: str, reason: str) -> None:
    desk.run("evaluate", "ap.pt", "data", "--config", name).refused(f"{name}: cannot be read ({reason})")


def test_the_selected_rules_are_those_that_evaluate_checks(desk: Desk) -> None:
    (desk.path / "mahtdiag.toml").write_text(
        '[anatomy]\nselect = ["A1", "A3"]\nignore = ["A302"]\n', encoding="utf-8"
    )
    assert desk.lookup("exact").status == 0
    document = document_of(desk.path / "run")
    assert document["settings"]["anatomy_rules"] == ["A101", "A102", "A103", "A301"]
    assert list(document["anatomy"]["by_code"]) == ["A101", "A102", "A103", "A301"]


def test_a_rule_that_does_not_exist_is_told_before_any_work(desk: Desk) -> None:
    (desk.path / "mahtdiag.toml").write_text('[anatomy]\nignore = ["B1"]\n', encoding="utf-8")
    result = desk.lookup("exact")
    assert result.status == 2
    assert "B1" in result.errors[0]
    assert not (desk.path / "run").exists()


def test_a_file_elsewhere_names_what_lies_beside_it(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    (desk.path / "project.toml").write_text(WHOLE, encoding="utf-8")
    (desk.path / "work").mkdir()
    monkeypatch.chdir(desk.path / "work")
    monkeypatch.syspath_prepend(str(desk.path))
    result = desk.run("evaluate", "--trust", "--out", "run", "--config", "../project.toml")
    assert (result.status, result.errors) == (0, [])
    document = document_of(desk.path / "work/run")
    assert (document["checkpoint"]["path"], document["data"]["path"]) == ("../lookup-ap.pt", "../data")


def test_what_the_command_line_names_begins_at_the_current_folder(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    (desk.path / "project.toml").write_text('[data]\npath = "nowhere"\n', encoding="utf-8")
    (desk.path / "work").mkdir()
    monkeypatch.chdir(desk.path / "work")
    arguments = ("../ap.pt", "../data", "--overlays", "none", "--out", "run", "--config", "../project.toml")
    assert desk.run("evaluate", *arguments).status == 0


@pytest.mark.parametrize(
    ("arguments", "source"),
    [
        ((), "head"),
        (("--uncertainty", "auto"), "head"),
        (("--uncertainty", "heatmap"), "heatmap"),
        (("--uncertainty", "none"), "none"),
    ],
)
def test_the_run_says_where_sigma_came_from(desk: Desk, arguments: tuple[str, ...], source: str) -> None:
    assert desk.lookup("exact", *arguments).status == 0
    settings = document_of(desk.path / "run")["settings"]
    assert settings["uncertainty_source"] == source
    assert settings["given"] == [
        "input_size", "normalize", "channels", "heatmap_sigma", *(["uncertainty"] if arguments else []),
    ]  # fmt: skip


def test_a_network_without_a_head_has_no_sigma(desk: Desk) -> None:
    assert desk.lookup("heatmaps").status == 0
    assert document_of(desk.path / "run")["settings"]["uncertainty_source"] == "none"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[anatomy.limits]\nA2O1 = 3", "unknown key anatomy.limits.A2O1; did you mean A201?"),
        ("[anatomy.AP]\nA302 = 3", "unknown key anatomy.AP.A302; did you mean A302-width or A302-height?"),
        ("[anatomy.limits]\nA201 = inf", "anatomy.limits.A201 = inf: input should be a finite number"),
        ("[anatomy.limits]\nA201 = '3'", "anatomy.limits.A201 = '3': input should be a valid number"),
        (
            "[anatomy.limits]\nA302-width = -1",
            "anatomy.limits.A302-width = -1: always fires: what it limits lies between 0 and 2",
        ),
        (
            "[anatomy.AP]\nA201 = 900",
            "anatomy.AP.A201 = 900: never fires: what it limits lies between 0 and 90; ignore leaves a rule "
            "out",
        ),
        ("[anatomy.LA]\nA301-min = 4", "[anatomy]: A301-min 4 must be below A301-max 4 (LA)"),
        ("[anatomy]\nlimits = 3", "anatomy.limits = 3: expected a table, [anatomy.limits]"),
        (
            '[anatomy]\nignore = "A2O1"',
            "anatomy.ignore = 'A2O1': no anatomical rule 'A2O1'. Did you mean A201?",
        ),
    ],
)
@pytest.mark.parametrize("named", ["anatomy", "evaluate"])
def test_anatomical_settings_name_file_key_and_nearest(
    desk: Desk, text: str, problem: str, named: str
) -> None:
    (desk.path / "mahtdiag.toml").write_text(text, encoding="utf-8")
    desk.run(named).refused(f"mahtdiag.toml: {problem}")


def test_every_impossible_limit_has_its_line(desk: Desk) -> None:
    (desk.path / "mahtdiag.toml").write_text("[anatomy.limits]\nA201 = -3\nA203 = 1e9\nA102 = -0.5\n")
    desk.run("anatomy").refused(
        "mahtdiag.toml: anatomy.limits.A201 = -3: always fires: what it limits lies between 0 and 90",
        "mahtdiag.toml: anatomy.limits.A203 = 1e+09: never fires: what it limits lies between 0 and 180; "
        "ignore leaves a rule out",
    )
