"""Paths of new files, checked before any work is done."""

import os
from collections.abc import Collection
from pathlib import Path

from bark_onnx.graphs.errors import AudioError
from bark_onnx.graphs.files.atomic_write import wrap_os_errors
from bark_onnx.graphs.files.partial_file import follow_links, is_special, is_write_protected


def check_file_path(path: Path) -> None:
    """Check that a file can be created, or that an existing one can be replaced or written to.

    Raises:
        AudioError: The folder is missing or write-protected, the file is, or the path is a folder.
    """
    errors = (OSError, ValueError)  # the latter for a zero byte, or what the system cannot encode
    with wrap_os_errors(AudioError, f"{path}: cannot be written", errors=errors):
        target = follow_links(path)
        if path.is_dir():
            raise AudioError(f"{path} is a folder; expected the name of a file")
        is_refused = is_write_protected(target)
        if is_special(path):  # such as /dev/stdout, whose folder does not matter
            is_refused = not os.access(path, os.W_OK)
        elif not target.parent.is_dir():
            raise AudioError(f"{target.parent}: no such folder; make it or choose another")
        elif not os.access(target.parent, os.W_OK):
            raise AudioError(f"{target.parent}: may not be written to; choose another folder")
    if is_refused:
        raise AudioError(f"{path} is write-protected; change that, or choose another name")


def check_suffix(path: Path, known: Collection[str]) -> None:
    """Check that a suffix, in small or capital letters, is known.

    Raises:
        AudioError: The suffix is unknown.
    """
    if path.suffix.lower() not in known:
        raise AudioError(
            f"{path}: suffix {path.suffix!r} is unknown, expected one of {', '.join(known)}"
        )
