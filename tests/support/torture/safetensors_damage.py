"""Damage to a file of weights that keeps its layout: a header of JSON, then the tensors."""

import json
from collections.abc import Callable
from random import Random
from typing import Any

import numpy as np

from tests.support.torture.bad_json import BAD_VALUES

Header = dict[str, Any]
_LENGTH_BYTES = 8
_FIELDS = ("dtype", "shape", "data_offsets")
_VALUES = {
    "dtype": ("F32", "F16", "F64", "I64", "BOOL", "F8_E4M3", "", "float", 3),
    "shape": ([], [0], [-1], [1], [2, 3], [10**30], [10**9, 10**9], "many", [1.5], [[1]]),
    "data_offsets": ([0, 0], [0, 4], [4, 0], [-4, 4], [0, 10**18], [0], "all", [0, 4, 8]),
}


def split(content: bytes) -> tuple[Header, bytes]:
    """The header and the data of a file."""
    end = _LENGTH_BYTES + int.from_bytes(content[:_LENGTH_BYTES], "little")
    return json.loads(content[_LENGTH_BYTES:end]), content[end:]


def join(header: str, data: bytes, *, length: int | None = None) -> bytes:
    """A file whose header may say anything, and whose length may be wrong."""
    encoded = header.encode("utf-8", "surrogatepass")
    stated = len(encoded) if length is None else length
    return stated.to_bytes(_LENGTH_BYTES, "little") + encoded + data


def _bad_field(header: Header, data: bytes, rng: Random) -> bytes:
    field = rng.choice(_FIELDS)
    header[_tensor(header, rng)][field] = rng.choice(_VALUES[field])
    return join(json.dumps(header), data)


def _bad_value(header: Header, data: bytes, rng: Random) -> bytes:
    name = _tensor(header, rng)
    text = json.dumps(header).replace(
        json.dumps(header[name]), rng.choice([*BAD_VALUES.values()]), 1
    )
    return join(text, data)


def _length(header: Header, data: bytes, rng: Random) -> bytes:
    length = rng.choice([0, 1, 7, 1 << 20, 1 << 40, (1 << 64) - 1, rng.randrange(1 << 16)])
    return join(json.dumps(header), data, length=length)


def _junk(_: Header, data: bytes, rng: Random) -> bytes:
    return join(rng.choice(["", "[]", "null", "{", "{}", '{"a": 1}', "[" * 100_000]), data)


def _without_tensor(header: Header, data: bytes, rng: Random) -> bytes:
    del header[_tensor(header, rng)]
    return join(json.dumps(header), data)


def _other_name(header: Header, data: bytes, rng: Random) -> bytes:
    name = _tensor(header, rng)
    header[f"{name}{rng.choice(['x', '.', chr(0x202E)])}"] = header.pop(name)
    return join(json.dumps(header), data)


def _not_finite(header: Header, data: bytes, rng: Random) -> bytes:
    changed = bytearray(data)
    start, end = header[_tensor(header, rng)]["data_offsets"]
    if end > start:
        place = start + 4 * rng.randrange((end - start) // 4)
        value = rng.choice([np.nan, np.inf, -np.inf, 3e38])
        changed[place : place + 4] = np.float32(value).tobytes()
    return join(json.dumps(header), bytes(changed))


KINDS: dict[str, Callable[[Header, bytes, Random], bytes]] = {
    "bad field": _bad_field,
    "bad value": _bad_value,
    "wrong length": _length,
    "junk as header": _junk,
    "without a tensor": _without_tensor,
    "another name": _other_name,
    "not finite": _not_finite,
}


def damage_weights(content: bytes, kind: str, rng: Random) -> bytes:
    """A damaged file of weights."""
    return KINDS[kind](*split(content), rng)


def _tensor(header: Header, rng: Random) -> str:
    return rng.choice(sorted(name for name in header if name != "__metadata__"))
