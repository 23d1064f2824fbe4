"""What a network may return, and what is said when it returns something else."""

from collections import OrderedDict
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from mahtdiag.errors import ModelOutputError
from mahtdiag.models.arranged import Arranged
from mahtdiag.models.outputs import ACCEPTED, read_outputs
from mahtdiag.schema.choices import CoordinateConvention, UncertaintyKind
from mahtdiag.schema.frames import NetworkFrames, Size
from mahtdiag.schema.keypoint_order import channel_order
from mahtdiag.schema.output_spec import CoordsFrame, OutputSpec, parse_outputs
from mahtdiag.schema.records import ModelOutputs
from mahtdiag.schema.skeleton import AP

from .networks import problems_of

B, K = 2, 20
MAPS = torch.rand(B, K, 8, 6)
COORDS = torch.rand(B, K, 2)
BOTH = torch.rand(B, K, 2)
ONE = torch.rand(B, K)


class Named(NamedTuple):
    """A named tuple whose heatmaps have another name."""

    maps: Tensor
    points: Tensor
    log_sigma: Tensor


@dataclass
class Returned:
    """As libraries return their outputs."""

    heatmaps: Tensor
    coords: Tensor


Accepted = tuple[object, Tensor | None, Tensor | None, UncertaintyKind | None]
ACCEPTED_FORMS: dict[str, Accepted] = {
    "tensor": (MAPS, None, None, None),
    "half": (MAPS.half(), None, None, None),
    "double": (MAPS.double(), None, None, None),
    "one": ((MAPS,), None, None, None),
    "named tuple": (Named(MAPS, COORDS, ONE), None, ONE, UncertaintyKind.LOG_SIGMA),
    "dataclass": (Returned(MAPS, COORDS), COORDS, None, None),
    "dict": ({"heatmaps": MAPS}, None, None, None),
    "ordered dict": (OrderedDict(heatmaps=MAPS), None, None, None),
    "more keys": ({"heatmaps": MAPS, "features": torch.rand(3), "name": "x"}, None, None, None),
    "coords": ({"heatmaps": MAPS, "coords": COORDS}, COORDS, None, None),
    "keypoints": ({"keypoints": COORDS, "heatmaps": MAPS}, COORDS, None, None),
    "log_sigma": ({"heatmaps": MAPS, "log_sigma": BOTH}, None, BOTH, UncertaintyKind.LOG_SIGMA),
    "sigma": ({"heatmaps": MAPS, "sigma": ONE}, None, ONE, UncertaintyKind.SIGMA),
    "uncertainty": ({"heatmaps": MAPS, "uncertainty": BOTH}, None, BOTH, UncertaintyKind.SIGMA),
    "log_var": ({"heatmaps": MAPS, "log_var": ONE}, None, ONE, UncertaintyKind.LOG_VAR),
    "all": (
        {"heatmaps": MAPS, "keypoints": COORDS, "log_var": BOTH},
        COORDS,
        BOTH,
        UncertaintyKind.LOG_VAR,
    ),
}


@pytest.mark.parametrize("form", ACCEPTED_FORMS.values(), ids=ACCEPTED_FORMS.keys())
def test_accepted(form: Accepted) -> None:
    output, coords, uncertainty, kind = form
    found = read_outputs(output, B)
    assert found.maps.shape == MAPS.shape
    assert found.coords is coords
    assert found.uncertainty is uncertainty
    assert found.uncertainty_kind is kind


WRONG_FORMS: dict[str, tuple[object, str]] = {
    "other batch": (torch.rand(3, K, 8, 6), "tensor [3, 20, 8, 6] for 2 image(s)"),
    "three dimensions": (torch.rand(K, 8, 6), "tensor [20, 8, 6]"),
    "five dimensions": (torch.rand(B, 1, K, 8, 6), "tensor [2, 1, 20, 8, 6]"),
    "no cells": (torch.rand(B, K, 0, 6), "tensor [2, 20, 0, 6]"),
    "no keypoints": (torch.rand(B, 0, 8, 6), "tensor [2, 0, 8, 6]"),
    "coordinates alone": (COORDS, "tensor [2, 20, 2]"),
    "array": (MAPS.numpy(), "ndarray"),
    "nothing": (None, "NoneType"),
    "text": ("abc", "str"),
    "empty tuple": ((), "tuple ()"),
    "nested tuple": (((MAPS, ONE), COORDS), "tuple (tuple (tensor"),
    "coords with visibility": (
        {"heatmaps": MAPS, "coords": torch.rand(B, K, 3)},
        "coords: tensor [2, 20, 3]",
    ),
    "coords of one image": ({"heatmaps": MAPS, "keypoints": COORDS[:1]}, "keypoints: tensor [1, 20, 2]"),
    "no heatmaps": ({"heatmap": MAPS}, "dict {heatmap: tensor [2, 20, 8, 6]}"),
    "empty dict": ({}, "dict {}"),
    "nested dict": ({"out": {"heatmaps": MAPS}}, "dict {out: dict {heatmaps: tensor [2, 20, 8, 6]}}"),
    "nested heatmaps": ({"heatmaps": {"a": MAPS}}, "dict {heatmaps: dict {a: tensor"),
    "list of heatmaps": ({"heatmaps": [MAPS, MAPS]}, "dict {heatmaps: list (tensor"),
    "none in dict": ({"heatmaps": MAPS, "sigma": None}, "sigma: NoneType"),
    "two uncertainties": (
        {"heatmaps": MAPS, "sigma": ONE, "log_var": ONE},
        "sigma: tensor [2, 20], log_var: tensor [2, 20]",
    ),
    "two places": ({"heatmaps": MAPS, "coords": COORDS, "keypoints": COORDS}, "keypoints: tensor [2, 20, 2]"),
}


@pytest.mark.parametrize(("output", "said"), WRONG_FORMS.values(), ids=WRONG_FORMS.keys())
def test_wrong(output: object, said: str) -> None:
    (problem,) = problems_of(lambda: read_outputs(output, B), ModelOutputError)
    assert problem.startswith("the network returned ")
    assert said in problem
    assert f"; {ACCEPTED}, as in --output " in problem
    assert len(problem) < 700


USELESS: dict[str, tuple[object, str]] = {
    "integers": (
        MAPS.long(),
        "tensor [2, 20, 8, 6] of int64 for 2 image(s); heatmaps are int64; return floating",
    ),
    "bools": (MAPS.bool(), "heatmaps are bool; return floating-point numbers"),
    "complex": ({"heatmaps": MAPS, "sigma": ONE.to(torch.complex64)}, "uncertainty are complex64; return fl"),
    "whole coordinates": ({"coords": COORDS.long()}, "coords are int64; return floating-point numbers"),
    "sparse": (MAPS.to_sparse(), "heatmaps are sparse or without content; return a dense tensor"),
    "without content": (MAPS.to("meta"), "heatmaps are sparse or without content; return a dense tensor"),
}


@pytest.mark.parametrize(("output", "said"), USELESS.values(), ids=USELESS.keys())
def test_tensors_that_hold_no_floats(output: object, said: str) -> None:
    (problem,) = problems_of(lambda: read_outputs(output, B), ModelOutputError)
    assert said in problem


@pytest.mark.parametrize(
    ("output", "typed"),
    [
        ({"out": {"heatmaps": [MAPS, MAPS]}}, "--output heatmaps=out.heatmaps[1]"),
        (torch.rand(B, 3, K, 8, 6), "--output 'heatmaps=[:, -1]'"),
        ({"maps": torch.rand(B, 3, K, 8, 6)}, "--output 'heatmaps=maps[:, -1]'"),
        (COORDS, "--output coords=."),
        ({"points": torch.rand(B, K, 3)}, "--output 'coords=points[..., :2]'"),
        (torch.rand(B, K, 3), "--output 'coords=[..., :2]'"),
        (torch.rand(B, 2 * K), "--output coords=.,axes=xy"),
    ],
)
def test_what_to_type_is_said_and_reads_it(output: object, typed: str) -> None:
    (problem,) = problems_of(lambda: read_outputs(output, B), ModelOutputError)
    assert problem.endswith(f", as in {typed}")
    spec = parse_outputs([typed.removeprefix("--output ").strip("'")])
    found = read_outputs(output, B, spec)
    assert found.keypoints == K


def test_endless_and_huge_outputs_are_told_in_a_line() -> None:
    endless: dict[str, object] = {"a": 1}
    endless["self"] = endless
    for output in (endless, MAPS.tolist()):
        (problem,) = problems_of(lambda given=output: read_outputs(given, B), ModelOutputError)  # type: ignore[misc]
        assert len(problem) < 1500


def test_simcc_bins_whose_axes_are_exchanged_are_refused() -> None:
    spec = parse_outputs(["simcc_x=[0]", "simcc_y=[1]"])
    x, y = torch.rand(B, K, 2 * 48), torch.rand(B, K, 2 * 64)
    frames = NetworkFrames(Size(64, 48), Size(64, 48))

    def found(*pair: Tensor) -> ModelOutputs:
        arranged = Arranged(lambda _: read_outputs(pair, B, spec), None, CoordsFrame.INPUT, frames, spec)
        return arranged(torch.zeros(B, 1, 64, 48))

    assert found(x, y).coords is not None
    assert found(torch.rand(B, K, 3 * 48), y).coords is not None
    (problem,) = problems_of(lambda: found(y, x), ModelOutputError)
    assert problem == "simcc_x has 128 bins for 48 input pixels, simcc_y 96 for 64: are they exchanged?"


UNNAMED: dict[str, tuple[object, tuple[str, ...]]] = {
    "a pair": ((MAPS, ONE), ("[1] (tensor [2, 20])",)),
    "three": ([MAPS, COORDS, BOTH], ("[1] (tensor [2, 20, 2])", "[2] (tensor [2, 20, 2])")),
    "heatmaps last": ((ONE, MAPS), ("[0] (tensor [2, 20])",)),
    "nothing beside": ((MAPS, None), ()),
    "named otherwise": ({"heatmaps": MAPS, "scores": ONE}, ("scores (tensor [2, 20])",)),
    "many": (
        (MAPS, *([ONE] * 12)),
        (*(f"[{place}] (tensor [2, 20])" for place in range(1, 9)), "and 4 more"),
    ),
}


@pytest.mark.parametrize(("output", "unread"), UNNAMED.values(), ids=UNNAMED.keys())
def test_what_has_no_name_is_listed_and_not_read(output: object, unread: tuple[str, ...]) -> None:
    found = read_outputs(output, B)
    assert found.heatmaps is MAPS
    assert (found.coords, found.uncertainty, found.uncertainty_kind) == (None, None, None)
    assert found.unread == unread


def test_several_heatmaps_are_asked_for() -> None:
    (problem,) = problems_of(lambda: read_outputs((MAPS, MAPS), B), ModelOutputError)
    assert problem.endswith("which are the heatmaps? say --output heatmaps=[0] to [1]")
    other = torch.rand(B, K, 8, 6)
    assert read_outputs([MAPS, other], B, parse_outputs(["heatmaps=[-1]"])).heatmaps is other


SAID: dict[str, tuple[object, list[str], Tensor | None, Tensor | None, UncertaintyKind | None]] = {
    "a pair": ((MAPS, ONE), ["log_sigma=[1]"], None, ONE, UncertaintyKind.LOG_SIGMA),
    "as sigma": ((MAPS, ONE), ["sigma=[-1]"], None, ONE, UncertaintyKind.SIGMA),
    "three": ([MAPS, COORDS, BOTH], ["coords=[1]", "log_var=[2]"], COORDS, BOTH, UncertaintyKind.LOG_VAR),
    "nested": (
        {"out": {"maps": [MAPS]}, "heads": (BOTH, COORDS)},
        ["heatmaps=out.maps[0]", "coords=heads[1]", "sigma=heads[0]"],
        COORDS,
        BOTH,
        UncertaintyKind.SIGMA,
    ),
    "instead of its own": (
        {"heatmaps": MAPS, "sigma": BOTH, "other": ONE},
        ["log_sigma=other"],
        None,
        ONE,
        UncertaintyKind.LOG_SIGMA,
    ),
    "a dataclass": ([Returned(MAPS, COORDS)], ["heatmaps=[0].heatmaps"], None, None, None),
}


@pytest.mark.parametrize(("output", "said", "coords", "uncertainty", "kind"), SAID.values(), ids=SAID.keys())
def test_outputs_lie_where_they_are_said_to_be(
    output: object,
    said: list[str],
    coords: Tensor | None,
    uncertainty: Tensor | None,
    kind: UncertaintyKind | None,
) -> None:
    found = read_outputs(output, B, parse_outputs(said))
    assert found.heatmaps is MAPS
    assert (found.coords is coords, found.uncertainty is uncertainty) == (True, True)
    assert found.uncertainty_kind is kind
    assert parse_outputs(list(parse_outputs(said).as_texts())) == parse_outputs(said)


def test_what_is_not_where_it_is_said_to_be() -> None:
    for path, there in (("[3]", "nothing"), ("a.b", "nothing"), ("[1]", "NoneType"), ("[-3]", "nothing")):
        spec = parse_outputs([f"log_sigma={path}"])
        (problem,) = problems_of(partial(read_outputs, (MAPS, None), B, spec), ModelOutputError)
        assert problem.endswith(
            f"--output log_sigma={path}: there is {there}, a tensor is wanted".replace(
                "there is NoneType", "there is nothing"
            )
        )
    wrong = parse_outputs(["log_sigma=[1]"])
    for sigma in (torch.rand(B, 22), torch.rand(B, K, 4), torch.rand(B, 2 * K)):
        problems_of(partial(read_outputs, (MAPS, sigma), B, wrong), ModelOutputError)


def test_activations_and_layout() -> None:
    raw = torch.randn(B, K, 8, 6)
    for name, expected in (("sigmoid", raw.sigmoid()), ("exp", raw.exp())):
        assert torch.equal(read_outputs(raw, B, parse_outputs([f"activation={name}"])).maps, expected)
    soft = read_outputs(raw, B, parse_outputs(["activation=softmax"])).maps
    assert torch.allclose(soft.sum((2, 3)), torch.ones(B, K))
    assert torch.allclose(soft, raw.exp() / raw.exp().sum((2, 3), keepdim=True), atol=1e-6)
    last = raw.permute(0, 2, 3, 1)
    assert torch.equal(read_outputs(last, B, parse_outputs({"layout": "nhwc"})).maps, raw)


@pytest.mark.parametrize(
    "said",
    [["heatmap=[1]"], ["sigma=[1]", "log_var=[2]"], ["activation=relu"], ["layout=hwc"], ["heatmaps="],
     ["[1]"],     ["coords=[1", "sigma=[2]"], ["sigma=[1]", "sigma=[2]"], "heatmaps=[1]", 3, {"heatmaps": 1}],
)  # fmt: skip
def test_what_says_nothing_of_outputs(said: object) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        parse_outputs(said)


@pytest.mark.parametrize("convention", CoordinateConvention)
@pytest.mark.parametrize("frame", CoordsFrame)
def test_coordinates_in_every_frame_are_the_same_places(
    frame: CoordsFrame, convention: CoordinateConvention
) -> None:
    images, half = torch.zeros(B, 1, 64, 48), 0.5 if convention is CoordinateConvention.HALF_PIXEL else 0.0
    px = COORDS * 40
    shares = (px + half) / torch.tensor([48.0, 64.0])
    given = {
        CoordsFrame.INPUT: px,
        CoordsFrame.CELLS: (px + half) / 8 - half,
        CoordsFrame.UNIT: shares,
        CoordsFrame.SIGNED_UNIT: 2 * shares - 1,
        # For whoever knows the images.
        CoordsFrame.ORIGINAL: px,
    }[frame]
    frames = NetworkFrames(Size(64, 48), Size(8, 6), convention=convention)
    arranged = Arranged(lambda _: ModelOutputs(MAPS, given, ONE), None, frame, frames)
    found = arranged(images)
    assert found.coords is not None
    assert torch.allclose(found.coords, px, atol=1e-4)


@pytest.mark.parametrize("axes", ["xy", "yx", "xxyy", "yyxx"])
def test_offsets_in_every_order_are_the_same_places(axes: str) -> None:
    grid = MAPS.shape[-2:]
    steps = torch.rand(B, K, 2, *grid, generator=torch.Generator().manual_seed(2))
    ordered = steps.flip(2) if axes in ("yx", "yyxx") else steps
    ordered = ordered.transpose(1, 2) if axes in ("xxyy", "yyxx") else ordered
    spec = parse_outputs([f"offsets=[1],axes={axes}"])
    assert spec.as_texts() == (f"offsets=[1],axes={axes}",)
    frames = NetworkFrames(Size(64, 48), Size(*grid))

    def found(offsets: Tensor, how: OutputSpec) -> Tensor:
        arranged = Arranged(
            lambda _: read_outputs((MAPS, offsets), B, how), None, CoordsFrame.INPUT, frames, how
        )
        coords = arranged(torch.zeros(B, 1, 64, 48)).coords
        assert coords is not None
        return coords

    right = found(steps.flatten(1, 2), parse_outputs(["offsets=[1]"]))
    assert torch.equal(found(ordered.flatten(1, 2), spec), right)


def test_keypoints_in_another_order_are_brought_to_ours() -> None:
    order = channel_order("vertebrae:L5..L1;corner:UL,UR,LR,LL", K, AP)
    theirs = [order.index(k) for k in range(K)]
    arranged = Arranged(
        lambda _: ModelOutputs(MAPS[:, theirs], COORDS[:, theirs], ONE[:, theirs]),
        order, CoordsFrame.INPUT, NetworkFrames(Size(64, 48), Size(8, 6)),
    )  # fmt: skip
    found = arranged(torch.zeros(B, 1, 64, 48))
    assert torch.equal(found.maps, MAPS)
    assert found.coords is not None
    assert found.uncertainty is not None
    assert torch.equal(found.coords, COORDS)
    assert torch.equal(found.uncertainty, ONE)


def test_the_accepted_forms_are_those_of_the_contract() -> None:
    for name in ("coords", "keypoints", "log_sigma", "sigma", "uncertainty", "log_var", "[B,K,h,w]"):
        assert name in ACCEPTED


def test_a_dict_for_each_image_is_to_be_stacked() -> None:
    """As the detectors of torchvision return them."""
    each = {
        "boxes": torch.zeros(1, 4),
        "keypoints": torch.zeros(1, K, 3),
        "keypoints_scores": torch.zeros(1, K),
    }
    (problem,) = problems_of(lambda: read_outputs([each, each], B), ModelOutputError)
    assert "keypoints: tensor [1, 20, 3]" in problem
    assert "a dict for each image" in problem
    assert 'whose network returns torch.stack([d["keypoints"][0, :, :2] for d in found]), NaN' in problem
    stacked = torch.stack([d["keypoints"][0, :, :2] for d in (each, each)])
    assert read_outputs({"coords": stacked}, B).keypoints == K
