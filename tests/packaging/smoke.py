"""What a fresh installation has to do: `PYTHON -I smoke.py SAMPLES`, in an empty folder.

The command beside PYTHON evaluates the sample checkpoints, and everything else reads what it wrote. Standard
library only. A warning on standard error is a failure like any other.
"""

import importlib.metadata
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

COMMAND = Path(sys.executable).with_name("mahtdiag")
# Mean radial error of the sample checkpoints in pixels, and how far it may be from there: libraries of
# another version decode and resize a little differently.
ERROR_PX = {"ap": 2.47, "la": 2.80}
TOLERANCE_PX = 0.02


def mahtdiag(*arguments: str, status: int = 0) -> str:
    """What the command prints, once it has ended as it should."""
    done = subprocess.run([str(COMMAND), *arguments], capture_output=True, text=True, check=False)
    alarming = any(word in done.stderr for word in ("Traceback", "Warning", "error"))
    if done.returncode != status or alarming:
        raise SystemExit(f"mahtdiag {' '.join(arguments)}: status {done.returncode}\n{done.stderr}")
    return done.stdout


def is_true(holds: bool, what: str) -> None:
    """End here if it does not hold."""
    if not holds:
        raise SystemExit(f"smoke test: {what}")


def check_the_front_door() -> None:
    version = importlib.metadata.version("mahtdiag")
    is_true(mahtdiag("--version") == f"mahtdiag {version}\n", "--version is not that of the package")
    said = mahtdiag("--help")
    for command in (
        "evaluate",
        "anatomy",
        "calibration",
        "compare",
        "report",
        "figures",
        "export",
        "inspect",
    ):
        is_true(command in said, f"--help does not name {command}")
        told = mahtdiag(command, "--help")
        is_true("Examples" in told, f"{command} --help lacks its examples")
    is_true("Trained network" in mahtdiag("evaluate", "--help"), "help of arguments is missing")


def check_evaluation(samples: Path) -> None:
    for view, stated_px in ERROR_PX.items():
        run = Path("runs") / view
        network = samples / f"mahtnet-{view}.pt"
        mahtdiag("evaluate", str(network), str(samples), "--out", str(run), "--overlays", "worst:2")
        error_px = json.loads((run / "run.json").read_text("utf-8"))["metrics"]["radial_error_px"]["mean"]
        is_true(abs(error_px - stated_px) <= TOLERANCE_PX, f"{view}: {error_px} px, not {stated_px}")
        is_true(len([*(run / "overlays").iterdir()]) == 2, f"{view}: two overlays were asked for")
    other = ("--out", "runs/other", "--decode", "local")
    mahtdiag("evaluate", str(samples / "mahtnet-ap.pt"), str(samples), *other)


def check_what_reads_runs(samples: Path) -> None:
    for run in ("runs/ap", "runs/la"):
        mahtdiag("report", run)
        page = (Path(run) / "report.html").read_text("utf-8")
        is_true(page.endswith("</html>"), f"{run}: the page is cut off")
        mahtdiag("anatomy", run)
        mahtdiag("calibration", run)
        for kind in ("pdf", "svg", "png"):
            mahtdiag("figures", run, "--out", f"{run}-{kind}", "--format", kind)
            figures = [*Path(f"{run}-{kind}").glob(f"*.{kind}")]
            is_true(len(figures) >= 8, f"{run}: figures as {kind} are missing")
    is_true("verdict: " in mahtdiag("compare", "runs/other", "runs/ap"), "compare gives no verdict")
    is_true(mahtdiag("compare", "runs/ap", "runs/other", status=1) != "", "a worse run is not told")
    for arguments in (
        ("anatomy", "--labels", str(samples), "--view", "LA"), ("inspect", str(samples / "mahtnet-ap.pt")),
        ("runs",), ("rules",), ("explain", "A201"), ("schema",), ("init", "runs/ap"),
    ):  # fmt: skip
        is_true(mahtdiag(*arguments) != "" or arguments[0] == "init", f"{arguments[0]} prints nothing")
    for kind in ("coco", "yolo", "csv", "labelme", "labelstudio", "slicer"):
        mahtdiag("export", "runs/ap", "--to", kind, f"exported-{kind}")


def check_the_demo() -> None:
    end = mahtdiag("demo").splitlines()[-10:]
    is_true(end[0] == "What was found", "the demo does not say what it found")
    for line in end[-2:]:
        page = Path(line.removeprefix("open ").partition(" (")[0])
        is_true(page.read_text("utf-8").endswith("</html>"), f"{page} is cut off")


def check_python(samples: Path) -> None:
    import mahtdiag as product

    is_true(samples.resolve().parent not in Path(product.__file__).parents, "the sources are imported")
    is_true(Path(product.__file__).with_name("py.typed").is_file(), "py.typed is missing")
    run = product.load("runs/ap")
    mean = run.numbers["radial_error_px.mean"].value
    is_true(run.radial_error_px is not None and run.radial_error_px.value == mean, "numbers differ")
    is_true(run.images["image"].shape == (24,) and len(run.keypoints) == 480, "tables are not whole")
    is_true(run.calibration().status == "calibrated" and run.compare("runs/ap").passed, "judgements differ")
    again = product.evaluate(samples / "mahtnet-ap.pt", samples, view="AP", out="runs/python")
    is_true(again.numbers["radial_error_px.mean"].value == mean, "Python and command line differ")


def steps(samples: Path) -> Iterator[str]:
    """What was done, one after the other."""
    check_the_front_door()
    yield "version and help"
    check_evaluation(samples)
    yield "evaluate"
    check_what_reads_runs(samples)
    yield "report, anatomy, calibration, figures, compare, export"
    check_the_demo()
    yield "demo"
    check_python(samples)
    yield "import mahtdiag"


if __name__ == "__main__":
    for step in steps(Path(sys.argv[1])):
        sys.stdout.write(f"  {step}\n")
        sys.stdout.flush()
