"""The built-in network."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mahtdiag.losses import MAHTNetLoss
from mahtdiag.models.mahtnet import (
    EncoderLayer,
    MahtNet,
    MahtNetConfig,
    UncertaintyHead,
    VertebralAttention,
    VertebralLayer,
    sinusoidal_positions,
)
from mahtdiag.schema.skeleton import View

views = pytest.mark.parametrize("view", list(View))


@pytest.fixture(autouse=True)
def _seeded() -> Iterator[None]:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def network(view: View = View.AP, **settings: Any) -> MahtNet:
    return MahtNet(MahtNetConfig(**{"view": view.value, "width": 4, "heads": 2, **settings}))


def vertebral_layers(net: MahtNet) -> list[VertebralLayer]:
    return [module for module in net.modules() if isinstance(module, VertebralLayer)]


@views
@pytest.mark.parametrize("size", [(32, 32), (64, 96), (160, 32)])
@pytest.mark.parametrize("channels", [1, 3])
def test_output(view: View, size: tuple[int, int], channels: int) -> None:
    net = network(view, in_channels=channels).eval()
    output = net(torch.rand(2, channels, *size))
    assert set(output) == {"heatmaps", "log_sigma"}
    assert output["heatmaps"].shape == (2, view.skeleton.keypoints, size[0] // 4, size[1] // 4)
    assert output["log_sigma"].shape == (2, view.skeleton.keypoints, 2)
    assert all(tensor.isfinite().all() for tensor in output.values())


@pytest.mark.parametrize(
    "shape",
    [(1, 1, 33, 64), (1, 1, 64, 48), (1, 1, 0, 32), (1, 1, 32, 0), (1, 3, 32, 32), (1, 32, 32), (32, 32)],
)
def test_wrong_input(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"must be"):
        network()(torch.zeros(shape))


@views
@pytest.mark.parametrize(
    "settings",
    [
        {"width": 2, "heads": 1},
        {"width": 6, "heads": 3, "blocks": 2, "encoder_layers": 1, "attention_layers": 3},
        {"width": 8, "heads": 4, "dropout": 0.0},
    ],
)
def test_width_and_depth_are_free(view: View, settings: dict[str, Any]) -> None:
    net = network(view, **settings)
    parts = [
        (EncoderLayer, settings.get("encoder_layers", 2)),
        (VertebralLayer, settings.get("attention_layers", 2)),
    ]
    for kind, count in parts:
        assert sum(isinstance(module, kind) for module in net.modules()) == count
    width = settings["width"]
    features = net.backbone(torch.rand(1, 1, 64, 64))
    assert [f.shape[1] for f in features] == [width, 2 * width, 4 * width, 6 * width]
    assert [f.shape[2] for f in features] == [16, 8, 4, 2]
    assert net.eval()(torch.rand(1, 1, 64, 64))["heatmaps"].shape[1] == view.skeleton.keypoints


@views
def test_size_of_the_sample_configuration(view: View) -> None:
    """A float32 checkpoint of it stays well below 8 MB."""
    net = MahtNet(MahtNetConfig(view=view.value, width=16, blocks=2))
    count = sum(parameter.numel() for parameter in net.parameters())
    assert count == {View.AP: 1_127_654, View.LA: 1_127_880}[view]
    assert 4 * sum(tensor.numel() for tensor in net.state_dict().values()) < 5_000_000


@views
def test_images_do_not_see_each_other_in_evaluation(view: View) -> None:
    net = network(view).double().eval()
    images = torch.rand(3, 1, 64, 64, dtype=torch.float64)
    together = net(images)
    for i in range(3):
        for name, alone in net(images[i : i + 1]).items():
            torch.testing.assert_close(alone[0], together[name][i], rtol=1e-9, atol=1e-11)


def test_evaluation_is_repeatable_with_and_without_gradients() -> None:
    net = network().eval()
    images = torch.rand(2, 1, 64, 64)
    first = net(images)
    with torch.no_grad():
        second, third = net(images), net(images)
    with torch.inference_mode():
        fourth = net(images)
    for name in first:
        assert torch.equal(second[name], third[name])
        assert torch.equal(second[name], fourth[name])
        torch.testing.assert_close(first[name], second[name], rtol=1e-4, atol=1e-5)


def test_dropout_alone_makes_predictions_vary() -> None:
    """Monte-Carlo dropout needs it, in every part that makes the heatmaps and σ."""
    net = network(dropout=0.3).eval()
    dropouts = [m for m in net.modules() if isinstance(m, nn.Dropout | nn.Dropout2d)]
    assert len(dropouts) >= 5
    images = torch.rand(1, 1, 64, 64)
    for module in dropouts:
        assert module.p == 0.3
        module.train()
    with torch.no_grad():
        first, second = net(images), net(images)
    for name in first:
        assert not torch.equal(first[name], second[name])
    net.eval()
    with torch.no_grad():
        assert torch.equal(net(images)["heatmaps"], net(images)["heatmaps"])


@views
def test_the_bias_favours_the_same_vertebra_then_its_neighbours(view: View) -> None:
    """Whatever the learned reach is, and in every head of every image."""
    net = network(view).eval()
    masks: list[Tensor] = []

    def record(_: nn.Module, args: tuple[Tensor, ...], options: dict[str, Tensor]) -> None:
        masks.append(options["attn_mask"].view(3, 2, view.skeleton.keypoints, view.skeleton.keypoints))

    for lowest, layer in zip((-6.0, 9.0), vertebral_layers(net), strict=True):
        layer.among.register_forward_pre_hook(record, with_kwargs=True)
        with torch.no_grad():
            layer.reach.copy_(torch.linspace(lowest, lowest + 2.0, 2))
    net(torch.rand(3, 1, 32, 32))
    assert len(masks) == 2
    vertebra = torch.arange(view.skeleton.keypoints) // 4
    distance = (vertebra[:, None] - vertebra).abs()
    for mask in masks:
        assert mask.shape == (3, 2, view.skeleton.keypoints, view.skeleton.keypoints)
        for bias in mask.flatten(0, 1):
            own, neighbour, far = bias[distance == 0], bias[distance == 1], bias[distance >= 2]
            assert (own == 0).all()
            assert own.amin() > neighbour.amax()
            assert neighbour.amin() > far.amax()
        assert torch.equal(mask[0], mask[2])
        assert not torch.equal(mask[0, 0], mask[0, 1])


@views
def test_a_strong_bias_cuts_distant_vertebrae_off(view: View) -> None:
    """With an unbounded penalty a keypoint hears its own vertebra alone: the mask is used as it is meant."""
    net = network(view).eval()
    layer = vertebral_layers(net)[0]
    with torch.no_grad():
        layer.reach.fill_(1e4)
    queries = torch.rand(2, view.skeleton.keypoints, 24)
    tokens, positions = torch.rand(2, 5, 24), torch.rand(5, 24)
    changed = queries.clone()
    changed[:, 4:8] += 1.0
    before, after = layer(queries, tokens, positions), layer(changed, tokens, positions)
    moved = (before - after).abs().amax((0, 2)) > 1e-6
    assert moved.tolist() == [4 <= k < 8 for k in range(view.skeleton.keypoints)]


def test_attention_knows_where_its_tokens_lie() -> None:
    config = MahtNetConfig(width=4, heads=2)
    tokens, positions, queries = torch.rand(2, 6, 24), torch.rand(6, 24), torch.rand(2, 20, 24)
    encoder = EncoderLayer(config).eval()
    vertebral = vertebral_layers(MahtNet(config).eval())[0]
    order = torch.tensor([3, 1, 5, 0, 2, 4])
    for moved, matches in ((positions, False), (positions[order], True)):
        encoded = encoder(tokens[:, order], moved)
        assert torch.allclose(encoded, encoder(tokens, positions)[:, order], atol=1e-5) == matches
        heard = vertebral(queries, tokens[:, order], moved)
        assert torch.allclose(heard, vertebral(queries, tokens, positions), atol=1e-5) == matches


@views
def test_every_keypoint_has_its_own_query(view: View) -> None:
    module = VertebralAttention(MahtNetConfig(view=view.value, width=4, heads=2))
    codes = list(
        zip(
            module.get_buffer("vertebra_index").tolist(),
            module.get_buffer("corner_index").tolist(),
            module.get_buffer("endplate_index").tolist(),
            strict=True,
        )
    )
    assert len(set(codes)) == view.skeleton.keypoints
    skeleton, corners = view.skeleton, ("UL", "UR", "LL", "LR")
    names = [(skeleton.vertebrae[v], corners[c], skeleton.endplate_names[e]) for v, c, e in codes]
    for (vertebra, corner, endplate), name in zip(names, skeleton.keypoint_names, strict=True):
        assert f"{vertebra} {corner}" == name
        assert endplate == f"{vertebra} {'upper' if corner.startswith('U') else 'lower'}"


def test_uncertainty_looks_at_the_image_around_the_peak() -> None:
    head = UncertaintyHead(MahtNetConfig(width=4, heads=2)).eval()
    heatmaps = torch.zeros(1, 1, 8, 8)
    heatmaps[0, 0, 2, 5] = 1.0
    features, embeddings = torch.rand(1, 4, 8, 8), torch.rand(1, 1, 24)
    before = head(embeddings, features, heatmaps)

    def change(row: int, column: int) -> float:
        moved = features.clone()
        moved[..., row, column] += 0.5
        difference: Tensor = (head(embeddings, moved, heatmaps) - before).abs().sum()
        return difference.item()

    assert change(2, 5) > 100 * change(6, 1) > 0


@pytest.mark.parametrize(("height", "width", "dim"), [(1, 1, 12), (3, 5, 24), (40, 40, 96)])
def test_positions_are_all_different(height: int, width: int, dim: int) -> None:
    positions = sinusoidal_positions(height, width, dim, torch.device("cpu"))
    assert positions.shape == (height * width, dim)
    assert positions.abs().amax() <= 1
    apart = torch.cdist(positions.double(), positions.double()) + 9 * torch.eye(height * width)
    assert apart.amin() > 0.1
    grid = positions.view(height, width, dim)
    assert (grid[..., : dim // 2] == grid[:, :1, : dim // 2]).all(), "half of the channels know y alone"
    assert (grid[..., dim // 2 :] == grid[:1, :, dim // 2 :]).all(), "the other half know x alone"


@views
def test_the_gradient_reaches_every_parameter(view: View) -> None:
    net = network(view, blocks=2).train()
    output = net(torch.rand(3, 1, 64, 64))
    keypoints = view.skeleton.keypoints
    target = torch.rand(3, keypoints, 16, 16)
    coords = 50 * torch.rand(3, keypoints, 2)
    labels = coords + torch.randn(3, keypoints, 2)
    loss = MAHTNetLoss(view=view)(output["heatmaps"], target, coords, labels, output["log_sigma"])
    loss.total.backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().sum() > 0, name


def test_it_learns() -> None:
    net = network(dropout=0.0).train()
    images, target = torch.rand(2, 1, 32, 32), torch.rand(2, 20, 8, 8)
    optimiser = torch.optim.Adam(net.parameters(), 0.01)
    values = []
    for _ in range(25):
        optimiser.zero_grad()
        loss = MAHTNetLoss()(net(images)["heatmaps"], target).total
        loss.backward()
        optimiser.step()
        values.append(loss.item())
    assert values[-1] < 0.5 * values[0]


def test_weights_survive_a_state_dict() -> None:
    first, second = network().eval(), network().eval()
    images = torch.rand(1, 1, 32, 32)
    assert not torch.equal(first(images)["heatmaps"], second(images)["heatmaps"])
    second.load_state_dict(first.state_dict(), strict=True)
    for name, tensor in first(images).items():
        assert torch.equal(tensor, second(images)[name])


def test_autocast_on_cpu() -> None:
    net = network().eval()
    images = torch.rand(1, 1, 64, 64)
    with torch.no_grad():
        exact = net(images)
        with torch.autocast("cpu", torch.bfloat16):
            rough = net(images)
    for name in exact:
        torch.testing.assert_close(rough[name].float(), exact[name], rtol=0.1, atol=0.05)


def test_it_can_be_exported() -> None:
    net = network().eval()
    images = torch.rand(1, 1, 32, 32)
    with torch.no_grad():
        exported = torch.export.export(net, (images,)).module()
        for name, tensor in exported(images).items():
            torch.testing.assert_close(tensor, net(images)[name], rtol=1e-4, atol=1e-5)


def test_configuration_round_trip() -> None:
    config = MahtNetConfig("LA", 3, 10, 2, 1, 3, 5, 0.25)
    plain = json.loads(json.dumps(asdict(config)))
    assert MahtNetConfig.from_dict(plain) == config
    assert MahtNetConfig.from_dict({}) == MahtNetConfig()
    assert config.channels == (10, 20, 40, 60)
    assert config.token_dim == 60


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"view": "PA"}, "PA"),
        ({"width": 0}, "width"),
        ({"width": -4}, "width"),
        ({"width": 16.0}, "width"),
        ({"width": True}, "width"),
        ({"blocks": 0, "encoder_layers": "2"}, "blocks, encoder_layers"),
        ({"in_channels": 0}, "in_channels"),
        ({"attention_layers": 0}, "attention_layers"),
        ({"heads": 0}, "heads"),
        ({"heads": 5}, "heads = 5"),
        ({"width": 3, "heads": 1}, "by 4"),
        ({"dropout": 1.0}, "dropout"),
        ({"dropout": -0.1}, "dropout"),
        ({"dropout": float("nan")}, "dropout"),
        ({"dropout": "much"}, "dropout"),
        ({"depth": 3, "colour": 1}, "colour, depth"),
    ],
)
def test_impossible_configurations(settings: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        MahtNetConfig.from_dict(settings)
