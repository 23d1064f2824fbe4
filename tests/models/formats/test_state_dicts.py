"""Bare and wrapped state dicts, their prefixes, and weights that do not fit."""

from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mahtdiag.errors import CheckpointError, UsageError
from mahtdiag.models.loading import LoadedModel, load_model
from mahtdiag.models.weights import Selection, all_weights, check_weights, select, weight_sets
from tests.models.networks import Plain, Twice, Wrapped, plain, problems_of, randomized

Build = Callable[[], nn.Module]
Load = Callable[..., LoadedModel]
WRAPPERS = ("model_state_dict", "state_dict", "model", "net", "ema", "params_ema", "generator", "run.best")
PREFIXES = ("", "module.", "model.", "_orig_mod.", "module.model.", "net.backbone.", "anything.at.all.")
HERE = Path("x.pt")


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Load:
    """Load a state dict into what a factory builds."""

    def loaded(path: Path, build: Build, weights: str | None = None) -> LoadedModel:
        monkeypatch.setattr("mahtdiag.models.factories.build_from_factory", lambda *_, **__: build())
        return load_model(path, factory="nets:build", weights=weights, trust=True)

    return loaded


def prefixed(network: nn.Module, prefix: str) -> OrderedDict[str, Tensor]:
    """The network's weights with a prefix before every name."""
    return OrderedDict((prefix + name, value) for name, value in network.state_dict().items())


def same_weights(found: nn.Module, expected: nn.Module) -> bool:
    """Whether both networks have the same names and values."""
    a, b = found.state_dict(), expected.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
@pytest.mark.parametrize("wrapper", [None, *WRAPPERS])
@pytest.mark.parametrize("prefix", PREFIXES)
def test_wrappers_and_prefixes(
    tmp_path: Path,
    load: Load,
    wrapper: str | None,
    prefix: str,
    legacy: bool,
) -> None:
    network = plain()
    state = prefixed(network, prefix)
    content: dict[str, Any] = dict(state)
    for name in reversed(wrapper.split(".") if wrapper else []):
        content = {"epoch": 3, name: content, "optimizer": {"lr": 0.1}}
    torch.save(content, tmp_path / "a.pt", _use_new_zipfile_serialization=not legacy)
    loaded = load(tmp_path / "a.pt", Plain)
    assert same_weights(loaded.network, network)
    assert loaded.format.name == "state-dict"
    assert loaded.spec is None
    assert not loaded.network.training


@pytest.mark.parametrize("prefix", ["", "module.", "model.", "module.model.", "module.module."])
@pytest.mark.parametrize("build", [Wrapped, Twice])
def test_a_network_with_an_attribute_called_model_keeps_it(
    tmp_path: Path, load: Load, build: Build, prefix: str
) -> None:
    network = randomized(build())
    torch.save(prefixed(network, prefix), tmp_path / "a.pt")
    assert same_weights(load(tmp_path / "a.pt", build).network, network)


def selected(content: object, *wanted: str, asked: str | None = None) -> Selection:
    """What is read for a network that wants these names, all of the shape [1]."""
    weights = all_weights(weight_sets(content, HERE), HERE)
    return select(weights, {name: torch.zeros(1) for name in wanted}, HERE, asked)


def ones(*names: str, value: float = 1.0) -> dict[str, Tensor]:
    """Weights of the shape [1]."""
    return {name: torch.full((1,), value) for name in names}


def test_prefixes_are_left_where_they_do_not_lead_to_known_names() -> None:
    weights = ones("module.a", "module.b")
    found = selected(weights, "c")
    assert (found.weights, found.unexpected) == ({}, ("module.a", "module.b"))
    assert selected(weights, "a", "b").weights.keys() == {"a", "b"}
    found = selected(ones("module.a", "b"), "a")
    assert (found.key, [*found.weights], found.unexpected, found.leftovers) == ("module", ["a"], (), ("b",))


def test_a_factory_that_wraps_the_network_that_was_saved(tmp_path: Path, load: Load) -> None:
    network = plain()
    for prefix in ("", "module.", "_orig_mod."):
        torch.save(prefixed(network, prefix), tmp_path / "a.pt")
        assert same_weights(load(tmp_path / "a.pt", Wrapped).network.get_submodule("model"), network)


def test_a_compiled_part_of_a_network(tmp_path: Path, load: Load) -> None:
    network = randomized(Wrapped())
    state = {
        name.replace("model.", "model._orig_mod."): value for name, value in network.state_dict().items()
    }
    torch.save(state, tmp_path / "a.pt")
    assert same_weights(load(tmp_path / "a.pt", Wrapped).network, network)


def test_a_network_saved_part_by_part() -> None:
    found = selected(
        {"epoch": 1, "encoder": ones("w"), "decoder": ones("w", value=2.0)}, "encoder.w", "decoder.w"
    )
    assert {name: float(value) for name, value in found.weights.items()} == {"encoder.w": 1, "decoder.w": 2}


@pytest.mark.parametrize(
    "names", [("model", "ema"), ("state_dict", "ema_state_dict"), ("params", "params_ema")]
)
def test_sets_that_differ_are_chosen_from(tmp_path: Path, load: Load, names: tuple[str, str]) -> None:
    first, second = plain(1), plain(2)
    state = {
        names[0]: first.state_dict(),
        names[1]: {"updates": torch.tensor(3), **prefixed(second, "module.")},
    }
    torch.save(state, tmp_path / "a.pt")
    (problem,) = problems_of(lambda: load(tmp_path / "a.pt", Plain), UsageError)
    sizes = f"{names[0]} (3 weights, 220 numbers), {names[1]}.module (3 weights, 220 numbers)"
    assert problem == f"{tmp_path / 'a.pt'}: weight sets that differ: {sizes}; choose one with --weights KEY"
    for asked, network in ((names[0], first), (names[1], second), (f"{names[1]}.module", second)):
        loaded = load(tmp_path / "a.pt", Plain, asked)
        assert same_weights(loaded.network, network)
        assert loaded.weights in (asked, f"{asked}.module")
        assert (
            "7 tensors" in loaded.notes[0] or "4 tensors" in loaded.notes[0] or "3 tensors" in loaded.notes[0]
        )
    (problem,) = problems_of(lambda: load(tmp_path / "a.pt", Plain, "best"), UsageError)
    assert f"--weights best: no weights of the network there; sets that it fits: {names[0]}" in problem


def test_equal_sets_need_no_choice(tmp_path: Path, load: Load) -> None:
    network = plain()
    with torch.no_grad():
        network.scale[0] = float("nan")
    state = network.state_dict()
    torch.save({"model": state, "ema": {k: v.clone() for k, v in state.items()}}, tmp_path / "a.pt")
    assert load(tmp_path / "a.pt", Plain).weights == "model"


def test_the_set_that_fits_is_read_and_told() -> None:
    content = {"discriminator": ones("c.w"), "generator": ones("a.w", "b.w")}
    found = selected(content, "a.w", "b.w")
    assert (found.key, found.leftovers) == ("generator", ("discriminator.c.w",))
    assert found.notes(HERE) == ("x.pt: 1 tensor that the network has no place for: discriminator.c.w",)


def test_weights_of_eight_bits_are_told() -> None:
    coarse = {"a": torch.ones(2).to(torch.float8_e4m3fn), "b": torch.ones(2)}
    found = Selection("ema", coarse, (), ())
    assert found.notes(HERE) == ("x.pt: its weights are float8_e4m3fn, read as they are, without scales",)


def test_what_training_alone_needs_is_left_with_a_note() -> None:
    lightning = {"state_dict": ones("model.a", "loss.pos_weight", "val_metric.total"), "optimizer_states": [
        torch.optim.Adam(plain().parameters()).state_dict()]}  # fmt: skip
    found = selected(lightning, "a")
    assert (found.key, found.unexpected) == ("state_dict.model", ())
    assert found.leftovers == ("state_dict.loss.pos_weight", "state_dict.val_metric.total")
    averaged = {"n_averaged": torch.tensor(7), **ones("module.a")}
    assert selected(averaged, "a").leftovers == ("n_averaged",)
    assert selected({"steps": torch.tensor(7), "loss_fn.w": torch.ones(1), **ones("a")}, "a").unexpected == ()


def test_a_layer_that_the_network_lacks_is_no_leftover() -> None:
    assert selected({"state_dict": ones("a", "head.w")}, "a").unexpected == ("head.w",)
    assert selected(ones("model.a", "model.head.w", "loss.w"), "a").unexpected == ("head.w",)


def test_messages_stay_short(tmp_path: Path, load: Load) -> None:
    state = {f"{'long.' * 40}layer{n}.weight": torch.zeros(1) for n in range(3000)}
    torch.save({"state_dict": state}, tmp_path / "a.pt")
    problems = problems_of(lambda: load(tmp_path / "a.pt", Plain), CheckpointError)
    assert len(problems) <= 6
    assert max(map(len, problems)) < 600
    assert "and 2995 more (3000 in all)" in problems[1]


def test_two_weights_of_one_name() -> None:
    content = {"a.b": torch.ones(1), "a": {"b": torch.zeros(1)}}
    (problem,) = problems_of(lambda: selected(content, "b"), CheckpointError)
    assert problem == "x.pt: two weights are called a.b"


def test_mappings_that_hold_themselves_and_each_other() -> None:
    ring: dict[str, Any] = {"w": torch.ones(1)}
    ring["again"] = ring
    wide: dict[str, Any] = ones("w")
    for _ in range(15):
        wide = {str(n): wide for n in range(10)}
    assert [part.key for part in weight_sets(ring, HERE)] == ["."]
    (problem,) = problems_of(lambda: weight_sets(wide, HERE), CheckpointError)
    assert problem == "x.pt: too many or too deeply nested entries for a checkpoint"


def test_misfits_are_listed_all_at_once(tmp_path: Path, load: Load) -> None:
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
    own = network.state_dict()
    state = {name: value for name, value in own.items() if "num_batches" not in name}
    check_weights(network, select(state, own, HERE), HERE)
    del state["running_mean"]
    assert problems_of(lambda: check_weights(network, select(state, own, HERE), HERE), CheckpointError) == (
        "x.pt: missing weights: running_mean",
    )


def test_a_network_that_learns_its_shapes_from_the_weights(tmp_path: Path, load: Load) -> None:
    torch.save({"weight": torch.ones(20, 1, 3, 3), "bias": torch.zeros(20)}, tmp_path / "a.pt")
    network = load(tmp_path / "a.pt", lambda: nn.LazyConv2d(20, 3)).network
    assert torch.equal(network.state_dict()["weight"], torch.ones(20, 1, 3, 3))


@pytest.mark.parametrize("weight", [torch.eye(2).to_sparse(), torch.empty(2, 2, device="meta")])
def test_weights_that_cannot_be_copied(tmp_path: Path, load: Load, weight: Tensor) -> None:
    torch.save({"weight": weight, "bias": torch.zeros(2)}, tmp_path / "a.pt")
    (problem,) = problems_of(lambda: load(tmp_path / "a.pt", lambda: nn.Linear(2, 2)), CheckpointError)
    assert problem.startswith(f"{tmp_path / 'a.pt'}: the network does not take these weights: ")


def test_half_precision_weights_are_read(tmp_path: Path, load: Load) -> None:
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
        ({"state_dict": {}}, "it holds state_dict"),
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


def test_averages_without_names_are_read_by_their_order(tmp_path: Path) -> None:
    path, averaged = tmp_path / "a.pt", plain(2)
    shadow = [parameter.detach().clone() for parameter in averaged.parameters()]
    torch.save({"model": plain(1).state_dict(), "ema": {"decay": 0.9, "shadow_params": shadow}}, path)
    factory = "tests.models.networks:Plain"
    (problem,) = problems_of(lambda: load_model(path, factory=factory, trust=True), UsageError)
    assert problem == (
        f"{path}: weight sets that differ: model (3 weights), ema.shadow_params (3 tensors in the order of "
        "the network's parameters); choose one with --weights KEY"
    )
    assert load_model(path, factory=factory, trust=True, weights="model").notes == (
        f"{path}: ema.shadow_params: 3 tensors without the network's names were not read; if they are an "
        "average of the weights, --weights ema.shadow_params reads it",
    )
    for asked in ("ema", "ema.shadow_params"):
        loaded = load_model(path, factory=factory, trust=True, weights=asked)
        assert (loaded.weights, loaded.notes) == ("ema.shadow_params", ())
        found = loaded.network.state_dict()
        assert all(torch.equal(found[name], value) for name, value in averaged.state_dict().items())
    torch.save({"model": plain(1).state_dict(), "ema": shadow[::-1]}, path)
    (problem,) = problems_of(
        lambda: load_model(path, factory=factory, trust=True, weights="ema"), CheckpointError
    )
    assert "3 tensors without names, which do not fit the network's 3 parameters" in problem


@pytest.mark.parametrize("change", [lambda n: n.replace(".", "_"), lambda n: n.replace(".", "")])
def test_averages_by_other_names_are_read_by_their_order(
    tmp_path: Path, change: Callable[[str], str]
) -> None:
    path, averaged = tmp_path / "a.pt", plain(2)
    shadow = {f"model_ema.{change(name)}": p.detach() for name, p in averaged.named_parameters()}
    state = {**prefixed(plain(1), "model."), **shadow, "model_ema.decay": torch.tensor(0.9)}
    torch.save({"state_dict": state}, path)
    factory = "tests.models.networks:Plain"
    (problem,) = problems_of(lambda: load_model(path, factory=factory, trust=True), UsageError)
    assert "sets that differ: state_dict.model (3 weights), state_dict.model_ema (3 tensors" in problem
    loaded = load_model(path, factory=factory, trust=True, weights="state_dict.model_ema")
    found = loaded.network.state_dict()
    assert all(torch.equal(found[name], value) for name, value in averaged.named_parameters())


def _normalised() -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2))


def test_averages_of_what_is_learned_take_the_running_means_beside_them(tmp_path: Path) -> None:
    path, network, averaged = tmp_path / "a.pt", _normalised(), randomized(_normalised())
    learned = {name: p.detach() for name, p in averaged.named_parameters()}
    state = {**network.state_dict(), "1.running_mean": torch.tensor([3.0, 4.0])}
    torch.save({"model": state, "ema": learned}, path)
    weights = all_weights(weight_sets(torch.load(path), path), path)
    own, buffers = network.state_dict(), [name for name, _ in network.named_buffers()]
    (problem,) = problems_of(lambda: select(weights, own, path, None, buffers), UsageError)
    assert "weight sets that differ: model (7 weights" in problem
    assert "ema (4 weights" in problem
    found = select(weights, own, path, "ema", buffers)
    assert all(torch.equal(found.weights[name], value) for name, value in learned.items())
    assert found.weights["1.running_mean"].tolist() == [3, 4]
    lent, left = found.notes(path)
    assert lent == f"{path}: ema has no 1.running_mean, 1.running_var: those of model are read"
    assert "running_mean" not in left
    # The same values need no choice, and without a set beside it running means are missing.
    same = all_weights(weight_sets({"model": state, "ema": dict(network.named_parameters())}, path), path)
    assert select(same, own, path, None, buffers).key == "model"
    alone = select(all_weights(weight_sets({"ema": learned}, path), path), own, path, None, buffers)
    with pytest.raises(CheckpointError, match=r"missing weights: 1\.running_mean, 1\.running_var"):
        check_weights(network, alone, path)


@pytest.mark.parametrize("kind", [torch.int8, torch.complex64])
def test_weights_that_would_lose_their_meaning_are_refused(
    tmp_path: Path, load: Load, kind: torch.dtype
) -> None:
    state = plain().state_dict()
    name = next(iter(state))
    torch.save({**state, name: state[name].to(kind)}, tmp_path / "a.pt")
    (problem,) = problems_of(lambda: load(tmp_path / "a.pt", Plain), CheckpointError)
    kind_name = str(kind).removeprefix("torch.")
    assert problem == (
        f"{tmp_path / 'a.pt'}: quantised or complex weights: {name} is {kind_name}, the network has floats"
    )


def test_a_mapping_that_holds_itself_is_no_obstacle() -> None:
    config: dict[str, Any] = {"width": 3}
    config["parent"] = {"child": config}
    state = plain().state_dict()
    (found,) = weight_sets({"cfg": config, "model": state}, HERE)
    assert found.key == "model"
