"""Checks that the files of a bundle are complete and unaltered, by their sizes and checksums."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

from bark_onnx.graphs.bundle.manifest import EXPORT_AGAIN, MANIFEST_NAME, FileRecord
from bark_onnx.graphs.errors import BundleError, shortened
from bark_onnx.graphs.files.regular_file import check_readable, file_size, unreadable

_MAX_SHOWN = 200  # characters of a path in a message


def hash_file(path: Path) -> FileRecord:
    """Size and checksum of a file on disk."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return FileRecord(path.stat().st_size, digest)


def check_sizes(folder: Path, files: dict[str, FileRecord]) -> None:
    """Check that every file of a bundle exists and has its recorded size.

    Raises:
        BundleError: A file is missing, lies outside the folder, has another size, cannot be
            reached, or is a folder, a pipe or a device.
    """
    for name, record in files.items():
        path = folder / name
        if Path(name).is_absolute() or ".." in Path(name).parts:
            found = shortened(name, _MAX_SHOWN)
            raise BundleError(f"{folder / MANIFEST_NAME}: file {found!r} lies outside the bundle")
        try:
            size = file_size(path, BundleError, remedy=EXPORT_AGAIN)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise BundleError(f"{path} is missing; {EXPORT_AGAIN}") from error
        if size != record.size:
            raise BundleError(f"{path}: found {size} bytes, expected {record.size}; {EXPORT_AGAIN}")


def check_contents(folder: Path, files: dict[str, FileRecord], names: Iterable[str]) -> None:
    """Check that files of a bundle are byte for byte those that its exporter wrote.

    Raises:
        BundleError: A file was altered, is not listed, or cannot be read.
    """
    for name in names:
        path = folder / name
        _check_listed(folder, files, name)
        try:
            found = hash_file(path).sha256
        except OSError as error:
            raise unreadable(path, error, BundleError) from error
        check_sha256(path, found, files[name])


def check_access(folder: Path, files: dict[str, FileRecord], names: Iterable[str]) -> None:
    """Check that files of a bundle are listed and can be read, whatever they contain.

    Raises:
        BundleError: A file is not listed, or cannot be read.
    """
    for name in names:
        _check_listed(folder, files, name)
        try:
            check_readable(folder / name, BundleError, remedy=EXPORT_AGAIN)
        except OSError as error:
            raise unreadable(folder / name, error, BundleError) from error


def _check_listed(folder: Path, files: dict[str, FileRecord], name: str) -> None:
    if name not in files:
        raise BundleError(f"{folder / MANIFEST_NAME} does not list {name}; {EXPORT_AGAIN}")


def check_sha256(path: Path, found: str, record: FileRecord) -> None:
    """Check that the checksum of a file's contents is the recorded one.

    Raises:
        BundleError: The file was altered.
    """
    if found != record.sha256:
        raise BundleError(
            f"{path}: found sha256 {found[:12]}…, expected {record.sha256[:12]}…; "
            f"the file was altered, {EXPORT_AGAIN}"
        )
