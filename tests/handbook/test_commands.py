"""Every command of the documentation is run: those of a page one after the other, as a reader would."""

import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest
import typer

from mahtdiag.cli.commands import COMMANDS, app
from tests.cli.command import Finished, environment

from .pages import ROOT, Block, blocks, inline_commands, pages

PAGES = pages()
RUN = {
    name: [block for block in blocks(text) if block.language in ("sh", "console")]
    for name, text in PAGES.items()
}
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"][
    "optional-dependencies"
]
# Pages about wrong labels find some in the latest run.
LATEST = {"docs/export.md": "spoilt", "docs/labels.md": "spoilt"}
SECONDS = re.compile(r"\d+(\.\d+)? s\b")
STATUS = re.compile(r"\(exit status (\d)\)")


def test_commands_stand_in_blocks_that_are_run() -> None:
    """A block without a language shows something; what is to be typed is marked `sh` or `console`."""
    loose = [
        f"{name}: {line}"
        for name, text in PAGES.items()
        for block in blocks(text)
        if block.language not in ("sh", "console")
        for line in block.lines
        if line.startswith("mahtdiag ") and block.language != "text"
    ]
    assert loose == []
    assert (
        sum(
            line.startswith(("mahtdiag ", "$ mahtdiag "))
            for one in RUN.values()
            for block in one
            for line in block.lines
        )
        > 40
    )


@pytest.mark.slow
@pytest.mark.parametrize("page", [name for name, found in RUN.items() if found])
def test_the_commands_of_a_page_run(
    page: str, reader: Path, tmp_path: Path, command: Callable[..., Finished], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "reader"
    shutil.copytree(reader, folder, symlinks=True)
    monkeypatch.chdir(folder)
    if page in LATEST:
        (folder / "runs" / "latest").unlink()
        (folder / "runs" / "latest").symlink_to(LATEST[page])
    for block in RUN[page]:
        if block.language == "console":
            follow(block, command)
            continue
        for line in block.lines:
            if line.startswith("mahtdiag "):
                run(line, command)
            elif line.startswith("torchrun "):
                run_shared(line, folder)
            elif line.strip():
                require_known(line)


def run(line: str, command: Callable[..., Finished]) -> Finished:
    """Runs one line; what it ends with is 0 unless its comment says otherwise."""
    words, _, comment = line.partition("  #")
    words, _, file = words.partition(" > ")
    said = STATUS.search(comment)
    done = command(*shlex.split(words, comments=True)[1:])
    assert done.status == (int(said[1]) if said else 0), f"{line}\n{done.err}{done.text}"
    if file:
        Path(file.strip()).write_bytes(done.out)
    return done


def run_shared(line: str, folder: Path) -> None:
    """Runs a line of `torchrun` as it stands, in processes of its own."""
    command = [sys.executable, "-m", "torch.distributed.run", *shlex.split(line)[1:]]
    done = subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def follow(block: Block, command: Callable[..., Finished]) -> None:
    """Runs a dialogue; what is shown is what is printed, but for durations."""
    expected: list[str] = []
    printed = ""
    for line in block.lines:
        if line.startswith("$ "):
            compare(printed, expected)
            printed, expected = run(line.removeprefix("$ "), command).text, []
        else:
            expected.append(line)
    compare(printed, expected)


def compare(printed: str, expected: list[str]) -> None:
    lines = [SECONDS.sub("– s", line.rstrip()) for line in printed.splitlines()]
    assert lines == [SECONDS.sub("– s", line) for line in expected]


def require_known(line: str) -> None:
    """What is not our command: extras that pip installs, targets of make, our own modules are there."""
    words = shlex.split(line, comments=True)
    if not words or words[0] in ("git", "cd", "docker", "source"):
        return
    if words[:2] == ["pip", "install"]:
        named = [each for word in words[2:] for each in re.findall(r"\[([\w,]+)\]", word)]
        assert {extra for each in named for extra in each.split(",")} <= set(EXTRAS), line
    elif words[0] == "make":
        assert re.search(rf"^{words[1]}:", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE), (
            line
        )
    elif words[:2] == ["python", "-m"]:
        assert find_spec(words[2]) is not None, line
    else:
        pytest.fail(f"nothing runs this: {line}")


INLINE = sorted({line for text in PAGES.values() for line in inline_commands(text)})


@pytest.mark.parametrize("line", INLINE)
def test_a_command_within_a_sentence_exists(line: str) -> None:
    """Its name, and each option that it names."""
    _, name, *words = line.split()
    assert name in {known for known, *_ in COMMANDS}, line
    parameters = vars(typer.main.get_command(app))["commands"][name].params
    options = {option for each in parameters for option in (*each.opts, *each.secondary_opts)}
    named = [
        word.partition("=")[0]
        for word in words
        if word.startswith("-") and len(word) > 1 and not word[1].isdigit()
    ]
    assert [word for word in named if word not in options] == []
