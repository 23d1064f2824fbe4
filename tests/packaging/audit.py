"""Whether what is installed may be used and is safe: licences of all dependencies, and known vulnerabilities.

`python -m tests.packaging.audit --pip-audit .venv-audit/bin/pip-audit`. Licences are read from the packages
themselves and need no network. Vulnerabilities are those that the service of `pip-audit` knows of the
versions in `constraints.txt`; of which it cannot be asked, this is said, and is no failure.
"""

import argparse
import json
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parents[2]
CONSTRAINTS: Final = ROOT / "constraints.txt"
PRODUCT: Final = "mahtdiag"
PERMITTED: Final = frozenset(
    (
        *("0BSD", "Apache-2.0", "BSD", "BSD-2-Clause", "BSD-3-Clause", "BSL-1.0", "CC0-1.0", "HPND", "ISC"),
        *("MIT", "MIT-CMU", "MPL-2.0", "PSF-2.0", "Zlib"),
    )
)
"""MPL-2.0 asks only that changed files of it stay open; we change none."""
EXCEPTIONS: Final = frozenset({"LLVM-exception"})
_CLASSIFIERS: Final[Mapping[str, str]] = {
    "Apache Software License": "Apache-2.0",
    "BSD License": "BSD",
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
}
_SAID: Final[Mapping[str, str]] = {
    "3-Clause BSD License": "BSD-3-Clause",
    "Apache 2.0": "Apache-2.0",
    "FreeBSD": "BSD-2-Clause",
}
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_TOKEN: Final = re.compile(r"\(|\)|[^\s()]+")


def licence_of(package: Distribution) -> str | None:
    """What a package says of itself, as an SPDX expression; None where it says nothing that is known."""
    said = package.metadata
    expression = said["License-Expression"]
    if expression:
        return str(expression)
    classifiers = [
        c.rpartition(" :: ")[2] for c in said.get_all("Classifier") or [] if c.startswith("License ::")
    ]
    known = [_CLASSIFIERS[name] for name in classifiers if name in _CLASSIFIERS]
    if classifiers:
        return " OR ".join(known) if len(known) == len(classifiers) else None
    text = (said["License"] or "").strip()
    return _SAID.get(text, text) if text and "\n" not in text else None


def is_permitted(expression: str) -> bool:
    """Whether one way to read an SPDX expression holds permitted licences alone."""
    tokens = _TOKEN.findall(expression)

    def any_of(at: int) -> tuple[bool, int]:
        found, at = all_of(at)
        while at < len(tokens) and tokens[at].upper() == "OR":
            other, at = all_of(at + 1)
            found = found or other
        return found, at

    def all_of(at: int) -> tuple[bool, int]:
        found, at = one(at)
        while at < len(tokens) and tokens[at].upper() == "AND":
            other, at = one(at + 1)
            found = found and other
        return found, at

    def one(at: int) -> tuple[bool, int]:
        if at >= len(tokens):
            return False, at
        if tokens[at] == "(":
            found, at = any_of(at + 1)
            return found and at < len(tokens) and tokens[at] == ")", at + 1
        found, at = tokens[at] in PERMITTED, at + 1
        if at < len(tokens) and tokens[at].upper() == "WITH":
            return found and at + 1 < len(tokens) and tokens[at + 1] in EXCEPTIONS, at + 2
        return found, at

    found, end = any_of(0)
    return found and end == len(tokens)


def dependencies(product: str = PRODUCT) -> Iterator[Distribution]:
    """The package and all that it needs, with all of its extras as far as they are installed here."""
    wanted, seen = [product], set[str]()
    while wanted:
        name = wanted.pop()
        key = re.sub(r"[-_.]+", "-", name).lower()
        if key in seen:
            continue
        seen.add(key)
        try:
            found = distribution(name)
        except PackageNotFoundError:
            # Of another system or Python, or of an extra that is not installed.
            continue
        yield found
        wanted += [match[0] for line in found.requires or () if (match := _NAME.match(line))]


def problems_of(packages: Iterable[Distribution]) -> list[str]:
    """A line for each package whose licence is not permitted, or not known."""
    lines = []
    for package in packages:
        licence, name = licence_of(package), f"{package.metadata['Name']} {package.version}"
        if licence is None:
            lines.append(f"{name}: no licence that is known; look at it, and leave it out or add its licence")
        elif not is_permitted(licence):
            lines.append(f"{name}: {licence} is not among the permitted licences; leave it out")
    return sorted(lines)


@dataclass(frozen=True)
class Answer:
    """What a service knows: a line for each vulnerability, and of how many versions it was asked."""

    found: tuple[str, ...] = ()
    asked: int = 0
    not_asked: int = 0
    why: str = ""

    @property
    def said(self) -> str:
        """In a line."""
        if not self.asked:
            return f"vulnerabilities: not checked, the service cannot be asked ({self.why})"
        but = f", {self.not_asked} cannot be looked up" if self.not_asked else ""
        return f"vulnerabilities: {len(self.found)} known in {self.asked} versions{but}"


def vulnerabilities(pip_audit: str) -> Answer:
    """What is known of the versions in `constraints.txt`."""
    command = [pip_audit, "--disable-pip", "--no-deps", "--format", "json", "--progress-spinner", "off"]
    try:
        done = subprocess.run(
            [*command, "-r", str(CONSTRAINTS)], capture_output=True, text=True, check=False, timeout=300
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return Answer(why=str(error))
    try:
        packages = json.loads(done.stdout)["dependencies"]
    except ValueError:
        said = " ".join(done.stderr.split())[-200:]
        return Answer(why=said or f"pip-audit ended with status {done.returncode}")
    return answer_of(packages)


def answer_of(packages: Sequence[Mapping[str, Any]]) -> Answer:
    """What `pip-audit` says of each package; one that it has skipped has not been looked up."""
    skipped = [package["skip_reason"] for package in packages if "skip_reason" in package]
    found = tuple(
        f"{package['name']} {package['version']}: {each['id']}, fixed in"
        f" {', '.join(each['fix_versions']) or 'no version'}"
        for package in packages
        for each in package.get("vulns", ())
    )
    return Answer(found, len(packages) - len(skipped), len(skipped), next(iter(skipped), "no package"))


def main() -> int:
    """The status: 1 for a licence that is not permitted or a vulnerability that is known."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pip-audit", default="pip-audit", metavar="FILE")
    packages = list(dependencies())
    wrong = problems_of(packages)
    sys.stdout.write(f"licences: {len(packages)} packages, {len(wrong)} not permitted or not known\n")
    answer = vulnerabilities(parser.parse_args().pip_audit)
    sys.stdout.write("".join(f"{line}\n" for line in (answer.said, *wrong, *answer.found)))
    return int(bool(wrong or answer.found))


if __name__ == "__main__":
    sys.exit(main())
