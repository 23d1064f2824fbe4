"""`[anatomy]`: which rules are checked."""

import pytest

from mahtdiag.config.reading import parse_settings
from mahtdiag.errors import UsageError
from mahtdiag.schema.views import View


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
    assert negative == "x.toml: anatomy.limits.A201 = -3: what it limits is never below 0"
    assert angle.startswith("x.toml: anatomy.limits.A202 = 200: no angle is above ")


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
