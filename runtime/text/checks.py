"""What every text has to be."""

from bark_onnx.graphs.errors import TextError, shortened

_MAX_SHOWN_CHARACTERS = 60


def check_text(text: object) -> None:
    """Check that a text is a string.

    Raises:
        TextError: It is not.
    """
    if not isinstance(text, str):
        shown = shortened(repr(text), _MAX_SHOWN_CHARACTERS)
        raise TextError(f"The text is {shown}; expected a string")
