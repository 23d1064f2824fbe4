"""Graphs that ask for all memory or never end: told in one line, and the process goes on."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper

from mahtdiag.engine.inference import probe
from mahtdiag.errors import CheckpointError, ModelOutputError
from mahtdiag.models import onnx_limits, onnx_network
from mahtdiag.models.loading import load_model
from mahtdiag.models.onnx_limits import GraphTimeoutError, asked_bytes, free_bytes, within
from mahtdiag.schema.frames import Size
from tests.cli.command import environment
from tests.models.networks import plain, problems_of, write_onnx

HUGE = 2 * 10**12
NODE, TENSOR = helper.make_node, helper.make_tensor
_ROOM = TENSOR("shape", TensorProto.INT64, [1], [HUGE])


def graph(path: Path, nodes: list[Any], weights: list[Any], opsets: tuple[tuple[str, int], ...] = ()) -> None:
    """A graph of an image `[B, 1, 8, 8]` whose output is `heatmaps`."""
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [None, 1, 8, 8])
    made = helper.make_graph(
        nodes, "g", [image], [helper.make_tensor_value_info("heatmaps", TensorProto.FLOAT, None)], weights
    )
    imports = [helper.make_opsetid(*each) for each in (("", 17), *opsets)]
    model = helper.make_model(made, opset_imports=imports)
    model.ir_version = 8
    onnx.save(model, str(path))


def summed(nodes: list[Any]) -> list[Any]:
    """The same, and `large` added to the image."""
    return [
        *nodes,
        NODE("ReduceSum", ["large"], ["sum"], keepdims=0),
        NODE("Add", ["image", "sum"], ["heatmaps"]),
    ]


def constant(path: Path) -> None:
    """Made of constants alone, which onnxruntime computes as it loads."""
    graph(path, summed([NODE("ConstantOfShape", ["shape"], ["large"])]), [_ROOM])


def expanded(path: Path) -> None:
    """As large as the image says."""
    nodes = [NODE("Shape", ["image"], ["small"]), NODE("Mul", ["small", "times"], ["shape"]),
             NODE("Expand", ["one", "shape"], ["large"])]  # fmt: skip
    times = TENSOR("times", TensorProto.INT64, [4], [HUGE // 64, 1, 1, 1])
    graph(path, summed(nodes), [times, TENSOR("one", TensorProto.FLOAT, [1], [1.0])])


def tiled(path: Path) -> None:
    times = TENSOR("times", TensorProto.INT64, [4], [HUGE // 64, 1, 1, 1])
    graph(path, summed([NODE("Tile", ["image", "times"], ["large"])]), [times])


def counted(path: Path) -> None:
    ends = [TENSOR(name, TensorProto.INT64, [], [n]) for name, n in (("a", 0), ("b", HUGE), ("c", 1))]
    nodes = [NODE("Range", ["a", "b", "c"], ["numbers"]), NODE("Cast", ["numbers"], ["large"], to=1)]
    graph(path, summed(nodes), ends)


def doubled(path: Path) -> None:
    """Each step twice as large as the one before."""
    nodes = [NODE("Concat", [f"x{n}", f"x{n}"], [f"x{n + 1}"], axis=0) for n in range(38)]
    nodes[0] = NODE("Concat", ["image", "image"], ["x1"], axis=0)
    nodes[-1] = NODE("Concat", ["x37", "x37"], ["large"], axis=0)
    graph(path, summed(nodes), [])


def looping(path: Path, body_nodes: list[Any], **more: Any) -> None:
    """`Loop` without a number of rounds whose condition is always true."""
    body = helper.make_graph(
        [NODE("Identity", ["go"], ["go_on"]), *body_nodes],
        "body",
        [helper.make_tensor_value_info("round", TensorProto.INT64, []),
         helper.make_tensor_value_info("go", TensorProto.BOOL, []),
         helper.make_tensor_value_info("before", TensorProto.FLOAT, None)],
        [helper.make_tensor_value_info("go_on", TensorProto.BOOL, []),
         helper.make_tensor_value_info("after", TensorProto.FLOAT, None)],
        [TENSOR("one", TensorProto.FLOAT, [1], [1.0])],
    )  # fmt: skip
    true = TENSOR("true", TensorProto.BOOL, [], [True])
    graph(path, [NODE("Loop", ["", "true", "image"], ["heatmaps"], body=body)], [true])


def endless(path: Path) -> None:
    looping(path, [NODE("Add", ["before", "one"], ["after"])])


def growing(path: Path) -> None:
    """A loop whose result doubles with every round."""
    looping(path, [NODE("Concat", ["before", "before"], ["after"], axis=0)])


LARGE = {each.__name__: each for each in (constant, expanded, tiled, counted, doubled, growing)}


def run(path: Path) -> None:
    """As `inspect` and `evaluate` begin."""
    model = load_model(path).settled(torch.zeros(1, 1, 8, 8))
    probe(lambda images: model.predict(images), 1, Size(8, 8), torch.device("cpu"))


@pytest.mark.parametrize("name", LARGE)
def test_graphs_that_ask_for_all_memory(tmp_path: Path, name: str) -> None:
    """In a process of its own, whose memory is measured, and whose share of it is 512 MiB."""
    LARGE[name](tmp_path / "a.onnx")
    script = (
        "import resource, sys\nfrom pathlib import Path\nfrom mahtdiag.models import onnx_limits\n"
        "onnx_limits.free_bytes = lambda: 2**29\n"
        "from tests.models.formats.test_onnx_limits import run\nfrom mahtdiag.errors import MahtdiagError\n"
        "import torch, onnxruntime\nbefore = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "try:\n    run(Path('a.onnx'))\n"
        "except MahtdiagError as error:\n    print(*error.problems, sep='\\n')\n"
        "print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)\n"
    )
    start = time.monotonic()
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, env=environment(), timeout=100,
                          capture_output=True, text=True, check=False)  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    problem, taken_mb = done.stdout.splitlines()
    assert "a.onnx" in problem or problem.startswith("the network cannot run on an input [1, 1, 8, 8]: ")
    assert "bytes" in problem
    assert len(problem) < 400
    assert int(taken_mb) < 700
    assert time.monotonic() - start < 60


def test_a_graph_that_never_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    endless(tmp_path / "a.onnx")
    monkeypatch.setattr(onnx_network, "RUN_SECONDS", 0.5)
    before, start = threading.active_count(), time.monotonic()
    (problem,) = problems_of(lambda: run(tmp_path / "a.onnx"), ModelOutputError)
    assert problem == (
        f"{tmp_path}/a.onnx: the graph was not done within 0.5 seconds for an input [1, 1, 8, 8]; "
        "a loop in it may never end: export it again"
    )
    # It has stopped, and is not tried again with more images.
    assert threading.active_count() <= before
    assert time.monotonic() - start < 20


def test_each_image_has_its_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_onnx(plain(), tmp_path / "a.onnx")
    asked: list[float] = []

    def noted(seconds: float, work: Callable[[], Any], stop: Callable[[], None] | None = None) -> Any:
        asked.append(seconds)
        return within(seconds, work, stop)

    monkeypatch.setattr(onnx_network, "within", noted)
    model = load_model(tmp_path / "a.onnx").settled(torch.zeros(1, 1, 64, 32))
    asked.clear()
    model.predict(torch.zeros(5, 1, 64, 32))
    assert asked == [5 * 300.0]


def test_loading_that_never_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_onnx(plain(), tmp_path / "a.onnx")
    free = threading.Event()

    class Runtime:
        """onnxruntime, whose sessions are never made."""

        def __getattr__(self, name: str) -> Any:
            import onnxruntime

            return getattr(onnxruntime, name)

        def InferenceSession(self, *_: object, **__: object) -> None:  # noqa: N802
            free.wait(60)

    library = Runtime()
    monkeypatch.setattr(onnx_network, "runtime", lambda path: library)
    monkeypatch.setattr(onnx_network, "LOAD_SECONDS", 0.2)
    (problem,) = problems_of(lambda: load_model(tmp_path / "a.onnx"), CheckpointError)
    assert (
        problem
        == f"{tmp_path}/a.onnx: loading it was not done within 0.2 seconds; export it again, simplified"
    )
    free.set()


def test_operators_of_others_are_refused(tmp_path: Path) -> None:
    graph(tmp_path / "a.onnx", [NODE("Anything", ["image"], ["heatmaps"], domain="some.library")], [],
          (("some.library", 1),))  # fmt: skip
    (problem,) = problems_of(lambda: load_model(tmp_path / "a.onnx"), CheckpointError)
    assert "onnxruntime does not take this model" in problem
    assert "Anything" in problem or "some.library" in problem


def test_too_large_a_batch_is_made_smaller(tmp_path: Path) -> None:
    """What is raised where a batch asks for too much is what the engine halves batches for."""
    write_onnx(plain(), tmp_path / "a.onnx")
    network = onnx_network.OnnxNetwork(tmp_path / "a.onnx")

    class Session:
        def run(self, *_: object) -> None:
            raise ValueError("Available memory of 12 is smaller than requested bytes of 3456")

    network.session = Session()
    with pytest.raises(torch.OutOfMemoryError, match="the graph asks for 3,456 bytes more, "):
        network(torch.zeros(1, 1, 64, 32))


def test_numbers_are_those_without_limits(tmp_path: Path) -> None:
    import onnxruntime

    write_onnx(plain(), tmp_path / "a.onnx")
    images = torch.rand(3, 1, 64, 32, generator=torch.Generator().manual_seed(1))
    bare = onnxruntime.InferenceSession(str(tmp_path / "a.onnx"), providers=["CPUExecutionProvider"])
    (expected,) = bare.run(None, {"images": images.numpy()})
    network = onnx_network.OnnxNetwork(tmp_path / "a.onnx")
    np.testing.assert_array_equal(network(images).numpy(), expected)


def test_what_is_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gib = 2**30
    (tmp_path / "meminfo").write_text("MemTotal: 9 kB\nMemAvailable:   8388608 kB\n")
    monkeypatch.setattr(onnx_limits, "_MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(onnx_limits, "_CONTAINERS", ((tmp_path / "most", tmp_path / "used"),))
    assert free_bytes() == 8 * gib
    (tmp_path / "most").write_text("max\n")
    (tmp_path / "used").write_text(f"{gib}\n")
    assert free_bytes() == 8 * gib
    (tmp_path / "most").write_text(f"{4 * gib}\n")
    assert free_bytes() == 3 * gib
    (tmp_path / "used").write_text(f"{4 * gib}\n")
    assert free_bytes() == gib, "little is not nothing"
    (tmp_path / "most").unlink()
    (tmp_path / "meminfo").unlink()
    assert free_bytes() == 32 * gib


def test_what_comes_through() -> None:
    assert within(10, lambda: 7) == 7
    with pytest.raises(ValueError, match="invalid literal"):
        within(10, lambda: int("a"))
    free = threading.Event()
    with pytest.raises(GraphTimeoutError, match=r"^not done within 0\.1 seconds$"):
        within(0.1, lambda: free.wait(60), free.set)
    assert asked_bytes("Available memory of 1 is smaller than requested bytes of 27") == 27
    assert asked_bytes("something else") is None
