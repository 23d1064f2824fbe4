"""`mahtdiag calibration` from the command line: exit status, both output streams, the files."""

import hashlib
import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from mahtdiag.cli.app import main
from mahtdiag.runs.document import CheckpointSource, DataSource, Environment, ImageCounts, RunDocument
from mahtdiag.runs.folder import RunFolder
from mahtdiag.schema.records import ImageLosses, ImageRecord, KeypointResults
from mahtdiag.schema.skeleton import View

Floats = NDArray[np.float64]
Run = Callable[..., tuple[int, str, str]]
K = View.AP.skeleton.keypoints


@pytest.fixture(autouse=True)
def _signals_stay() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs `mahtdiag calibration` in an empty folder, 80 columns wide: exit status, stdout, stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")

    def command(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["mahtdiag", "calibration", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        printed = capsys.readouterr()
        return int(ended.value.code or 0), printed.out, printed.err

    return command


def sha256_of(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def record(number: int, residual_px: Floats, sigma_px: Floats) -> ImageRecord:
    """An image whose content is its number."""
    pred = np.stack([100.0 + 50.0 * (np.arange(K) % 2), 40.0 * np.arange(K)], axis=1)
    none = np.zeros((K, 2), dtype=np.bool_)
    keypoints = KeypointResults(
        gt_px=pred - residual_px, pred_px=pred, error_px=np.linalg.norm(residual_px, axis=1),
        error_mm=np.full(K, np.nan), sigma_px=sigma_px, spread_px2=np.full((K, 3), np.nan), peak=np.ones(K),
        at_min=none, at_max=none, flags=np.zeros(K, dtype=np.int64),
    )  # fmt: skip
    return ImageRecord(
        image=f"{number:04d}.jpg", image_sha256=sha256_of(str(number)), annotation_sha256=sha256_of("a"),
        width=500, height=900, pixel_spacing_mm=None, sex=None, age_years=None,
        losses=ImageLosses(*[1.0] * 9), keypoints=keypoints, findings=(),
    )  # fmt: skip


def write_run(name: str, *, factor: float = 1.0, first: int = 0, sigma: bool = True) -> None:
    """`runs/NAME`, the latest: 30 images with a σ that is too small by `factor`, or without any."""
    rng = np.random.default_rng(first)
    true = np.exp(rng.normal(2.0, 0.5, size=(30, K, 1))) * np.ones(2)
    residual = true * rng.normal(size=true.shape)
    said = true / factor if sigma else np.full_like(true, np.nan)
    header = RunDocument(
        checkpoint=CheckpointSource(path="n.pt", sha256=sha256_of("n"), format="mahtdiag"),
        data=DataSource(path="data", format="buu-lspine"),
        view=View.AP,
        settings={"uncertainty": "auto" if sigma else "none"},
        environment=Environment(python="3.11", torch="2.13", device="cpu"),
        started=datetime(2026, 11, 23, tzinfo=UTC),
        images=ImageCounts(total=30, evaluated=30),
    )
    folder = RunFolder.create(Path("runs") / name, header)
    folder.append(0, [record(first + i, residual[i], said[i]) for i in range(30)])
    data = header.data.model_copy(update={"sha256": sha256_of(f"data {first}")})
    folder.finish(header.model_copy(update={"data": data}), Path())


def test_tables_and_pictures_of_the_latest_run(run: Run) -> None:
    write_run("a", factor=2.0)
    status, out, err = run()
    assert (status, err) == (0, "")
    assert "Overconfident: σ is too small by a factor of" in out
    assert "600 keypoints in 30 images" in out
    assert max(len(line) for line in out.splitlines()) <= 80
    assert "10 pictures: runs/a/calibration" in out
    assert len(list(Path("runs/a/calibration").iterdir())) == 10


def test_json_is_all_that_stdout_holds(run: Run) -> None:
    write_run("a")
    status, out, err = run("runs/a", "--format", "json", "--no-pictures")

    def refuse(constant: str) -> float:
        raise ValueError(constant)

    content = json.loads(out, parse_constant=refuse)
    assert (status, err) == (0, "")
    assert content["n_keypoints"] == 600
    assert set(content["coverage"]) == {"0.5", "0.68", "0.9", "0.95"}
    assert set(content["radial"]["coverage"]["0.95"]) == {"observed", "ci95"}
    assert content["gates"] == []
    assert content["pictures"] == []
    assert not Path("runs/a/calibration").exists()


def test_no_sigma(run: Run) -> None:
    write_run("a", sigma=False)
    status, out, err = run()
    assert (status, out) == (2, "")
    assert err.count("\n") == 1
    assert err.startswith("error: ")
    assert err.endswith("evaluate again with --uncertainty heatmap\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "no finished run yet; run `mahtdiag evaluate CHECKPOINT DATA`"),
        (("nowhere",), "nowhere: no such run folder"),
        (("--format", "xml"), "--format"),
        (("--config", "none.toml"), "none.toml: cannot be read"),
        (("--fit", "a.json", "--apply", "b.json"), "--fit and --apply exclude each other"),
    ],
)
def test_what_cannot_be_done(run: Run, arguments: tuple[str, ...], message: str) -> None:
    status, out, err = run(*arguments)
    assert (status, out) == (2, "")
    assert message in err
    assert "Traceback" not in err


def test_fit_then_apply(run: Run) -> None:
    write_run("a", factor=2.0)
    write_run("b", factor=2.0, first=100)
    status, out, _ = run("runs/a", "--fit", "factors.json", "--no-pictures")
    assert status == 0
    assert "factors and conformal regions: factors.json" in out
    assert 1.8 < json.loads(Path("factors.json").read_text())["sigma_scale"]["common"] < 2.2
    status, out, err = run("runs/b", "--apply", "factors.json", "--no-pictures", "--format", "json")
    rows = {row["scope"]: row for row in json.loads(out)["applied"]["rows"]}
    assert (status, err) == (0, "")
    assert rows["global"]["sigma_scale"] == pytest.approx(1.0, abs=0.1)
    status, out, err = run("runs/a", "--apply", "factors.json")
    assert (status, out) == (2, "")
    assert "fitted on 30 of its 30 images" in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(("limit", "status", "word"), [("<= 1", 0, "passed"), ("<= 0", 1, "FAILED")])
def test_gates_of_the_configuration(run: Run, limit: str, status: int, word: str) -> None:
    write_run("a")
    Path("mahtdiag.toml").write_text(
        f'[gates]\n"calibration.mace" = "{limit}"\nradial_error_px.mean = "<= 0"\n'
    )
    found, out, err = run("--no-pictures")
    assert (found, err) == (status, "")
    (line,) = [line for line in out.splitlines() if line.startswith("calibration.mace")]
    assert line.split() == ["calibration.mace", *limit.split(), line.split()[3], word]
    assert "radial_error_px" not in out
    found, out, err = run("--no-pictures", "--format", "json")
    (gate,) = json.loads(out)["gates"]
    assert (found, gate["passed"]) == (status, status == 0)
    assert gate["value"] == json.loads(out)["mace"]


def test_a_gate_that_is_none(run: Run) -> None:
    Path("mahtdiag.toml").write_text('[gates]\n"calibration.mace" = "small"\n')
    status, out, err = run()
    assert (status, out) == (2, "")
    assert err.startswith('error: mahtdiag.toml: gates."calibration.mace" = "small": expected <=, >=, ')


def test_no_torch_is_needed() -> None:
    code = (
        "import sys, mahtdiag.cli.calibration, mahtdiag.config.project_file\n"
        "import mahtdiag.workflows.calibration.screen\n"
        "print('torch' in sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "False"
