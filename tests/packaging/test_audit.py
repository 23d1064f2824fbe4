"""Licences of all that is installed with the product, and what the audit says of those that may not be."""

from email.message import Message
from importlib.metadata import Distribution, distribution
from pathlib import Path
from typing import Any

import pytest

from tests.packaging.audit import (
    Answer,
    answer_of,
    dependencies,
    is_permitted,
    licence_of,
    problems_of,
    vulnerabilities,
)


class Made(Distribution):
    """A package that says this of itself."""

    def __init__(self, **said: str | list[str]) -> None:
        self._said = Message()
        self._said["Name"], self._said["Version"] = "made", "1.0"
        for name, value in said.items():
            for each in [value] if isinstance(value, str) else value:
                self._said[name.replace("_", "-")] = each

    @property
    def metadata(self) -> Any:
        return self._said

    def read_text(self, filename: str) -> str | None:
        return None

    def locate_file(self, path: Any) -> Path:
        return Path(path)


def test_every_dependency_may_be_used() -> None:
    packages = list(dependencies())
    names = {package.metadata["Name"].lower() for package in packages}
    assert {"mahtdiag", "torch", "numpy", "rich", "typer", "markdown-it-py", "pytest"} <= names
    assert problems_of(packages) == []


@pytest.mark.parametrize(
    ("expression", "permitted"),
    [
        ("MIT", True),
        ("GPL-3.0-only", False),
        ("MIT OR GPL-3.0-only", True),
        ("MIT AND GPL-3.0-only", False),
        ("MIT AND (GPL-2.0-only OR Apache-2.0)", True),
        ("GPL-2.0-only OR MIT AND BSD-3-Clause", True),
        ("(GPL-2.0-only OR MIT) AND AGPL-3.0-only", False),
        ("Apache-2.0 WITH LLVM-exception AND BSL-1.0", True),
        ("GPL-3.0-only WITH GCC-exception-3.1", False),
        ("MIT OR", True),
        ("", False),
        ("(MIT", False),
        ("MIT)", False),
        ("MIT Apache-2.0", False),
        ("LicenseRef-Proprietary", False),
    ],
)
def test_expressions(expression: str, permitted: bool) -> None:
    assert is_permitted(expression) is permitted


@pytest.mark.parametrize(
    ("said", "licence"),
    [
        ({"License_Expression": "MIT", "License": "GPL"}, "MIT"),
        ({"Classifier": ["License :: OSI Approved :: MIT License", "Typing :: Typed"]}, "MIT"),
        ({"Classifier": ["License :: OSI Approved :: GNU General Public License v3 (GPLv3)"]}, None),
        (
            {
                "Classifier": [
                    "License :: OSI Approved :: MIT License",
                    "License :: Other/Proprietary",
                ]
            },
            None,
        ),
        ({"License": "Apache 2.0"}, "Apache-2.0"),
        ({"License": "Copyright (c) somebody\nAll rights reserved"}, None),
        ({}, None),
    ],
)
def test_what_a_package_says(said: dict[str, Any], licence: str | None) -> None:
    package = Made(**said)
    assert licence_of(package) == licence
    assert bool(problems_of([package])) is (licence is None)


def test_a_licence_that_is_not_permitted_is_named() -> None:
    assert problems_of([distribution("numpy"), Made(License_Expression="AGPL-3.0-only")]) == [
        "made 1.0: AGPL-3.0-only is not among the permitted licences; leave it out"
    ]


def test_what_was_not_looked_up_is_not_called_safe() -> None:
    clean = {"name": "a", "version": "1", "vulns": []}
    bad = {"name": "b", "version": "2", "vulns": [{"id": "CVE-1", "fix_versions": ["3"]}]}
    skipped = {"name": "c", "skip_reason": "not found"}
    assert answer_of([clean, bad, skipped]) == Answer(("b 2: CVE-1, fixed in 3",), 2, 1, "not found")
    assert (
        answer_of([clean, bad, skipped]).said
        == "vulnerabilities: 1 known in 2 versions, 1 cannot be looked up"
    )
    nothing = answer_of([skipped, skipped])
    assert nothing.said == "vulnerabilities: not checked, the service cannot be asked (not found)"
    assert "not checked" in vulnerabilities("/nowhere/pip-audit").said
    assert "not checked" in vulnerabilities("/bin/true").said
