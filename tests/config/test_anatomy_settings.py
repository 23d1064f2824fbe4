"""`[anatomy]`: which rules are checked."""

import pytest

from mahtdiag.anatomy.rules import LIMIT_BY_KEY
from mahtdiag.config.project_file import parse_settings
from mahtdiag.errors import UsageError
from mahtdiag.schema.skeleton import View


@pytest.mark.parametrize("value", [["A1", "A302"], "A1,A302", " A1 , A302,"])
def test_codes_as_a_list_or_as_one_text(value: object) -> None:
    settings = parse_settings({"anatomy": {"select": value, "ignore": value}}, "x.toml")
    assert settings.anatomy.select == ("A1", "A302")
    assert settings.anatomy.ignore == ("A1", "A302")


def test_what_is_not_set_is_none() -> None:
    settings = parse_settings({"anatomy": {"limits": {"A201": 20}}}, "x.toml")
    assert (settings.anatomy.select, settings.anatomy.ignore) == (None, None)
    assert settings.anatomy.limits_of(View.AP) == {"A201": 20.0}


@pytest.mark.parametrize("value", [3, [3], {"A1": 2}, True])
def test_codes_that_are_none(value: object) -> None:
    with pytest.raises(UsageError, match=r"x\.toml: anatomy\.select"):
        parse_settings({"anatomy": {"select": value}}, "x.toml")


def test_every_wrong_limit_is_named_at_once() -> None:
    limits = {"A201": -3, "A20": 5, "A202": 200, "A301-min": 0.6}
    with pytest.raises(UsageError) as caught:
        parse_settings({"anatomy": {"limits": limits}}, "x.toml")
    unknown, negative, angle = caught.value.problems
    assert unknown.startswith("x.toml: unknown key anatomy.limits.A20; did you mean ")
    assert negative == "x.toml: anatomy.limits.A201 = -3: always fires: what it limits lies between 0 and 90"
    assert angle == (
        "x.toml: anatomy.limits.A202 = 200: never fires: what it limits lies between 0 and 90; ignore leaves "
        "a rule out"
    )


@pytest.mark.parametrize(
    ("key", "value", "fault"),
    [
        ("A401", -1.0, "always"), ("A601", -0.01, "always"), ("A603", -1.0, "always"),
        ("A201", 90.0, "never"), ("A602", 0.0, "never"), ("A602", -1.0, "never"), ("A603", 4.0, "never"),
        ("A302-width", 2.0, "never"),
        ("A302-height", -0.1, "always"), ("A203", 180.0, "never"), ("A301-min", -1.0, "never"),
        ("A202-thoracic", 90.0, "never"), ("A301-min-cervical", -1.0, "never"),
        ("A501-share-thoracic", -2.0, "always"),
    ],
)  # fmt: skip
def test_limits_that_are_always_or_never_broken(key: str, value: float, fault: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_settings({"anatomy": {"limits": {key: value}}}, "x.toml")
    assert caught.value.problems[0].startswith(f"x.toml: anatomy.limits.{key} = {value:g}: {fault} fires: ")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("A401", 0.0), ("A601", 0.0), ("A603", 3.0), ("A201", 89.9), ("A602", 0.001), ("A302-width", 1.9),
        ("A301-min", 0.0), ("A102", -0.5), ("A402", -0.1), ("A501-gap", 3.0), ("A101", -0.2), ("A405", -0.1),
        ("A202-thoracic", 30.0), ("A301-min-thoracic", 0.0), ("A501-share-thoracic", 0.5),
    ],
)  # fmt: skip
def test_limits_that_can_be_kept_and_broken(key: str, value: float) -> None:
    settings = parse_settings({"anatomy": {"limits": {key: value}}}, "x.toml")
    assert settings.anatomy.limits_of(View.AP) == {key: value}


def test_a_region_has_a_band_of_its_own() -> None:
    with pytest.raises(UsageError) as caught:
        parse_settings({"anatomy": {"limits": {"A301-min-thoracic": 13.0}}}, "x.toml")
    (problem,) = caught.value.problems
    assert problem == (
        "x.toml: [anatomy]: A301-min-thoracic 13 must be below A301-max-thoracic 12 (AP); "
        "A301-min-thoracic 13 must be below A301-max-thoracic 4 (LA)"
    )
    assert parse_settings({"anatomy": {"AP": {"A301-min-thoracic": 5.0}}}, "x.toml")


def test_a_misspelt_region_is_led_to_its_limit() -> None:
    with pytest.raises(UsageError, match="did you mean A301-max-thoracic"):
        parse_settings({"anatomy": {"limits": {"A301-max-thoracik": 3.0}}}, "x.toml")


def test_defaults_can_be_kept_and_broken() -> None:
    problems = [spec.problem_of(spec.default(view)) for spec in LIMIT_BY_KEY.values() for view in View]
    assert set(problems) == {None}


@pytest.mark.parametrize(
    ("table", "key"), [("model", "checkpoint"), ("data", "path"), ("evaluate", "device")]
)
def test_an_empty_text_names_nothing(table: str, key: str) -> None:
    """An empty path would quietly mean the current folder."""
    with pytest.raises(UsageError) as caught:
        parse_settings({table: {key: " "}}, "x.toml")
    assert caught.value.problems == (
        f"x.toml: {table}.{key} = ' ': an empty text names nothing; leave the key out",
    )
