"""Several processes on one evaluation: the same bits as one, whatever happens to them on the way."""

import json
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from . import networks
from .builders import INPUT_OPTIONS
from .command import Desk, Finished, document_of, environment, finish
from .test_repeated_passes import varied

PATIENCE_SECONDS = 60.0
LOOKUP = (
    "lookup-ap.pt",
    "data",
    "--view",
    "AP",
    "--trust",
    *INPUT_OPTIONS,
    "--batch-size",
    "1",
    "--overlays",
    "none",
)
EXACT = ("evaluate", *LOOKUP, "--model", "nets:exact", "--out", "run")
SLOW = ("evaluate", *LOOKUP, "--model", "nets:slow", "--out", "run")


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def is_open(port: int) -> bool:
    with socket.socket() as asked:
        return asked.connect_ex(("127.0.0.1", port)) == 0


def started(folder: Path, *commands: tuple[str, ...], **more: str) -> "list[subprocess.Popen[bytes]]":
    """A process for each command, as torchrun starts them; the first one opens the store."""
    shared = {"WORLD_SIZE": str(len(commands)), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    return [
        subprocess.Popen(
            [sys.executable, "-m", "mahtdiag", *command],
            cwd=folder,
            env=environment(RANK=str(rank), LOCAL_RANK=str(rank), **shared, **more),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for rank, command in enumerate(commands)
    ]


def together(folder: Path, *commands: tuple[str, ...], **more: str) -> list[Finished]:
    return [finish(process) for process in started(folder, *commands, **more)]


def torchrun(folder: Path, count: int, *command: str) -> Finished:
    run = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        f"--nproc-per-node={count}",
        f"--master-port={free_port()}",
    ]
    return finish(
        subprocess.Popen(
            [*run, "-m", "mahtdiag", *command],
            cwd=folder,
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
    )


def result_of(folder: Path) -> tuple[bytes, bytes, dict[str, Any]]:
    """Both tables, and `run.json` without what tells when it was made."""
    content = document_of(folder)
    del content["started"], content["seconds"]
    return (folder / "images.parquet").read_bytes(), (folder / "keypoints.parquet").read_bytes(), content


@pytest.fixture
def alone(desk: Desk) -> tuple[bytes, bytes, dict[str, Any]]:
    """What one process makes of it."""
    done = finish(subprocess.Popen(
        [sys.executable, "-m", "mahtdiag", *EXACT],
        cwd=desk.path, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ))  # fmt: skip
    assert done.status == 0, done.err
    found = result_of(desk.path / "run")
    (desk.path / "run").rename(desk.path / "alone")
    return found


@pytest.mark.slow
@pytest.mark.parametrize("count", [2, 3])
def test_torchrun_gives_the_bits_of_one_process(
    desk: Desk, count: int, alone: tuple[bytes, bytes, Any]
) -> None:
    done = torchrun(desk.path, count, *EXACT)
    assert done.status == 0, done.err
    assert result_of(desk.path / "run") == alone
    assert done.text.count("run folder: run\n") == 1
    assert [line for line in done.err.splitlines() if "evaluating: 6/6" in line]
    assert not (desk.path / "run" / "parts").exists()


@pytest.mark.slow
def test_passes_with_dropout_and_ensembles_are_the_same(desk: Desk) -> None:
    varied(desk, "other.pt")
    plain = ("--batch-size", "2", "--overlays", "none")
    for name, networks_and_more in (
        ("dropout", ("ap.pt", "data", "--uncertainty", "mc-dropout:3")),
        ("ensemble", ("ap.pt,other.pt", "data")),
    ):
        command = ("evaluate", *networks_and_more, *plain, "--out")
        first, _ = together(desk.path, *[(*command, f"{name}-two")] * 2)
        assert first.status == 0, first.err
        assert desk.run(*command, f"{name}-one").status == 0
        assert result_of(desk.path / f"{name}-one")[:2] == result_of(desk.path / f"{name}-two")[:2]


@pytest.mark.slow
def test_only_the_first_tells_and_a_failed_gate_is_its_status(desk: Desk) -> None:
    (desk.path / "mahtdiag.toml").write_text('[gates]\n"radial_error_px.mean" = "<= 0.1"\n')
    command = (*EXACT, "--junit", "junit.xml", "-q")
    first, second = together(desk.path, command, command)
    assert (first.status, second.status, second.out, second.err) == (1, 0, b"", "")
    assert "gates: 1 of 1 gate failed" in first.text
    assert 'failures="1"' in (desk.path / "junit.xml").read_text()


@pytest.mark.slow
def test_other_arguments_and_files_are_refused_before_any_work(desk: Desk) -> None:
    first, second = together(desk.path, EXACT, (*EXACT, "--heatmap-sigma", "2"))
    assert (first.status, second.status) == (2, 2)
    assert first.errors == ["error: process 1 of 2: heatmap_sigma: 1.5 → 2.0"]
    assert (second.out, second.err) == (b"", "")
    assert not (desk.path / "run").exists()


@pytest.mark.slow
def test_one_mistake_of_all_is_said_once(desk: Desk) -> None:
    wrong = ("evaluate", "nowhere.pt", "data", "--out", "run")
    first, second = together(desk.path, wrong, wrong)
    assert (first.status, second.status) == (2, 2)
    assert len(first.errors) == 1
    assert "nowhere.pt" in first.errors[0]
    assert (second.out, second.err) == (b"", "")


@pytest.mark.slow
def test_a_mistake_of_one_is_said_by_the_first(desk: Desk) -> None:
    first, second = together(desk.path, EXACT, ("evaluate", "nowhere.pt", *EXACT[2:]))
    assert (first.status, second.status) == (2, 2)
    assert len(first.errors) == 1
    assert first.errors[0].startswith("error: process 1 of 2: nowhere.pt: ")
    assert (second.out, second.err) == (b"", "")
    taken = ("evaluate", *LOOKUP, "--model", "nets:exact", "--out", "data")
    first, second = together(desk.path, taken, taken)
    assert first.errors == ["error: data: exists and is not empty; choose another --out"]
    assert (second.status, second.err) == (2, "")


@pytest.mark.slow
def test_a_network_that_fails_in_one_process_leaves_the_rest_to_resume(
    desk: Desk, alone: tuple[bytes, bytes, Any]
) -> None:
    # The marker is the only thing that tells the second process from the first.
    (desk.path / "nets.py").write_text(
        (desk.path / "nets.py").read_text()
        + "\nimport os\nif os.environ.get('RANK') == '1' and os.environ.get('FAIL'):\n    exact = raises\n"
    )
    first, second = together(desk.path, EXACT, EXACT, FAIL="1")
    assert (first.status, second.status, second.err) == (2, 2, "")
    (error,) = first.errors
    assert error.startswith(
        "error: run: process 1 of 2 could not go on: the network failed on a batch [1, 1, 64, 64]: "
    )
    assert error.endswith("; finish with --resume")
    again = torchrun(desk.path, 3, *EXACT, "--resume")
    assert again.status == 0, again.err
    assert result_of(desk.path / "run") == alone


@pytest.mark.slow
@pytest.mark.parametrize("killed", [0, 1])
def test_a_process_that_is_killed_fails_the_run_which_others_finish(desk: Desk, killed: int) -> None:
    assert desk.run(*SLOW[:-1], "alone").status == 0
    marks = desk.path / "marks"
    marks.mkdir()
    more = {networks.PAUSE: "0.3", networks.MARKS: str(marks)}
    processes = started(desk.path, SLOW, SLOW, **more)
    end = time.monotonic() + PATIENCE_SECONDS
    while len([*marks.glob("image-*")]) < 3 and time.monotonic() < end:
        time.sleep(0.01)
    processes[killed].send_signal(signal.SIGKILL)
    # As the agent of torchrun ends the others.
    processes[1 - killed].send_signal(signal.SIGTERM)
    done = [finish(process) for process in processes]
    assert done[1 - killed].status == 130
    assert (desk.path / "run" / "run.json").exists()
    resumed = together(desk.path, *[(*SLOW, "--resume")] * 3)
    assert [each.status for each in resumed] == [0, 0, 0], resumed[0].err
    assert result_of(desk.path / "run")[:2] == result_of(desk.path / "alone")[:2]


@pytest.mark.parametrize(
    ("variables", "problem"),
    [
        ({"RANK": "x"}, "RANK=x: not a number of a process; start all of them with torchrun"),
        ({"RANK": "2"}, "RANK=2: of 2 processes the last is 1"),
    ],
)
def test_variables_that_torchrun_would_not_set(
    desk: Desk, variables: dict[str, str], problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = {"RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"}
    for name, value in {**whole, **variables}.items():
        monkeypatch.setenv(name, value)
    desk.run(*EXACT).refused(problem)


def test_waiting_for_the_others_can_be_interrupted(desk: Desk) -> None:
    port = free_port()
    shared = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    process = subprocess.Popen(
        [sys.executable, "-m", "mahtdiag", *EXACT],
        cwd=desk.path,
        env=environment(RANK="0", **shared),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not is_open(port):
        assert process.poll() is None, "it ended before that"
        assert time.monotonic() < deadline, "it opened no store"
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    begun = time.monotonic()
    done = finish(process)
    assert (done.status, done.out, done.errors) == (130, b"", ["interrupted"])
    assert time.monotonic() - begun < PATIENCE_SECONDS / 2
    assert not (desk.path / "run").exists()


def test_one_process_of_torchrun_is_alone(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "nowhere", "MASTER_PORT": "1"}.items():
        monkeypatch.setenv(name, value)
    done = desk.run(*EXACT, "--format", "json")
    assert (done.status, json.loads(done.out)["images"]["evaluated"]) == (0, 6)
