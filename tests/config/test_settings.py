"""Every key: what it takes, and what it refuses."""

from dataclasses import dataclass

import pytest

from mahtdiag.config.presets import PRESETS
from mahtdiag.config.project_file import parse_settings
from mahtdiag.config.settings import Settings
from mahtdiag.schema.choices import (
    DecodeMethod,
    ImageChoice,
    LeadingUnit,
    OverlayStyle,
    Precision,
    UncertaintyFrame,
    UncertaintyKind,
    UncertaintySource,
)
from mahtdiag.schema.dicom_window import FIRST_WINDOW, DicomWindow, WindowKind
from mahtdiag.schema.frames import CoordinateConvention, Size
from mahtdiag.schema.model_spec import McDropout
from mahtdiag.schema.output_spec import Axes, CoordsFrame, Layout, OutputSpec
from mahtdiag.schema.preprocessing import (
    ChannelOrder,
    Exif,
    Flip,
    HeatmapOrigin,
    Interpolation,
    OriginKind,
    Resize,
    Stride,
)
from mahtdiag.schema.read_options import SpacingSource
from mahtdiag.schema.skeleton import View

from .problems import problems_of


@dataclass(frozen=True)
class Key:
    """A key with values that it takes, as they are kept, and values that it refuses."""

    section: str
    name: str
    good: tuple[tuple[object, object], ...]
    bad: tuple[object, ...]

    def __str__(self) -> str:
        return f"{self.section}.{self.name}"


NAN, INF = float("nan"), float("inf")
INF = float("inf")
TEXT_BAD = (3, 1.5, True, ["a"], {"a": 1})
POSITIVE_BAD = (0, -1, NAN, INF, True, False, "wide", [1])
SPACING_BAD = (*POSITIVE_BAD[:4], *POSITIVE_BAD[5:], 143, 1e300, 5.001, 0.00499, 0.000143)
KEYS = (
    Key("model", "checkpoint", (("a b/ü.pt", "a b/ü.pt"),), TEXT_BAD),
    Key("model", "factory", (("nets.unet:build", "nets.unet:build"),), TEXT_BAD),
    Key(
        "model",
        "args",
        ((["width=32", "name=x=y", "deep=True"], {"width": 32, "name": "x=y", "deep": True}),
         (['{"sizes": [1, 2], "act": null}', 'text="3"'], {"sizes": [1, 2], "act": None, "text": "3"}),
         ({"width": 3, "more": {"a": 1.5}}, {"width": 3, "more": {"a": 1.5}})),
        (["width"], "width=3", ["a=1", "a=2"], ["{"], ["{]"], ["1=2"], ["class=3"], ["a=NaN"], {"a": INF},
         3, {"a b": 3}),
    ),
    Key("model", "weights", (("ema", "ema"), (".", ".")), TEXT_BAD),
    Key(
        "model",
        "input_size",
        (("512x256", Size(512, 256)), ("1X8192", Size(1, 8192))),
        ("512", "x", "512x", "x256", "0x5", "5x0", "-5x5", "5.5x5", "5x5x5", "8193x5", "512 x 256", "axb",
         512, [512, 256], True, ""),
    ),
    Key("model", "resize",
        tuple((text, Resize.parse(text)) for text in (
            "stretch", "letterbox", "letterbox:top-left", "letterbox:centre,pad=1.25,fill=114",
            "letterbox:fill=edge", "letterbox:fill=mean,pad=2")),
        ("crop", 1, "letterbox:", "letterbox:middle", "stretch:pad=2", "letterbox:pad=0.9",
         "letterbox:pad=nan", "letterbox:pad=11", "letterbox:fill=256", "letterbox:fill=red",
         "letterbox:pad=1,pad=2", "letterbox:shade=1")),
    Key("model", "interpolation", tuple((i.value, i) for i in Interpolation), ("bilinear", 1)),
    Key("model", "channel_order", (("rgb", ChannelOrder.RGB), ("bgr", ChannelOrder.BGR)), ("RGB", 3)),
    Key("model", "full_scale", (("auto", "auto"), ("4095", 4095), (65535, 65535)),
        (0, -1, 65536, "12 bit", 1.5, True, 10**12)),
    Key("model", "invert", ((True, True), (False, False)), (1, 0, "yes", "true", [True])),
    Key("model", "flip", tuple((f.value, f) for f in Flip), (True, "yes", 1)),
    Key("model", "stride",
        (("8", Stride(8, 8)), (8, Stride(8, 8)), ("8x4.5", Stride(8, 4.5)), ("fill", Stride.FILL),
         ("ends", Stride.ENDS)),
        ("0", "-8", "8x", "8x8x8", "nan", "eight", True, 2000)),
    Key("model", "heatmap_origin",
        (("corner", HeatmapOrigin(OriginKind.CORNER)), ("centre", HeatmapOrigin(OriginKind.CENTRE)),
         ("middle", HeatmapOrigin(OriginKind.MIDDLE)),
         ("3.5", HeatmapOrigin(x=3.5, y=3.5)), ("0,-1", HeatmapOrigin(x=0, y=-1))),
        ("amid", "nan", "1,2,3", "inf", True)),
    Key("model", "normalize", (("unit", "unit"), ("0.4/0.2", "0.4/0.2")), TEXT_BAD),
    Key("model", "channels", ((1, 1), (3, 3)), (0, 2, 4, "three", True, 1.5)),
    Key(
        "model",
        "coords",
        (("half-pixel", CoordinateConvention.HALF_PIXEL), ("scale", CoordinateConvention.SCALE)),
        ("half_pixel", "HALF_PIXEL", 1),
    ),
    Key("model", "decode", tuple((m.value, m) for m in DecodeMethod), ("DARK", "mean", 3)),
    Key("model", "heatmap_sigma", ((2, 2.0), (0.25, 0.25)), POSITIVE_BAD),
    Key("model", "softargmax_beta", ((10, 10.0),), POSITIVE_BAD),
    Key(
        "model",
        "uncertainty",
        (*((s.value, s) for s in UncertaintySource), ("mc-dropout:2", McDropout(2)),
         ("mc-dropout:1000", McDropout(1000))),
        ("yes", True, 0, "mc-dropout", "mc-dropout:", "mc-dropout:1", "mc-dropout:1001", "mc-dropout:x",
         "mc-dropout:-3", "mc-dropout:2.5", "mc-dropout:99999999999", "head:3", {"passes": 5}),
    ),
    Key(
        "model",
        "outputs",
        ((["heatmaps=[-1]", "log_sigma=[1]"], OutputSpec({"heatmaps": "[-1]", "log_sigma": "[1]"})),
         ({"sigma": {"from": "heads[0]", "as": "var"}, "layout": "nhwc"},
          OutputSpec({"sigma": "heads[0]"}, layout=Layout.NHWC, sigma_as=UncertaintyKind.VAR)),
         (["coords=[..., :2],frame=unit,axes=yx"],
          OutputSpec({"coords": "[..., :2]"}, coords_frame=CoordsFrame.UNIT, coords_axes=Axes.YX))),
        (["maps=[1]"], "heatmaps=[1]", ["layout=x"], {"sigma": 3}, 3, ["coords=.,frame=mm"],
         ["simcc_x=[0]"], ["centres=hm"], ["coords=[0]", "offsets=[1]"], ["offsets=[1],scale=0"],
         ["coords=.,as=var"],
         ["coords=[0]x]"], {"sigma": {"as": "var"}}, ["sigma=[1]", "log_sigma=[2]"]),
    ),
    Key("model", "preset", tuple((name, name) for name in PRESETS), ("openpose", 1)),
    Key("model", "coords_frame", tuple((f.value, f) for f in CoordsFrame), ("original px", 1)),
    Key("model", "keypoints", (("corner:UL,UR,LR,LL", "corner:UL,UR,LR,LL"),), TEXT_BAD),
    Key("model", "uncertainty_as", tuple((k.value, k) for k in UncertaintyKind), ("variance", 1)),
    Key("model", "uncertainty_frame", tuple((f.value, f) for f in UncertaintyFrame), ("mm", 1)),
    Key("data", "path", (("data/AP", "data/AP"),), TEXT_BAD),
    Key(
        "data", "view", (("AP", View.AP), ("LA", View.LA), ("auto", "auto")), ("PA", "ap", "", 3, True, [])
    ),
    Key("data", "levels", tuple((t, t) for t in ("T1-L5", "lumbar", "cervical", "c3..t1", "L1,L2")),
        ("L5-L1", "C1-C7", "L1,L3", "", 3, True, "S1")),
    Key("data", "patient", (("^[0-9]+", "^[0-9]+"),), (1, "(", "*")),
    Key("data", "labels2", (("second", "second"),), TEXT_BAD),
    Key("data", "subgroups", (("groups.csv", "groups.csv"),), TEXT_BAD),
    Key("data", "format", (("coco", "coco"),), TEXT_BAD),
    Key("data", "complete_only", ((True, True), (False, False)), (1, 0, "yes", "true", [True])),
    Key("data", "no_labels", ((True, True), (False, False)), (1, 0, "yes", "true", [True])),
    Key("data", "spacing_from", tuple((s.value, s) for s in SpacingSource), ("detector", 1)),
    Key("data", "exif", tuple((e.value, e) for e in Exif), (True, "yes", 6)),
    Key(
        "data",
        "dicom_window",
        (
            ("first", FIRST_WINDOW),
            ("stored", DicomWindow(WindowKind.STORED)),
            ("minmax", DicomWindow(WindowKind.MINMAX)),
            ("4096, 2048.5", DicomWindow(WindowKind.GIVEN, 4096.0, 2048.5)),
        ),
        ("", "second", "100", "0,5", "-1,5", "nan,5", "inf,5", "5,inf", "1,2,3", 5, [5, 5]),
    ),
    Key("data", "image_timeout", ((300, 300.0), (0.5, 0.5)), (0, -1, "long", True, NAN, INF, [1])),
    Key("data", "missing_value", ((-1, -1.0), (0.0, 0.0)), (NAN, "x", [1])),
    Key(
        "data",
        "keypoints",
        (({"v1": "L1", "tip": "l1 upper left", "a": "UL"}, {"v1": "L1", "tip": "l1 upper left", "a": "UL"}),),
        ({"v1": "first"}, "L1", 3),
    ),
    Key(
        "data", "pixel_spacing_mm", ((0.15, 0.15), (1, 1.0), (0.005, 0.005), (5, 5.0)), SPACING_BAD
    ),
    Key("evaluate", "device", (("cuda:1", "cuda:1"),), TEXT_BAD),
    Key(
        "evaluate",
        "batch_size",
        (("auto", "auto"), (8, 8), ("8", 8)),
        (0, -1, 2.5, 2.0, "many", "", "-3", True, NAN, [1]),
    ),
    Key("evaluate", "workers", ((1, 1), (64, 64)), (0, -1, 1.5, "few", True)),
    Key("evaluate", "precision", tuple((p.value, p) for p in Precision), ("fp8", 16, True)),
    Key(
        "evaluate",
        "overlays",
        (("all", ImageChoice("all", None)), ("none", ImageChoice("none", 0)),
         ("worst:12", ImageChoice("worst:12", 12)), ("worst:0", ImageChoice("worst:0", 0))),
        ("worst", "worst:", "worst:-1", "worst:1.5", "worst:x", "best:3", "ALL", "", 12, True, "worst:3:4"),
    ),
    Key("evaluate", "overlay_style", tuple((s.value, s) for s in OverlayStyle), ("light", "PAPER", 1, True)),
    Key("evaluate", "overlay_heatmaps", ((True, True), (False, False)), (1, 0, "yes", "true", [True])),
    Key("evaluate", "error_unit", tuple((u.value, u) for u in LeadingUnit), ("input", "cm", "PX", 2, True)),
    Key("evaluate", "allow_failures", ((0, 0), (7, 7)), (-1, 1.5, "some", True, NAN)),
    Key("evaluate", "recalibration", (("a b.json", "a b.json"),), TEXT_BAD),
    Key("evaluate", "expected_error", ((True, True), (False, False)), (1, 0, "yes", "true", [True])),
    Key(
        "evaluate",
        "accept",
        (
            ("labels.unit", ("labels.unit",)),
            (["labels.unit", "network.decode"], ("labels.unit", "network.decode")),
            ([], None),
        ),
        ("labels.units", "labels", "results", "", ["labels.unit", "nothing"], 3, 0, True, False, {"a": 1}),
    ),
    Key("evaluate", "strict_setup", ((True, True), (False, False)), (1, 0, "yes", "true", [True])),
)  # fmt: skip


@pytest.mark.parametrize(("key", "given", "kept"), [(k, g, w) for k in KEYS for g, w in k.good], ids=str)
def test_good_values(key: Key, given: object, kept: object) -> None:
    settings = parse_settings({key.section: {key.name: given}}, "x.toml")
    found = getattr(getattr(settings, key.section), key.name)
    assert found == kept
    assert type(found) is type(kept)


@pytest.mark.parametrize(("key", "given"), [(key, given) for key in KEYS for given in key.bad], ids=str)
def test_bad_values(key: Key, given: object) -> None:
    (problem,) = problems_of(lambda: parse_settings({key.section: {key.name: given}}, "x.toml"))
    assert problem.startswith(f"x.toml: {key} = {given!r}: ")
    assert "pydantic" not in problem


def test_every_key_is_in_the_table_above() -> None:
    known = {
        f"{section}.{name}"
        for section in ("model", "data", "evaluate")
        for name in type(getattr(Settings(), section)).model_fields
    }
    assert known == {str(key) for key in KEYS}


def test_nothing_is_set_by_default() -> None:
    settings = Settings()
    for key in KEYS:
        assert not getattr(getattr(settings, key.section), key.name)
    assert settings.anatomy.limits_of(View.AP) == {}


def test_anatomical_limits_by_view() -> None:
    settings = parse_settings(
        {"anatomy": {"limits": {"A201": 10, "A301-max": 2}, "AP": {"A201": 8.5}, "LA": {"A201": 12}}},
        "x.toml",
    )
    assert settings.anatomy.limits_of(View.AP) == {"A201": 8.5, "A301-max": 2.0}
    assert settings.anatomy.limits_of(View.LA) == {"A201": 12.0, "A301-max": 2.0}


@pytest.mark.parametrize("bad", ["wide", True, float("nan"), [1]])
def test_anatomical_limits_are_numbers(bad: object) -> None:
    for table in ("limits", "AP", "LA"):
        (problem,) = problems_of(lambda t=table: parse_settings({"anatomy": {t: {"A201": bad}}}, "x.toml"))  # type: ignore[misc]
        assert problem.startswith(f"x.toml: anatomy.{table}.A201 = {bad!r}: ")


def test_later_settings_win_where_they_say_something() -> None:
    file = parse_settings(
        {
            "model": {"checkpoint": "a.pt", "channels": 1, "heatmap_sigma": 2.0},
            "data": {"path": "data", "view": "AP"},
            "evaluate": {"workers": 3, "allow_failures": 4},
            "anatomy": {"limits": {"A201": 9.0}},
        },
        "x.toml",
    )
    given = parse_settings(
        {"model": {"channels": 3}, "data": {"view": "LA"}, "evaluate": {"allow_failures": 0}}, "line"
    )
    both = file.overridden_by(given)
    assert (both.model.checkpoint, both.model.channels, both.model.heatmap_sigma) == ("a.pt", 3, 2.0)
    assert (both.data.path, both.data.view) == ("data", View.LA)
    assert (both.evaluate.workers, both.evaluate.allow_failures) == (3, 0)
    assert both.anatomy.limits == {"A201": 9.0}
    assert file.overridden_by(Settings()) == file
    assert Settings().overridden_by(given).model.channels == 3
    assert file.model.channels == 1
