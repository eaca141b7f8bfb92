"""What every error of bark-onnx must be: one line that names the important things."""


def assert_one_line(message: object, *words: str) -> None:
    """Check that a message is a single line in which every one of `words` stands."""
    text = str(message)
    assert text, "the message is empty"
    assert "\n" not in text, f"more than one line: {text!r}"
    for word in words:
        assert word in text, f"{word!r} is not in {text!r}"
