"""Texts of foreign errors within one-line messages."""

import pytest

from bark_onnx.graphs.errors import VoiceError, first_line, system_reason


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("one"), "one"),
        (RuntimeError("\n [ONNXRuntimeError] : 6 \nat a place"), "[ONNXRuntimeError] : 6 "),
        (MemoryError(), "MemoryError"),
        (KeyError(), "KeyError"),
    ],
)
def test_first_line_of_an_error_is_that_of_its_message_or_its_type(error: Exception, line: str):
    assert first_line(error) == line


def test_message_is_one_line_whatever_name_it_quotes() -> None:
    error = VoiceError("a\nb\x1b[31m\u202e\udcff.npz: no such file; größe 語")
    assert str(error) == r"a\nb\x1b[31m\u202e\udcff.npz: no such file; größe 語"
    assert error.args[0].startswith("a\nb")


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OSError(28, "No space left on device", "/some/where"), "No space left on device"),
        (OSError("one\ntwo"), "one"),
        (MemoryError(), "not enough memory"),
        (RecursionError("maximum recursion depth exceeded"), "it is nested too deeply"),
        (UnicodeEncodeError("ascii", "ö", 0, 1, "x"), "a name has characters that the system"),
        (ValueError("embedded null byte"), "embedded null byte"),
    ],
)
def test_reason_of_the_system_has_no_path(error: Exception, reason: str) -> None:
    assert system_reason(error).startswith(reason)
