"""An ONNX graph as a network: images of any batch in, its outputs by name out."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mahtdiag.errors import CheckpointError, ModelOutputError
from mahtdiag.models.onnx_files import files_of, input_of, read_graph, runtime
from mahtdiag.models.onnx_limits import (
    LOAD_SECONDS,
    RUN_SECONDS,
    GraphTimeoutError,
    asked_bytes,
    bounded_memory,
    within,
)
from mahtdiag.schema.safe_text import brief

_SEVERE = 4


class OnnxNetwork(nn.Module):
    """Runs a graph with onnxruntime, on CUDA where torch and onnxruntime both have it, else on the CPU.

    `[B, C, H, W]` float32 -> a tensor, or a dict of several by name; half precision is given as float32.
    """

    def __init__(self, path: Path) -> None:
        """Raises CheckpointError for a graph that onnxruntime does not take, UsageError without it."""
        super().__init__()
        graph = read_graph(path)
        files_of(path, graph)
        self.input, self.form = input_of(path, graph)
        self.path, self.library = path, runtime(path)
        self.most_bytes = bounded_memory(self.library)
        self.session = _session(self.library, path, self.most_bytes)
        self.outputs = [each.name for each in self.session.get_outputs()]

    def forward(self, images: Tensor) -> Tensor | dict[str, Tensor]:
        """One pass; the batch is as large as the graph takes it."""
        given = images.permute(0, 2, 3, 1) if self.form.nhwc else images
        content = np.ascontiguousarray(given.detach().cpu().numpy().astype(self.form.type))
        options = self.library.RunOptions()
        options.log_severity_level = _SEVERE
        run = partial(self.session.run, self.outputs, {self.input: content}, options)
        stop = partial(setattr, options, "terminate", True)
        try:
            returned = within(RUN_SECONDS * max(1, len(content)), run, stop)
        except GraphTimeoutError as error:
            raise ModelOutputError(
                f"{self.path}: the graph was {error} for an input {list(content.shape)}; "
                "a loop in it may never end: export it again"
            ) from None
        except Exception as error:  # onnxruntime has classes of its own for every status
            asked = asked_bytes(str(error))
            if asked is not None:
                # Fewer images at once may do.
                raise torch.OutOfMemoryError(_too_much(asked, self.most_bytes)) from None
            raise RuntimeError(_first_line(error)) from None
        named = {
            name: _as_tensor(value).to(images.device)
            for name, value in zip(self.outputs, returned, strict=True)
            if isinstance(value, np.ndarray)
        }
        return named[self.outputs[0]] if [*named] == self.outputs[:1] else named


def _as_tensor(value: "np.ndarray[Any, Any]") -> Tensor:
    tensor = torch.from_numpy(value)
    return tensor.float() if tensor.dtype is torch.float16 else tensor


def _too_much(asked: int, most_bytes: int) -> str:
    return f"the graph asks for {asked:,} bytes more, {most_bytes:,} were free for all of it"


def _session(library: Any, path: Path, most_bytes: int) -> Any:
    options = library.SessionOptions()
    options.log_severity_level = _SEVERE
    # The memory that graphs of this process share.
    options.add_session_config_entry("session.use_env_allocators", "1")
    options.intra_op_num_threads = torch.get_num_threads()
    there = library.get_available_providers()
    wanted = ["CUDAExecutionProvider"] if torch.cuda.is_available() else []
    providers = [name for name in (*wanted, "CPUExecutionProvider") if name in there]
    load = partial(library.InferenceSession, str(path), options, providers=providers)
    try:
        return within(LOAD_SECONDS, load)
    except GraphTimeoutError as error:
        raise CheckpointError(f"{path}: loading it was {error}; export it again, simplified") from None
    except Exception as error:  # as above
        asked = asked_bytes(str(error))
        if asked is not None:
            raise CheckpointError(f"{path}: {_too_much(asked, most_bytes)}") from None
        raise CheckpointError(f"{path}: onnxruntime does not take this model: {_first_line(error)}") from None


def _first_line(error: Exception) -> str:
    lines = str(error).splitlines() or [type(error).__name__]
    return brief(lines[0].rpartition(" : ")[2] or lines[0], 300)
