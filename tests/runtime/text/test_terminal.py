"""Untrusted text is printed without control characters."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bark_onnx.runtime.text.terminal import excerpt, one_line, printable_json


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Hello", "Hello"),
        ("  two\n\nlines\t", "two lines"),
        ("a\x1b[2Jb\x9bc\x7f\x00d", "a [2Jb c d"),
        ("turned \u202eround\u2028and on", "turned round and on"),
        ("half \ud83d an emoji", "half an emoji"),
        ("Grüße! 你好。 ♪", "Grüße! 你好。 ♪"),
        ("", ""),
    ],
)
def test_one_line_replaces_line_breaks_and_control_characters(text: str, shown: str) -> None:
    assert one_line(text) == shown


@pytest.mark.parametrize(
    ("most", "shown"),
    [(20, "Hello, world"), (12, "Hello, world"), (11, "Hello, wor…"), (8, "Hello,…"), (1, "…")],
)
def test_excerpt_of_a_long_text_counts_its_ellipsis(most: int, shown: str) -> None:
    assert excerpt("Hello,\n world", most) == shown


@given(st.text(), st.integers(1, 50))
def test_excerpt_of_any_text_is_printable_and_short(text: str, most: int) -> None:
    shown = excerpt(text, most)
    assert shown.isprintable()
    assert len(shown) <= most
    assert excerpt(shown, most) == shown
    assert shown == one_line(text) or shown.endswith("…")


@given(st.dictionaries(st.text(), st.text() | st.none() | st.floats(allow_nan=False)))
@pytest.mark.parametrize("indent", [None, 2])
def test_printable_json_decodes_to_the_same_data(
    indent: int | None, data: dict[str, object]
) -> None:
    text = printable_json(data, indent=indent)
    assert json.loads(text) == data
    assert text.replace("\n", "").isprintable()


def test_printable_json_is_readable_in_every_script() -> None:
    found = printable_json({"text": "你好 \u202e\x9b\U000e0001"})
    assert found == '{"text": "你好 \\u202e\\u009b\\udb40\\udc01"}'
