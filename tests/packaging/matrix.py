"""Builds wheel and sdist, installs and runs both with the oldest versions that are stated, and the newest.

`python -m tests.packaging.matrix --oldest python3.11 --newest python3.13`. Each gets a fresh environment with
all extras in a temporary folder. pip reads its own settings: `PIP_EXTRA_INDEX_URL` or `PIP_FIND_LINKS` may
name CPU builds of torch, without which several gigabytes of CUDA are fetched for each.
"""

import argparse
import csv
import os
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mahtdiag import __version__
from tests.packaging.contents import check_sdist, check_wheel
from tests.packaging.oldest import CONSTRAINTS, ROOT, extras

SMOKE = Path(__file__).with_name("smoke.py")
SAMPLES = ROOT / "sample_data"


@dataclass(frozen=True)
class Combination:
    """A Python, and what pip is told of versions."""

    name: str
    python: str
    constraints: tuple[str, ...] = ()


def say(line: str) -> None:
    """A line, at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def done(*command: str | Path, cwd: Path) -> str:
    """What a command prints; one that fails ends the test with what it said.

    Nothing of the clone may be imported by what is run, and no pipeline is told of it.
    """
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "GITHUB_ACTIONS")}
    ended = subprocess.run(
        [*map(str, command)], cwd=cwd, env=kept, capture_output=True, text=True, check=False
    )
    if ended.returncode:
        raise SystemExit(f"{' '.join(map(str, command))}\n{ended.stdout}{ended.stderr}")
    return ended.stdout


def version_of(python: str) -> tuple[int, ...]:
    """3, 11 of Python 3.11.7."""
    said = done(python, "-c", "import sys; print(*sys.version_info[:2])", cwd=ROOT)
    return tuple(int(part) for part in said.split())


def build(folder: Path) -> tuple[Path, Path]:
    """Wheel and sdist by `python -m build`: the wheel is built from the sdist."""
    done(sys.executable, "-m", "venv", folder / "tools", cwd=folder)
    python = folder / "tools" / "bin" / "python"
    done(python, "-m", "pip", "install", "-q", "build", cwd=folder)
    done(python, "-m", "build", "-o", folder / "dist", ROOT, cwd=folder)
    wheel, sdist = (
        folder / "dist" / f"mahtdiag-{__version__}{end}" for end in ("-py3-none-any.whl", ".tar.gz")
    )
    check_wheel(wheel, __version__)
    check_sdist(sdist, __version__)
    return wheel, sdist


def try_out(combination: Combination, wheel: Path, sdist: Path, folder: Path) -> None:
    """The wheel with all that it needs, then in the same environment the sdist in its place."""
    home = folder / combination.name
    done(combination.python, "-m", "venv", home, cwd=folder)
    python, site = home / "bin" / "python", home / "lib"
    pip = (python, "-m", "pip", "install", "-q", "--disable-pip-version-check")
    done(*pip, *combination.constraints, f"{wheel}[{','.join(extras())}]", cwd=folder)
    done(python, "-m", "pip", "check", cwd=folder)
    say(f"{combination.name}: {done(python, '--version', cwd=folder).strip()}, {versions(python, folder)}")
    installed = {}
    for what in (wheel, sdist):
        if what == sdist:
            done(*pip, "--no-deps", "--force-reinstall", sdist, cwd=folder)
        record = next(site.glob(f"python*/site-packages/mahtdiag-{__version__}.dist-info/RECORD"))
        installed[what] = digests(record)
        away = Path(tempfile.mkdtemp(dir=folder))
        say(f"{combination.name}: {what.name}")
        say(done(python, "-I", SMOKE, SAMPLES, cwd=away).rstrip())
    if installed[wheel] != installed[sdist]:
        raise SystemExit(f"{combination.name}: wheel and sdist install different files")


def versions(python: Path, folder: Path) -> str:
    """Name and version of every direct dependency that is installed."""
    direct = re.findall(r"^([\w-]+)==", CONSTRAINTS.read_text(encoding="utf-8"), re.MULTILINE)
    code = (
        "import importlib.metadata as m, sys; print(', '.join(f'{n} {m.version(n)}' for n in sys.argv[1:]))"
    )
    return done(python, "-c", code, *direct, cwd=folder).strip()


def digests(record: Path) -> dict[str, str]:
    """The files of the package with their digests, from what pip noted of an installation."""
    with record.open(encoding="utf-8", newline="") as rows:
        return {row[0]: row[1] for row in csv.reader(rows) if row[0].startswith("mahtdiag/") and row[1]}


def main(arguments: Sequence[str] | None = None) -> None:
    """Both combinations, one after the other."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.packaging.matrix", description="Install and try out."
    )
    parser.add_argument("--oldest", default="python3.11", help="the oldest Python that pyproject.toml states")
    parser.add_argument("--newest", default=sys.executable, help="the newest Python that there is")
    asked = parser.parse_args(arguments)
    stated = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"][
        "requires-python"
    ]
    if ">=" + ".".join(map(str, version_of(asked.oldest))) != stated:
        parser.error(f"--oldest {asked.oldest} is no Python {stated.removeprefix('>=')}")
    oldest = Combination("oldest", asked.oldest, ("-c", str(CONSTRAINTS)))
    with tempfile.TemporaryDirectory(prefix="mahtdiag-dist-") as name:
        wheel, sdist = build(Path(name))
        say(f"built {wheel.name} and {sdist.name}")
        for combination in (oldest, Combination("newest", asked.newest)):
            try_out(combination, wheel, sdist, Path(name))


if __name__ == "__main__":
    main()
