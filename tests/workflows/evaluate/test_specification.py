"""What a network takes and gives: options first, then metadata, never a guess."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from mahtdiag.config.network_levels import skeleton_of_heatmaps
from mahtdiag.config.output_reading import resolve_spec
from mahtdiag.config.settings import ModelSettings
from mahtdiag.data.files import ViewEvidence
from mahtdiag.errors import ModelOutputError, UsageError
from mahtdiag.schema.choices import (
    CoordinateConvention,
    DecodeMethod,
    UncertaintyFrame,
    UncertaintyKind,
    UncertaintySource,
)
from mahtdiag.schema.frames import Size
from mahtdiag.schema.model_spec import Decoding, ModelInput, ModelSpec, UncertaintySpec
from mahtdiag.schema.normalization import IMAGENET, parse_normalization
from mahtdiag.schema.preprocessing import Resize
from mahtdiag.schema.records import ModelOutputs
from mahtdiag.schema.skeleton import AP, LA, View
from mahtdiag.workflows.evaluate.networks import resolve_input, settle_view

METADATA = ModelSpec(
    skeleton=LA,
    input=ModelInput(Size(64, 32), 3, Resize.LETTERBOX, IMAGENET, CoordinateConvention.SCALE),
    decoding=Decoding(1.5, DecodeMethod.LOCAL, 7.0),
    uncertainty=UncertaintySpec(UncertaintySource.AUTO, UncertaintyKind.LOG_VAR, UncertaintyFrame.HEATMAP),
)
MAPS = torch.zeros(1, 22, 4, 4)
ALONE = ModelOutputs(MAPS)
WITH_HEAD = ModelOutputs(MAPS, None, torch.zeros(1, 22), UncertaintyKind.SIGMA)
WITH_COORDS = ModelOutputs(MAPS, torch.zeros(1, 22, 2))
NEEDED: dict[str, dict[str, object]] = {
    "--input-size": {"input_size": "96x48"},
    "--channels": {"channels": 1},
    "--normalize": {"normalize": "unit"},
    "--heatmap-sigma": {"heatmap_sigma": 2.0},
}


def settings(*given: dict[str, object]) -> ModelSettings:
    """Model settings from several tables."""
    return ModelSettings.model_validate({name: value for table in given for name, value in table.items()})


def problem_of(action: Callable[[], object], kind: type[Exception] = UsageError) -> str:
    """The one line of an error."""
    with pytest.raises(kind) as caught:
        action()
    text = str(caught.value)
    assert "\n" not in text
    return text


@pytest.mark.parametrize("left_out", [["--input-size"], ["--channels", "--heatmap-sigma"], list(NEEDED)])
def test_all_missing_options_at_once(left_out: list[str]) -> None:
    given = [value for option, value in NEEDED.items() if option not in left_out]
    said = problem_of(lambda: resolve_input(settings(*given), None))
    assert said.startswith("the checkpoint does not describe its network; please give ")
    for option in NEEDED:
        assert (option in said) == (option in left_out)


def test_options_alone_are_enough() -> None:
    found = resolve_input(settings(*NEEDED.values()), None)
    assert found == ModelInput(Size(96, 48), 1, Resize.STRETCH)
    assert found.convention is CoordinateConvention.HALF_PIXEL


def test_metadata_alone_is_enough() -> None:
    found = resolve_input(settings(), METADATA)
    assert found == METADATA.input
    spec = resolve_spec(settings(), METADATA, found, LA, WITH_HEAD)
    assert spec == METADATA


@pytest.mark.parametrize(
    ("option", "expected"),
    [
        ({"input_size": "8x8"}, {"size": Size(8, 8)}),
        ({"resize": "stretch"}, {"resize": Resize.STRETCH}),
        ({"normalize": "0.5/0.2"}, {"normalization": parse_normalization("0.5/0.2")}),
        ({"coords": "half-pixel"}, {"convention": CoordinateConvention.HALF_PIXEL}),
    ],
)
def test_each_option_overrides_the_metadata(option: dict[str, object], expected: dict[str, object]) -> None:
    assert resolve_input(settings(option), METADATA) == replace(METADATA.input, **expected)  # type: ignore[arg-type]


def test_normalisation_must_have_the_networks_channels() -> None:
    said = problem_of(lambda: resolve_input(settings({"channels": 1}), METADATA))
    assert said == "--normalize imagenet is for 3 channels, the network takes 1"
    found = resolve_input(settings({"channels": 1, "normalize": "0.5/0.1"}), METADATA)
    assert found.channels == 1
    assert "is not known" in problem_of(lambda: resolve_input(settings({"normalize": "z-score"}), METADATA))


def test_decoding() -> None:
    bare = settings(*NEEDED.values())
    found = resolve_spec(bare, None, METADATA.input, LA, ALONE).decoding
    assert found == Decoding(2.0, DecodeMethod.DARK, 1.0, own_coords=False)
    given = settings({"decode": "argmax", "softargmax_beta": 3, "heatmap_sigma": 4})
    for metadata in (None, METADATA):
        found = resolve_spec(given, metadata, METADATA.input, LA, WITH_COORDS).decoding
        assert found == Decoding(4.0, DecodeMethod.ARGMAX, 3.0, own_coords=False)
    assert "--heatmap-sigma" in problem_of(lambda: resolve_spec(settings(), None, METADATA.input, LA, ALONE))


def test_own_coordinates_count_unless_a_decoding_is_asked_for() -> None:
    bare = settings(*NEEDED.values())
    assert resolve_spec(bare, None, METADATA.input, LA, WITH_COORDS).decoding.own_coords
    asked = settings(*NEEDED.values(), {"decode": "dark"})
    assert not resolve_spec(asked, None, METADATA.input, LA, WITH_COORDS).decoding.own_coords


@pytest.mark.parametrize(
    ("given", "outputs", "expected"),
    [
        ({}, WITH_HEAD, UncertaintySpec(UncertaintySource.AUTO, UncertaintyKind.SIGMA)),
        ({}, ALONE, UncertaintySpec(UncertaintySource.NONE, None)),
        ({"uncertainty": "auto"}, ALONE, UncertaintySpec(UncertaintySource.NONE, None)),
        ({"uncertainty": "heatmap"}, ALONE, UncertaintySpec(UncertaintySource.HEATMAP, None)),
        ({"uncertainty": "none"}, WITH_HEAD, UncertaintySpec(UncertaintySource.NONE, UncertaintyKind.SIGMA)),
        (
            {"uncertainty": "head", "uncertainty_as": "log_sigma", "uncertainty_frame": "heatmap"},
            WITH_HEAD,
            UncertaintySpec(UncertaintySource.HEAD, UncertaintyKind.LOG_SIGMA, UncertaintyFrame.HEATMAP),
        ),
    ],
)
def test_uncertainty(given: dict[str, object], outputs: ModelOutputs, expected: UncertaintySpec) -> None:
    bare = settings(*NEEDED.values(), given)
    assert resolve_spec(bare, None, METADATA.input, LA, outputs).uncertainty == expected


def test_uncertainty_of_the_metadata_and_options_over_it() -> None:
    def resolved(given: dict[str, object]) -> UncertaintySpec:
        return resolve_spec(settings(given), METADATA, METADATA.input, LA, WITH_HEAD).uncertainty

    assert resolved({}) == METADATA.uncertainty
    assert resolved({"uncertainty_as": "sigma"}).kind is UncertaintyKind.SIGMA
    assert resolved({"uncertainty_frame": "input"}).frame is UncertaintyFrame.INPUT


def test_a_head_that_is_not_there() -> None:
    asked = settings(*NEEDED.values(), {"uncertainty": "head"})
    said = problem_of(lambda: resolve_spec(asked, None, METADATA.input, LA, ALONE))
    assert said.startswith("--uncertainty head: the network returns no log_sigma")


def test_evidence_that_agrees() -> None:
    evidence = [ViewEvidence(View.LA, "the network"), ViewEvidence(View.LA, "the folder x")]
    assert settle_view(evidence) is View.LA
    assert settle_view(evidence[:1]) is View.LA


def test_a_conflict_names_everybody() -> None:
    evidence = [
        ViewEvidence(View.AP, "--view"),
        ViewEvidence(View.LA, "the network (22 heatmaps)"),
        ViewEvidence(View.LA, "the checkpoint's metadata"),
        ViewEvidence(View.AP, "the folder data"),
    ]
    said = problem_of(lambda: settle_view(evidence))
    for item in evidence:
        assert f"{item.view} by {item.source}" in said


def test_no_evidence() -> None:
    assert "--view AP or --view LA" in problem_of(lambda: settle_view([]))


def test_the_number_of_heatmaps_tells_the_view() -> None:
    assert skeleton_of_heatmaps(20) is AP
    assert skeleton_of_heatmaps(22) is LA


@pytest.mark.parametrize("count", [1, 17, 19, 21, 23, 40])
def test_other_numbers_of_heatmaps(count: int) -> None:
    said = problem_of(lambda: skeleton_of_heatmaps(count), ModelOutputError)
    assert said.startswith(f"the network returns {count} heatmaps; an AP network has 20 ")
    assert "an LA network 22 " in said
    assert ("--keypoints, such as 0:20 for the first" in said) is (count > 20)
    assert "--output layout=nhwc" in said
