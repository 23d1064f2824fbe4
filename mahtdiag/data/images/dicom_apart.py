"""Compressed pixels of DICOM files, decoded by another process.

The libraries for some kinds of compression end the process on damaged files, or go round in circles.
"""

import atexit
import contextlib
import json
import os
import queue
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import IO, Any, Final

import numpy as np
from numpy.typing import NDArray

from mahtdiag.errors import DataError

_LONGEST_SECONDS: Final = 60
_LENGTH: Final = struct.Struct("<Q")


class _Decoder:
    """A process that decodes one file after the other."""

    def __init__(self) -> None:
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        command = [sys.executable, "-c", f"from {__name__} import serve; serve()"]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
        )

    def decode(self, content: bytes) -> NDArray[Any] | None:
        """The stored pixels, None where the file is damaged.

        Raises OSError or EOFError where the process ends over it, or takes longer than a minute.
        """
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        # Ends the wait: what was killed says nothing more.
        watch = threading.Timer(_LONGEST_SECONDS, self._process.kill)
        watch.start()
        try:
            _send(stdin, content)
            facts = json.loads(_received(stdout))
            pixels = _received(stdout)
        finally:
            watch.cancel()
        if facts is None:
            return None
        return np.frombuffer(pixels, dtype=facts["dtype"]).reshape(facts["shape"])

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        # What was not sent yet is for nobody.
        with contextlib.suppress(OSError):
            self._process.communicate()


# Those that wait for work; as many as threads have asked at once.
_idle: Final["queue.SimpleQueue[_Decoder]"] = queue.SimpleQueue()


def decode_apart(content: bytes, name: str) -> NDArray[Any]:
    """The stored pixels of a DICOM file. Raises DataError, one line, where they cannot be decoded."""
    try:
        decoder = _idle.get_nowait()
    except queue.Empty:
        decoder = _Decoder()
    try:
        pixels = decoder.decode(content)
    except (OSError, EOFError) as error:
        decoder.close()
        raise DataError(f"{name}: the pixels of the DICOM cannot be decoded: export it again") from error
    except BaseException:
        decoder.close()
        raise
    _idle.put(decoder)
    if pixels is None:
        raise DataError(f"{name}: the DICOM is damaged or of a rare kind: export it again")
    return pixels


@atexit.register
def close_decoders() -> None:
    """End the processes that wait for work."""
    for decoder in _waiting():
        decoder.close()


def _waiting() -> Iterator[_Decoder]:
    with contextlib.suppress(queue.Empty):
        while True:
            yield _idle.get_nowait()


def _send(file: IO[bytes], content: bytes) -> None:
    file.write(_LENGTH.pack(len(content)))
    file.write(content)
    file.flush()


def _received(file: IO[bytes]) -> bytes:
    """Raises EOFError where the other end is closed before."""
    head = file.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        raise EOFError
    (length,) = _LENGTH.unpack(head)
    content = file.read(length)
    if len(content) < length:
        raise EOFError
    return content


def serve() -> None:
    """Decode what comes by standard input until it ends: form and pixels to standard output."""
    from mahtdiag.data.images.dicom import stored_pixels

    answers = os.fdopen(os.dup(1), "wb")
    # What libraries print is no answer.
    os.dup2(2, 1)
    with contextlib.suppress(EOFError):
        while True:
            content = _received(sys.stdin.buffer)
            try:
                pixels = np.ascontiguousarray(stored_pixels(content))
                facts: dict[str, Any] | None = {"dtype": pixels.dtype.str, "shape": pixels.shape}
            # A damaged file makes the libraries raise whatever they like.
            except Exception:
                pixels, facts = np.empty(0), None
            _send(answers, json.dumps(facts).encode())
            _send(answers, pixels.tobytes())
