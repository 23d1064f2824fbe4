"""What reading a file may not do: write elsewhere, begin a process, speak to a network, let a pickle call."""

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import Any, Final

_NEVER: Final = frozenset({
    "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.startfile", "subprocess.Popen",
    "socket.connect", "socket.bind", "socket.getaddrinfo", "urllib.Request", "pickle.find_class",
    "os.remove", "os.rename",
    "os.rmdir", "os.link", "os.symlink", "os.chmod", "os.truncate", "shutil.rmtree", "ctypes.dlopen",
})  # fmt: skip
# The process that decodes what may end one, begun again where it was ended.
_OWN: Final = "mahtdiag.data.images.dicom_apart import serve"
_WRITES: Final = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_seen: list[str] = []
_state = {"hooked": False, "watching": False}


def _heard(event: str, arguments: tuple[Any, ...]) -> None:
    if not _state["watching"]:
        return
    if event == "subprocess.Popen" and _OWN in str(arguments[1]):
        return
    if event == "open":
        path, mode, flags = arguments
        writes = (isinstance(flags, int) and flags & _WRITES) or any(
            sign in str(mode or "") for sign in "wax+"
        )
        if writes and isinstance(path, str | bytes) and os.fsdecode(path) != os.devnull:
            _seen.append(f"opens {os.fsdecode(path)!r} for writing")
    elif event in _NEVER or (event == "os.mkdir" and not _is_cache(str(arguments[0]))):
        _seen.append(f"{event} {arguments!r}"[:300])


def _is_cache(folder: str) -> bool:
    """Whether a folder is made by importing something, whatever is read."""
    return "__pycache__" in folder or "torchinductor" in folder


@contextlib.contextmanager
def watched() -> Iterator[list[str]]:
    """What a block does that no reader may; the hook stays for as long as the process lives."""
    if not _state["hooked"]:
        sys.addaudithook(_heard)
    _seen.clear()
    _state.update(hooked=True, watching=True)
    try:
        yield _seen
    finally:
        _state["watching"] = False
