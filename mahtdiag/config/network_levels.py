"""Which keypoints a network returns, and which of them are judged: by metadata, options and labels."""

from dataclasses import dataclass
from typing import Final

from mahtdiag.errors import ModelOutputError, UsageError
from mahtdiag.schema.keypoint_order import channel_order, channels_listed, levels_named
from mahtdiag.schema.skeleton import (
    AP,
    LA,
    Levels,
    Skeleton,
    View,
    levels_with,
    parse_levels,
    skeleton_with,
)

_MOST_NAMED: Final = 6


@dataclass(frozen=True, slots=True)
class Asked:
    """What is known before a network is looked at.

    `view`, `levels`: as users say them, None where they do not; `seen`: the view that the images are of by
    all evidence in the set, `labelled`: the run of vertebrae that it labels, None where nothing tells.
    """

    view: View | None = None
    levels: str | None = None
    seen: View | None = None
    labelled: Levels | None = None

    @property
    def run(self) -> Levels | None:
        """The levels that were named; None for none, and for the usual ones of the view."""
        return None if self.levels is None else parse_levels(self.levels)

    def skeleton(self, levels: Levels, otherwise: View = View.AP) -> Skeleton:
        """Of these levels, in the view that is known best."""
        return Skeleton.of(self.view or self.seen or otherwise, levels)


@dataclass(frozen=True, slots=True)
class NetworkKeypoints:
    """What a network returns, what of it is judged, and the channel of each keypoint of that.

    `order` is None where channels are in the order of `judged`; `view`: the one that the network tells.
    """

    network: Skeleton
    judged: Skeleton
    order: tuple[int, ...] | None
    view: View | None

    @property
    def notes(self) -> tuple[str, ...]:
        """Which levels are judged, where these are not all that it returns."""
        if self.judged.levels == self.network.levels:
            return ()
        return (f"the network marks {self.network.levels}: {self.judged.levels} of it is judged",)


def keypoints_of(channels: int, text: str | None, told: Skeleton | None, asked: Asked) -> NetworkKeypoints:
    """The keypoints of a network with so many channels, and those that are judged.

    `text`: the order that `--keypoints` says; `told`: what the checkpoint's metadata say.

    Raises UsageError and ModelOutputError where nothing tells what they are, and where options, network and
    labels have no level in common.
    """
    network, view = _network(channels, text, told, asked)
    judged = _judged(network, text, asked)
    if text is not None:
        order = channel_order(text, channels, judged, network)
    elif judged is network:
        return NetworkKeypoints(network, judged, None, view)
    else:
        names = network.keypoint_names
        order = tuple(names.index(name) for name in judged.keypoint_names)
    return NetworkKeypoints(network, judged, order, view)


def _network(
    channels: int, text: str | None, told: Skeleton | None, asked: Asked
) -> tuple[Skeleton, View | None]:
    """What it returns, and the view that this tells."""
    if told is not None and told.keypoints == channels:
        return told, told.view
    named = None if text is None else levels_named(text)
    if named is not None:
        return _named(named, asked)
    listed = channels_listed(text, channels)
    if listed is not None:
        return _by_index(listed, str(text), asked)
    count = channels
    if asked.run is not None:
        skeleton = asked.skeleton(asked.run)
        usual = skeleton_with(count)
        if skeleton.keypoints == count:
            return skeleton, None
        if usual is None or not asked.run.within(usual.levels):
            raise ModelOutputError(
                f"--levels {asked.run} has {skeleton.keypoints} keypoints, the network returns {count}"
                f"{_with_as_many(count)}; where it marks more than these levels, name all of its own by"
                " --keypoints, such as vertebrae:T1..L5"
            )
    skeleton = skeleton_of_heatmaps(count)
    return skeleton, skeleton.view


def _by_index(listed: int, text: str, asked: Asked) -> tuple[Skeleton, View | None]:
    """So many channels by their indices: those of the levels that are asked for, or the usual ones."""
    if asked.run is not None:
        wanted, view = asked.skeleton(asked.run), None
    else:
        usual = skeleton_with(listed)
        wanted = usual or (asked.view or View.AP).skeleton
        view = wanted.view
    if wanted.keypoints != listed:
        raise UsageError(f"--keypoints {text}: {listed} channels, {wanted} has {wanted.keypoints}")
    return wanted, view


def _named(levels: Levels, asked: Asked) -> tuple[Skeleton, View | None]:
    """Names that hold S1 are those of a lateral network, the other lumbar ones of an anteroposterior."""
    view = next((each.view for each in (LA, AP) if each.levels.within(levels)), None)
    return Skeleton.of(asked.view or view or asked.seen or View.AP, levels), view


def _judged(network: Skeleton, text: str | None, asked: Asked) -> Skeleton:
    """The levels that are asked for, else those of the network, as far as they are labelled."""
    usual = network.view.skeleton.levels
    wanted = asked.run or (usual if asked.levels is not None else network.levels)
    if asked.levels is None and text is not None and usual.within(network.levels):
        wanted = usual
    if not wanted.within(network.levels):
        shared = wanted.shared_with(network.levels)
        advice = "take another checkpoint" if shared is None else f"--levels {shared} is what both have"
        raise UsageError(f"--levels {wanted}: the network marks {network.levels}; {advice}")
    labelled = asked.labelled
    if labelled is None:
        return Skeleton.of(network.view, wanted)
    common = wanted.shared_with(usual if labelled.within(usual) else labelled)
    judged = None if common is None else Skeleton.of(network.view, common)
    if judged is None or not judged.bodies:
        raise UsageError(
            f"no level in common: the labels are of {labelled}, the network marks {network.levels}"
            + ("" if wanted == network.levels else f", --levels {wanted}")
        )
    return judged


def skeleton_of_heatmaps(keypoints: int) -> Skeleton:
    """The usual skeleton with as many keypoints as a network has heatmaps; ModelOutputError without one."""
    skeleton = skeleton_with(keypoints)
    if skeleton is None:
        raise ModelOutputError(
            f"the network returns {keypoints} heatmaps; an AP network has {AP.keypoints} (L1–L5), an LA "
            f"network {LA.keypoints} (L1–L5 and S1){_with_as_many(keypoints)}; {_advice_on_number(keypoints)}"
        )
    return skeleton


def _with_as_many(keypoints: int) -> str:
    """Runs of vertebrae with so many keypoints, in words; nothing where there is none."""
    fit = [str(levels) for levels in levels_with(keypoints)]
    if not fit:
        return ""
    return f", as many as {', '.join(fit[:_MOST_NAMED])}{', …' * (len(fit) > _MOST_NAMED)} have"


def _advice_on_number(keypoints: int) -> str:
    if keypoints < AP.keypoints and not levels_with(keypoints):
        return "where its maps are [B,h,w,K]: --output layout=nhwc"
    levels = "name its levels by --levels, " if levels_with(keypoints) else ""
    return (
        f"{levels}say which of them by --keypoints, such as 0:{AP.keypoints} for the first, "
        "or --output layout=nhwc where its maps are [B,h,w,K]"
    )
