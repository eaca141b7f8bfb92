"""What is wrong with the values in a checkpoint's files."""

from collections.abc import Iterator
from contextlib import contextmanager

from bark_onnx.graphs.errors import CheckpointError


@contextmanager
def wrap_config_errors(where: object) -> Iterator[None]:
    """What configuration classes raise for a value of a wrong type, as one line.

    Raises:
        CheckpointError: `where` names the file.
    """
    from huggingface_hub.errors import StrictDataclassError

    try:
        yield
    except (TypeError, ValueError, AttributeError, StrictDataclassError) as error:
        reason = " ".join(str(error).split())
        raise CheckpointError(f"{where}: a setting is malformed ({reason})") from error
