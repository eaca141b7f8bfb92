"""Files on disk: they appear whole or not at all, and what the system refuses is one line."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bark_onnx.graphs.errors import BarkError


@contextmanager
def wrap_os_errors(
    kind: type[BarkError], message: str, *, errors: tuple[type[Exception], ...] = (OSError,)
) -> Iterator[None]:
    """Errors of the system in a `with` block as one of ours: the message, then (the reason).

    Args:
        kind: of the error to raise.
        message: such as "speech.wav: cannot be written".
        errors: those of the system, and of a library that writes files where there is one.
    """
    try:
        yield
    except errors as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise kind(f"{message} ({reason})") from error


def partial_path(path: Path) -> Path:
    """Where a file is written before it is whole: hidden, and beside its own place."""
    return path.with_name(f".{path.name}.partial")


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """A path to write to in a `with` block; what is there gets its own name when that ends well.

    An error or an interrupt leaves an old file as it was, and no part of the new one.

    Raises:
        OSError: the file cannot be renamed.
    """
    partial = partial_path(path)
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
