"""Names, run folders and options that would move a cursor, hide, or pose as others: shown, never obeyed."""

import csv
import io
import json
import os
import pty
import shutil
import subprocess
import sys
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from mahtdiag.cli.commands import COMMANDS
from mahtdiag.runs.document import content_sha256

from .builders import INPUT_OPTIONS
from .command import Desk, Finished, environment

# A blinking red ground, C1, turned writing, no width, a tag, markup of rich, a link, commands to a pipeline.
ATTACK = "\x1b[41;5m\x9b\u202e\u200b\U000e0041[red]x\x1b]8;;e\x07" + "e" + 9 * "\u0301" + "##[error]"
# Some of it as it is shown; a narrow table shows only a part.
SHOWN = ("\\x1b[41;5m", "\\u009b", "\\u202e", "\\u200b", "\\U000e0041", "[red]x", "\\x1b]8;;e\\x07e")
COMMAND = "\n::error::taken over"
UNSEEN = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
EVALUATE = (
    "evaluate", "lookup-ap.pt", "data", "--model", "nets:exact", "--trust", *INPUT_OPTIONS,
    "--allow-failures", "1", "--overlays", "worst:2",
)  # fmt: skip

OF_A_RUN = [
    ("anatomy", "{run}", "--csv", "{run}.csv"),
    ("anatomy", "{run}", "--format", "json", "--no-pictures"),
    ("anatomy", "{run}", "--markdown", "-", "--no-pictures"),
    ("anatomy", "{run}", "--junit", "-", "--no-pictures"),
    ("calibration", "{run}", "--no-pictures", "--verbose"),
    ("calibration", "{run}", "--no-pictures", "--format", "json"),
    ("compare", "run", "{run}", "--out", "pairs"),
    ("compare", "{run}", "run", "--format", "json"),
    ("report", "{run}"),
    ("report", "{run}", "--format", "json"),
    ("figures", "{run}", "--figure", "losses"),
    ("export", "{run}", "--to", "coco", "of-{run}.json"),
    ("export", "{run}", "--to", "csv", "{run}.csv", "--force", "--format", "json"),
    ("init", "{run}", "--force"),
    ("runs", "."),
    ("runs", ".", "--format", "json"),
    ("evaluate", "--out", "{run}", "--resume"),
]
OF_DATA = [
    ("anatomy", "--labels", "data", "--csv", "labels.csv"),
    ("anatomy", "--labels", "data", "--format", "json"),
    ("inspect", ATTACK + ".pt"),
    ("inspect", ATTACK + ".pt", "--format", "json"),
]
OF_OPTIONS = [
    ("evaluate", ATTACK, ATTACK),
    ("evaluate", "lookup-ap.pt", "data", "--levels", ATTACK),
    ("evaluate", f"--{ATTACK}"),
    ("evaluate", "lookup-ap.pt", "data", "--view", ATTACK),
    ("evaluate", "lookup-ap.pt", "data", "--model", ATTACK, "--trust"),
    ("anatomy", "--select", ATTACK),
    ("anatomy", ATTACK),
    ("calibration", "run", "--apply", ATTACK),
    ("compare", ATTACK, "run"),
    ("report", ATTACK),
    ("runs", ".", "--sort", ATTACK),
    ("figures", "run", "--figure", ATTACK),
    ("export", "run", "--to", ATTACK, "x"),
    ("init", "run", "--margin", ATTACK),
    ("inspect", ATTACK),
    ("rules", "--config", ATTACK),
    ("explain", ATTACK),
    ("schema", ATTACK),
    (ATTACK,),
]


def raw_signs(text: str, *own: str) -> list[str]:
    """What a terminal would act on, but for line ends and what is our own, and marks beyond four."""
    for sequence in own:
        text = text.replace(sequence, "")
    found = [ascii(sign) for sign in text if sign != "\n" and unicodedata.category(sign) in UNSEEN]
    return found + ["marks"] * ("\u0301" * 5 in text)


def shows(text: str) -> bool:
    """Whether a part of the attack is in it as text."""
    return any(part in text for part in SHOWN)


def obeyed(text: str) -> list[str]:
    """Lines that the runner of GitHub Actions takes for commands, but for our own annotations."""
    ours = ("::error title=mahtdiag ", "::warning title=mahtdiag ")
    lines = [line for line in text.splitlines() if not line.startswith(ours)]
    return [line for line in lines if line.strip().startswith("::") or "##[" in line]


def foreign(run: Path, target: Path) -> None:
    """A copy of a run whose document was written by somebody else, with the right checksum."""
    shutil.copytree(run, target)
    document: dict[str, Any] = json.loads((target / "run.json").read_text())
    for place, key in [("checkpoint", "path"), ("data", "path"), ("environment", "device_name")]:
        document[place][key] = f"{document[place][key]}{ATTACK}{COMMAND}"
    for entry in document["setup"]:
        entry["evidence"] += ATTACK + COMMAND
    document["mahtdiag"] += ATTACK
    document["notes"].append(ATTACK + COMMAND)
    document["warnings"].append(ATTACK + COMMAND)
    document["checksums"]["run_json"] = content_sha256(document)
    (target / "run.json").write_text(json.dumps(document))


@pytest.fixture
def attacked(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """Images, a run of them, a run of somebody else and a checkpoint, all named by an attacker."""
    for number, file in enumerate(sorted((desk.path / "data/AP").iterdir())):
        if number < 4:
            file.rename(file.with_name(f"{COMMAND if number < 2 else '='}{ATTACK}{file.name}"))
    for ending in (".png", ".csv"):
        (desk.path / f"data/AP/failed{ATTACK}{ending}").write_bytes(b"neither")
    shutil.copy(desk.path / "ap.pt", desk.path / f"{ATTACK}.pt")
    done = desk.run(*EVALUATE, "--out", "run")
    assert (done.status, shows(done.text)) == (0, True)
    no_harm(done)
    foreign(desk.path / "run", desk.path / "theirs")
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    return desk


def no_harm(done: Finished, actions: bool = False) -> None:
    for text in (done.text, done.err):
        assert raw_signs(text) == []
        assert "Traceback" not in text
        assert not actions or obeyed(text) == []


@pytest.mark.slow
def test_every_command_shows_what_it_is_given(attacked: Desk) -> None:
    """Standard output and standard error as files, in a pipeline."""
    wanted: dict[tuple[str, ...], tuple[int, ...]] = {}
    for call in OF_A_RUN:
        for run in ("run", "theirs"):
            wanted[tuple(word.format(run=run) for word in call)] = (0, 2) if "--resume" in call else (0,)
    wanted |= dict.fromkeys(OF_DATA, (0, 1, 2)) | dict.fromkeys(OF_OPTIONS, (2,))
    silent = {name for name, *_ in COMMANDS} - {"demo"}
    for call, statuses in wanted.items():
        done = attacked.run(*call)
        assert done.status in statuses, (call, done.err)
        no_harm(done, actions=True)
        if shows(done.text + done.err):
            silent.discard(call[0])
    assert silent == set()


def test_a_table_for_people_holds_no_formula(attacked: Desk) -> None:
    attacked.run("anatomy", "--labels", "data/AP", "--csv", "people.csv")
    text = (attacked.path / "people.csv").read_text()
    assert raw_signs(text) == []
    rows = list(csv.reader(io.StringIO(text)))
    assert sum(cell.startswith(f"'={SHOWN[0]}") for row in rows for cell in row) == 1
    assert [cell for row in rows for cell in row if cell[:1] in tuple("=+-@")] == []


DRIVER = """
import json, sys
from mahtdiag.cli.app import main
for call in json.loads(sys.argv[1]):
    sys.argv = ["mahtdiag", *call]
    try:
        main()
    except SystemExit:
        pass
"""
# What a bar of rich does: colours, the cursor away and back, lines redrawn.
BAR = ("\x1b[?25l", "\x1b[?25h", "\x1b[2K", "\x1b[1A", "\r")


def on_a_terminal(desk: Path, calls: Sequence[Sequence[str]]) -> str:
    """What a terminal is sent by these commands, one after the other in one process."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-c", DRIVER, json.dumps(calls)]
    around = environment(TERM="xterm-256color")
    with subprocess.Popen(command, cwd=desk, env=around, stdout=theirs, stderr=theirs):
        os.close(theirs)
        sent = b""
        while True:
            try:
                part = os.read(ours, 65536)
            except OSError:
                break
            if not part:
                break
            sent += part
    os.close(ours)
    return sent.decode()


@pytest.mark.slow
def test_a_terminal_is_sent_no_sequence_but_ours(attacked: Desk) -> None:
    """Colours are rich's own, and none of what names hold comes through between them."""
    calls = [
        [*EVALUATE, "--out", "again"],
        *([word.format(run="theirs") for word in call] for call in OF_A_RUN[:1]),
        ["compare", "run", "theirs"], ["runs", "."], ["report", "theirs"],
        ["evaluate", "lookup-ap.pt", "data", "--levels", ATTACK],
    ]  # fmt: skip
    sent = on_a_terminal(attacked.path, calls)
    assert shows(sent)
    found = {part.partition("m")[0] for part in sent.split("\x1b[")[1:]}
    colours = {f"\x1b[{style}m" for style in found if set(style) <= set("0123456789;")}
    assert {"\x1b[0m", "\x1b[1m"} < colours
    assert "\x1b[41;5m" not in colours
    assert raw_signs(sent, *BAR, *colours) == []
