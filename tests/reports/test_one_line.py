"""Text from outside: one line, printable in every format, and nothing lost that can be shown."""

import unicodedata
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mahtdiag.reports.text import one_line


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("0001-F-037Y0.jpg", "0001-F-037Y0.jpg"),
        ("a\nb\tc\r", "a\\x0ab\\x09c\\x0d"),
        ("\x1b[31m", "\\x1b[31m"),
        ("a\u2028b\u2029c\x85d", "a\\u2028b\\u2029c\\x85d"),
        ("\u202egnp.exe", "\\u202egnp.exe"),
        ("\udcff\ud800", "\\xff\\ud800"),
        ("\ufffe\uffff", "\\ufffe\\uffff"),
        ("Ärzte 脊柱 😀 👩‍⚕️", "Ärzte 脊柱 😀 👩‍⚕️"),
        ("", ""),
    ],
)
def test_examples(text: str, shown: str) -> None:
    assert one_line(text) == shown


@given(st.text(st.characters(codec=None, categories=None)))
def test_one_line_that_every_format_can_hold(text: str) -> None:
    shown = one_line(text)
    assert len(shown.splitlines()) <= 1
    assert shown.encode().decode() == shown
    assert not any(unicodedata.category(sign) in ("Cc", "Cs") for sign in shown)
    element = ET.Element("a", {"b": shown})
    element.text = shown
    back = ET.fromstring(ET.tostring(element, encoding="utf-8"))
    assert (back.text or "", back.get("b")) == (shown, shown)
    assert one_line(shown) == shown
