"""The lowest version of every library that `pyproject.toml` states, as a constraints file for pip.

`python -m tests.packaging.oldest > constraints-oldest.txt` writes it anew.
"""

import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
CONSTRAINTS = ROOT / "constraints-oldest.txt"
HEAD = (
    "# The lowest version of every library that pyproject.toml states; `make dist-test` installs them.\n"
    "# Written by `python -m tests.packaging.oldest > constraints-oldest.txt`.\n"
)
STATED = re.compile(r"(?P<name>[\w-]+)>=(?P<version>[\w.]+)")


def extras(project: Path = ROOT) -> tuple[str, ...]:
    """What users may install beside the package; `test` and `docs` are for those who change it."""
    names = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return tuple(name for name in names["optional-dependencies"] if name not in ("test", "docs"))


def oldest_constraints(project: Path = ROOT) -> str:
    """A line for every direct dependency and those of the extras; one without a lower bound is an error."""
    stated = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    optional = stated["optional-dependencies"]
    lines = []
    for requirement in (*stated["dependencies"], *(r for name in extras(project) for r in optional[name])):
        bound = STATED.fullmatch(requirement)
        if bound is None:
            raise ValueError(f"{requirement}: needs a lower bound and nothing else, NAME>=VERSION")
        lines.append(f"{bound['name']}=={bound['version']}\n")
    return HEAD + "".join(lines)


if __name__ == "__main__":
    sys.stdout.write(oldest_constraints())
