"""Graphs of a few nodes as bytes of an ONNX model, made where they are run.

Knows ONNX's protobuf schema (onnx.proto) as far as such graphs need it, since the runtime works
without the package onnx.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import DTypeLike

_IR_VERSION = 10
_OPSETS = {"": 21, "com.microsoft": 1}
_ELEMENT_TYPES = {"float32": 1, "int32": 6, "int64": 7, "float16": 10}  # TensorProto.DataType
_INTEGER_ATTRIBUTE = 2  # AttributeProto.AttributeType


@dataclass(frozen=True)
class Node:
    """A node of a graph."""

    operator: str
    inputs: Sequence[str]
    outputs: Sequence[str]
    domain: str = ""
    attributes: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Tensor:
    """An input or output of a graph."""

    name: str
    dtype: DTypeLike
    rank: int  # axes, all of free length


def small_graph(
    nodes: Iterable[Node], inputs: Iterable[Tensor], outputs: Iterable[Tensor]
) -> bytes:
    """Bytes of a model, for `onnxruntime.InferenceSession`."""
    graph = b"".join(
        (
            *(_message(1, _node(node)) for node in nodes),
            _message(2, b"graph"),
            *(_message(11, _value(tensor)) for tensor in inputs),
            *(_message(12, _value(tensor)) for tensor in outputs),
        )
    )
    opsets = (
        _message(8, _message(1, domain.encode()) + _integer(2, version))
        for domain, version in _OPSETS.items()
    )
    return b"".join((_integer(1, _IR_VERSION), _message(7, graph), *opsets))


def _node(node: Node) -> bytes:
    attributes = (
        _message(1, name.encode()) + _integer(3, value) + _integer(20, _INTEGER_ATTRIBUTE)
        for name, value in node.attributes.items()
    )
    return b"".join(
        (
            *(_message(1, name.encode()) for name in node.inputs),
            *(_message(2, name.encode()) for name in node.outputs),
            _message(4, node.operator.encode()),
            *(_message(5, attribute) for attribute in attributes),
            _message(7, node.domain.encode()),
        )
    )


def _value(tensor: Tensor) -> bytes:
    axes = (f"{tensor.name}_{axis}".encode() for axis in range(tensor.rank))
    shape = b"".join(_message(1, _message(2, axis)) for axis in axes)
    element_type = _ELEMENT_TYPES[np.dtype(tensor.dtype).name]
    kind = _message(1, _integer(1, element_type) + _message(2, shape))
    return _message(1, tensor.name.encode()) + _message(2, kind)


def _integer(number: int, value: int) -> bytes:
    """A field of a number that is not negative."""
    return _varint(number << 3) + _varint(value)


def _message(number: int, content: bytes) -> bytes:
    """A field that holds a message or a string."""
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    """Seven bits a byte, the lowest first, with the highest bit set in all bytes but the last."""
    rest, low = value >> 7, value & 0x7F
    return bytes([low]) if not rest else bytes([low | 0x80]) + _varint(rest)
