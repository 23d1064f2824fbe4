"""Which file is read, and what is said about one that cannot be obeyed."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mahtdiag.config.project_file import parse_settings, read_settings
from mahtdiag.config.settings import Settings
from mahtdiag.errors import UsageError

from .problems import problems_of

OWN = "mahtdiag.toml"
PROJECT = "pyproject.toml"


def workers(path: Path | None, cwd: Path) -> int | None:
    """One setting, to tell which file it came from."""
    return read_settings(path, cwd).evaluate.workers


def write(path: Path, text: str) -> Path:
    """A text file."""
    path.write_text(text, encoding="utf-8")
    return path


def test_the_nearest_file_wins(tmp_path: Path) -> None:
    assert read_settings(None, tmp_path) == Settings()
    write(tmp_path / PROJECT, "[tool.mahtdiag.evaluate]\nworkers = 1\n")
    assert workers(None, tmp_path) == 1
    write(tmp_path / OWN, "[evaluate]\nworkers = 2\n")
    assert workers(None, tmp_path) == 2
    named = write(tmp_path / "other.toml", "[evaluate]\nworkers = 3\n")
    assert workers(named, tmp_path) == 3


def test_files_do_not_mix(tmp_path: Path) -> None:
    write(tmp_path / PROJECT, "[tool.mahtdiag.evaluate]\nworkers = 1\n")
    write(tmp_path / OWN, "")
    assert workers(None, tmp_path) is None


def test_a_project_file_can_be_named(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    named = write(tmp_path / "there" / PROJECT, "[tool.mahtdiag]\nevaluate = {workers = 5}\n")
    assert workers(named, tmp_path) == 5


@pytest.mark.parametrize("text", ["", "[project]\nname = 'x'\n", "[tool.ruff]\na = 1\n", "tool = 3\n"])
def test_a_project_file_without_our_table(tmp_path: Path, text: str) -> None:
    write(tmp_path / PROJECT, text)
    assert read_settings(None, tmp_path) == Settings()


def test_our_table_must_be_a_table(tmp_path: Path) -> None:
    path = write(tmp_path / PROJECT, "[tool]\nmahtdiag = 3\n")
    expected = f"{path}: tool.mahtdiag = 3: expected a table, [tool.mahtdiag]"
    assert problems_of(lambda: read_settings(None, tmp_path)) == (expected,)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    (problem,) = problems_of(lambda: read_settings(tmp_path / "none.toml", tmp_path))
    assert problem == f"{tmp_path / 'none.toml'}: cannot be read (No such file or directory)"
    (problem,) = problems_of(lambda: read_settings(tmp_path, tmp_path))
    assert problem == f"{tmp_path}: cannot be read (a folder, not a file)"


@pytest.mark.parametrize(
    "content", [b"[model\n", b"a = \n", b"a = 1\na = 2\n", b"\xff\xfe", b'a = "\xe4"', b"\x00"]
)
@pytest.mark.parametrize("name", [OWN, PROJECT])
def test_files_that_are_not_toml(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    (problem,) = problems_of(lambda: read_settings(None, tmp_path))
    assert problem.startswith(f"{tmp_path / name}: not valid TOML: ")


def test_all_problems_at_once(tmp_path: Path) -> None:
    write(
        tmp_path / OWN,
        """
        top = 1
        [modle]
        [model]
        chekpoint = "a.pt"
        qqq = "grey"
        channels = 2
        input_size = "big"
        [data]
        view = "PA"
        levels = ["T1", "L5"]
        [evaluate]
        batchsize = 3
        workers = -1
        [anatomy.limits]
        A201 = "wide"
        """,
    )
    problems = problems_of(lambda: read_settings(None, tmp_path))
    expected = (
        "model.channels = 2: input should be 1 or 3",
        "model.input_size = 'big': expected HEIGHTxWIDTH in pixels, for example 512x256",
        "unknown key model.chekpoint; did you mean checkpoint?",
        "unknown key model.qqq; known here: args, channel_order, channels, ",
        "data.view = 'PA': expected AP, LA or auto",
        "data.levels = ['T1', 'L5']: expected one text, the first and the last vertebra: levels = \"T1-L5\"",
        "evaluate.workers = -1: input should be greater than 0",
        "unknown key evaluate.batchsize; did you mean batch_size?",
        "anatomy.limits.A201 = 'wide': ",
        "unknown key top; ",
        "unknown key modle; did you mean model?",
    )
    for beginning in expected:
        assert sum(problem.startswith(f"{OWN}: {beginning}") for problem in problems) == 1, beginning
    assert len(problems) == 11


def test_hints_name_what_users_type() -> None:
    (problem,) = problems_of(lambda: parse_settings({"anatomy": {"ap": {}}}, "x.toml"))
    assert problem.startswith("x.toml: unknown key anatomy.ap; known here: AP, LA, ")
    (problem,) = problems_of(lambda: parse_settings({"anatomy": {"limit": {}}}, "x.toml"))
    assert problem == "x.toml: unknown key anatomy.limit; did you mean limits?"


@pytest.mark.parametrize("section", ["model", "data", "evaluate", "anatomy"])
@pytest.mark.parametrize("value", [3, "a", [1], False])
def test_a_section_must_be_a_table(section: str, value: object) -> None:
    (problem,) = problems_of(lambda: parse_settings({section: value}, "x.toml"))
    assert problem.startswith(f"x.toml: {section} = {value!r}: ")


def test_what_stands_in_the_place_of_a_file_is_not_passed_over(tmp_path: Path) -> None:
    for name in (PROJECT, OWN):
        place = tmp_path / name
        place.mkdir()
        assert problems_of(lambda: read_settings(None, tmp_path)) == (
            f"{place}: cannot be read (a folder, not a file)",
        )  # fmt: skip
        place.rmdir()
        place.symlink_to(tmp_path / "gone")
        assert problems_of(lambda: read_settings(None, tmp_path)) == (
            f"{place}: cannot be read (No such file or directory)",
        )  # fmt: skip
        place.unlink()


def test_a_byte_order_mark_is_no_content(tmp_path: Path) -> None:
    (tmp_path / OWN).write_bytes(b"\xef\xbb\xbf[evaluate]\r\nworkers = 2\r\n")
    assert workers(None, tmp_path) == 2


def test_nesting_without_end(tmp_path: Path) -> None:
    write(tmp_path / OWN, "a = " + "[" * 10_000)
    (problem,) = problems_of(lambda: read_settings(None, tmp_path))
    assert problem == f"{tmp_path / OWN}: not valid TOML: tables or lists are nested too deeply"


@pytest.mark.parametrize(("table", "key"), [("model", "checkpoint"), ("data", "path")])
def test_a_text_with_a_nul_names_nothing(table: str, key: str) -> None:
    (problem,) = problems_of(lambda: parse_settings({table: {key: "a\0"}}, "x.toml"))
    assert problem == f"x.toml: {table}.{key} = 'a\\x00': a text with a NUL names nothing"


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.dates() | st.times(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=4,
)
NAMES = sorted(
    {"AP", "LA", "limits", "baseline", "run", "radial_error_px.mean", "radial_error_px", "A201", "x\ny"}
    | {key for name in Settings.model_fields for key in getattr(Settings(), name).__class__.__annotations__}
)


TABLES = st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=4)


def reported(table: dict[str, object]) -> tuple[str, ...]:
    """What is said about a table; nothing about one that can be obeyed."""
    try:
        parse_settings(table, "x.toml")
    except UsageError as error:
        return error.problems or ("no reason",)
    return ()


@given(st.dictionaries(st.sampled_from([*Settings.model_fields, "bogus"]), VALUES | TABLES, max_size=3))
def test_whatever_is_in_a_file_it_is_settings_or_short_lines(table: dict[str, object]) -> None:
    for problem in reported(table):
        assert problem.startswith("x.toml: ")
        assert len(problem) < 500
        assert "\n" not in problem
