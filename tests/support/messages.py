"""Checks of error messages: every message of bark-onnx is one line."""


def assert_one_line(message: object, *words: str) -> None:
    """Check that a message is a single line that contains every one of `words`."""
    text = str(message)
    assert text, "the message is empty"
    assert "\n" not in text, f"more than one line: {text!r}"
    for word in words:
        assert word in text, f"{word!r} is not in {text!r}"
