"""The commented file: complete, true, and read back as it was meant."""

import re
import tomllib
from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from mahtdiag.anatomy.rules import limits_for
from mahtdiag.config import option_keys
from mahtdiag.config.option_keys import OptionKey
from mahtdiag.config.project_file import ProjectFile, file_text, parse_settings, toml_value
from mahtdiag.config.settings import KEYS, Settings
from mahtdiag.diagnosis.gates import Bound, Gate, ProposedGate
from mahtdiag.losses import MAHTNetLoss
from mahtdiag.schema.skeleton import View
from mahtdiag.workflows.calibration.judged_sigma import CalibrationChoices

DOCS = Path(__file__).parents[2] / "docs"
GATES = (
    ProposedGate("radial_error_px.mean", 2.659, ("<= 2.93",)),
    ProposedGate("calibration.sigma_scale", 1.0, (">= 0.9", "<= 1.1")),
    ProposedGate("vertebrae.L5.radial_error_px.mean", 3.0, ("upper <= 4.4",), active=False),
)
# Any text that a file can hold: UTF-8 has no surrogates.
TEXTS = st.text(st.characters(exclude_categories=["Cs"]))


def read(text: str) -> Settings:
    """The settings of a text."""
    return parse_settings(tomllib.loads(text), "x.toml")


def opened(text: str) -> str:
    """The text with the # before every key and table taken away."""
    lines = []
    for line in text.splitlines():
        bare = line.removeprefix("# ")
        is_key = " = " in bare and not bare.startswith(("What ", "cases"))
        lines.append(bare if is_key or bare.startswith(("[gates.baseline]", "[anatomy.", "[data.")) else line)
    return "\n".join(lines)


def test_every_key_of_every_table_is_explained() -> None:
    settings = {
        name: field.annotation for name, field in Settings.model_fields.items()
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)
    }  # fmt: skip
    assert settings.keys() == KEYS.keys()
    for name, model in settings.items():
        tables = ("limits", "ap", "la", *(["keypoints"] if name == "data" else []))
        own = [key for key in model.model_fields if key not in tables]
        assert [key.name for key in KEYS[name]] == own


def test_every_key_with_an_option_is_a_setting_once() -> None:
    declared = {key.option: key for key in vars(option_keys).values() if isinstance(key, OptionKey)}
    found = [(str(key.option), key) for keys in KEYS.values() for key in keys if key.option is not None]
    assert sorted(option for option, _ in found) == sorted(declared)
    for option, key in found:
        assert (key.shown, key.meaning) == (declared[option].shown, declared[option].meaning)


def test_the_documentation_names_every_option_as_the_help_does() -> None:
    pages = [(DOCS / name).read_text(encoding="utf-8") for name in ("options.md", "anatomy.md")]
    page = "".join(pages).replace("\\|", "|")
    for key in vars(option_keys).values():
        if isinstance(key, OptionKey) and key.option.startswith("--"):
            # A factory is named there as it is typed.
            value = None if key is option_keys.FACTORY else key.metavar
            assert f"`{key.option}{'' if value is None else f' {value}'}" in page, key.option


def test_the_defaults_that_are_shown_are_those_in_force() -> None:
    def shown(table: str) -> dict[str, object]:
        return {key.name: key.shown for key in KEYS[table]}

    assert shown("loss") == MAHTNetLoss().settings()
    choices = CalibrationChoices()
    assert shown("calibration") == {item.name: getattr(choices, item.name) for item in fields(choices)}


@pytest.mark.parametrize("view", list(View))
def test_nothing_is_set_where_nothing_is_said(view: View) -> None:
    text = file_text(ProjectFile(("header",), view=view))
    assert read(text) == Settings()
    assert max(len(line) for line in text.splitlines()) <= 110


@pytest.mark.parametrize("view", list(View))
def test_every_comment_can_be_opened(view: View) -> None:
    settings = read(opened(file_text(ProjectFile(("header",), gates=GATES, view=view))))
    for name, keys in KEYS.items():
        assert all(getattr(getattr(settings, name), key.name) is not None for key in keys)
    assert settings.anatomy.limits == {spec.key: spec.default(view) for spec in limits_for(view.skeleton)}
    assert len(settings.gates.limits) == 4
    assert settings.gates.baseline is not None


def test_limits_of_the_regions_that_are_marked_are_shown() -> None:
    text = file_text(ProjectFile(("header",), settings={"data": {"levels": "T1-L5"}}))
    assert "# A202-thoracic = 28.0" in text
    assert "cervical" not in text.partition("[anatomy.limits]")[2]
    assert "thoracic" not in file_text(ProjectFile(("header",))).partition("[anatomy.limits]")[2]


def test_the_examples_of_the_documentation_can_be_obeyed() -> None:
    pages = [(DOCS / name).read_text(encoding="utf-8") for name in ("settings.md", "ci.md")]
    blocks = re.findall(r"```toml\n(.*?)```", "".join(pages), re.DOTALL)
    assert blocks
    for block in blocks:
        gates = read(block).gates
        assert len(gates.limits) == len(re.findall(r'"(?:(?:upper|lower) )?[<>]= [\d.]+"', block)) > 0
        assert (gates.baseline is None) is ("[gates.baseline]" not in block)


def test_what_is_set_is_read_back() -> None:
    project = ProjectFile(
        header=("a", "b"),
        settings={
            "model": {"checkpoint": 'nets/ü "q".pt', "heatmap_sigma": 1.5, "channels": 3},
            "data": {"path": "C:\\data\n", "view": "LA"},
            "loss": {"gamma": 0.5, "lambda_coord": 1e-7},
            "anatomy": {"select": ("A1", "A302")},
            "anatomy.limits": {"A201": 12.5},
            "calibration": {"groups": (), "seed": 5},
        },
        known={"model": {"decode": "local"}},
        remarks={"loss": ("first", "second")},
        gates=GATES,
        view=View.LA,
    )
    text = file_text(project)
    settings = read(text)
    assert settings.model.checkpoint == 'nets/ü "q".pt'
    assert (settings.model.heatmap_sigma, settings.model.channels, settings.model.decode) == (1.5, 3, None)
    assert '# decode = "local"  ' in text
    assert (settings.data.path, settings.data.view) == ("C:\\data\n", View.LA)
    assert settings.loss.model_dump(exclude_none=True) == {"gamma": 0.5, "lambda_coord": 1e-7}
    assert settings.anatomy.select == ("A1", "A302")
    assert settings.anatomy.limits == {"A201": 12.5}
    assert (settings.calibration.groups, settings.calibration.seed) == ((), 5)
    assert settings.gates.limits == (
        Gate("radial_error_px.mean", "<=", 2.93),
        Gate("calibration.sigma_scale", ">=", 0.9),
        Gate("calibration.sigma_scale", "<=", 1.1),
    )
    assert "[loss]\n# first\n# second\n# lambda_heatmap" in text
    assert read(opened(text)).gates.limits[-1].bound is Bound.UPPER


@given(TEXTS, st.floats(allow_nan=False, allow_infinity=False), st.booleans(), st.lists(TEXTS))
def test_values_are_read_back(text: str, number: float, truth: bool, texts: list[str]) -> None:
    for value in (text, number, int(number) % 2**63, truth, tuple(texts)):
        found = tomllib.loads(f"x = {toml_value(value)}")["x"]
        expected = list(value) if isinstance(value, tuple) else value
        assert (found, type(found)) == (expected, type(expected))
