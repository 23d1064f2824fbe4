"""Too little memory is one line that says what takes less, and nobody is asked to report it."""

import errno
import resource
import subprocess
import sys

import cv2
import numpy as np
import pyarrow as pa
import pytest
import torch

from mahtdiag.cli.commands import COMMANDS
from mahtdiag.cli.unforeseen import LESS, in_one_line, is_out_of_memory

from .command import Desk, environment
from .test_streams import LOOKUP

LACKING = [
    MemoryError(),
    MemoryError("Unable to allocate 3.81 GiB for an array"),
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:118] err == 0. DefaultCPUAllocator: can't allocate memory"),
    RuntimeError("std::bad_alloc"),
    RuntimeError("can't start new thread"),
    pa.ArrowMemoryError("malloc of size 64 failed"),
    cv2.error("OpenCV(4.9.0) alloc.cpp:73: error: (-4:Insufficient memory) Failed to allocate 4 bytes"),
    OSError(errno.ENOMEM, "Cannot allocate memory"),
    ImportError("libtorch_cpu.so: failed to map segment from shared object"),
]


@pytest.mark.parametrize("error", LACKING, ids=lambda error: type(error).__name__)
def test_it_is_known_in_the_words_of_every_library(error: Exception) -> None:
    assert is_out_of_memory(error)
    wrapped = ValueError("cannot be read")
    wrapped.__cause__ = error
    assert is_out_of_memory(wrapped)
    line = in_one_line(error, ["evaluate", "a.pt"])
    assert line.startswith(f"error: out of memory ({type(error).__name__}")
    assert "--batch-size" in line
    assert "report it" not in line
    assert "\n" not in line


@pytest.mark.parametrize(
    "error",
    [ValueError("memory"), KeyError("out"), RuntimeError("mat1 and mat2"), OSError(errno.EIO, "no")],
)
def test_other_errors_are_defects(error: Exception) -> None:
    assert not is_out_of_memory(error)
    assert in_one_line(error, []) == f"internal error: {type(error).__name__}: {error}"


def test_a_real_allocation_that_fails_is_known() -> None:
    with pytest.raises(MemoryError) as caught:
        np.empty(2**62, dtype=np.uint8)
    assert is_out_of_memory(caught.value)
    with pytest.raises(RuntimeError) as torch_said:
        torch.empty(2**60, dtype=torch.uint8)
    assert is_out_of_memory(torch_said.value)


def test_what_is_advised_is_an_option_of_the_command(desk: Desk) -> None:
    assert set(LESS) <= {name for name, *_ in COMMANDS}
    for command, advice in LESS.items():
        options = [word.strip(",") for word in advice.split() if word.startswith("--")]
        assert options
        text = desk.run(command, "--help").text
        assert [option for option in options if option not in text] == []


@pytest.mark.skipif(sys.platform != "linux", reason="the limit is one of Linux")
def test_a_process_with_little_memory(desk: Desk) -> None:
    little = 700_000 * 1024
    done = subprocess.run(
        [sys.executable, "-m", "mahtdiag", *LOOKUP],
        cwd=desk.path, env=environment(), capture_output=True, check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (little, little)),
    )  # fmt: skip
    (line,) = done.stderr.decode().splitlines()
    assert done.returncode == 2
    assert line.startswith("error: out of memory (")
    assert line.endswith(LESS["evaluate"])
