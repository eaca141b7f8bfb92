"""Errors in the configuration files of a checkpoint."""

from collections.abc import Iterator
from contextlib import contextmanager

from bark_onnx.graphs.errors import BarkError, CheckpointError, joined_lines, shortened

_MAX_CHARACTERS = 300  # of a reason


@contextmanager
def wrap_config_errors(where: object) -> Iterator[None]:
    """Convert errors of transformers' configuration classes for a file, `where`.

    Those classes compute with what a file holds before they check it, so any exception is one of
    the file.

    Raises:
        CheckpointError: A value has a wrong type or is out of range.
    """
    try:
        yield
    except BarkError:
        raise
    except Exception as error:
        reason = shortened(joined_lines(error), _MAX_CHARACTERS)
        raise CheckpointError(f"{where}: a setting is malformed ({reason})") from error
