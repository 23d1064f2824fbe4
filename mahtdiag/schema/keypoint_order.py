"""The order of a network's keypoints, as a user says it or as it is told: never guessed."""

import re
from collections.abc import Sequence
from typing import Final

from mahtdiag.errors import UsageError
from mahtdiag.schema.keypoint_names import place_of
from mahtdiag.schema.skeleton import AP, CORNERS, CORNERS_PER_VERTEBRA, SPINE, Levels, Skeleton, View


def channel_order(
    text: str, channels: int, skeleton: Skeleton, network: Skeleton | None = None
) -> tuple[int, ...]:
    """The channel of each keypoint of the skeleton, in its order, `[K]`.

    `network`: the keypoints of all channels where these are others than the skeleton's.

    `text` says how the channels are ordered: `corner:UL,UR,LR,LL` (corners within each vertebra),
    `vertebrae:L5..L1` (vertebrae one after another, also more of them than the skeleton has), both joined by
    `;`, names of all channels (`L1_UL,L1_UR,…`), or the channels themselves: `3,2,0,…`, `48:68`.

    Raises UsageError where it is none of these, or lacks a keypoint.
    """
    if _is_of_indices(text):
        return _by_index(text, channels, skeleton)
    ordered = _parts(text)
    if ordered:
        names = _named(ordered.get("vertebrae"), ordered.get("corner"), network or skeleton)
    else:
        names = tuple(place_of(name) for name in text.split(","))
    if len(names) != channels:
        raise UsageError(f"--keypoints {text}: these are {len(names)}, the network returns {channels}")
    channel_of = {name: channel for channel, name in enumerate(names)}
    if len(channel_of) < len(names):
        raise UsageError(f"--keypoints {text}: a keypoint is named twice")
    wanted = zip(skeleton.vertebra_of, skeleton.corner_of, strict=True)
    missing = [f"{v} {c}" for v, c in wanted if (v, c) not in channel_of]
    if missing:
        listed = ", ".join(missing[:4]) + ", …" * (len(missing) > 4)
        raise UsageError(f"--keypoints {text}: {listed} of {skeleton} not among them")
    return tuple(channel_of[place] for place in zip(skeleton.vertebra_of, skeleton.corner_of, strict=True))


def _is_of_indices(text: str) -> bool:
    return re.fullmatch(r"[\d,:\s]+", text) is not None


def _parts(text: str) -> dict[str, str]:
    """What `vertebrae:` and `corner:` say; empty for an order that is said otherwise."""
    parts = [part.strip() for part in text.split(";") if part.strip()]
    said = {name: value for name, _, value in (part.partition(":") for part in parts)}
    return said if said.keys() <= {"corner", "vertebrae"} else {}


def levels_named(text: str) -> Levels | None:
    """The run around all vertebrae that an order names, None where it names none."""
    if _is_of_indices(text):
        return None
    said = _parts(text)
    if said:
        return Levels.around(_levels(said["vertebrae"])) if "vertebrae" in said else None
    names = {place_of(name)[0] for name in text.split(",")}
    return Levels.around(name for name in names if name in SPINE)


def channels_listed(text: str | None, channels: int) -> int | None:
    """How many channels an order by index takes; None for another order."""
    if text is None or not _is_of_indices(text):
        return None
    return len(_listed(text, channels))


def keypoints_in(text: str | None, levels: Levels | None = None) -> int:
    """How many keypoints a network of vertebrae has, four each, where nothing else tells; 20 without."""
    named = None if text is None else _parts(text).get("vertebrae")
    if named is not None:
        return CORNERS_PER_VERTEBRA * len(_levels(named))
    return AP.keypoints if levels is None else Skeleton.of(View.AP, levels).keypoints


def _by_index(text: str, channels: int, skeleton: Skeleton) -> tuple[int, ...]:
    found = _listed(text, channels)
    if len(found) != skeleton.keypoints:
        raise UsageError(f"--keypoints {text}: {len(found)} channels, {skeleton} has {skeleton.keypoints}")
    if len(set(found)) < len(found) or max(found) >= channels:
        raise UsageError(f"--keypoints {text}: channels are 0 to {channels - 1}, each at most once")
    return tuple(found)


_MOST_LISTED: Final = 1000


def _listed(text: str, channels: int) -> list[int]:
    found: list[int] = []
    try:
        for part in text.split(","):
            first, colon, end = part.strip().partition(":")
            # No network has so many; a number may have any size.
            last = min(int(end or channels), channels + _MOST_LISTED)
            found += range(int(first or 0), last) if colon else [int(first)]
    except ValueError:
        raise UsageError(f"--keypoints {text}: not a list of channels such as 0,1,3,2 or 48:68") from None
    return found


def _named(
    vertebrae: str | None, corners: str | None, skeleton: Skeleton
) -> tuple[tuple[str | None, str | None], ...]:
    """Vertebra and corner of each channel; S1 has its upper two corners alone, C2 its lower two."""
    order = CORNERS if corners is None else tuple(corner.strip().upper() for corner in corners.split(","))
    if sorted(order) != sorted(CORNERS):
        raise UsageError(f"--keypoints corner:{corners}: name each of {', '.join(CORNERS)} once")
    levels = skeleton.vertebrae if vertebrae is None else _levels(vertebrae)
    return tuple(
        (level, corner) for level in levels for corner in order if (level, corner[0]) not in _NOT_MARKED
    )


_NOT_MARKED: Final = ((SPINE[0], "U"), (SPINE[-1], "L"))


def _levels(text: str) -> tuple[str, ...]:
    """`L5..L1` or `T1..L5` or `L1,L2,…` as levels. Raises UsageError for names that are none."""
    levels: list[str] = []
    for part in text.split(","):
        first, dots, last = (word.strip().upper() for word in part.partition(".."))
        if first not in SPINE or (dots and last not in SPINE):
            raise UsageError(f"--keypoints vertebrae:{text}: levels are C2 to S1, as in L5..L1")
        a, b = SPINE.index(first), SPINE.index(last if dots else first)
        levels += SPINE[a : b + 1] if a <= b else SPINE[b : a + 1][::-1]
    return tuple(levels)


def order_option(order: Sequence[int], skeleton: Skeleton) -> str:
    """What to type after `--keypoints` where channel c is keypoint `order[c]` of the skeleton."""
    natural = list(range(skeleton.keypoints))
    for text in _short_forms(order, skeleton):
        if list(channel_order(text, len(natural), skeleton)) == [list(order).index(k) for k in natural]:
            return text
    return ",".join(str(list(order).index(k)) for k in natural)


def _short_forms(order: Sequence[int], skeleton: Skeleton) -> list[str]:
    """Corners as they stand in the first vertebra, and vertebrae from below."""
    first, bodies = order[0] // CORNERS_PER_VERTEBRA * CORNERS_PER_VERTEBRA, skeleton.vertebrae
    corners = [k - first for k in order[:CORNERS_PER_VERTEBRA]]
    forms = [f"vertebrae:{bodies[-1]}..{bodies[0]}"]
    if sorted(corners) == list(range(CORNERS_PER_VERTEBRA)):
        corner = "corner:" + ",".join(CORNERS[c] for c in corners)
        forms = [corner, *forms, f"{forms[0]};{corner}"]
    return forms
