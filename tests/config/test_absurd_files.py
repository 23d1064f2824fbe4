"""Project files and headers of tables of absurd length: one short line, at once."""

import time
from pathlib import Path

import pytest

from mahtdiag.config.project_file import read_settings
from mahtdiag.data.readers.tables import column_names
from mahtdiag.errors import UsageError


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("x = " + "9" * 5000, "not valid TOML: a number of absurd length"),
        ("k" * 100_000 + " = 1", "unknown key"),
    ],
    ids=["digits", "key"],
)
def test_a_project_file_of_absurd_length(tmp_path: Path, content: str, said: str) -> None:
    (tmp_path / "mahtdiag.toml").write_text(f"[data]\n{content}\n")
    with pytest.raises(UsageError) as caught:
        read_settings(tmp_path / "mahtdiag.toml", tmp_path)
    (problem,) = caught.value.problems
    assert said in problem
    assert len(problem) < 1000


@pytest.mark.parametrize("part", ["a.", '"a". ', "'a' . ", "ü.", "a-b."])
@pytest.mark.parametrize("key", ["{}a = 1", "[{}a]", "[[{}a]]", "x = {{{}a = 1}}"])
def test_a_key_of_many_parts_takes_no_time(tmp_path: Path, part: str, key: str) -> None:
    (tmp_path / "mahtdiag.toml").write_text(key.format(part * 100_000))
    began = time.process_time()
    with pytest.raises(UsageError, match=r"a key of more than 100 parts; no key is|not valid TOML"):
        read_settings(tmp_path / "mahtdiag.toml", tmp_path)
    assert time.process_time() - began < 1


def test_texts_with_many_dots_are_no_keys(tmp_path: Path) -> None:
    (tmp_path / "mahtdiag.toml").write_text(f"[data]  # {'…, ' * 200}{'. ' * 200}\npath = '{'../' * 150}a'\n")
    assert read_settings(tmp_path / "mahtdiag.toml", tmp_path).data.path == "../" * 150 + "a"


@pytest.mark.parametrize("table", ["gates", "gates.AP", "gates.baseline"])
def test_many_unknown_gates_take_no_time(tmp_path: Path, table: str) -> None:
    lines = "".join(f"radial_error_{at} = '<= 4'\n" for at in range(1001))
    (tmp_path / "mahtdiag.toml").write_text(f"[{table}]\n{lines}")
    began = time.process_time()
    with pytest.raises(UsageError) as caught:
        read_settings(tmp_path / "mahtdiag.toml", tmp_path)
    (problem,) = caught.value.problems
    assert problem.endswith("[gates]: more than 1000 gates; name the numbers that decide")
    assert time.process_time() - began < 1


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (f"x = [{'[],' * 5001}]", "more than 5,000 values; no configuration has as many"),
        ("".join(f"[a{at}]\n" for at in range(5001)), "more than 5,000 values; no configuration has as many"),
        ("#" * (2**20 + 1), r"cannot be read \(1,048,577 bytes, at most 1,048,576 are read\)"),
    ],
    ids=["lists", "tables", "bytes"],
)
def test_a_project_file_of_many_values(tmp_path: Path, content: str, said: str) -> None:
    (tmp_path / "mahtdiag.toml").write_text(content)
    with pytest.raises(UsageError, match=said):
        read_settings(tmp_path / "mahtdiag.toml", tmp_path)


def test_a_long_cell_of_a_header_takes_no_time() -> None:
    began = time.process_time()
    assert column_names(["x (px)", " " * 64_000 + "x"])[0] == "x"
    assert time.process_time() - began < 1
