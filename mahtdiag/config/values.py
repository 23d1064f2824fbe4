"""The values that settings take: what each may be, and what a user is told of one that may not."""

import json
import keyword
import re
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from mahtdiag.anatomy.rules import RULE_BY_CODE, nearest
from mahtdiag.config.presets import PRESETS
from mahtdiag.diagnosis.metrics.registry import nearest_name
from mahtdiag.diagnosis.setup.registry import CHECK_BY_NAME
from mahtdiag.schema.choices import UncertaintySource
from mahtdiag.schema.frames import Size
from mahtdiag.schema.keypoint_names import place_of
from mahtdiag.schema.model_spec import LARGEST_INPUT, MOST_PASSES, McDropout
from mahtdiag.schema.skeleton import View, known_levels

LARGEST_VALUE = 65535
CalibrationGroup = Literal["vertebra", "corner", "keypoint", "sex", "age band"]


def parse_size(value: object) -> object:
    """`256x128` (height x width) to a Size; ValueError says what is expected."""
    if isinstance(value, Size):
        return value
    height, separator, width = str(value).lower().partition("x")
    if not (separator and height.isdecimal() and width.isdecimal()):
        raise ValueError("expected HEIGHTxWIDTH in pixels, for example 512x256")
    size = Size(int(height), int(width))
    if not (0 < size.height <= LARGEST_INPUT and 0 < size.width <= LARGEST_INPUT):
        raise ValueError(f"height and width must lie between 1 and {LARGEST_INPUT}")
    return size


def parse_view(value: object) -> object:
    """`AP`, `LA` or `auto`; ValueError says what is expected."""
    if value not in (*View, "auto"):
        raise ValueError("expected AP, LA or auto")
    return value


_WORDS = {"True": True, "False": False, "None": None}


def parse_args(value: object) -> object:
    """`["width=32"]`, a text of JSON among them, or a table: keywords for a function, by name.

    A value is JSON, or Python's True, False and None, or else the text itself. Raises ValueError.
    """
    if isinstance(value, list | tuple):
        pairs = [pair for text in value for pair in _pairs_of(str(text))]
        if len(dict(pairs)) < len(pairs):
            raise ValueError("a keyword is given twice")
        value = dict(pairs)
    if not isinstance(value, dict):
        raise ValueError("expected KEY=VALUE, such as width=32, or a table")
    for name in value:
        if not str(name).isidentifier() or keyword.iskeyword(str(name)):
            raise ValueError(f"{name!r} is no name of a parameter")
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        raise ValueError("values are numbers, texts, true or false, lists and tables of them") from None
    return value


def _pairs_of(text: str) -> list[tuple[str, object]]:
    """The keywords in `KEY=VALUE` or in `{"KEY": VALUE, …}`."""
    if text.lstrip().startswith("{"):
        try:
            found = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"not valid JSON ({error})") from None
        return list(found.items())
    name, sign, said = text.partition("=")
    if not sign:
        raise ValueError("expected KEY=VALUE, such as width=32")
    try:
        return [(name.strip(), _WORDS[said] if said in _WORDS else json.loads(said))]
    except (ValueError, RecursionError):
        return [(name.strip(), said)]


def args_as_texts(args: Mapping[str, object]) -> tuple[str, ...]:
    """The same as they are typed; `parse_args` takes them."""
    return tuple(f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in args.items())


def parse_batch_size(value: object) -> object:
    """`auto` or a whole number above 0."""
    if value == "auto":
        return value
    if not str(value).isdecimal() or int(str(value)) < 1:
        raise ValueError("expected auto or a whole number above 0")
    return int(str(value))


def parse_full_scale(value: object) -> object:
    """`auto` or a whole number from 1 to 65535."""
    if value == "auto":
        return value
    if not str(value).isdecimal() or not 1 <= int(str(value)[:9]) <= LARGEST_VALUE:
        raise ValueError(f"expected auto or a whole number from 1 to {LARGEST_VALUE}, for example 4095")
    return int(str(value))


def parse_uncertainty(value: object) -> object:
    """Where σ comes from: a source by its name, or `mc-dropout:N`; ValueError says what is expected."""
    if isinstance(value, McDropout):
        return value
    name, _, passes = str(value).partition(":")
    if name == "mc-dropout" and passes.isdecimal() and 2 <= int(passes[:9]) <= MOST_PASSES:
        return McDropout(int(passes))
    if value in tuple(UncertaintySource):
        return UncertaintySource(str(value))
    raise ValueError(
        f"expected {', '.join(UncertaintySource)} or mc-dropout:N with N from 2 to {MOST_PASSES}, for "
        "example mc-dropout:20"
    )


def parse_codes(value: object) -> object:
    """Codes or prefixes, as a list or as one text with commas: `["A1", "A302"]`, `A1,A302`."""
    if isinstance(value, str):
        return tuple(code.strip() for code in value.split(",") if code.strip())
    return value


def refuse_truth_value(value: object) -> object:
    """Anything but true and false, which would pass for the numbers 1 and 0."""
    if isinstance(value, bool):
        raise ValueError("true and false have no meaning here")
    return value


def levels_as_text(value: object) -> object:
    """Levels as they are written; a list of vertebrae would be the other way to name a run of them."""
    if not isinstance(value, str):
        raise ValueError('expected one text, the first and the last vertebra: levels = "T1-L5"')
    return value


def known_codes(codes: tuple[str, ...] | None) -> tuple[str, ...] | None:
    """Codes or prefixes of anatomical rules; ValueError names the nearest one for each that matches none."""
    wrong = [code for code in codes or () if not any(rule.startswith(code.upper()) for rule in RULE_BY_CODE)]
    if wrong:
        raise ValueError("; ".join(f"no anatomical rule {c!r}.{nearest(c, RULE_BY_CODE)}" for c in wrong))
    return codes


def known_pattern(pattern: str) -> str:
    """A regular expression; ValueError says what is wrong with it."""
    try:
        re.compile(pattern)
    except re.error as error:
        raise ValueError(f"not a regular expression: {error}") from None
    return pattern


def known_preset(name: str) -> str:
    """The name of a preset; ValueError lists them."""
    if name not in PRESETS:
        raise ValueError(f"no preset is called {name!r}: one of {', '.join(PRESETS)}")
    return name


def known_keypoints(own: dict[str, str]) -> dict[str, str]:
    """What names in somebody's files mean; ValueError names those that mean nothing here."""
    wrong = [f"'{mine}'" for mine in own.values() if place_of(mine) == (None, None)]
    if wrong:
        raise ValueError(
            f"{', '.join(wrong)}: not a keypoint, a vertebra or a corner, such as L1 UL, L1 or UL"
        )
    return own


def parse_checks(value: object) -> object:
    """Names of checks, as a list or as one text; none at all where nothing is given."""
    if isinstance(value, str):
        return (value,)
    return None if value in ([], ()) else value


def known_checks(names: tuple[str, ...] | None) -> tuple[str, ...] | None:
    """Names of checks of the setup; ValueError names the nearest one for each that is none."""
    problems = []
    for name in names or ():
        if name not in CHECK_BY_NAME:
            near = nearest_name(name, CHECK_BY_NAME)
            also = f"did you mean {near}?" if near else f"known are {', '.join(CHECK_BY_NAME)}"
            problems.append(f"no check of the setup is called {name!r}; {also}")
    if problems:
        raise ValueError("; ".join(problems))
    return names


WRONG_LIMITS = "wrong_limits"
# A number in quotes is a text, not a number.
PositiveFloat = Annotated[float, Field(gt=0.0, strict=True)]
NonNegativeFloat = Annotated[float, Field(ge=0.0, strict=True)]
PositiveInt = Annotated[int, Field(gt=0, strict=True)]
NonNegativeInt = Annotated[int, Field(ge=0, strict=True)]
Limit = Annotated[float, BeforeValidator(refuse_truth_value), Field(strict=True)]
Limits = dict[str, Limit]
BatchSize = Annotated[PositiveInt | Literal["auto"], BeforeValidator(parse_batch_size)]
FullScale = Annotated[PositiveInt | Literal["auto"], BeforeValidator(parse_full_scale)]
Sigma = Annotated[UncertaintySource | McDropout, BeforeValidator(parse_uncertainty)]
LevelsText = Annotated[str, BeforeValidator(levels_as_text), AfterValidator(known_levels)]
Checks = Annotated[tuple[str, ...] | None, BeforeValidator(parse_checks), AfterValidator(known_checks)]
Codes = Annotated[tuple[str, ...] | None, BeforeValidator(parse_codes), AfterValidator(known_codes)]
