"""The page of the Python API, from its docstrings."""

import re
from pathlib import Path

import mahtdiag

_INTRODUCTION = """# Python API

What `import mahtdiag` offers. [From Python](python.md) shows it in use.
"""


def page() -> str:
    """One heading for each public name, which mkdocstrings fills."""
    stub = Path(mahtdiag.__file__).with_suffix(".pyi").read_text(encoding="utf-8")
    names = re.findall(r"^from \S+ import (\w+) as \1$", stub, re.MULTILINE)
    return "\n".join((_INTRODUCTION, *(f"::: mahtdiag.{name}\n" for name in names)))
