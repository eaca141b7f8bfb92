"""Texts of foreign errors within one-line messages."""

import pytest

from bark_onnx.graphs.errors import first_line


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
