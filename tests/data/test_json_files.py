"""JSON of other programs is read as Python reads it, and refused in one line."""

import gc
import json
import math
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mahtdiag.data.json_files import LARGEST_VALUES_BYTES, read_json
from mahtdiag.errors import DataError
from mahtdiag.schema.json_values import bytes_of_values

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


def read(path: Path, content: bytes) -> object:
    (path / "a.json").write_bytes(content)
    return read_json(path / "a.json", "a.json")


@given(value=VALUES, ascii_only=st.booleans())
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_as_python_reads_it(tmp_path: Path, value: object, ascii_only: bool) -> None:
    content = json.dumps(value, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    try:
        wanted = repr(json.loads(content))
    except UnicodeDecodeError:
        with pytest.raises(DataError, match="not UTF-8"):
            read(tmp_path, content)
        return
    assert repr(read(tmp_path, content)) == wanted


@pytest.mark.parametrize(
    "content",
    [
        b'{"a": 1, "a": 2}',
        b"[NaN, Infinity, -Infinity, 1e999, -0.0, 9007199254740993.0]",
        b"123456789012345678901234567890",
        b'\xef\xbb\xbf["\xc3\xa4"]',
        '["ä"]'.encode("utf-16"),
        b'["\\ud800", "\\u0000"]',
        b"[" * 400 + b"]" * 400,
    ],
    ids=["key twice", "not finite", "long", "mark", "utf-16", "half a pair", "deep"],
)
def test_what_is_rare(tmp_path: Path, content: bytes) -> None:
    assert repr(read(tmp_path, content)) == repr(json.loads(content))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "empty"),
        (b" \n", "empty"),
        (b"[1,]", "not JSON"),
        (b"[1] x", "not JSON"),
        (b'["\xff"]', "not UTF-8 at byte 2"),
        (b"1" * 5000, "absurd length"),
        (b"[" * 100_000, "nested too deeply"),
    ],
)
def test_what_is_refused(tmp_path: Path, content: bytes, said: str) -> None:
    with pytest.raises(DataError, match=said) as caught:
        read(tmp_path, content)
    assert len(str(caught.value).splitlines()) == 1


def test_the_collector_of_garbage_goes_on(tmp_path: Path) -> None:
    assert gc.isenabled()
    assert math.isnan(float(str(read(tmp_path, b"NaN"))))
    with pytest.raises(DataError):
        read(tmp_path, b"{")
    assert gc.isenabled()


def test_many_values_are_refused_before_they_are_read(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        read(tmp_path, b'{"images": [' + b"{}," * 6_000_000 + b"{}]}")
    line = "its values take 1,602 MiB, at most 1,024 may be: save fewer images in one file"
    assert caught.value.problems == (f"a.json: {line}",)


def test_annotations_of_a_hundred_thousand_images_may_be_read() -> None:
    one = b'{"id":1,"file_name":"a.png","width":1,"height":1},'
    one += b'{"id":1,"image_id":1,"category_id":1,"bbox":[1,2,3,4],"area":1,"iscrowd":0,"keypoints":['
    one += b"1234.56," * 66 + b"]},"
    assert bytes_of_values(one) * 100_000 < LARGEST_VALUES_BYTES
