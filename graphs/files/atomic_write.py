"""Atomic writes of files, and errors of the system as one-line errors."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bark_onnx.graphs.errors import BarkError


@contextmanager
def wrap_os_errors(
    kind: type[BarkError], message: str, *, errors: tuple[type[Exception], ...] = (OSError,)
) -> Iterator[None]:
    """Raise errors of a `with` block as a `BarkError`: the message, then (the reason).

    Args:
        kind: Class of the error to raise.
        message: Text before the reason, such as "speech.wav: cannot be written".
        errors: Classes to convert; a library that writes files may add its own.
    """
    try:
        yield
    except errors as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise kind(f"{message} ({reason})") from error


def partial_path(path: Path) -> Path:
    """Path of a file while it is written: hidden, beside its final path."""
    return path.with_name(f".{path.name}.partial")


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield a temporary path; after a successful `with` block the file is renamed to `path`.

    An error or interrupt keeps the old file and removes the new one.

    Raises:
        OSError: The file cannot be renamed.
    """
    partial = partial_path(path)
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
