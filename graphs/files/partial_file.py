"""Files and folders under a temporary name of their own, until they replace their target."""

import errno
import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from bark_onnx.graphs.files.leftovers import (
    lock,
    lock_folder,
    new_name,
    remove_folder,
    remove_leftovers,
)
from bark_onnx.graphs.interrupts import delayed_interrupts

_MAX_LINKS = 40  # as Linux
_ANY_WRITE = stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH
_SHARED = stat.S_ISVTX | stat.S_IWOTH  # a folder such as /tmp


class PartialFile:
    """A new file beside its target, which `commit` replaces. Otherwise `close` removes it.

    An interrupt can come between any two steps: before `__init__` or `__enter__` is done, `__del__`
    removes the file.

    Attributes:
        target: Path of the target, behind all symbolic links.
        path: Temporary path.
        fd: Descriptor of the file, open for reading and writing.

    Raises:
        OSError: The file cannot be created, or the target is write-protected.
    """

    fd = -1
    _is_open = False

    def __init__(self, path: Path) -> None:
        self.target = follow_links(path)
        if is_write_protected(self.target):
            raise PermissionError(errno.EACCES, "it is write-protected", str(self.target))
        remove_leftovers(self.target)
        self._create()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __del__(self) -> None:
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

    def _create(self) -> None:
        """Create and lock a file that did not exist."""
        flags = os.O_CREAT | os.O_EXCL | os.O_RDWR
        for name in ("O_NOFOLLOW", "O_CLOEXEC", "O_BINARY"):  # not everywhere
            flags |= getattr(os, name, 0)
        while True:
            self.path = self.target.with_name(new_name(self.target))
            self._is_open = True  # before the file exists: an interrupt may follow at once
            try:
                self.fd = os.open(self.path, flags, 0o666)
            except OSError:
                self._is_open = False
                raise
            # Before the lock, another process could take the file for a leftover.
            if lock(self.fd) is not False and os.fstat(self.fd).st_nlink:
                return
            self._close_fd()

    def _close_fd(self) -> None:
        self._is_open = False
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)


@contextmanager
def partial_folder(target: Path) -> Iterator[Path]:
    """Yield a new folder beside `target`, which is removed at the end if it is still there.

    So is a folder of `former_name`, once `target` exists.

    Raises:
        OSError: The folder cannot be created.
    """
    remove_leftovers(target)
    folder, fd = target.with_name(new_name(target)), None
    try:
        folder.mkdir(mode=0o700)
        fd = lock_folder(folder)
        yield folder
    finally:
        try:
            with delayed_interrupts():
                remove_folder(folder, target)
        except KeyboardInterrupt:  # no second one follows
            remove_folder(folder, target)
            raise
        finally:
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
