"""JSON inside a script block: any text comes back as it was, none can end the block."""

import json

from hypothesis import given
from hypothesis import strategies as st

from mahtdiag.reports.html.gallery import script_json
from mahtdiag.reports.rendering import Json

TEXTS = st.text() | st.sampled_from(["</script>", "<!--", "]]>", "\u2028\u2029", "&lt;", '"\\', "\ud800"])
VALUES: st.SearchStrategy[Json] = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)


@given(VALUES)
def test_it_comes_back(value: Json) -> None:
    text = script_json(value)
    assert json.loads(text) == value
    assert not set("<>&\u2028\u2029") & set(text)


def test_a_lone_surrogate_survives_the_way_to_bytes() -> None:
    content = script_json("0001-\udcff.jpg").encode("utf-8", "backslashreplace")
    assert json.loads(content) == "0001-\udcff.jpg"
