"""`mahtdiag.Monitor`: the numbers of `evaluate` beside training, which no fault ends."""

import logging
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import mahtdiag
from mahtdiag.api import lightning
from mahtdiag.errors import UsageError
from mahtdiag.workflows.evaluate import watching
from mahtdiag.workflows.evaluate.preparation import prepare
from mahtdiag.workflows.evaluate.watching import WATCHED, evenly
from tests.api.test_evaluate import INPUT, Positions, lookup
from tests.cli.builders import Bench, build_bench

PREFIX = "mahtdiag/"
Log = list[tuple[Mapping[str, float], int]]


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return build_bench(tmp_path_factory.mktemp("bench"))


@pytest.fixture(autouse=True)
def _at_the_bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bench: Bench) -> None:
    (tmp_path / "data").symlink_to(bench.path / "data")
    (tmp_path / "lookup-ap.pt").symlink_to(bench.path / "lookup-ap.pt")
    monkeypatch.chdir(tmp_path)


def monitor(log: Log, data: str = "data", **more: Any) -> mahtdiag.Monitor:
    return mahtdiag.Monitor(data, log=lambda values, step: log.append((values, step)), **{**INPUT, **more})


def test_numbers_are_those_of_evaluate() -> None:
    log: Log = []
    watched = monitor(log, pixel_spacing=0.3)
    network = lookup()
    found = watched.check(network, 7)
    run = mahtdiag.evaluate(network, "data", pixel_spacing=0.3, **INPUT)
    assert log == [(found, 7)]
    assert set(found) == {f"{PREFIX}{name}" for name in WATCHED}
    assert {name: run.numbers[name.removeprefix(PREFIX)].value for name in found} == found
    assert watched.seconds > 0


def test_it_sees_what_the_network_has_learned(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []

    def counted(*arguments: Any, **keywords: Any) -> Any:
        read.append(1)
        return prepare(*arguments, **keywords)

    monkeypatch.setattr(watching, "prepare", counted)
    log: Log = []
    watched, network = monitor(log), lookup().train()
    points = network.points
    assert isinstance(points, Tensor)
    errors = []
    for step in range(3):
        points += 3.0
        found = watched.check(network, step)
        errors.append(found[f"{PREFIX}radial_error_px.mean"])
        run = mahtdiag.evaluate(network, "data", **INPUT)
        assert run.radial_error_px is not None
        assert errors[-1] == run.radial_error_px.value
        assert network.training
    assert errors == sorted(set(errors))
    # Two networks take turns: each is read as it is.
    other = lookup()
    before = watched.check(other, 4)[f"{PREFIX}radial_error_px.mean"]
    assert before < errors[0]
    assert watched.check(network, 5)[f"{PREFIX}radial_error_px.mean"] == errors[-1]
    assert len(read) == 3


def test_training_goes_on_as_without_it() -> None:
    def trained(watch: bool) -> list[Tensor]:
        torch.manual_seed(0)
        network = Positions()
        optimiser = torch.optim.Adam(network.parameters(), 1e-2)
        watched = monitor([])
        for step in range(3):
            optimiser.zero_grad()
            network(torch.rand(2, 1, 64, 64)).square().mean().backward()
            optimiser.step()
            if watch:
                watched.check(network, step)
        return [*network.state_dict().values()]

    assert all(map(torch.equal, trained(True), trained(False)))


@pytest.mark.parametrize(
    ("network", "said"),
    [
        (lambda images: torch.full((len(images), 20, 8, 8), torch.nan), "no image could be evaluated"),
        (lambda images: 1 / 0, "division by zero"),
        (lambda images: None, "the network returned NoneType"),
        (lambda images: torch.zeros(len(images), 7, 8, 8), "the network returns 7 heatmaps"),
        (3, "neither a network"),
    ],
)
def test_a_fault_of_the_network_is_told_once(
    network: Any, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    log: Log = []
    watched = monitor(log)
    with caplog.at_level(logging.WARNING, "mahtdiag"):
        assert [watched.check(network, step) for step in range(3)] == [{}, {}, {}]
    (message,) = caplog.messages
    assert said in message
    assert "\n" not in message
    assert message.endswith("training goes on, and this is said once")
    assert log == []
    # Once it works, it is judged.
    assert watched.check(lookup(), 3)


def test_a_network_that_says_nan_for_some(caplog: pytest.LogCaptureFixture) -> None:
    network = lookup()

    def partly(images: Tensor) -> object:
        outputs: Any = network(images)
        coords = outputs["coords"].clone()
        coords[:, 3] = torch.nan
        return {**outputs, "coords": coords}

    found = monitor([]).check(partly, 0)
    assert found[f"{PREFIX}miss_rate"] == pytest.approx(1 / 20)
    assert caplog.messages == []


@pytest.mark.parametrize("kind", ["empty", "absent", "unreadable"])
def test_a_set_that_cannot_be_used_is_told_once(
    kind: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "val"
    if kind != "absent":
        (folder / "AP").mkdir(parents=True)
    if kind == "unreadable":
        for file in (tmp_path / "data" / "AP").iterdir():
            (folder / "AP" / file.name).write_bytes(
                file.read_bytes() if file.suffix == ".csv" else b"no image"
            )
    watched = monitor([], "val")
    assert [watched.check(lookup(), step) for step in range(3)] == [{}, {}, {}]
    assert len(caplog.messages) == 1


def test_images_that_fail_are_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = tmp_path / "val" / "AP"
    folder.mkdir(parents=True)
    for file in (tmp_path / "data" / "AP").iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    min(folder.glob("*.png")).write_bytes(b"no image")
    watched = monitor([], "val")
    assert all(watched.check(lookup(), step) for step in range(2))
    (message,) = caplog.messages
    assert message.startswith("1 images of val are left out; the first: AP/0001")


def test_a_logger_that_fails_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    def broken(values: Mapping[str, float], step: int) -> None:
        raise ConnectionError("no\nroute")

    watched = mahtdiag.Monitor("data", log=broken, **INPUT)
    assert all(watched.check(lookup(), step) for step in range(2))
    (message,) = caplog.messages
    assert message.startswith("the numbers were not logged: no route;")


def test_every_so_often_and_some_images() -> None:
    log: Log = []
    watched = monitor(
        log, every=3, images=2, numbers=["metrics.radial_error_px.mean", "images.total"], prefix=""
    )
    network = lookup()
    returned = [bool(watched.check(network, step)) for step in range(7)]
    assert returned == [True, False, False, True, False, False, True]
    assert [step for _, step in log] == [0, 3, 6]
    values, _ = log[0]
    assert list(values) == ["radial_error_px.mean"]
    errors = mahtdiag.evaluate(network, "data", **INPUT).keypoints["error_px"].reshape(6, 20)
    assert values["radial_error_px.mean"] == pytest.approx(errors[[0, 5]].mean())


def test_images_are_spaced_evenly() -> None:
    samples: Any = [*range(10)]
    chosen: Any = [*evenly(samples, 4)]
    assert chosen == [0, 3, 6, 9]
    assert evenly(samples, None) == evenly(samples, 99) == samples


def test_what_is_wrong_before_training_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    for wrong, problem in (
        ({"input_sise": "64x64"}, "no option input_sise; did you mean input_size"),
        ({"numbers": ["radial_error_px.maen"]}, "did you mean radial_error_px.mean"),
        ({"every": 0}, "every=0: give 1 or more"),
        ({"images": 0}, "images=0: give 1 or more"),
        ({"log": "excel"}, "log='excel': expected tensorboard, mlflow, wandb"),
        ({"log": 3}, "log=3: expected tensorboard, mlflow, wandb, or a function of numbers and step"),
    ):
        with pytest.raises(UsageError) as caught:
            mahtdiag.Monitor("data", **wrong)
        assert problem in str(caught.value)
        assert "\n" not in str(caught.value)
    for library in ("tensorboard", "mlflow", "wandb"):
        monkeypatch.setitem(sys.modules, library, None)
        with pytest.raises(UsageError, match=rf"pip install 'mahtdiag\[{library}\]'$"):
            mahtdiag.Monitor("data", log=library)
    for package in lightning._PACKAGES:
        monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(
        UsageError, match=r"^lightning_callback needs lightning: pip install 'mahtdiag\[lightning\]'$"
    ):
        mahtdiag.lightning_callback("data")


def test_data_that_is_no_path_is_an_error_before_training() -> None:
    nothing: Any = None
    with pytest.raises(UsageError, match=r"^data: expected a path, found NoneType$"):
        mahtdiag.Monitor(nothing)


def test_an_empty_set_is_told_once_and_leaves_no_run(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "none").mkdir()
    log: Log = []
    watched = monitor(log, "none")
    assert [dict(watched.check(lookup(), step)) for step in range(3)] == [{}, {}, {}]
    assert watched.finish(lookup(), "runs/end") is None
    assert log == []
    why = "none: no image and no annotation: a set has NAME.jpg, .png, .tif or .bmp beside NAME.csv"
    told = [message.partition(", in one folder")[0] for message in caplog.messages]
    assert told == [f"the validation set was not judged: {why}", f"no report was written: {why}"]
    assert not (tmp_path / "runs").exists()


def test_a_network_of_nan_leaves_no_run_in_the_way(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    class Nowhere(torch.nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return torch.full((len(images), 20, 16, 16), torch.nan)

    watched = monitor([])
    assert dict(watched.check(Nowhere(), 0)) == dict(watched.check(Nowhere(), 1)) == {}
    assert watched.finish(Nowhere(), "runs/end") is None
    first, last = caplog.messages
    assert first.startswith(
        "the validation set was not judged: data: no image could be evaluated; the first: "
    )
    assert last.startswith("no report was written: data: none of 6 images could be evaluated; the first: ")
    assert not (tmp_path / "runs" / "end").exists()
    run = watched.finish(lookup(), "runs/end")
    assert run is not None
    assert run.radial_error_px is not None


@pytest.mark.slow
def test_the_report_at_the_end(caplog: pytest.LogCaptureFixture) -> None:
    watched = monitor([])
    run = watched.finish(lookup(), "runs/end")
    assert run is not None
    assert (run.path / "report.html").is_file()
    assert mahtdiag.load().path == run.path
    assert watched.finish(lookup(), "runs/end") is None
    (message,) = caplog.messages
    assert "no report was written" in message
