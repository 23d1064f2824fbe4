"""An ONNX graph as a network: images of any batch in, its outputs by name out."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mahtdiag.errors import CheckpointError
from mahtdiag.models.onnx_files import files_of, input_of, read_graph, runtime
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
        self.session = _session(path)
        self.outputs = [each.name for each in self.session.get_outputs()]

    def forward(self, images: Tensor) -> Tensor | dict[str, Tensor]:
        """One pass; the batch is as large as the graph takes it."""
        given = images.permute(0, 2, 3, 1) if self.form.nhwc else images
        content = np.ascontiguousarray(given.detach().cpu().numpy().astype(self.form.type))
        try:
            returned = self.session.run(self.outputs, {self.input: content})
        except Exception as error:  # onnxruntime has classes of its own for every status
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


def _session(path: Path) -> Any:
    library = runtime(path)
    options = library.SessionOptions()
    options.log_severity_level = _SEVERE
    options.intra_op_num_threads = torch.get_num_threads()
    there = library.get_available_providers()
    wanted = ["CUDAExecutionProvider"] if torch.cuda.is_available() else []
    providers = [name for name in (*wanted, "CPUExecutionProvider") if name in there]
    try:
        return library.InferenceSession(str(path), options, providers=providers)
    except Exception as error:  # as above
        raise CheckpointError(f"{path}: onnxruntime does not take this model: {_first_line(error)}") from None


def _first_line(error: Exception) -> str:
    lines = str(error).splitlines() or [type(error).__name__]
    return brief(lines[0].rpartition(" : ")[2] or lines[0], 300)
