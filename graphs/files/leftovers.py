"""Names and locks of temporary files and folders, and what processes that were killed left behind.

A name is hidden, and no longer for a long target. A lock marks it as in use: what a process that
was killed left behind is not locked, and the next writer of the same target removes it.
"""

import hashlib
import os
import secrets
import shutil
import sys
from contextlib import suppress
from pathlib import Path

if sys.platform != "win32":
    import fcntl

_SUFFIX = ".partial"
_FORMER = "-former"  # before the suffix, of a folder that is being replaced


def former_name(folder: Path) -> Path:
    """Path of a target while `folder`, from `partial_folder`, takes its place."""
    return folder.with_name(f"{folder.stem}{_FORMER}{_SUFFIX}")


def remove_leftovers(target: Path) -> None:
    """Remove the temporary files and folders of `target` that no live process has locked."""
    prefix, has_target = _prefix(target), target.exists()
    with suppress(OSError), os.scandir(target.parent) as entries:  # a folder that is not readable
        for entry in [entry for entry in entries if entry.name.startswith(prefix)]:
            is_only_copy = not has_target and entry.name.endswith(_FORMER + _SUFFIX)
            if entry.name.endswith(_SUFFIX) and not entry.is_symlink() and not is_only_copy:
                _remove_unlocked(Path(entry))


def _prefix(target: Path) -> str:
    return f".bark-onnx-{hashlib.sha256(os.fsencode(target.name)).hexdigest()[:8]}-"


def new_name(target: Path) -> str:
    """Name of a temporary file or folder of a target."""
    return f"{_prefix(target)}{secrets.token_hex(4)}{_SUFFIX}"


def lock(fd: int) -> bool | None:
    """Lock a file or folder. False if another process has it; None without support for locks."""
    if sys.platform == "win32":
        return None  # an open file cannot be removed there
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def lock_folder(folder: Path) -> int | None:
    """Lock a folder; returns the descriptor that holds the lock, None on Windows."""
    if sys.platform == "win32":
        return None
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    lock(fd)
    return fd


def remove_folder(folder: Path, target: Path) -> None:
    """Remove a temporary folder, and the former `target` if a new one is in its place."""
    shutil.rmtree(folder, ignore_errors=True)
    if target.exists():
        shutil.rmtree(former_name(folder), ignore_errors=True)


def _remove_unlocked(path: Path) -> None:
    """Remove a leftover if its lock is free; where locks are not supported, it stays."""
    is_folder = path.is_dir()
    if sys.platform == "win32":
        if not is_folder:
            with suppress(OSError):  # in use
                path.unlink()
        return
    with suppress(OSError):  # gone, or another user's
        fd = os.open(path, os.O_NOFOLLOW | (os.O_RDONLY if is_folder else os.O_RDWR))
        try:
            if lock(fd):
                if is_folder:
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    path.unlink()
        finally:
            os.close(fd)
