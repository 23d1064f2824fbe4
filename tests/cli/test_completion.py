"""Completion in shells: the script that is installed is one of that shell, and what it asks is answered."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SHELLS = ("bash", "zsh", "fish")
# Else the shell that the tests run in is taken, whatever is asked.
ASKED = {"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}


def said(*arguments: str, **variables: str) -> str:
    command = [sys.executable, "-m", "mahtdiag", *arguments]
    done = subprocess.run(
        command, env={**os.environ, **ASKED, **variables}, capture_output=True, text=True, check=False
    )
    assert done.stderr == ""
    return done.stdout


@pytest.mark.parametrize("shell", SHELLS)
def test_the_script_is_one_of_the_shell(shell: str, tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text(said("--show-completion", shell), encoding="utf-8")
    assert f"complete_{shell}" in script.read_text(encoding="utf-8")
    found = shutil.which(shell)
    if found is None:
        pytest.skip(f"no {shell} is installed to read it")
    assert subprocess.run([found, "-n", script], capture_output=True, check=False).stderr == b""


@pytest.mark.parametrize(
    ("typed", "answers"),
    [
        ("mahtdiag ev", ["evaluate"]),
        ("mahtdiag evaluate --dec", ["--decode"]),
        ("mahtdiag evaluate --decode ", ["argmax", "local", "dark", "soft-argmax", "expectation"]),
    ],
)
def test_what_is_typed_is_completed(typed: str, answers: list[str]) -> None:
    words = typed.split(" ")
    bash = {"COMP_WORDS": typed, "COMP_CWORD": str(len(words) - 1), "_MAHTDIAG_COMPLETE": "complete_bash"}
    assert said(**bash).split() == answers
    fish = {"_TYPER_COMPLETE_FISH_ACTION": "get-args", "_MAHTDIAG_COMPLETE": "complete_fish"}
    lines = said(**fish, _TYPER_COMPLETE_ARGS=typed).splitlines()
    assert [line.partition("\t")[0] for line in lines] == answers
    zsh = said(_MAHTDIAG_COMPLETE="complete_zsh", _TYPER_COMPLETE_ARGS=typed)
    assert zsh.startswith("_arguments '*: :((")
    assert all(f'"{answer}"' in zsh for answer in answers)
