"""Random changes to the files of voices: any bytes are a voice, or a VoiceError of one line.

python -m tests.support.torture.voices --mutants 100000 --seed 0
"""

import argparse
import io
import random
import sys
import time
import traceback
import zipfile
from collections import Counter

import numpy as np

from bark_onnx.graphs.errors import VoiceError
from bark_onnx.graphs.voices.voice import Voice
from tests.support.sizes import SETTINGS

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
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
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


def _mutate(content: bytes, rng: random.Random) -> bytes:
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
            found[place:place] = rng.choice(_TOKENS) if rng.random() < 0.5 else rng.randbytes(4)
        elif kind == 3:
            del found[place : place + rng.randrange(1, 40)]
        elif kind == 4:
            found[place:place] = found[place : place + rng.randrange(1, 60)]
        elif rng.random() < 0.2:
            del found[place:]
    return bytes(found)


def mutant(rng: random.Random) -> bytes:
    """A file that resembles a voice: changed as a whole, in a member, or in a member's header."""
    method = rng.choice([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
    members = _members()
    kind = rng.randrange(5)
    if kind <= 1:
        return _mutate(_npz(members, method), rng)
    name = rng.choice(list(members))
    if kind == 2:
        members[name] = _mutate(members[name], rng)
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


def outcome(content: bytes) -> str:
    """What becomes of a file: "voice", "refused", or a description of a defect."""
    try:
        voice = Voice.read(io.BytesIO(content), name="me")
        voice.check(SETTINGS)
    except VoiceError as error:
        message = str(error)
        return "refused" if message.isprintable() and len(message) < 1000 else repr(message)
    except BaseException:
        return traceback.format_exc()
    return "voice"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mutants", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    rng, counts, started = random.Random(arguments.seed), Counter[str](), time.monotonic()
    for _ in range(arguments.mutants):
        found = outcome(mutant(rng))
        if found not in ("voice", "refused"):
            print(found)
            found = "defect"
        counts[found] += 1
    total = ", ".join(f"{count} {name}" for name, count in sorted(counts.items()))
    print(f"{total} in {time.monotonic() - started:.0f} s")
    sys.exit(bool(counts["defect"]))


if __name__ == "__main__":
    main()
