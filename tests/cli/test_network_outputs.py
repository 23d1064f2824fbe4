"""What a network may return, and what it must not."""

import json
import shlex

import numpy as np
import pytest
import torch

from mahtdiag.schema.skeleton import View

from . import builders, networks
from .builders import Bench, error_px
from .command import Desk, columns_of, document_of, failures_of, typed_in_table

FORMS = ("exact", "heatmaps", "one", "pair", "triple", "keypoints_sigma", "uncertainty", "log_var", "double")
WITHOUT_COORDINATES = ("heatmaps", "one", "pair", "uncertainty", "log_var")
WITHOUT_SIGMA = ("heatmaps", "one")
# What has no name is read where it is said to be.
SAID = {
    "pair": ("--output", "log_sigma=[1]"),
    "triple": ("--output", "coords=[1]", "--output", "log_sigma=[2]"),
}
WRONG = {
    "flat": "tensor [1, 64, 64]",
    "nameless": "dict {out: tensor [1, 20, 64, 64]}",
    "nothing": "NoneType",
    "whole_numbers": "tensor [1, 20, 64, 64] of uint8",
}
OF_SIGMA = (
    "the network's σ is NaN for L1 UL, L1 UR, L1 LL, L1 LR and 16 more; --uncertainty none judges its places "
    "without σ"
)
NOTHING = "no keypoint is predicted (NaN throughout)"


@pytest.mark.parametrize("form", FORMS)
def test_every_accepted_form(desk: Desk, form: str) -> None:
    """The same places and σ in another form give the same errors; places from heatmaps to 0.05 cells."""
    result = desk.lookup(form, *SAID.get(form, ()))
    assert (result.status, result.errors) == (0, [])
    columns = columns_of(desk.path / "run/keypoints.parquet")
    expected = np.concatenate([error_px(number, View.AP) for number in range(6)])
    # A cell is up to 2.5 original pixels high.
    tolerance = 0.15 if form in WITHOUT_COORDINATES else 1e-4
    np.testing.assert_allclose(columns["error_px"], expected, atol=tolerance)
    assert document_of(desk.path / "run")["settings"]["decode"] == (
        "dark" if form in WITHOUT_COORDINATES else "network"
    )
    calibration = document_of(desk.path / "run")["calibration"]
    if form in WITHOUT_SIGMA:
        assert calibration is None
        assert set(columns["sigma_x"]) == {None}
    else:
        assert calibration is not None
        np.testing.assert_allclose(columns["sigma_x"], 0.5 * expected, rtol=1e-4)
        assert (form == "uncertainty") != np.allclose(columns["sigma_y"], 0.5 * expected, rtol=1e-4)


ALONE: dict[str, tuple[tuple[str, ...], float]] = {
    "coords_alone": ((), 1e-4),
    "coords_bare": (("--output", "coords=."), 1e-4),
    "coords_flat": (("--output", "coords=.,axes=xy"), 1e-4),
    "coords_all_x": (("--output", "coords=.,axes=xxyy"), 1e-4),
    "coords_rows": (("--output", "coords=.,axes=yx"), 1e-4),
    "coords_scored": (("--output", "coords=[..., :2]", "--output", "scores=[..., 2]"), 1e-4),
    "coords_unit": (
        ("--output", "coords=[0],frame=unit", "--output", "sigma=[1]", "--uncertainty-frame", "unit"),
        1e-3,
    ),
    "coords_cov": (("--output", "coords=[0]", "--output", "sigma=[1],as=cov"), 1e-4),
    # To half a bin, which is up to 0.63 original pixels.
    "simcc": (("--output", "simcc_x=[0]", "--output", "simcc_y=[1]"), 0.9),
    "centres": (
        ("--output", "centres=hm", "--output", "centre_offsets=reg", "--output", "corner_offsets=wh"),
        1e-3,
    ),
}
"""Forms that give places without heatmaps: what is to be said, and how near the truth they come."""


@pytest.mark.parametrize("form", ALONE)
def test_coordinates_alone(desk: Desk, form: str) -> None:
    """Errors, σ and violations as with heatmaps; what needs heatmaps is absent and nothing is invented."""
    options, tolerance = ALONE[form]
    result = desk.lookup(form, *options, data="data/AP")
    assert (result.status, result.errors) == (0, []), result.err
    columns = columns_of(desk.path / "run/keypoints.parquet")
    expected = np.concatenate([error_px(number, View.AP) for number in range(6)])
    np.testing.assert_allclose(columns["error_px"], expected, atol=tolerance)
    with_sigma = form in ("coords_alone", "coords_unit", "coords_cov")
    if with_sigma:
        np.testing.assert_allclose(columns["sigma_x"], 0.5 * expected, rtol=1e-3)
    else:
        assert set(columns["sigma_x"]) == {None}
    peak = {"coords_scored": 0.75, "centres": 0.9}.get(form)
    assert peak is None or columns["peak"] == pytest.approx([peak] * len(expected))
    assert form in ("simcc", "coords_scored", "centres") or set(columns["peak"]) == {None}
    document = document_of(desk.path / "run")
    assert (document["calibration"] is not None) == with_sigma
    assert (document["losses"]["heatmap"], document["losses"]["total"]) == (None, None)
    assert document["losses"]["coord"] > 0
    assert document["notes"] == ["no heatmaps: no heatmap loss, no total loss, no ambiguous heatmaps"]
    assert (document["settings"]["decode"], document["settings"]["heatmaps"]) == ("network", False)
    assert "heatmap_sigma" not in document["settings"]
    assert "network.heatmaps" not in {entry["check"] for entry in document["setup"]}
    assert [e["check"] for e in document["setup"] if e["status"] == "wrong"] == []


ELSEWHERE = {
    "var": ("--output", "sigma=spread,as=var"),
    "stacks": ("--output", "heatmaps=[:, -1]"),
    "stack_list": ("--output", "heatmaps=.,stack=-1"),
    "probabilities": ("--decode", "expectation"),
    "logits": ("--output", "activation=sigmoid"),
    "channels_last": ("--output", "layout=nhwc"),
    "more_channels": ("--keypoints", "48:68"),
    "clockwise": ("--keypoints", "vertebrae:L5..L1;corner:UL,UR,LR,LL"),
    "offsets": ("--output", "heatmaps=maps", "--output", "offsets=locref,scale=3"),
    "locref": ("--preset", "deeplabcut"),
}
"""Heatmaps of other forms, and what is to be said."""
FRAME = ("--resize", "stretch", "--coords", "half-pixel", "--heatmap-origin", "centre")


@pytest.mark.parametrize("form", ELSEWHERE)
def test_heatmaps_of_other_forms(desk: Desk, form: str) -> None:
    frame = FRAME if form == "locref" else ()
    result = desk.lookup(form, *ELSEWHERE[form], *frame, data="data/AP")
    assert (result.status, result.errors) == (0, []), result.err
    columns = columns_of(desk.path / "run/keypoints.parquet")
    expected = np.concatenate([error_px(number, View.AP) for number in range(6)])
    np.testing.assert_allclose(columns["error_px"], expected, atol=0.15)
    if form == "var":
        np.testing.assert_allclose(columns["sigma_x"], 0.5 * expected, rtol=1e-4)


def test_every_form_of_output_is_in_the_documentation() -> None:
    """And what is to be said of it."""
    known = {**dict.fromkeys(FORMS, ()), **SAID, **ELSEWHERE, **{f: said for f, (said, _) in ALONE.items()}}
    assert typed_in_table("outputs") == {form: shlex.join(said) or "nothing" for form, said in known.items()}


PRESETS = {
    "mmpose-simcc": ("simcc", 0.9),
    "deeplabcut": ("locref", 1e-3),
    "stacked-hourglass": ("stack_list", 0.15),
    "maht-net": ("exact", 0.15),
}
"""The form that a preset is for, and how near the truth its places come."""


@pytest.mark.parametrize("name", PRESETS)
def test_presets(desk: Desk, name: str) -> None:
    """The outputs are those of the library; what is said beside a preset counts more."""
    form, tolerance = PRESETS[name]
    frame: tuple[str, ...] = ("--resize", "stretch", "--coords", "half-pixel")
    frame += ("--heatmap-origin", "centre") if name == "deeplabcut" else ()
    result = desk.lookup(form, "--preset", name, *frame, data="data/AP")
    assert (result.status, result.errors) == (0, []), result.err
    found = columns_of(desk.path / "run/keypoints.parquet")["error_px"]
    expected = np.concatenate([error_px(number, View.AP) for number in range(6)])
    np.testing.assert_allclose(found, expected, atol=tolerance)
    settings = document_of(desk.path / "run")["settings"]
    assert (settings["preset"], settings["channels"], settings["resize"]) == (name, 1, "stretch")


def test_a_preset_that_is_none(desk: Desk) -> None:
    result = desk.lookup("exact", "--preset", "openpose", data="data/AP")
    assert result.status == 2
    assert "no preset is called 'openpose': one of mmpose, mmpose-simcc, vitpose, deeplabcut" in result.err


def test_a_stack_that_is_not_there(desk: Desk) -> None:
    result = desk.lookup("stacks", "--output", "heatmaps=.,stack=4", data="data/AP")
    assert (result.status, "there is nothing, a tensor is wanted" in result.err) == (2, True)


def test_a_covariance_keeps_its_correlation(desk: Desk) -> None:
    options, _ = ALONE["coords_cov"]
    assert desk.lookup("coords_cov", *options, data="data/AP").status == 0
    columns = columns_of(desk.path / "run/keypoints.parquet")
    xx, xy, yy = (np.array(columns[f"head_{name}"]) for name in ("xx", "xy", "yy"))
    np.testing.assert_allclose(np.sqrt(xx), columns["sigma_x"], rtol=1e-6)
    np.testing.assert_allclose(xy / np.sqrt(xx * yy), 0.5, rtol=1e-4)
    with_cov = document_of(desk.path / "run")["calibration"]
    assert desk.lookup("coords_alone", "--out", "plain", data="data/AP").status == 0
    without = document_of(desk.path / "plain")["calibration"]
    # z = (1.2, 1.6) in every image: z² is 4, and (1.44 - 2·0.5·1.92 + 2.56)/(1 - 0.5²) with the correlation.
    assert without["radial"]["sigma_scale"] == pytest.approx(np.sqrt(4 / 2), rel=1e-4)
    assert with_cov["radial"]["sigma_scale"] == pytest.approx(np.sqrt((4 - 1.92) / 0.75 / 2), rel=1e-4)
    result = desk.run("calibration", "run")
    assert result.status == 0
    assert "ellipses from its covariance" in " ".join(result.text.split())


def test_coordinates_without_sigma_are_told_how_to_have_one(desk: Desk) -> None:
    assert desk.lookup("coords_bare", "--output", "coords=.", data="data/AP").status == 0
    result = desk.run("calibration", "run")
    assert result.status == 2
    assert "its network returns coordinates alone: say where its uncertainty is" in result.err


def test_offsets_beside_heatmaps(desk: Desk) -> None:
    said = ("--output", "heatmaps=maps", "--output", "offsets=locref,scale=3")
    result = desk.lookup("offsets", *said, data="data/AP")
    assert (result.status, result.errors) == (0, [])
    expected = np.concatenate([error_px(number, View.AP) for number in range(6)])
    found = columns_of(desk.path / "run/keypoints.parquet")["error_px"]
    np.testing.assert_allclose(found, expected, atol=1e-3)
    assert desk.lookup("offsets", "--output", "heatmaps=maps", "--out", "coarse", data="data/AP").status == 0
    coarse = columns_of(desk.path / "coarse/keypoints.parquet")["error_px"]
    assert np.abs(np.array(coarse) - expected).max() > 1


def test_the_expectation_is_for_maps_that_sum_to_one(desk: Desk) -> None:
    said = ("--decode", "expectation")
    assert desk.lookup("probabilities", *said, data="data/AP").status == 0
    expected = np.concatenate([error_px(number, View.AP) for number in range(6)])
    found = columns_of(desk.path / "run/keypoints.parquet")
    np.testing.assert_allclose(found["error_px"], expected, atol=0.02)
    assert found["averaged_xx"][0] is not None
    entries = {entry["check"]: entry for entry in document_of(desk.path / "run")["setup"]}
    assert "each heatmap sums to 1" in entries["network.heatmaps"]["evidence"]
    assert desk.lookup("heatmaps", *said, "--out", "sums", data="data/AP").status == 0
    entries = {entry["check"]: entry for entry in document_of(desk.path / "sums")["setup"]}
    assert entries["network.decode"]["status"] == "wrong"
    assert "sum to about 14.1, not to 1" in entries["network.decode"]["evidence"]


def test_coordinates_in_original_pixels(desk: Desk, bench: Bench) -> None:
    """σ too; a network that was trained on them gives them whatever the size of its input."""
    points = np.zeros((networks.IMAGES, 20, 2))
    for number, truth in enumerate(bench.ap):
        points[number] = truth.keypoints_px + error_px(number, View.AP)[:, None] * np.array([0.6, 0.8])
    weights = {"points": points, "log_sigma": np.full_like(points, np.log(3.0))}
    tensors = {name: torch.from_numpy(value).float() for name, value in weights.items()}
    torch.save(tensors, desk.path / "lookup-original.pt")
    options = ("--coords-frame", "original", "--uncertainty-frame", "original")
    result = desk.lookup("coords_alone", *options, data="data/AP", view="original")
    assert (result.status, result.errors) == (0, [])
    columns = columns_of(desk.path / "run/keypoints.parquet")
    expected = np.concatenate([error_px(number, View.AP) for number in range(6)])
    np.testing.assert_allclose(columns["error_px"], expected, atol=1e-3)
    np.testing.assert_allclose(columns["sigma_y"], 3.0, rtol=1e-5)


@pytest.mark.parametrize(
    ("form", "options", "said"),
    [
        ("coords_bare", (), "the network returned tensor [1, 20, 2] for 1 image(s); accepted are"),
        ("coords_flat", ("--output", "coords=."), "axes=xy (x1,y1,x2,…) or axes=xxyy"),
        ("coords_alone", ("--decode", "dark"), "--decode dark: the network returns coordinates and no heat"),
        ("coords_alone", ("--uncertainty", "heatmap"), "--uncertainty heatmap: the network returns coordin"),
        ("coords_alone", ("--coords-frame", "cells"), "no heatmaps, so that there are no cells"),
        ("coords_alone", ("--expected-error",), "--expected-error: the network gives the places itself"),
        ("coords_cov", ("--output", "coords=[0]", "--output", "sigma=[1]"), "add --uncertainty-as cov"),
        ("coords_alone", ("--uncertainty-as", "cov"), "not (xx, xy, yy) [B,K,3] or matrices [B,K,2,2]"),
        ("coords_unit", ("--output", "coords=[0],frame=unit", "--coords-frame", "cells"), "leave one out"),
        ("coords_scored", ("--output", "coords=[..., 5]"), "--output coords=[..., 5]: index 5 is out of b"),
        ("offsets", ("--output", "offsets=locref"), "offsets need heatmaps [B,K,h,w]"),
        ("centres", ("--output", "centres=hm"), "centres need corner_offsets"),
    ],
)
def test_what_is_said_where_outputs_do_not_fit(
    desk: Desk, form: str, options: tuple[str, ...], said: str
) -> None:
    result = desk.lookup(form, *options, data="data/AP")
    assert (result.status, result.text, len(result.err.splitlines())) == (2, "", 1), result.err
    assert said in result.err


def test_a_tuple_of_which_nothing_is_said_is_listed_and_not_taken_for_sigma(desk: Desk) -> None:
    result = desk.lookup("triple")
    assert result.status == 0, result.err
    document = document_of(desk.path / "run")
    assert (document["calibration"], document["settings"]["decode"]) == (None, "dark")
    entry = next(e for e in document["setup"] if e["check"] == "network.outputs")
    assert entry["status"] == "warning"
    assert "[1] (tensor [4, 20, 2]), [2] (tensor [4, 20, 2])" in entry["evidence"]
    assert "--output log_sigma=PATH" in entry["advice"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--output", "log_sigma=[4]"), "--output log_sigma=[4]: there is nothing, a tensor is wanted"),
        (("--output", "sigma=[1]", "--output", "log_var=[1]"), "one of log_sigma, sigma and log_var is"),
        (("--keypoints", "corner:UL,UR"), "--keypoints corner:UL,UR: name each of UL, UR, LL, LR once"),
        (("--keypoints", "0:30"), "--keypoints 0:30: 30 channels, AP has 20"),
        (("--coords-frame", "unit"), "--coords-frame unit: the network returns no coordinates"),
    ],
)
def test_what_is_said_of_outputs_that_are_not_there(desk: Desk, options: tuple[str, ...], said: str) -> None:
    result = desk.lookup("pair", *options, data="data/AP")
    assert (result.status, result.text, len(result.err.splitlines())) == (2, "", 1)
    assert said in result.err


def test_settings_say_where_outputs_are(desk: Desk) -> None:
    (desk.path / "mahtdiag.toml").write_text('[model.outputs]\nlog_sigma = "[1]"\n')
    assert desk.lookup("pair").status == 0
    document = document_of(desk.path / "run")
    assert document["settings"]["outputs"] == ["log_sigma=[1]"]
    assert document["calibration"] is not None


def test_the_option_that_is_printed_mends_another_order(
    desk: Desk, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(builders, "error_px", lambda number, view: np.full(view.skeleton.keypoints, 0.5))
    builders.write_lookup(desk.path / "lookup-ap.pt", list(bench.ap), View.AP)
    weights = torch.load(desk.path / "lookup-ap.pt", weights_only=True)
    order = np.arange(20).reshape(5, 4)[:, [0, 1, 3, 2]].ravel()
    torch.save({name: value[:, order] for name, value in weights.items()}, desk.path / "lookup-other.pt")
    assert desk.lookup("exact", "--out", "wrong", data="data/AP", view="other").status == 0
    entry = next(e for e in document_of(desk.path / "wrong")["setup"] if e["check"] == "order.keypoints")
    assert entry["status"] == "wrong", entry
    option, value = entry["advice"].split()
    assert (entry["status"], option, value) == ("wrong", "--keypoints", "corner:UL,UR,LR,LL")
    assert desk.lookup("exact", option, value, "--out", "right", data="data/AP", view="other").status == 0
    assert desk.lookup("exact", "--out", "ours", data="data/AP").status == 0
    right, ours = (columns_of(desk.path / run / "keypoints.parquet") for run in ("right", "ours"))
    for name in ("error_px", "sigma_x", "peak"):
        assert right[name] == ours[name], name


@pytest.mark.parametrize("form", WRONG)
def test_every_other_form_is_refused_with_what_it_is(desk: Desk, form: str) -> None:
    result = desk.lookup(form)
    assert (result.status, result.text, len(result.err.splitlines())) == (2, "", 1)
    then = "heatmaps are uint8; return floating-point numbers"
    then = then if form == "whole_numbers" else "accepted are a tensor [B,K,h,w], or "
    assert result.err.startswith(f"error: the network returned {WRONG[form]} for 1 image(s); {then}")
    assert not (desk.path / "run").exists()


def test_nan_for_some_images(desk: Desk) -> None:
    result = desk.lookup("nan_some", "-v")
    assert result.status == 2
    images = sorted(f"AP/{path.name}" for path in (desk.path / "data/AP").glob("*.png"))
    assert failures_of(desk.path / "run") == dict.fromkeys(images[1::2], NOTHING)
    assert columns_of(desk.path / "run/images.parquet")["status"] == ["ok", "failed"] * 3
    printed = " ".join(result.text.split())
    assert [image for image in images[1::2] if f"{image} {NOTHING}" not in printed] == []
    assert document_of(desk.path / "run")["metrics"]["radial_error_px"]["max"] == pytest.approx(
        error_px(4, View.AP).max(), abs=1e-3
    )


@pytest.mark.parametrize("network", ["nan_all", "nan_head"])
def test_nan_for_all_images(desk: Desk, network: str) -> None:
    result = desk.lookup(network, "--format", "json")
    assert result.status == 2
    (line,) = result.errors
    assert line.startswith("error: data: none of 6 images could be evaluated; the first: AP/0001-")
    reason = NOTHING if network == "nan_all" else OF_SIGMA
    assert {failure["reason"] for failure in json.loads(result.text)["failures"]} == {reason}


@pytest.mark.parametrize("source", ["none", "heatmap"])
def test_a_broken_head_harms_nobody_who_does_not_use_it(desk: Desk, source: str) -> None:
    result = desk.lookup("nan_head", "--uncertainty", source)
    assert (result.status, failures_of(desk.path / "run")) == (0, {})


@pytest.mark.parametrize("network", ["endless_sigma", "far_away"])
def test_absurd_but_finite_outputs_are_printed_and_stored(desk: Desk, network: str) -> None:
    """σ of zero and infinity, and coordinates near the largest number that float32 has."""
    result = desk.lookup(network, "--overlays", "worst:1")
    assert (result.status, result.errors) == (0, [])
    assert "nan" not in result.text.lower()
    document = document_of(desk.path / "run")
    assert document["images"]["evaluated"] == 6


def test_heatmaps_whose_size_changes(desk: Desk) -> None:
    result = desk.lookup("other_size")
    assert (result.status, result.text) == (2, "")
    assert result.errors == [
        "error: the network returned heatmaps [6, 20, 64, 59] where it had returned [B, 20, 64, 64]"
    ]


@pytest.mark.parametrize(
    ("network", "reason"),
    [
        ("raises", "first line; if it takes a single image only, use --batch-size 1"),
        ("leaves", "it ended the process (0); a network returns its outputs and does not exit"),
    ],
)
def test_a_network_that_fails_on_real_images(desk: Desk, network: str, reason: str) -> None:
    result = desk.lookup(network)
    assert (result.status, result.text) == (2, "")
    assert result.errors == [f"error: the network failed on a batch [6, 1, 64, 64]: {reason}"]
    assert document_of(desk.path / "run")["status"] == "interrupted"


def test_a_network_that_prints_does_not_spoil_the_result(desk: Desk) -> None:
    result = desk.lookup("talks", "--format", "json")
    assert result.status == 0
    assert result.out == (desk.path / "run/run.json").read_bytes()
    assert "a line of the factory's own" in result.err
    assert "a line of the network's own" in result.err
