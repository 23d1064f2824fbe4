"""The examples of docs/python.md, run as they stand there."""

import doctest
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_examples_of_the_documentation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sample_data").symlink_to(ROOT / "sample_data")
    monkeypatch.chdir(tmp_path)
    file = ROOT / "docs" / "python.md"
    found = doctest.DocTestParser().get_doctest(file.read_text(encoding="utf-8"), {}, file.name, str(file), 0)
    said: list[str] = []
    done = doctest.DocTestRunner(verbose=False).run(found, out=said.append)
    assert done.failed == 0, "".join(said)
    assert done.attempted > 20
