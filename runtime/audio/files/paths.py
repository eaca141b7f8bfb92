"""Paths of new files, checked before any work is done."""

import os
from collections.abc import Collection
from pathlib import Path

from bark_onnx.graphs.errors import AudioError
from bark_onnx.graphs.files.atomic_write import wrap_os_errors


def check_file_path(path: Path) -> None:
    """Check that a file can be created.

    Raises:
        AudioError: The folder is missing or write-protected, or the path is a folder.
    """
    with wrap_os_errors(AudioError, f"{path}: cannot be written"):
        is_folder = path.is_dir()
    if is_folder:
        raise AudioError(f"{path} is a folder; expected the name of a file")
    if not path.parent.is_dir():
        raise AudioError(f"{path.parent}: no such folder; make it or choose another")
    if not os.access(path.parent, os.W_OK):
        raise AudioError(f"{path.parent}: may not be written to; choose another folder")


def check_suffix(path: Path, known: Collection[str]) -> None:
    """Check that a suffix, in small or capital letters, is known.

    Raises:
        AudioError: The suffix is unknown.
    """
    if path.suffix.lower() not in known:
        raise AudioError(
            f"{path}: suffix {path.suffix!r} is unknown, expected one of {', '.join(known)}"
        )
