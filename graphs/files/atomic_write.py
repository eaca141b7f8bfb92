"""Atomic writes of files and folders, and errors of the system as one-line errors."""

import errno
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from bark_onnx.graphs.errors import BarkError, system_reason
from bark_onnx.graphs.files.leftovers import former_name
from bark_onnx.graphs.files.partial_file import (
    PartialFile,
    follow_links,
    is_special,
    partial_folder,
)
from bark_onnx.graphs.interrupts import is_interrupted


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
        raise kind(f"{message} ({system_reason(error)})") from error


@contextmanager
def atomic_write(path: Path) -> Iterator[BinaryIO]:
    """Yield an open file; after a successful `with` block it replaces `path`.

    An error or interrupt keeps the old file and removes the new one. The target of a symbolic link
    is replaced, not the link. A device, a pipe or a socket receives the bytes after the block.
    After an interrupt, a pipe without a reader is an error.

    Raises:
        OSError: The file cannot be written.
    """
    if is_special(path):
        buffer = io.BytesIO()
        yield buffer
        with open(path, "wb", buffering=0, opener=_open_special) as file:
            write_all(file, buffer.getvalue())
        return
    with PartialFile(path) as partial:
        with open(partial.fd, "w+b", closefd=False) as file:
            yield file
        partial.commit()


def _open_special(path: str, flags: int) -> int:
    if not is_interrupted():
        return os.open(path, flags)
    fd = os.open(path, flags | os.O_NONBLOCK)  # a pipe without a reader raises
    os.set_blocking(fd, True)
    return fd


def write_all(file: io.RawIOBase | BinaryIO, data: bytes) -> None:
    """Write all bytes to an unbuffered file, which may take fewer at a time.

    Raises:
        OSError: The file cannot be written.
    """
    view = memoryview(data)
    while view:
        view = view[file.write(view) or 0 :]


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder, which replaces `path` after a successful `with` block.

    An error or interrupt keeps the old folder and removes the new one. The target of a symbolic
    link is replaced, not the link.

    Raises:
        OSError: The folder cannot be written.
    """
    target = follow_links(path if path.name not in ("", "..") else path.resolve())
    _check_replaceable(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    with partial_folder(target) as folder:
        yield folder
        folder.chmod(0o777 & ~_umask())
        _replace(target, folder)


def _check_replaceable(target: Path) -> None:
    """Find out before any work that a folder can be renamed."""
    if not target.is_dir():
        return
    if target.is_mount():
        raise OSError(errno.EBUSY, "it is a mount", str(target))
    if Path.cwd().is_relative_to(target.resolve()):
        raise OSError(errno.EBUSY, "the working folder lies in it", str(target))


def _replace(target: Path, folder: Path) -> None:
    """Rename `folder` to `target`; `partial_folder` removes the former target."""
    former = former_name(folder)
    try:
        if target.exists():
            target.rename(former)
        folder.rename(target)
    except BaseException:
        if former.exists() and not target.exists():
            former.rename(target)
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
