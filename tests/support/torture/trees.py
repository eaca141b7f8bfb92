"""The contents of a folder before and after a command."""

import hashlib
import os
import stat
from collections.abc import Mapping
from pathlib import Path

_MAX_HASHED_BYTES = 1 << 28

Tree = Mapping[str, str]  # what each path below a folder is

_KINDS = {
    stat.S_IFDIR: "folder",
    stat.S_IFIFO: "pipe",
    stat.S_IFCHR: "device",
    stat.S_IFSOCK: "socket",
}


def tree(folder: Path) -> Tree:
    """Everything below a folder, without following links."""
    found = {}
    for parent, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = Path(parent, name)
            found[os.fsdecode(os.fsencode(path.relative_to(folder)))] = _describe(path)
    return found


def files(folder: Path) -> list[str]:
    """Paths of all files below a folder, sorted."""
    paths = (path for path in folder.rglob("*") if path.is_file())
    return sorted(path.relative_to(folder).as_posix() for path in paths)


def changes(before: Tree, after: Tree) -> list[str]:
    """Paths that were added, removed or changed."""
    paths = sorted({*before, *after})
    return [path for path in paths if before.get(path) != after.get(path)]


def copy_linked(source: Path, target: Path) -> Path:
    """Copy a folder without its bytes: whatever changes a file has to replace it."""
    for parent, _, files in os.walk(source):
        folder = target / Path(parent).relative_to(source)
        folder.mkdir(parents=True)
        for name in files:
            os.link(Path(parent, name), folder / name)
    return target


def _describe(path: Path) -> str:
    status = path.lstat()
    kind = stat.S_IFMT(status.st_mode)
    if kind == stat.S_IFLNK:
        return f"link to {path.readlink()}"
    if kind != stat.S_IFREG:
        return _KINDS.get(kind, "special")
    if status.st_size > _MAX_HASHED_BYTES:
        return f"file of {status.st_size} bytes"
    with path.open("rb") as file:
        return f"file {hashlib.file_digest(file, 'sha256').hexdigest()}"
