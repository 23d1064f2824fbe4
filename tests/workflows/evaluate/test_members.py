"""Networks of a run: names with commas, members that fit, dropout that can be switched on."""

import hashlib
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from mahtdiag.config.settings import ModelSettings
from mahtdiag.engine.inference import Runner
from mahtdiag.engine.repeated import RepeatedRunner
from mahtdiag.errors import CheckpointError, UsageError
from mahtdiag.models.mahtnet import MahtNet, MahtNetConfig
from mahtdiag.models.native import save_checkpoint
from mahtdiag.runs.settings import Repetition
from mahtdiag.schema.choices import DecodeMethod, Precision, UncertaintyKind, UncertaintySource
from mahtdiag.schema.frames import Size
from mahtdiag.schema.model_spec import Decoding, McDropout, ModelInput, ModelSpec, UncertaintySpec
from mahtdiag.schema.skeleton import LA, View
from mahtdiag.workflows.evaluate.networks import (
    Member,
    checkpoint_paths,
    load_members,
    repetition_of,
    runner_of,
    source_of,
)

CPU = torch.device("cpu")
SPEC = ModelSpec(
    View.AP.skeleton,
    ModelInput(Size(64, 64), 1),
    Decoding(1.5),
    UncertaintySpec(kind=UncertaintyKind.LOG_SIGMA),
)
SCRIPT_OPTIONS = ModelSettings.model_validate(
    {"input_size": "16x16", "channels": 1, "normalize": "unit", "heatmap_sigma": 1.5,
     "uncertainty": "mc-dropout:3"}
)  # fmt: skip


def write(path: Path, spec: ModelSpec = SPEC, seed: int = 0) -> Path:
    """The smallest built-in network."""
    torch.manual_seed(seed)
    config = MahtNetConfig(str(spec.view), 1, width=4, encoder_layers=1, attention_layers=1, heads=2)
    save_checkpoint(path, MahtNet(config).eval(), spec)
    return path


def load(*paths: Path, settings: ModelSettings | None = None) -> tuple[Member, ...]:
    return load_members(paths, settings or ModelSettings(), CPU, trust=True)


def problems_of(action: Callable[[], object]) -> tuple[str, ...]:
    """The problems of a UsageError; each of them is one line."""
    with pytest.raises(UsageError) as caught:
        action()
    assert all(problem and "\n" not in problem for problem in caught.value.problems)
    return caught.value.problems


def test_names_with_commas(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a,b.pt").touch()
    assert checkpoint_paths("a,b.pt") == (Path("a,b.pt"),)
    assert checkpoint_paths("a.pt") == (Path("a.pt"),)
    assert checkpoint_paths("x/a.pt, b.pt,c.pt") == (Path("x/a.pt"), Path("b.pt"), Path("c.pt"))
    many = ",".join(f"checkpoint-number-{n}.pt" for n in range(40))
    assert len(checkpoint_paths(many)) == 40
    for text in ("a.pt,", ",a.pt", "a.pt,,b.pt", ","):
        (problem,) = problems_of(lambda text=text: checkpoint_paths(text))  # type: ignore[misc]
        assert problem == f"{text}: a comma with no checkpoint beside it; give A.pt,B.pt"


def test_one_checkpoint_is_run_as_ever(tmp_path: Path) -> None:
    members = load(write(tmp_path / "a.pt"))
    runner = runner_of(members, ModelSettings(), CPU, Precision.FP32)
    assert type(runner) is Runner
    assert repetition_of(members, ModelSettings()) is None
    source = source_of(members)
    assert source.sha256 == hashlib.sha256((tmp_path / "a.pt").read_bytes()).hexdigest()
    assert (source.path, source.format, source.members) == (str(tmp_path / "a.pt"), "mahtdiag", ())


def test_an_ensemble_is_known_by_its_members_in_any_order(tmp_path: Path) -> None:
    a, b = write(tmp_path / "a.pt"), write(tmp_path / "b.pt", seed=1)
    found, turned = source_of(load(a, b)), source_of(load(b, a))
    assert found.path == f"{a},{b}"
    assert found.format == "mahtdiag"
    assert [member.path for member in found.members] == [str(a), str(b)]
    digests = sorted(hashlib.sha256(path.read_bytes()).hexdigest() for path in (a, b))
    assert sorted(member.sha256 for member in found.members) == digests
    assert found.sha256 == turned.sha256 not in digests
    assert source_of(load(a, a)).sha256 != found.sha256


@pytest.mark.parametrize(
    ("asked", "within", "with_sigma"),
    [(None, "head", True), ("head", "head", True), ("heatmap", "heatmap", True), ("none", "none", False)],
)
def test_what_an_ensemble_takes_sigma_from(
    tmp_path: Path, asked: str | None, within: str, with_sigma: bool
) -> None:
    settings = ModelSettings.model_validate({"uncertainty": asked})
    members = load(write(tmp_path / "a.pt"), write(tmp_path / "b.pt", seed=1), settings=settings)
    assert repetition_of(members, settings) == Repetition(asked or "auto", UncertaintySource(within))
    runner = runner_of(members, settings, CPU, Precision.FP32)
    assert isinstance(runner, RepeatedRunner)
    assert (len(runner.members), runner.passes, runner.seeded) == (2, 1, False)
    assert runner.with_sigma == with_sigma


def test_all_differences_of_all_members_at_once(tmp_path: Path) -> None:
    a = write(tmp_path / "a.pt")
    b = write(tmp_path / "b.pt", replace(SPEC, skeleton=LA))
    other = replace(SPEC, input=ModelInput(Size(96, 64), 1), decoding=Decoding(2.0, DecodeMethod.LOCAL))
    c = write(tmp_path / "c.pt", other)
    assert problems_of(lambda: load(a, b, c)) == (
        f"{a}, {b} are no ensemble: view AP and LA; give networks that agree",
        f"{a}, {c} are no ensemble: input_size 64x64 and 96x64; heatmap_size 16x16 and 24x16; heatmap_sigma "
        "1.5 and 2.0; decode dark and local; give networks that agree",
    )


def test_a_member_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"none\.pt: no such checkpoint"):
        load(write(tmp_path / "a.pt"), tmp_path / "none.pt")


class Heatmaps(nn.Module):
    """Twenty heatmaps, with or without dropout."""

    def __init__(self, share: float | None) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 20, 3, padding=1)
        self.norm = nn.BatchNorm2d(20)
        self.dropout = nn.Identity() if share is None else nn.Dropout2d(share)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """`[B, 1, H, W]` -> `[B, 20, H, W]`."""
        heatmaps: torch.Tensor = self.dropout(self.norm(self.conv(images)))
        return heatmaps


def write_archive(path: Path, kind: str, share: float | None) -> Path:
    """TorchScript: scripted, traced or frozen."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        network = Heatmaps(share).eval()
        made = {
            "scripted": lambda: torch.jit.script(network),
            "traced": lambda: torch.jit.trace(network, torch.zeros(1, 1, 16, 16)),  # type: ignore[no-untyped-call]
            "frozen": lambda: torch.jit.freeze(torch.jit.script(network)),
        }[kind]()
        made.save(str(path))
    return path


def test_dropout_of_a_scripted_network_is_switched_on(tmp_path: Path) -> None:
    members = load(write_archive(tmp_path / "a.pt", "scripted", 0.5), settings=SCRIPT_OPTIONS)
    runner = runner_of(members, SCRIPT_OPTIONS, CPU, Precision.FP32)
    assert isinstance(runner, RepeatedRunner)
    assert (runner.passes, runner.seeded) == (3, True)
    images = torch.rand(1, 1, 16, 16)
    with torch.inference_mode():
        one, other = (members[0].model.predict(images).maps for _ in range(2))
    assert not torch.equal(one, other)
    assert repetition_of(members, SCRIPT_OPTIONS) == Repetition("mc-dropout:3", UncertaintySource.NONE)


@pytest.mark.parametrize(("kind", "share"), [("traced", 0.5), ("frozen", 0.5), ("scripted", None)])
def test_dropout_that_cannot_be_switched_on(tmp_path: Path, kind: str, share: float | None) -> None:
    path = write_archive(tmp_path / "a.pt", kind, share)
    members = load(path, settings=SCRIPT_OPTIONS)
    (problem,) = problems_of(lambda: runner_of(members, SCRIPT_OPTIONS, CPU, Precision.FP32))
    assert problem.startswith(
        f"{path}: --uncertainty mc-dropout: no dropout can be switched on in this Torch"
    )


def test_every_member_under_dropout(tmp_path: Path) -> None:
    settings = ModelSettings(uncertainty=McDropout(4))
    members = load(write(tmp_path / "a.pt"), write(tmp_path / "b.pt", seed=1), settings=settings)
    assert members[0].spec.uncertainty.source is UncertaintySource.AUTO
    runner = runner_of(members, settings, CPU, Precision.FP32)
    assert isinstance(runner, RepeatedRunner)
    assert (len(runner.members), runner.passes, runner.seeded) == (2, 4, True)
    for member in members:
        switched = [type(m).__name__ for m in member.model.network.modules() if m.training]
        assert set(switched) == {"Dropout", "Dropout2d"}
