"""Runs that start at the same moment: each has a folder of its own."""

from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path

from mahtdiag.runs.reading import RUNS, claim_run_path

NOW = datetime(2026, 11, 23, 10, 15, tzinfo=UTC)
STARTS = 32


def claim(cwd: Path) -> Path:
    return claim_run_path("ckpt", NOW, cwd)


def test_runs_that_start_at_once_have_folders_of_their_own(tmp_path: Path) -> None:
    with ProcessPoolExecutor(4, mp_context=get_context("spawn")) as pool:
        claimed = list(pool.map(claim, [tmp_path] * STARTS, chunksize=1))
    assert len(set(claimed)) == STARTS
    name = "20261123T101500Z-ckpt"
    assert set(claimed) == {Path(RUNS) / name, *(Path(RUNS) / f"{name}-{n}" for n in range(2, STARTS + 1))}
    assert all((tmp_path / path).is_dir() for path in claimed)


def test_where_no_folder_can_be_made_the_run_says_so(tmp_path: Path) -> None:
    (tmp_path / RUNS).write_text("a file")
    path = claim_run_path("ckpt", NOW, tmp_path)
    assert path == Path(RUNS) / "20261123T101500Z-ckpt"
