"""Evaluate and diagnose networks that find vertebral landmarks on lumbar spine radiographs."""

from importlib import import_module

__version__ = "0.1.0"

# What `import mahtdiag` offers, and where it is; `__init__.pyi` tells its types. Nothing is imported before
# it is asked for: the command line has to be quick.
_WHERE = {
    "evaluate": "mahtdiag.api.evaluating",
    "load": "mahtdiag.api.run",
    "Run": "mahtdiag.api.run",
    "Number": "mahtdiag.api.numbers",
    "Numbers": "mahtdiag.api.numbers",
    "Table": "mahtdiag.api.tables",
    "Monitor": "mahtdiag.api.monitor",
    "lightning_callback": "mahtdiag.api.lightning",
    "MahtdiagError": "mahtdiag.errors",
}
__all__ = ["__version__", *_WHERE]


def __getattr__(name: str) -> object:
    if name not in _WHERE:
        raise AttributeError(f"module 'mahtdiag' has no attribute {name!r}")
    return getattr(import_module(_WHERE[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_WHERE})
