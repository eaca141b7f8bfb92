"""Files that resemble voices: changed as a whole, in an array, or in an array's header."""

import io
import random
import zipfile

import numpy as np

from tests.support.torture.damage import mutate

_DESCRS = ["<i8", "|u1", "()", "('i4',)", ",,", "i4,i4", "|O", "<m8[s]", "<U9", "|V0", "<f8", "a5"]
_SHAPES = [
    "(5,)",
    "(2, 4)",
    "()",
    "(-1,)",
    f"({10**30},)",
    f"({'9' * 4500},)",
    "(True,)",
    "5",
    "((1,),)",
]
_TOKENS = [
    b"(" * 300,
    b"[",
    b"'",
    b"\\",
    b"\n",
    b"\0",
    b"{",
    b"lambda:0",
    b"1e9",
    b"0x",
    b"-" * 900,
]


def arrays() -> dict[str, np.ndarray]:
    fine = np.arange(32, dtype=np.int64).reshape(8, 4)
    return {
        "semantic_prompt": np.arange(5),
        "coarse_prompt": fine[:2],
        "fine_prompt": fine,
        "provenance_json": np.frombuffer(b'{"text": "Hello", "seed": 3}', np.uint8),
    }


def _npz(members: dict[str, bytes], method: int) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content, method)  # without the current time
    return file.getvalue()


def _members() -> dict[str, bytes]:
    members = {}
    for key, array in arrays().items():
        file = io.BytesIO()
        np.save(file, array)
        members[f"{key}.npy"] = file.getvalue()
    return members


def npy(descr: str, shape: str, *, order: str = "False", data: bytes = b"") -> bytes:
    """An .npy file whose header says anything."""
    descr = descr if descr.startswith("(") else repr(descr)
    header = f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}\n".encode()
    length = len(header)
    if length > 0xFFFF:
        return b"\x93NUMPY\x02\x00" + length.to_bytes(4, "little") + header + data
    return b"\x93NUMPY\x01\x00" + length.to_bytes(2, "little") + header + data


def mutant(rng: random.Random) -> bytes:
    """A file that resembles a voice: changed as a whole, in a member, or in a member's header."""
    method = rng.choice([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
    members = _members()
    kind = rng.randrange(5)
    if kind <= 1:
        return mutate(_npz(members, method), rng, _TOKENS)
    name = rng.choice(list(members))
    if kind == 2:
        members[name] = mutate(members[name], rng, _TOKENS)
    elif kind == 3:
        members[name] = npy(
            rng.choice(_DESCRS),
            rng.choice(_SHAPES),
            order=rng.choice(["True", "False", "0"]),
            data=rng.randbytes(rng.randrange(80)),
        )
    else:
        method = rng.choice([zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA, method])
        content = bytearray(_npz(members, method))
        for signature, offset in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
            start = content.index(signature) + offset
            content[start : start + 2] = rng.choice([0, 8, 9, 12, 14, 93, 99]).to_bytes(2, "little")
        return bytes(content)
    return _npz(members, method)
