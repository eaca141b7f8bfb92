"""Text of errors that bark-onnx does not raise itself, as part of its own one-line messages."""


def first_line(error: BaseException) -> str:
    """First line of an error's message, or the error's type where the message is empty."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
