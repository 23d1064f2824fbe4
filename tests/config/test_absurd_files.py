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


def test_a_long_cell_of_a_header_takes_no_time() -> None:
    began = time.process_time()
    assert column_names(["x (px)", " " * 64_000 + "x"])[0] == "x"
    assert time.process_time() - began < 1
