"""The monitor in loops of Lightning, and with the loggers of three libraries, offline.

`make loggers` runs it in an environment of its own: the libraries weigh more than the product.
"""

import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import mahtdiag
from tests.cli.builders import build_bench
from tests.cli.networks import IMAGES, exact

os.environ |= {"WANDB_MODE": "offline", "WANDB_SILENT": "true", "MLFLOW_DISABLE_TELEMETRY": "true",
               "MLFLOW_ALLOW_FILE_STORE": "true", "CUDA_VISIBLE_DEVICES": ""}  # fmt: skip
OPTIONS: dict[str, Any] = {
    "view": "AP",
    "input_size": "64x64",
    "channels": 1,
    "normalize": "unit",
    "heatmap_sigma": 1.5,
}
ERROR = "mahtdiag/radial_error_px.mean"
PACKAGES = ("lightning.pytorch", "pytorch_lightning")


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_bench(tmp_path_factory.mktemp("bench")).path


@pytest.fixture(autouse=True)
def _at_the_bench(tmp_path: Path, bench: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "data").symlink_to(bench / "data")
    (tmp_path / "lookup-ap.pt").symlink_to(bench / "lookup-ap.pt")
    monkeypatch.chdir(tmp_path)


class Net(nn.Module):
    """Knows the places, and learns by how much to leave them alone."""

    def __init__(self, says: str = "places") -> None:
        super().__init__()
        self.lookup = exact()
        self.lookup.load_state_dict(torch.load("lookup-ap.pt", weights_only=True))
        self.shift = nn.Parameter(torch.tensor(4.0))
        self.says = says

    def forward(self, images: Tensor) -> object:
        outputs: Any = self.lookup(images)
        coords = outputs["coords"] + self.shift
        return {**outputs, "coords": coords * torch.nan if self.says == "nan" else coords}


def module_of(library: Any, says: str = "places", *, validates: bool = True) -> Any:
    """A module that trains its shift down."""

    class Module(library.LightningModule):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.net = Net(says)

        def training_step(self, batch: Any, index: int) -> Tensor:
            assert self.net.training
            return self.net.shift.abs()

        if validates:

            def validation_step(self, batch: Any, index: int) -> None:
                assert not self.net.training

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), 0.5)

    return Module()


def loader() -> Any:
    return DataLoader(TensorDataset(torch.zeros(IMAGES, 1)), batch_size=4)


def trainer_of(library: Any, callbacks: list[Any], logger: Any = False, epochs: int = 2) -> Any:
    return library.Trainer(
        max_epochs=epochs, logger=logger, callbacks=callbacks, enable_progress_bar=False,
        enable_model_summary=False, enable_checkpointing=False, accelerator="cpu", log_every_n_steps=1,
    )  # fmt: skip


@pytest.fixture(params=PACKAGES)
def library(request: pytest.FixtureRequest) -> Any:
    return pytest.importorskip(request.param)


def test_numbers_are_logged_and_can_be_watched(library: Any) -> None:
    callback = mahtdiag.lightning_callback("data", network="net", **OPTIONS)
    assert isinstance(callback, library.Callback)
    stop = library.callbacks.EarlyStopping(monitor=ERROR, patience=3, check_on_train_epoch_end=False)
    module = module_of(library)
    trainer = trainer_of(library, [callback, stop])
    trainer.fit(module, loader(), loader())
    now = mahtdiag.evaluate(module.net, "data", **OPTIONS)
    logged = {name: float(value) for name, value in trainer.callback_metrics.items()}
    for name in ("radial_error_px.mean", "losses.total", "anatomy.violations", "calibration.mace"):
        assert logged[f"mahtdiag/{name}"] == pytest.approx(now.numbers[name].value, rel=1e-6)
    assert len(callback.monitor._told) == 0
    assert callback.monitor._calls == 2


def test_a_trainer_that_validates_nothing(library: Any) -> None:
    callback = mahtdiag.lightning_callback("data", network=lambda module: module.net, **OPTIONS)
    trainer = trainer_of(library, [callback])
    trainer.fit(module_of(library, validates=False), loader())
    assert callback.monitor._calls == 2
    assert ERROR in trainer.callback_metrics


@pytest.mark.parametrize("wrong", ["nan", "empty"])
def test_training_goes_on_and_the_fault_is_said_once(
    library: Any, wrong: str, caplog: pytest.LogCaptureFixture
) -> None:
    Path("empty").mkdir()
    callback = mahtdiag.lightning_callback("data" if wrong == "nan" else "empty", network="net", **OPTIONS)
    module = module_of(library, says="nan" if wrong == "nan" else "places")
    with caplog.at_level(logging.WARNING, "mahtdiag"):
        trainer = trainer_of(library, [callback], epochs=3)
        trainer.fit(module, loader(), loader())
    assert trainer.current_epoch == 3
    told = [record.getMessage() for record in caplog.records if record.name == "mahtdiag"]
    assert len(told) == 1
    assert "training goes on" in told[0]


def test_tensorboard_of_lightning(library: Any) -> None:
    logger = library.loggers.TensorBoardLogger("events")
    callback = mahtdiag.lightning_callback("data", network="net", report="runs/end", **OPTIONS)
    trainer_of(library, [callback], logger).fit(module_of(library), loader(), loader())
    logger.finalize("success")
    assert len(scalars(Path(logger.log_dir))) == 2
    assert (Path(logger.log_dir) / "report.html").read_bytes() == Path("runs/end/report.html").read_bytes()


def scalars(folder: Path) -> list[float]:
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    found = events.EventAccumulator(str(folder))
    found.Reload()
    return [event.value for event in found.Scalars(ERROR)]


def test_mlflow_of_lightning(library: Any, tmp_path: Path) -> None:
    logger = library.loggers.MLFlowLogger(tracking_uri=f"file:{tmp_path}/mlruns")
    callback = mahtdiag.lightning_callback("data", network="net", report="runs/end", **OPTIONS)
    trainer_of(library, [callback], logger).fit(module_of(library), loader(), loader())
    assert len(logger.experiment.get_metric_history(logger.run_id, ERROR)) == 2
    assert [*(tmp_path / "mlruns").rglob("mahtdiag/report.html")]


def has_report(run: Any, wandb: Any) -> bool:
    """Whether what would be sent names the report."""
    folder = Path(run.dir).parent
    wandb.finish()
    (sent,) = folder.glob("*.wandb")
    return b"report.html" in sent.read_bytes()


def test_wandb_of_lightning(library: Any, wandb: Any, tmp_path: Path) -> None:
    logger = library.loggers.WandbLogger(save_dir=tmp_path, offline=True)
    callback = mahtdiag.lightning_callback("data", network="net", report="runs/end", **OPTIONS)
    trainer_of(library, [callback], logger).fit(module_of(library), loader(), loader())
    assert callback.monitor._told == set()
    assert ERROR in dict(logger.experiment.summary)
    assert has_report(logger.experiment, wandb)


@pytest.fixture
def wandb() -> Iterator[Any]:
    found = pytest.importorskip("wandb")
    yield found
    found.finish()


def test_csv_of_lightning(library: Any) -> None:
    logger = library.loggers.CSVLogger("csv")
    callback = mahtdiag.lightning_callback("data", network="net", report="runs/end", **OPTIONS)
    trainer_of(library, [callback], logger).fit(module_of(library), loader(), loader())
    assert (Path(logger.log_dir) / "report.html").is_file()


def trained(log: Any) -> mahtdiag.Monitor:
    """A loop of plain PyTorch."""
    network = Net()
    optimiser = torch.optim.SGD(network.parameters(), 0.5)
    monitor = mahtdiag.Monitor("data", log=log, **OPTIONS)
    for epoch in range(3):
        optimiser.zero_grad()
        torch.autograd.backward(network.shift.abs())
        optimiser.step()
        assert monitor.check(network, epoch)
    assert monitor.finish(network, "runs/end") is not None
    assert monitor._told == set()
    return monitor


def test_tensorboard_of_plain_loops() -> None:
    trained("tensorboard")
    errors = scalars(Path("tensorboard"))
    assert len(errors) == 3
    assert errors == sorted(errors, reverse=True)
    assert Path("tensorboard/report.html").is_file()


def test_mlflow_of_plain_loops(tmp_path: Path) -> None:
    mlflow = pytest.importorskip("mlflow")
    mlflow.set_tracking_uri(f"file:{tmp_path}/mlruns")
    with mlflow.start_run() as run:
        trained("mlflow")
    client = mlflow.MlflowClient()
    assert len(client.get_metric_history(run.info.run_id, ERROR)) == 3
    assert [each.path for each in client.list_artifacts(run.info.run_id, "mahtdiag")] == [
        "mahtdiag/report.html"
    ]


def test_wandb_of_plain_loops(wandb: Any) -> None:
    run = wandb.init(project="mahtdiag", mode="offline")
    trained("wandb")
    assert run.summary[ERROR] > 0
    assert has_report(run, wandb)


def test_the_example_of_the_documentation() -> None:
    library = pytest.importorskip("lightning.pytorch")
    text = (Path(__file__).parents[1] / "docs" / "python.md").read_text(encoding="utf-8")
    code = text.partition("<!-- lightning -->")[2].partition("<!-- /lightning -->")[0]
    names: dict[str, Any] = {"train_batches": loader(), "val_batches": loader()}
    lines = (
        code.replace("```python", "")
        .replace("```", "")
        .replace("max_epochs=2", 'max_epochs=2, accelerator="cpu"')
    )
    names["module"] = module_of(library)
    exec(compile(lines, "docs/python.md", "exec"), names)
    assert names["best"].best_model_path
    assert Path("runs/final/report.html").is_file()
    assert names["watch"].monitor._told == set()
