"""The study of damaged images would see a reader that does not look."""

import random

import numpy as np
import pytest

from mahtdiag.data.images import decode_image
from mahtdiag.errors import DataError
from tests.data.builders import radiograph
from validation import damaged_images
from validation.damaged_images import DAMAGES, KINDS, damaged, readable, told

GREY = radiograph(320, 240)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_read_whole(kind: str) -> None:
    content = KINDS[kind](GREY)
    assert decode_image(content, kind).shape[:2] == GREY.shape
    assert readable([content, b"", content[:300]]) == 1


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF, deflate", "TIFF, LZW", "WebP without loss"])
def test_what_the_page_says_is_told(kind: str, damage: str) -> None:
    refused, counted = told([KINDS[kind](GREY)], damage, random.Random(1), 20)
    assert counted > 15
    assert refused >= counted - 1


def test_a_reader_that_does_not_look_tells_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """And copies whose pixels are as before do not count."""
    content = KINDS["TIFF, stored"](GREY)

    def careless(found: bytes, _: str) -> object:
        return np.frombuffer(found, np.uint8)

    monkeypatch.setattr(damaged_images, "decode_image", careless)
    assert told([content], "zeroed", random.Random(1), 20) == (0, 20)
    monkeypatch.setattr(damaged_images, "decode_image", lambda *_: GREY)
    assert told([content], "zeroed", random.Random(1), 20) == (0, 0)

    def strict(found: bytes, _: str) -> object:
        if found != content:
            raise DataError("damaged")
        return GREY

    monkeypatch.setattr(damaged_images, "decode_image", strict)
    assert told([content], "lost", random.Random(1), 20) == (20, 20)


def test_damage_is_what_it_says() -> None:
    content = random.Random(2).randbytes(5000)
    cut, lost, zeroed = (damaged(content, damage, random.Random(3)) for damage in DAMAGES)
    assert content.startswith(cut)
    assert len(lost) == 5000 - 512
    assert len(zeroed) == 5000
    assert zeroed.count(0) >= 512
