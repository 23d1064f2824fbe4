"""Which keypoints a network returns, and which of them are judged."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mahtdiag.config.network_levels import Asked, NetworkKeypoints, keypoints_of
from mahtdiag.errors import MahtdiagError, ModelOutputError, UsageError
from mahtdiag.schema.skeleton import AP, LA, LUMBAR_SET, SPINE, Levels, Skeleton, View

WHOLE = Levels("T1", "L5")
NECK = Levels("C2", "C7")
BY_NAME = "vertebrae:T1..L5"


def judged(
    channels: int,
    text: str | None = None,
    told: Skeleton | None = None,
    labelled: Levels | None = None,
    levels: str | None = None,
    view: View | None = None,
) -> NetworkKeypoints:
    return keypoints_of(channels, text, told, Asked(view, levels, None, labelled))


def test_a_number_that_fits_is_the_usual_skeleton() -> None:
    for channels, skeleton in ((20, AP), (22, LA)):
        assert judged(channels) == NetworkKeypoints(skeleton, skeleton, None, skeleton.view)
        assert judged(channels, levels=LUMBAR_SET).judged is skeleton


def test_a_number_that_does_not_fit_names_the_runs_that_have_it() -> None:
    with pytest.raises(ModelOutputError, match="as many as T1-L5, C3-T12, C4-L1, C5-L2, C6-L3, C7-L4 have"):
        judged(68)
    with pytest.raises(ModelOutputError, match="name its levels by --levels"):
        judged(68)


@pytest.mark.parametrize(
    ("channels", "levels"), [(68, "T1-L5"), (22, "C2-C7"), (20, "C3-C7"), (92, "C2-S1"), (4, "T12")]
)
def test_levels_that_are_asked_for_are_those_of_the_network(channels: int, levels: str) -> None:
    """C3 to C7 have 20 points as L1 to L5 have: what is said counts, and no view is told by it."""
    found = judged(channels, levels=levels)
    assert (str(found.network.levels), found.judged, found.order) == (levels, found.network, None)
    assert found.view is None
    assert judged(channels, levels=levels, view=View.LA).judged.view is View.LA


def test_metadata_say_the_levels() -> None:
    told = Skeleton.of(View.AP, WHOLE)
    assert judged(68, told=told) == NetworkKeypoints(told, told, None, View.AP)
    with pytest.raises(UsageError, match="--levels C2-C7: the network marks T1-L5; take another checkpoint"):
        judged(68, told=told, levels="C2-C7")
    with pytest.raises(UsageError, match="--levels T10-S1: the network marks T1-L5; --levels T10-L5 is what"):
        judged(68, told=told, levels="T10-S1")


@pytest.mark.parametrize(
    ("told", "labelled", "levels", "common"),
    [
        (WHOLE, Levels("L1", "L5"), None, "L1-L5"),
        (WHOLE, Levels("L2", "L3"), None, "L1-L5"),
        (WHOLE, Levels("L2", "L3"), "L3-L5", "L3-L5"),
        (WHOLE, Levels("T5", "L2"), None, "T5-L2"),
        (WHOLE, Levels("C2", "S1"), None, "T1-L5"),
        (Levels("L1", "L5"), WHOLE, None, "L1-L5"),
        (Levels("L1", "L5"), Levels("L3", "L5"), None, "L1-L5"),
        (Levels("C3", "T4"), NECK, None, "C3-C7"),
    ],
)
def test_levels_that_network_and_labels_have(
    told: Levels, labelled: Levels, levels: str | None, common: str
) -> None:
    """Labels that stay inside the lumbar spine are those of a lumbar spine."""
    network = Skeleton.of(View.AP, told)
    found = judged(network.keypoints, told=network, labelled=labelled, levels=levels)
    assert str(found.judged.levels) == common
    same = found.judged is network
    assert found.notes == (() if same else (f"the network marks {told}: {common} of it is judged",))


def test_nothing_in_common() -> None:
    told = Skeleton.of(View.AP, WHOLE)
    with pytest.raises(
        UsageError, match=r"no level in common: the labels are of C2-C7, the network marks T1-L5$"
    ):
        judged(68, told=told, labelled=NECK)
    with pytest.raises(UsageError, match=r"the network marks T1-L5, --levels T1-T4$"):
        judged(68, told=told, labelled=Levels("L1", "L5"), levels="T1-T4")


def test_names_of_the_channels() -> None:
    """They say the levels of the network; the lumbar ones of them are judged unless others are asked for."""
    assert judged(68, BY_NAME).order == tuple(range(48, 68))
    assert judged(68, BY_NAME).view is View.AP
    assert judged(68, BY_NAME, levels="T1-L5").order == tuple(range(68))
    assert judged(68, BY_NAME, levels="T12-L1").order == tuple(range(44, 52))
    assert judged(70, "vertebrae:T1..S1").judged is LA
    upwards = judged(22, "vertebrae:C7..C2", labelled=NECK)
    assert [upwards.network.keypoint_names[k] for k in (0, 1, 2)] == ["C2 LL", "C2 LR", "C3 UL"]
    assert upwards.order == (20, 21, *(k for v in range(4, -1, -1) for k in range(4 * v, 4 * v + 4)))


def test_channels_by_index() -> None:
    assert judged(68, "48:68").judged is AP
    assert judged(68, "0:8", levels="T1-T2").order == tuple(range(8))
    with pytest.raises(UsageError, match="--keypoints 0:8: 8 channels, AP T1-T3 has 12"):
        judged(68, "0:8", levels="T1-T3")


def test_a_part_of_a_lumbar_network() -> None:
    found = judged(22, levels="L4-S1", view=View.LA)
    assert found.network is LA
    assert found.order == tuple(range(12, 22))


runs = st.tuples(st.sampled_from(SPINE), st.sampled_from(SPINE)).map(lambda ends: Levels.around(ends))


@given(runs, runs, st.none() | runs)
def test_what_is_judged_lies_in_everything_that_was_said(
    told: Levels, labelled: Levels, asked: Levels | None
) -> None:
    network = Skeleton.of(View.LA, told)
    if not network.bodies or (asked is not None and not Skeleton.of(View.LA, asked).bodies):
        return
    levels = None if asked is None else str(asked)
    try:
        found = judged(network.keypoints, told=network, labelled=labelled, levels=levels)
    except MahtdiagError:
        inside = asked is None or asked.within(told)
        shared = (asked or told).shared_with(labelled)
        assert not inside or shared is None or not Skeleton.of(View.LA, shared).bodies
        return
    assert found.judged.levels.within(told)
    assert asked is None or found.judged.levels.within(asked)
    assert found.judged.levels.within(labelled) or labelled.within(LA.levels)
    order = range(network.keypoints) if found.order is None else found.order
    assert [network.keypoint_names[k] for k in order] == list(found.judged.keypoint_names)
