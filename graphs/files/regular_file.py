"""Files that others wrote: regular ones only, of limited size, with errors of one line."""

import stat
from pathlib import Path

from bark_onnx.graphs.errors import BarkError, shortened, system_reason

_MAX_SHOWN = 300  # characters of a path in a message
_KINDS = {
    stat.S_IFDIR: "folder",
    stat.S_IFIFO: "named pipe",
    stat.S_IFCHR: "device",
    stat.S_IFBLK: "device",
    stat.S_IFSOCK: "socket",
}


def file_size(path: Path, error_class: type[BarkError], *, remedy: str) -> int:
    """Size in bytes of a regular file. Reading anything else could take forever.

    Args:
        path: Path of the file.
        error_class: Class of the error to raise.
        remedy: End of the message about a file that is not a regular one.

    Raises:
        FileNotFoundError, NotADirectoryError: The file is missing.
        BarkError: It is not a regular file, or cannot be reached; of `error_class`.
    """
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        raise
    except (OSError, ValueError) as error:
        raise unreadable(path, error, error_class) from error
    kind = stat.S_IFMT(status.st_mode)
    if kind != stat.S_IFREG:
        found = _KINDS.get(kind, "special file")
        raise error_class(f"{path} is a {found}, expected a regular file; {remedy}")
    return status.st_size


def read_file(path: Path, error_class: type[BarkError], *, max_bytes: int, remedy: str) -> bytes:
    """Contents of a regular file.

    Raises:
        FileNotFoundError, NotADirectoryError: The file is missing.
        BarkError: As for `file_size`, or it is larger than `max_bytes`.
    """
    size = file_size(path, error_class, remedy=remedy)
    if size > max_bytes:
        raise error_class(f"{path} has {size} bytes, expected at most {max_bytes}; {remedy}")
    try:
        with path.open("rb") as file:
            return file.read(max_bytes)
    except OSError as error:
        raise unreadable(path, error, error_class) from error


def check_readable(path: Path, error_class: type[BarkError], *, remedy: str) -> None:
    """Check that a regular file can be opened.

    Raises:
        FileNotFoundError, NotADirectoryError: The file is missing.
        BarkError: As for `file_size`.
    """
    file_size(path, error_class, remedy=remedy)
    try:
        path.open("rb").close()
    except OSError as error:
        raise unreadable(path, error, error_class) from error


def is_folder(path: Path, error_class: type[BarkError]) -> bool:
    """Whether a path is a folder; False if it is missing.

    Raises:
        BarkError: It cannot be reached; of `error_class`.
    """
    try:
        return stat.S_ISDIR(path.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except (OSError, ValueError) as error:
        raise unreadable(path, error, error_class) from error


def unreadable(path: object, error: Exception, error_class: type[BarkError]) -> BarkError:
    """The error for a file that the system refuses to read: the reason and a remedy."""
    remedy = "check the path"
    if isinstance(error, PermissionError):
        remedy = "check the owner and the permissions of the file and of its folders"
    shown = shortened(str(path), _MAX_SHOWN)
    return error_class(f"{shown}: cannot be read ({system_reason(error)}); {remedy}")
