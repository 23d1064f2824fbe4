"""A bench to work at, and the command to run on it."""

import shutil
import signal
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mahtdiag.cli.app import SIGNALS, main

from .builders import Bench, build_bench
from .command import PIPELINE, Desk, Finished


@pytest.fixture(scope="session")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """Made once; tests work on copies."""
    return build_bench(tmp_path_factory.mktemp("bench"))


@pytest.fixture(autouse=True)
def _no_pipeline(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests themselves may run in one."""
    for name in PIPELINE:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session", autouse=True)
def _heed_ctrl_c() -> None:
    """Tests that a script runs in the background ignore Ctrl-C, and so would the commands that they start."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def clean_process(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What the command changes in its process is put back."""
    handlers = {number: signal.getsignal(number) for number in SIGNALS}
    hook = sys.unraisablehook
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)
    sys.unraisablehook = hook
    sys.modules.pop("nets", None)


@pytest.fixture
def command(
    monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes], clean_process: None
) -> Callable[..., Finished]:
    """The command in this process, in the current folder."""
    monkeypatch.setenv("COLUMNS", "80")

    def run(*arguments: str) -> Finished:
        monkeypatch.setattr(sys, "argv", ["mahtdiag", *arguments])
        with pytest.raises(SystemExit) as left:
            main()
        printed = capsysbinary.readouterr()
        assert isinstance(left.value.code, int)
        return Finished(int(left.value.code), printed.out, printed.err.decode())

    return run


@pytest.fixture
def desk(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: Callable[..., Finished]
) -> Desk:
    """A copy of the bench as the current folder, and the command in this process."""
    folder = tmp_path / "desk"
    shutil.copytree(bench.path, folder)
    monkeypatch.chdir(folder)
    return Desk(folder, command)
