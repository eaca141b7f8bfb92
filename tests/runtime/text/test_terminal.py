"""Texts of strangers, as they are shown to people."""

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
def test_a_text_is_shown_on_one_line_without_what_steers_a_terminal(text: str, shown: str) -> None:
    assert one_line(text) == shown


@pytest.mark.parametrize(
    ("most", "shown"),
    [(20, "Hello, world"), (12, "Hello, world"), (11, "Hello, wor…"), (8, "Hello,…"), (1, "…")],
)
def test_a_long_text_ends_in_an_ellipsis_that_counts(most: int, shown: str) -> None:
    assert excerpt("Hello,\n world", most) == shown


@given(st.text(), st.integers(1, 50))
def test_every_text_is_shown_harmless_and_short(text: str, most: int) -> None:
    shown = excerpt(text, most)
    assert shown.isprintable()
    assert len(shown) <= most
    assert excerpt(shown, most) == shown
    assert shown == one_line(text) or shown.endswith("…")


@given(st.dictionaries(st.text(), st.text() | st.none() | st.floats(allow_nan=False)))
@pytest.mark.parametrize("indent", [None, 2])
def test_json_says_the_same_and_steers_no_terminal(
    indent: int | None, data: dict[str, object]
) -> None:
    text = printable_json(data, indent=indent)
    assert json.loads(text) == data
    assert text.replace("\n", "").isprintable()


def test_json_is_readable_in_every_script() -> None:
    found = printable_json({"text": "你好 \u202e\x9b\U000e0001"})
    assert found == '{"text": "你好 \\u202e\\u009b\\udb40\\udc01"}'
