"""`mahtdiag.evaluate`: the numbers of the command, from a network in memory that stays as it was."""

import gc
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import mahtdiag
from mahtdiag.api.options import OPTIONS
from mahtdiag.cli.commands import app
from mahtdiag.cli.evaluate import evaluate_command
from mahtdiag.config.project_file import read_settings
from mahtdiag.config.settings import settings_from_options
from mahtdiag.errors import CheckpointError, DataError, ModelOutputError, SetupRefusedError, UsageError
from mahtdiag.models.in_memory import digest_of
from mahtdiag.models.loading import load_model
from mahtdiag.schema.choices import NO_IMAGES
from mahtdiag.workflows.evaluate.job import EvaluateRequest
from mahtdiag.workflows.evaluate.job import evaluate as run_job
from mahtdiag.workflows.progress import NoProgress
from tests.cli import networks
from tests.cli.builders import Bench, build_bench

assert app
OF_COMMAND = ("checkpoint", "data", "predictions", "model", "model_args", "trust", "out", "resume",
              "quiet", "verbose", "all_levels", "output_format", "junit", "markdown", "config",
              "context")  # fmt: skip
INPUT: dict[str, Any] = {
    "view": "AP",
    "input_size": "64x64",
    "channels": 1,
    "normalize": "unit",
    "heatmap_sigma": 1.5,
}


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return build_bench(tmp_path_factory.mktemp("bench"))


@pytest.fixture(autouse=True)
def _at_the_bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bench: Bench) -> None:
    (tmp_path / "data").symlink_to(bench.path / "data")
    for name in ("ap.pt", "lookup-ap.pt", "nets.py"):
        (tmp_path / name).symlink_to(bench.path / name)
    monkeypatch.chdir(tmp_path)


def lookup(make: Callable[[], nn.Module] = networks.exact) -> nn.Module:
    network = make()
    network.load_state_dict(torch.load("lookup-ap.pt", weights_only=True))
    return network


def by_command(checkpoint: str, **options: object) -> mahtdiag.Run:
    """What the command writes, from its options by their names."""
    given = {f"--{name.replace('_', '-')}": value for name, value in options.items()}
    asked = settings_from_options({**given, "CHECKPOINT": checkpoint, "DATA": "data"})
    asked = asked.model_copy(update={"evaluate": asked.evaluate.model_copy(update={"overlays": NO_IMAGES})})
    request = EvaluateRequest(asked, Path("command"), resume=False, trust=True, cwd=Path.cwd())
    run_job(request, NoProgress())
    return mahtdiag.load("command")


def same(ours: mahtdiag.Run, theirs: mahtdiag.Run) -> None:
    """To the last digit: every number, every keypoint, every image."""
    assert ours.keypoints.arrow.equals(theirs.keypoints.arrow)
    assert ours.images.arrow.equals(theirs.images.arrow)
    for section in ("metrics", "clean_labels", "losses", "anatomy", "error_types", "ambiguity", "calibration",
                    "subgroups", "images", "keypoints", "failures"):  # fmt: skip
        assert ours.content[section] == theirs.content[section], section


def test_the_options_are_those_of_the_command() -> None:
    parameters = evaluate_command.__code__.co_varnames[: evaluate_command.__code__.co_argcount]
    assert set(OPTIONS) == set(parameters) - set(OF_COMMAND)


@pytest.mark.parametrize(
    ("network", "options"),
    [("exact", {}), ("heatmaps", {"decode": "dark", "uncertainty": "heatmap", "batch_size": 4}),
     ("exact", {"pixel_spacing": 0.3, "coords": "scale", "expected_error": True, "decode": "argmax"})],
)  # fmt: skip
def test_numbers_are_those_of_the_command(network: str, options: dict[str, Any]) -> None:
    typed = {**INPUT, **options}
    theirs = by_command("lookup-ap.pt", model=f"nets:{network}", **typed)
    ours = mahtdiag.evaluate(lookup(getattr(networks, network)), "data", **typed)
    same(ours, theirs)
    settings = {run: run.content["settings"] for run in (ours, theirs)}
    assert settings[ours] | {"factory": 0, "given": 0} == settings[theirs] | {"factory": 0, "given": 0}  # type: ignore[operator]


def test_dropout_draws_as_the_command_does() -> None:
    options = {"uncertainty": "mc-dropout:3", "accept": ["network.heatmaps", "network.decode"]}
    theirs = by_command("ap.pt", view="AP", **options)
    network = load_model(Path("ap.pt")).network.train()
    ours = mahtdiag.evaluate(network, "data", **INPUT, uncertainty_as="log_sigma", **options)  # type: ignore[arg-type]
    same(ours, theirs)
    assert all(module.training for module in network.modules())


def test_a_checkpoint_by_its_path() -> None:
    theirs = by_command("ap.pt", view="AP")
    same(mahtdiag.evaluate("ap.pt", "data", view="AP"), theirs)
    same(mahtdiag.evaluate(Path("ap.pt"), Path("data"), view="AP"), theirs)
    with pytest.raises(CheckpointError, match="no such checkpoint"):
        mahtdiag.evaluate("nothing.pt", "data")


class Positions(nn.Module):
    """Makes a table when it is first run, and keeps it; counts its passes in training mode."""

    def __init__(self) -> None:
        super().__init__()
        self.weights = nn.Conv2d(1, 20, 3, padding=1)
        self.norm = nn.BatchNorm2d(20)
        self.kept: Tensor | None = None

    def forward(self, images: Tensor) -> Tensor:
        images -= 0.5
        if self.kept is None:
            self.kept = images[:1] * 0 + 1
        found: Tensor = self.norm(self.weights(images)) * self.kept
        return found


def test_a_network_in_training_stays_as_it_was() -> None:
    network = Positions()
    network.train()
    network.norm.eval()
    before = digest_of(network)
    optimiser = torch.optim.SGD(network.parameters(), 0.1)
    drawn = torch.random.get_rng_state()
    mahtdiag.evaluate(network, "data", **INPUT)
    assert torch.equal(torch.random.get_rng_state(), drawn)
    assert (network.training, network.weights.training, network.norm.training) == (True, True, False)
    assert digest_of(network) == before
    assert all(weights.requires_grad and weights.grad is None for weights in network.parameters())
    network(torch.rand(2, 1, 64, 64)).sum().backward()
    optimiser.step()
    assert digest_of(network) != before


def test_half_precision_stays_half() -> None:
    network = Positions().half()
    mahtdiag.evaluate(network, "data", **INPUT)
    assert network.weights.weight.dtype is torch.float16


def test_a_function() -> None:
    network = lookup()
    calls: list[int] = []

    def predict(images: Tensor) -> object:
        calls.append(len(images))
        return network(images)

    ours = mahtdiag.evaluate(predict, "data", **INPUT)
    same(ours, by_command("lookup-ap.pt", model="nets:exact", **INPUT))
    assert calls
    assert ours.checkpoint == "predict"
    again = mahtdiag.evaluate(predict, "data", **INPUT)
    # Nobody can tell whether two functions are the same.
    assert again.content["checkpoint"] != ours.content["checkpoint"]


def test_the_same_weights_are_the_same_network() -> None:
    one, other = Positions(), Positions()
    assert digest_of(one) == digest_of(one) != digest_of(other)
    other.load_state_dict(one.state_dict())
    assert digest_of(one) == digest_of(other)


def test_without_a_folder_nothing_stays() -> None:
    run = mahtdiag.evaluate(lookup(), "data", **INPUT)
    folder = run.path.parent
    assert run.anatomy().content
    assert run.calibration().mace is not None
    assert run.compare(run).verdict == "no difference"
    assert folder.is_dir()
    del run
    gc.collect()
    assert not folder.exists()
    assert not Path("runs").exists()


def test_with_a_folder_it_is_the_latest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = mahtdiag.evaluate(lookup(), "data", out="runs/first", overlays="worst:1", **INPUT)
    assert run.path == tmp_path / "runs" / "first"
    assert len([*(run.path / "overlays").iterdir()]) == 1
    assert mahtdiag.load().path == run.path
    monkeypatch.chdir("/")
    assert len(run.images) == 6
    assert run.content["checkpoint"]["format"] == "memory"  # type: ignore[index]


def test_settings_of_a_file_and_of_a_table() -> None:
    Path("mahtdiag.toml").write_text('[gates]\n"radial_error_px.mean" = "<= 1"\n', encoding="utf-8")
    assert read_settings(None, Path.cwd()).gates.limits
    assert mahtdiag.evaluate(lookup(), "data", **INPUT).gates == ()
    for config in ("mahtdiag.toml", {"gates": {"radial_error_px.mean": "<= 1"}}):
        run = mahtdiag.evaluate(lookup(), "data", config=config, **INPUT)
        assert not run.passed
        assert [gate.gate.metric for gate in run.gates] == ["radial_error_px.mean"]


def test_what_cannot_be_obeyed_is_said_at_once() -> None:
    with pytest.raises(UsageError) as caught:
        mahtdiag.evaluate(lookup(), "data", input_sise="64x64", zzz=1)  # type: ignore[call-arg]
    first, second = caught.value.problems
    assert first == "evaluate has no option input_sise; did you mean input_size?"
    assert second.startswith("evaluate has no option zzz; there are view, ")
    with pytest.raises(UsageError) as caught:
        mahtdiag.evaluate(lookup(), "data", input_size="64", channels=2)  # type: ignore[arg-type]
    assert len(caught.value.problems) == 2
    attempts: tuple[Callable[[], object], ...] = (
        lambda: mahtdiag.evaluate(3, "data"),  # type: ignore[arg-type]
        lambda: mahtdiag.evaluate(lookup(), "data", weights="ema", **INPUT),
        lambda: mahtdiag.evaluate(lookup(), "data"),
        lambda: mahtdiag.evaluate(lookup(), "data", config={"los": {}}, **INPUT),
    )
    for attempt in attempts:
        with pytest.raises(UsageError) as caught:
            attempt()
        assert "\n" not in str(caught.value)
    with pytest.raises(ModelOutputError, match="division by zero"):
        mahtdiag.evaluate(lambda images: 1 / 0, "data", **INPUT)
    with pytest.raises(DataError, match="no such folder"):
        mahtdiag.evaluate(lookup(), "nowhere", **INPUT)
    with pytest.raises(DataError, match="none of 6 images could be evaluated"):
        mahtdiag.evaluate(lambda images: torch.full((len(images), 20, 8, 8), torch.nan), "data", **INPUT)


def test_failed_images_are_warned_of(tmp_path: Path) -> None:
    (tmp_path / "some").mkdir()
    for file in (tmp_path / "data" / "AP").iterdir():
        (tmp_path / "some" / file.name).write_bytes(file.read_bytes())
    next(iter(sorted((tmp_path / "some").glob("*.png")))).write_bytes(b"no image")
    with pytest.warns(UserWarning, match="1 of 6 images failed, --allow-failures is 0"):
        run = mahtdiag.evaluate(lookup(), "some", **INPUT)
    assert len(run.failures) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        mahtdiag.evaluate(lookup(), "some", allow_failures=1, **INPUT)


def test_a_strict_setup_is_an_error() -> None:
    def swapped(images: Tensor) -> object:
        outputs: Any = network(images)
        return {**outputs, "coords": outputs["coords"].flip(-1)}

    network = lookup()
    accept = ["order.axes"]
    run = mahtdiag.evaluate(swapped, "data", accept=accept, **INPUT)
    assert "wrong" in {str(entry.status) for entry in run.setup}
    with pytest.raises(SetupRefusedError):
        mahtdiag.evaluate(swapped, "data", strict_setup=True, **INPUT)


def test_an_interruption_is_one() -> None:
    network = lookup()

    def interrupted(images: Tensor) -> object:
        if Path("stopped/run.json").exists():
            raise KeyboardInterrupt
        return network(images)

    with pytest.raises(KeyboardInterrupt):
        mahtdiag.evaluate(interrupted, "data", batch_size=2, out="stopped", **INPUT)
    assert not mahtdiag.load("stopped").complete
