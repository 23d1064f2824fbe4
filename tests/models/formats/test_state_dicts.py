"""Bare and wrapped state dicts, their prefixes, and weights that do not fit."""

from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from mahtdiag.errors import CheckpointError, UsageError
from mahtdiag.models.loading import (
    PREFIXES,
    WRAPPERS,
    LoadedModel,
    check_weights,
    find_state_dict,
    load_model,
    without_prefixes,
)
from tests.models.networks import Plain, Twice, Wrapped, plain, problems_of, randomized

Build = Callable[[], nn.Module]
HERE = Path("x.pt")


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path, Build], LoadedModel]:
    """Load a state dict into what a factory builds."""

    def loaded(path: Path, build: Build) -> LoadedModel:
        monkeypatch.setattr("mahtdiag.models.formats.state_dict.build_from_factory", lambda name: build())
        return load_model(path, factory="nets:build", trust=True)

    return loaded


def prefixed(network: nn.Module, prefix: str) -> OrderedDict[str, Tensor]:
    """The network's weights with a prefix before every name."""
    return OrderedDict((prefix + name, value) for name, value in network.state_dict().items())


def same_weights(found: nn.Module, expected: nn.Module) -> bool:
    """Whether both networks have the same names and values."""
    a, b = found.state_dict(), expected.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_the_names_are_those_of_the_contract() -> None:
    assert set(WRAPPERS) == {"model_state_dict", "state_dict", "model", "net"}
    assert set(PREFIXES) == {"module.", "model."}


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
@pytest.mark.parametrize("wrapper", [None, *WRAPPERS])
@pytest.mark.parametrize("prefix", ["", "module.", "model.", "module.model.", "model.module."])
def test_wrappers_and_prefixes(
    tmp_path: Path,
    load: Callable[[Path, Build], LoadedModel],
    wrapper: str | None,
    prefix: str,
    legacy: bool,
) -> None:
    network = plain()
    state = prefixed(network, prefix)
    content = state if wrapper is None else {"epoch": 3, wrapper: state, "optimizer": {"lr": 0.1}}
    torch.save(content, tmp_path / "a.pt", _use_new_zipfile_serialization=not legacy)
    loaded = load(tmp_path / "a.pt", Plain)
    assert same_weights(loaded.network, network)
    assert loaded.format.name == "state-dict"
    assert loaded.spec is None
    assert not loaded.network.training


@pytest.mark.parametrize("prefix", ["", "module.", "model.", "module.model.", "module.module."])
@pytest.mark.parametrize("build", [Wrapped, Twice])
def test_a_network_with_an_attribute_called_model_keeps_it(
    tmp_path: Path, load: Callable[[Path, Build], LoadedModel], build: Build, prefix: str
) -> None:
    network = randomized(build())
    torch.save(prefixed(network, prefix), tmp_path / "a.pt")
    assert same_weights(load(tmp_path / "a.pt", build).network, network)


def test_prefixes_are_left_where_they_do_not_lead_to_known_names() -> None:
    weights = {"module.a": torch.zeros(1), "module.b": torch.zeros(1)}
    assert without_prefixes(weights, {"c"}) == weights
    assert without_prefixes(weights, {"a"}).keys() == {"a", "b"}
    mixed = {"module.a": torch.zeros(1), "b": torch.zeros(1)}
    assert without_prefixes(mixed, {"a"}).keys() == mixed.keys()
    assert without_prefixes({}, {"a"}) == {}


def test_a_wrapper_without_weights_is_passed_over() -> None:
    state = plain().state_dict()
    assert find_state_dict({"model": {"name": "unet"}, "net": state}, HERE).keys() == state.keys()


def test_misfits_are_listed_all_at_once(tmp_path: Path, load: Callable[[Path, Build], LoadedModel]) -> None:
    state = plain().state_dict()
    del state["scale"]
    state["extra.weight"] = torch.zeros(2)
    state["more.bias"] = torch.zeros(2)
    state["conv.weight"] = torch.zeros(22, 1, 3, 3)
    torch.save(state, tmp_path / "a.pt")
    problems = problems_of(lambda: load(tmp_path / "a.pt", Plain), CheckpointError)
    where = tmp_path / "a.pt"
    assert problems == (
        f"{where}: missing weights: scale",
        f"{where}: unexpected weights: extra.weight, more.bias",
        f"{where}: wrongly shaped weights: conv.weight is [22, 1, 3, 3], the network has [20, 1, 3, 3]",
    )


def test_counters_of_batch_normalisation_may_be_missing() -> None:
    network = nn.BatchNorm2d(3)
    state = {name: value for name, value in network.state_dict().items() if "num_batches" not in name}
    check_weights(network, state, HERE)
    del state["running_mean"]
    assert problems_of(lambda: check_weights(network, state, HERE), CheckpointError) == (
        "x.pt: missing weights: running_mean",
    )


def test_a_network_that_learns_its_shapes_from_the_weights(
    tmp_path: Path, load: Callable[[Path, Build], LoadedModel]
) -> None:
    torch.save({"weight": torch.ones(20, 1, 3, 3), "bias": torch.zeros(20)}, tmp_path / "a.pt")
    network = load(tmp_path / "a.pt", lambda: nn.LazyConv2d(20, 3)).network
    assert torch.equal(network.state_dict()["weight"], torch.ones(20, 1, 3, 3))


@pytest.mark.parametrize("weight", [torch.eye(2).to_sparse(), torch.empty(2, 2, device="meta")])
def test_weights_that_cannot_be_copied(
    tmp_path: Path, load: Callable[[Path, Build], LoadedModel], weight: Tensor
) -> None:
    torch.save({"weight": weight, "bias": torch.zeros(2)}, tmp_path / "a.pt")
    (problem,) = problems_of(lambda: load(tmp_path / "a.pt", lambda: nn.Linear(2, 2)), CheckpointError)
    assert problem.startswith(f"{tmp_path / 'a.pt'}: the network does not take these weights: ")


def test_half_precision_weights_are_read(tmp_path: Path, load: Callable[[Path, Build], LoadedModel]) -> None:
    network = plain().half()
    torch.save(network.state_dict(), tmp_path / "a.pt")
    found = load(tmp_path / "a.pt", Plain).network.state_dict()
    assert found["conv.weight"].dtype is torch.float32
    assert torch.equal(found["conv.weight"], network.state_dict()["conv.weight"].float())


def test_without_a_factory_a_state_dict_cannot_run(tmp_path: Path) -> None:
    torch.save(plain().state_dict(), tmp_path / "a.pt")
    (problem,) = problems_of(lambda: load_model(tmp_path / "a.pt", trust=True), UsageError)
    assert problem.startswith(f"{tmp_path / 'a.pt'}: a state dict without metadata")
    assert "--model" in problem
    assert "--trust" in problem


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (torch.optim.Adam(plain().parameters()).state_dict(), "an optimiser's state"),
        ({"model": torch.optim.SGD(plain().parameters(), 0.1).state_dict()}, "an optimiser's state"),
        ({"optimizer": {"state": {}}, "epoch": 2}, "no network weights in it (it holds optimizer, epoch)"),
        ({}, "it holds nothing"),
        ({"state_dict": {}}, "it holds nothing"),
        ({1: 2}, "it holds 1"),
        ([torch.zeros(1)], "holds a list"),
        (torch.zeros(3), "holds a Tensor"),
        (3.5, "holds a float"),
        (None, "holds a NoneType"),
    ],
)
def test_files_that_hold_no_weights(tmp_path: Path, content: object, said: str) -> None:
    torch.save(content, tmp_path / "a.pt")
    for factory in (None, "nets:build"):
        (problem,) = problems_of(
            lambda name=factory: load_model(tmp_path / "a.pt", factory=name, trust=True),  # type: ignore[misc]
            CheckpointError,
        )
        assert problem.startswith(f"{tmp_path / 'a.pt'}: ")
        assert said in problem
