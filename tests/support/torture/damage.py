"""Damage to files: bytes that change or are lost, and other things in the place of a file."""

import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path
from random import Random

_SPARSE_BYTES = 1 << 40


def mutate(content: bytes, rng: Random, tokens: list[bytes]) -> bytes:
    """Some bytes changed, inserted, removed, repeated or cut off."""
    found = bytearray(content)
    for _ in range(rng.choice([1, 1, 1, 2, 4, 16])):
        place = rng.randrange(len(found) + 1)
        kind = rng.randrange(6)
        if kind == 0 and found:
            found[place % len(found)] = rng.randrange(256)
        elif kind == 1 and found:
            found[place % len(found)] ^= 1 << rng.randrange(8)
        elif kind == 2:
            found[place:place] = rng.choice(tokens) if rng.random() < 0.5 else rng.randbytes(4)
        elif kind == 3:
            del found[place : place + rng.randrange(1, 40)]
        elif kind == 4:
            found[place:place] = found[place : place + rng.randrange(1, 60)]
        elif rng.random() < 0.2:
            del found[place:]
    return bytes(found)


def truncated(content: bytes, rng: Random) -> bytes:
    return content[: rng.choice([0, 1, rng.randrange(len(content) + 1), len(content) - 1])]


def flipped(content: bytes, rng: Random) -> bytes:
    found = bytearray(content)
    for _ in range(rng.choice([1, 1, 8, 64])):
        found[rng.randrange(len(found))] ^= 1 << rng.randrange(8)
    return bytes(found)


def zeroed(content: bytes, rng: Random) -> bytes:
    start = rng.randrange(len(content))
    end = min(start + rng.choice([1, 64, 4096]), len(content))
    return content[:start] + bytes(end - start) + content[end:]


def lengthened(content: bytes, rng: Random) -> bytes:
    return content + rng.randbytes(rng.choice([1, 7, 5000]))


def replaced(content: bytes, rng: Random) -> bytes:
    return rng.choice([b"", b"\0", b"{}", b"[]", b"null", b"\xff\xfe", rng.randbytes(300)])


# Other bytes in a file that stays one.
BYTES: dict[str, Callable[[bytes, Random], bytes]] = {
    "truncated": truncated,
    "flipped": flipped,
    "zeroed": zeroed,
    "lengthened": lengthened,
    "replaced": replaced,
}


def _folder(path: Path) -> None:
    path.mkdir()


def _device(path: Path) -> None:
    device(path, minor=5)  # /dev/zero: reading it never ends


def _loop(path: Path) -> None:
    path.symlink_to(path.name)


def _dangling(path: Path) -> None:
    path.symlink_to("nowhere")


def _sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(_SPARSE_BYTES)


# What takes the place of a file.
PLACES: dict[str, Callable[[Path], None]] = {
    "missing": lambda path: None,
    "a folder": _folder,
    "a pipe": os.mkfifo,
    "a device": _device,
    "a loop of links": _loop,
    "a dangling link": _dangling,
    "a terabyte": _sparse,
}
UNREADABLE = "unreadable"  # for its permissions, which have to bind


def device(path: Path, *, minor: int) -> None:
    """Make a device of memory (3: null, 5: zero, 7: full), or a link where that is not allowed."""
    try:
        os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, minor))
    except PermissionError:
        path.symlink_to({3: "/dev/null", 5: "/dev/zero", 7: "/dev/full"}[minor])


def damage(path: Path, kind: str, rng: Random) -> None:
    """Damage a file, of which other links stay as they are."""
    if kind in PLACES:
        remove(path)
        PLACES[kind](path)
        return
    content = path.read_bytes()
    remove(path)
    path.write_bytes(content if kind == UNREADABLE else BYTES[kind](content, rng))
    if kind == UNREADABLE:
        path.chmod(0)


def rewrite(path: Path, content: bytes) -> None:
    """Replace a file, of which other links stay as they are."""
    remove(path)
    path.write_bytes(content)


def remove(path: Path) -> None:
    """Remove what is at a path."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()
