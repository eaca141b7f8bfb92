"""Files and folders under a temporary name of their own, until they replace their target.

The name is hidden, and no longer for a long target. A lock marks it as in use: what a process that
was killed left behind is not locked, and the next writer of the same target removes it.
"""

import errno
import hashlib
import os
import secrets
import shutil
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

if sys.platform != "win32":
    import fcntl

_SUFFIX = ".partial"
_FORMER = "-former"  # before the suffix, of a folder that is being replaced
_MAX_LINKS = 40  # as Linux
_ANY_WRITE = stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH
_SHARED = stat.S_ISVTX | stat.S_IWOTH  # a folder such as /tmp


class PartialFile:
    """A new file beside its target, which `commit` replaces. Otherwise `close` removes it.

    Attributes:
        target: Path of the target, behind all symbolic links.
        path: Temporary path.
        fd: Descriptor of the file, open for reading and writing.

    Raises:
        OSError: The file cannot be created, or the target is write-protected.
    """

    def __init__(self, path: Path) -> None:
        self.target = follow_links(path)
        if is_write_protected(self.target):
            raise PermissionError(errno.EACCES, "it is write-protected", str(self.target))
        remove_leftovers(self.target)
        self.path, self.fd = _create(self.target)
        self._is_open = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def commit(self) -> None:
        """Give the file its name, and the mode of a file that it replaces.

        Raises:
            OSError: The contents do not reach the disk, or the file cannot be renamed.
        """
        os.fsync(self.fd)  # otherwise a power failure could leave an empty file
        if sys.platform != "win32":
            with suppress(FileNotFoundError):
                os.fchmod(self.fd, stat.S_IMODE(self.target.stat().st_mode) & 0o777)
            self.path.replace(self.target)  # before the lock ends
            self._close_fd()
        else:
            self._close_fd()
            self.path.replace(self.target)

    def close(self) -> None:
        """Remove the file, unless `commit` has renamed it."""
        if not self._is_open:
            return
        if sys.platform != "win32":
            self.path.unlink(missing_ok=True)  # before the lock ends
            self._close_fd()
        else:
            self._close_fd()
            self.path.unlink(missing_ok=True)

    def _close_fd(self) -> None:
        self._is_open = False
        os.close(self.fd)


@contextmanager
def partial_folder(target: Path) -> Iterator[Path]:
    """Yield a new folder beside `target`, which is removed at the end if it is still there.

    Raises:
        OSError: The folder cannot be created.
    """
    remove_leftovers(target)
    folder = target.with_name(_new_name(target))
    folder.mkdir(mode=0o700)
    fd = _lock_folder(folder)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if fd is not None:
            os.close(fd)


def follow_links(path: Path) -> Path:
    """The path that symbolic links lead to, which need not exist.

    In a folder that all may write to, such as /tmp, the links of other users are not followed, as
    Linux does for files that are opened.

    Raises:
        OSError: The links are circular, or another user's.
    """
    for _ in range(_MAX_LINKS):
        if not path.is_symlink():
            return path
        folder = path.parent.stat()
        owners = (folder.st_uid, os.geteuid()) if hasattr(os, "geteuid") else None
        if owners and folder.st_mode & _SHARED == _SHARED and path.lstat().st_uid not in owners:
            raise PermissionError(errno.EACCES, "it is a link of another user", str(path))
        path = path.parent / path.readlink()
    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))


def is_special(path: Path) -> bool:
    """Whether a path leads to a device, a pipe or a socket, which cannot be replaced.

    Raises:
        OSError: The path cannot be looked up.
    """
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return False
    return not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)


def is_write_protected(path: Path) -> bool:
    """Whether a path leads to a regular file whose mode lets no one write to it."""
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return False
    return stat.S_ISREG(mode) and not mode & _ANY_WRITE


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


def _new_name(target: Path) -> str:
    return f"{_prefix(target)}{secrets.token_hex(4)}{_SUFFIX}"


def _create(target: Path) -> tuple[Path, int]:
    """Create and lock a file that did not exist; returns its path and descriptor."""
    flags = os.O_CREAT | os.O_EXCL | os.O_RDWR
    for name in ("O_NOFOLLOW", "O_CLOEXEC", "O_BINARY"):  # not everywhere
        flags |= getattr(os, name, 0)
    while True:
        path = target.with_name(_new_name(target))
        fd = os.open(path, flags, 0o666)
        # Before the lock, another process could take the file for a leftover.
        if _lock(fd) is not False and os.fstat(fd).st_nlink:
            return path, fd
        os.close(fd)


def _lock(fd: int) -> bool | None:
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


def _lock_folder(folder: Path) -> int | None:
    if sys.platform == "win32":
        return None
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    _lock(fd)
    return fd


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
            if _lock(fd):
                if is_folder:
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    path.unlink()
        finally:
            os.close(fd)
