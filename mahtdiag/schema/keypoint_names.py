"""The vertebra and the corner that a name in a file means: `L1_UL`, `l1-ul`, `L1 upper left`, `top-left`."""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

_VERTEBRA: Final = re.compile(r"(?<![a-z])(c[1-7]|t1[0-3]|t[1-9]|l[1-6]|s[1-5])(?![0-9])")
_SPELT_OUT: Final = re.compile(r"(?<![a-z])(cervical|thoracic|lumbar|sacral)[\W_]*(?=[0-9])")
_WORD: Final = re.compile(r"[a-z]+|[0-9]+")
_CAMEL: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z][a-z])|(?<=[a-z])(?=[CTLS][0-9])")
_IN_BETWEEN: Final = frozenset(
    [
        "body",
        "corner",
        "endplate",
        "keypoint",
        "kp",
        "landmark",
        "of",
        "plate",
        "point",
        "pt",
        "spine",
        "the",
        "vertebra",
        "vertebral",
    ]
)
_UPPER: Final = frozenset(["u", "up", "upper", "t", "top", "sup", "superior", "cranial"])
_LOWER: Final = frozenset(["lo", "low", "lower", "b", "bottom", "bot", "inf", "inferior", "caudal"])
_SIDES: Final = {"l": "L", "left": "L", "r": "R", "right": "R"}
# Either letter may come first: `ll` is the lower left both ways, `lr` never means left and right.
_TWO_LETTERS: Final = {
    **dict.fromkeys(("ul", "lu", "tl", "lt"), "UL"),
    **dict.fromkeys(("ur", "ru", "tr", "rt"), "UR"),
    **dict.fromkeys(("ll", "bl", "lb"), "LL"),
    **dict.fromkeys(("lr", "rl", "br", "rb"), "LR"),
}
LONGEST_NAME: Final = 200


@lru_cache(maxsize=4096)
def place_of(name: str) -> tuple[str | None, str | None]:
    """The vertebra (`L1`) and the corner (`UL`) that a name says, each None where it says none.

    Both are None for a name with a word that belongs to neither. "Left" is the side of the image: which side
    of the patient it is, a name cannot tell. Cervical to sacral vertebrae are known, whatever the skeleton.
    """
    if len(name) > LONGEST_NAME:
        return None, None
    text = _CAMEL.sub(" ", name).lower()
    text = _SPELT_OUT.sub(lambda match: match[1][0], text)
    levels = _VERTEBRA.findall(text)
    if len(set(levels)) > 1:
        return None, None
    words = [word for word in _WORD.findall(_VERTEBRA.sub(" ", text)) if word not in _IN_BETWEEN]
    corner = _corner("".join(words)) if len(words) == 1 else _corner_of_words(words)
    if words and corner is None:
        return None, None
    return (levels[0].upper() if levels else None), corner


def renamed(name: str, own: Mapping[str, str]) -> str:
    """The name that `[data.keypoints]` puts in place of one in a file, or the name itself."""
    return own.get(name, name)


def _corner(word: str) -> str | None:
    if word in _TWO_LETTERS:
        return _TWO_LETTERS[word]
    for side, letter in _SIDES.items():
        for vertical in (word.removesuffix(side), word.removeprefix(side)):
            if len(side) > 1 and vertical != word and (found := _row(vertical)):
                return found + letter
    return None


def _corner_of_words(words: list[str]) -> str | None:
    """Two words, such as `upper left` or `left top`."""
    if len(words) != 2:
        return None
    for row, side in (words, words[::-1]):
        if (found := _row(row)) and side in _SIDES:
            return found + _SIDES[side]
    # `l l` and `l r`: the row comes first.
    return "L" + _SIDES[words[1]] if words[0] == "l" and words[1] in _SIDES else None


def _row(word: str) -> str | None:
    return "U" if word in _UPPER else "L" if word in _LOWER else None
