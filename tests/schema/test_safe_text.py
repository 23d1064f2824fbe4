"""Text from outside: one line that a terminal shows and does not obey, and nothing lost that can be shown."""

import json
import tomllib
import unicodedata
from xml.etree import ElementTree as ET

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mahtdiag.schema.safe_text import (
    brief,
    csv_cell,
    json_text,
    one_line,
    recorded,
    safe_lines,
    toml_text,
    unrecorded,
    whole_signs,
)

ANYTHING = st.text(st.characters(codec=None, categories=None))
ESCAPES = st.text(
    st.sampled_from(["\\", "x", "u", "U", "0", "1", "b", "5", "c", "2", "f", "\x1b", "\udcff", "é"])
)
FILE_NAMES = st.one_of(ANYTHING, ESCAPES).map(lambda text: text.replace("\0", "").replace("/", ""))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("0001-F-037Y0.jpg", "0001-F-037Y0.jpg"),
        ("a\nb\tc\r", "a\\x0ab\\x09c\\x0d"),
        ("\x1b[31m\x7f", "\\x1b[31m\\x7f"),
        ("a\u2028b\u2029c\x85d\x9b", "a\\u2028b\\u2029c\\u0085d\\u009b"),
        ("\u202egnp.exe", "\\u202egnp.exe"),
        ("zero\u200bwidth\u2060\ufeff\u00ad", "zero\\u200bwidth\\u2060\\ufeff\\u00ad"),
        ("tag\U000e0041\U000e007f", "tag\\U000e0041\\U000e007f"),
        ("\u3164\u115f\uffa0\u2800\ufe00\U000e0100", "\\u3164\\u115f\\uffa0\\u2800\\ufe00\\U000e0100"),
        ("\udcff\ud800", "\\xff\\ud800"),
        ("\ufffe\uffff\ue000", "\\ufffe\\uffff\\ue000"),
        ("e" + 6 * "\u0301", "e" + 4 * "\u0301" + 2 * "\\u0301"),
        ("Ärzte 脊柱 😀 ⚠️ Việt שָׁלוֹם नमस्ते", "Ärzte 脊柱 😀 ⚠️ Việt שָׁלוֹם नमस्ते"),
        ("[red]x[/red] \\x1b", "[red]x[/red] \\x1b"),
        ("", ""),
    ],
)
def test_examples(text: str, shown: str) -> None:
    assert one_line(text) == shown


def unseen(text: str) -> list[str]:
    """Signs that no text may show, by a rule of their own: by Unicode's categories, and marks beyond four."""
    marks, found = 0, []
    for sign in text:
        category = unicodedata.category(sign)
        marks = marks + 1 if category.startswith("M") else 0
        if category in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp") or marks > 4:
            found.append(sign)
    return found


@given(ANYTHING)
@example("a" + 9 * "\u0301" + "\u202e")
def test_one_line_that_every_format_can_hold(text: str) -> None:
    shown = one_line(text)
    assert unseen(shown) == []
    assert len(shown.splitlines()) <= 1
    assert shown.encode().decode() == shown
    element = ET.Element("a", {"b": shown})
    element.text = shown
    back = ET.fromstring(ET.tostring(element, encoding="utf-8"))
    assert (back.text or "", back.get("b")) == (shown, shown)
    assert one_line(shown) == shown


@given(ANYTHING)
def test_lines_stay_lines(text: str) -> None:
    lines = safe_lines(text).split("\n")
    assert lines == [one_line(line) for line in text.split("\n")]
    assert unseen("".join(lines)) == []


@given(ANYTHING)
@example("\U000e0041\u202e\x9b\x7f\n\udcff\ud83d")
def test_json_and_toml_read_back_the_same(text: str) -> None:
    written = json_text(json.dumps({text: [text]}, ensure_ascii=False, indent=2))
    assert unseen(written.replace("\n", "")) == []
    back = json.loads(written)
    # A half beside its other half is the sign that both mean.
    whole = whole_signs(text)
    assert back == {whole: [whole]}
    assert json.loads(written.encode()) == back
    toml = toml_text(text)
    assert unseen(toml) == []
    assert tomllib.loads(f"a = {toml}") == {"a": whole}


@given(FILE_NAMES, FILE_NAMES)
@example("a\x1b", "a\\x1b")
@example("\udc80", "\x80")
@example("\\x5cx1b", "\\x1b")
@example("\u2028", "\\u2028")
def test_no_two_names_have_one_record(one: str, other: str) -> None:
    assert unrecorded(recorded(one)) == one
    assert (recorded(one) == recorded(other)) == (one == other)
    recorded(one).encode()
    assert len(recorded(one).splitlines()) <= 1


@pytest.mark.parametrize("name", [r"\x2e\x2e\x2fetc", r"\x00", r"\u002e\u002e", r"a\x41", "\\U00110000"])
def test_what_records_never_escape_is_no_escape(name: str) -> None:
    """A record that was made elsewhere leads to no other folder."""
    assert unrecorded(name) == name


@pytest.mark.parametrize("sign", "=+-@\uff1d\uff0b\uff0d\uff20")
def test_no_cell_is_a_formula(sign: str) -> None:
    assert csv_cell(f"{sign}cmd|' /C calc'!A0") == f"'{sign}cmd|' /C calc'!A0"
    assert csv_cell(f"a{sign}1") == f"a{sign}1"
    assert csv_cell(sign) == f"'{sign}"


@pytest.mark.parametrize("text", ["-1.5", "+2", "-.5e-3", "1,5", "", "a b", "'=1"])
def test_numbers_and_plain_texts_stay_as_they_are(text: str) -> None:
    assert csv_cell(text) == text


@pytest.mark.parametrize(
    ("text", "cell"), [("\t=1", "\\x09=1"), ("\r\n=1", "\\x0d\\x0a=1"), ("-1-2", "'-1-2")]
)
def test_cells_are_one_line(text: str, cell: str) -> None:
    assert csv_cell(text) == cell


def test_a_long_message_is_cut() -> None:
    assert brief("x" * 1000) == "x" * 1000
    assert brief("\x1b" * 1000) == ("\\x1b" * 250)[:999] + "…"
