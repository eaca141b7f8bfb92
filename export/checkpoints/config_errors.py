"""Errors in the configuration files of a checkpoint."""

from collections.abc import Iterator
from contextlib import contextmanager

from bark_onnx.graphs.errors import CheckpointError


@contextmanager
def wrap_config_errors(where: object) -> Iterator[None]:
    """Convert errors of transformers' configuration classes for a file, `where`.

    Raises:
        CheckpointError: A value has a wrong type.
    """
    from huggingface_hub.errors import StrictDataclassError

    try:
        yield
    except (TypeError, ValueError, AttributeError, StrictDataclassError) as error:
        reason = " ".join(str(error).split())
        raise CheckpointError(f"{where}: a setting is malformed ({reason})") from error
