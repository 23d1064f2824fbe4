"""Names of normalisations."""

import pytest

from mahtdiag.errors import UsageError
from mahtdiag.schema.normalization import IMAGENET, UNIT, parse_normalization


@pytest.mark.parametrize(
    ("text", "mean", "std"),
    [
        ("unit", (0.0,), (1.0,)),
        ("imagenet", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        ("0.45/0.22", (0.45,), (0.22,)),
        ("0/1", (0.0,), (1.0,)),
        ("-1/2e-1", (-1.0,), (0.2,)),
        (" 0.1, 0.2 ,0.3 / 1,2,3 ", (0.1, 0.2, 0.3), (1.0, 2.0, 3.0)),
    ],
)
def test_known(text: str, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
    found = parse_normalization(text)
    assert (found.name, found.mean, found.std) == (text, mean, std)
    assert parse_normalization(found.name) == found


def test_the_named_ones_are_the_constants() -> None:
    assert parse_normalization("unit") is UNIT
    assert parse_normalization("imagenet") is IMAGENET


@pytest.mark.parametrize(
    "text",
    [
        "", "Unit", "z-score", "unit+", "+unit", "0.5", "0.5/", "/0.5", "/", "0.5/0.2/0.1", "a/b", "0.5/0",
        "0.5/-0.1", "nan/1", "0.5/nan", "inf/1", "0/inf", "1,2/3,4", "1,2,3/1", "1/1,2,3", "1,2,3,4/1,2,3,4",
        "1,,2/1,1,1", "imagenet+unit+zscore", "0.5/0.2+zscore", "zscore+clahe", "zscore:2", "clahe:",
        "clahe:0", "clahe:2,0", "clahe:2,1.5", "clahe:1,2,3", "percentile:99,1", "percentile:-1,99",
        "percentile:nan", "0.5/0.2+0.5/0.2",
    ],
)  # fmt: skip
def test_unknown(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_normalization(text)
    (problem,) = caught.value.problems
    assert "\n" not in problem
    assert problem.startswith(f"normalisation {text!r} is not known: use unit, imagenet, zscore, ")
