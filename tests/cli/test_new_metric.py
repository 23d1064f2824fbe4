"""A number that is written once arrives in `run.json`, tables, gates, comparisons, the page and `init`."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from .builders import INPUT_OPTIONS, Bench
from .command import Desk, document_of, environment

# What a new file in metrics/ would hold, and commands in one process that knows it.
SCRIPT = """
import sys

import numpy as np

from mahtdiag.diagnosis.metrics import registry
from mahtdiag.diagnosis.metrics.measures import Mean, Terms
from mahtdiag.diagnosis.metrics.metric import Better, Compared, IntervalKind, Metric, everything
from mahtdiag.diagnosis.worst_images import measured


def is_far(table):
    return table.error_px > 0.05 * table.width[:, None]


def behind(table):
    return measured("share of keypoints far off", "", is_far(table).mean(axis=1), table.image)


def far_metrics(skeleton):
    terms = Terms(is_far, lambda table: np.isfinite(table.error_px))
    yield Metric(
        path=("metrics", "far_keypoints"), label="keypoints far off", group=everything(skeleton),
        better=Better.LOWER, most=1.0, unit="share", measure=Mean(terms), interval=IntervalKind.SHARE,
        behind=behind, table="Radial error", short="far off, %", compared=Compared.ALWAYS, proposed=99,
    )


registry.FAMILIES = (*registry.FAMILIES, far_metrics)

from mahtdiag.cli.app import main

for place, command in enumerate(open("commands").read().splitlines()):
    sys.argv = ["mahtdiag", *command.split("\\t")]
    sys.stdout = open(f"out-{place}", "w")
    try:
        main()
    except SystemExit as left:
        sys.stdout.write(f"\\nstatus {left.code}")
    sys.stdout.close()
"""
GATES = '[gates]\n"far_keypoints" = "upper <= 0.01"\n[gates.baseline]\nrun = "a"\n"far_keypoints" = "+1 %"\n'


def run_all(folder: Path, *commands: tuple[str, ...]) -> list[str]:
    """What each command prints, and its status."""
    (folder / "script.py").write_text(SCRIPT)
    (folder / "commands").write_text("\n".join("\t".join(command) for command in commands))
    done = subprocess.run(
        [sys.executable, "script.py"],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [(folder / f"out-{place}").read_text() for place in range(len(commands))]


def line(text: str, start: str) -> str:
    return next(row.strip() for row in text.splitlines() if row.strip().startswith(start))


@pytest.mark.slow
def test_a_metric_in_one_place_is_known_everywhere(bench: Bench, desk: Desk) -> None:
    lookup = ("evaluate", "lookup-ap.pt", "data", "--model", "nets:exact", "--trust", *INPUT_OPTIONS)
    options = ("--view", "AP", "--overlays", "none")
    (desk.path / "gated.toml").write_text(GATES)
    a, b, gated, compared, _, report = run_all(
        desk.path,
        (*lookup, *options, "--out", "a"),
        ("evaluate", "ap.pt", "data", *options, "--out", "b", "--format", "json"),
        ("evaluate", "ap.pt", "data", *options, "--out", "c", "--config", "gated.toml", "--markdown", "-"),
        ("compare", "a", "b", "--format", "json"),
        ("init", "a", "--out", "new.toml"),
        ("report", "b", "--out", "b.html"),
    )
    # run.json, --format json and the table of evaluate
    metrics = document_of(desk.path / "a")["metrics"]
    share, (low, high) = metrics["far_keypoints"], metrics["far_keypoints_ci95"]
    assert 0.0 < share < 1.0
    assert low <= share <= high
    assert line(a, "keypoints far off").split()[3:5] == [f"{100 * share:.1f}", "%"]
    far = json.loads(b.rpartition("\nstatus")[0])["metrics"]["far_keypoints"]
    assert far > share
    # gates, on the number and on its difference to a stored run, and the images behind one that failed
    assert gated.endswith("status 1")
    gates = document_of(desk.path / "c")["gates"]
    assert [(gate["metric"], gate["passed"], gate["kind"]) for gate in gates] == [
        ("far_keypoints", False, "limit"), ("far_keypoints", False, "baseline"),
    ]  # fmt: skip
    assert gates[0]["estimate"] == far
    assert gates[1]["estimate"] == pytest.approx(far - share)
    assert "share of keypoints far off" in gated
    # the difference, of which six images tell no interval
    content = json.loads(compared.rpartition("\nstatus")[0])
    difference = content["metrics"]["far_keypoints"]
    assert difference["difference"] == pytest.approx(far - share)
    assert (difference["ci95"], difference["p_value"]) == (None, None)
    assert (difference["better"], difference["test"]) == ("lower", None)
    # what init proposes, and the page
    assert re.search(r'^"far_keypoints" = "<= 0\.\d+"', (desk.path / "new.toml").read_text(), re.MULTILINE)
    assert report.endswith("status 0")
    assert "keypoints far off" in (desk.path / "b.html").read_text()
