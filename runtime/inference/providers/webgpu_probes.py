"""What a WebGPU device is able to do, found by running graphs of a few nodes."""

from collections.abc import Callable
from typing import Any

import numpy as np

from bark_onnx.graphs.errors import first_line
from bark_onnx.runtime.inference.decoders.small_graph import Node, Tensor, small_graph

_HEADS, _HEAD_SIZE, _TOKENS, _TOLERANCE = 1, 32, 40, 1e-3


def has_float16(open_graph: Callable[[bytes], Any]) -> bool:
    """Whether shaders may compute with 16 bits; without that, graphs open but do not run."""
    float32, float16 = 1, 10  # TensorProto.DataType
    nodes = [
        Node("Cast", ["x"], ["half"], attributes={"to": float16}),
        Node("Add", ["half", "half"], ["sum"]),
        Node("Cast", ["sum"], ["y"], attributes={"to": float32}),
    ]
    model = small_graph(nodes, [Tensor("x", np.float32, 1)], [Tensor("y", np.float32, 1)])
    session = open_graph(model)
    try:
        (result,) = session.run(None, {"x": np.ones(4, np.float32)})
    except Exception as error:  # onnxruntime has no common class for what a device lacks
        if "f16" in first_line(error):
            return False
        raise
    return bool((result == 2).all())


def sums_keys_once(open_graph: Callable[[bytes], Any]) -> bool:
    """Whether attention over many tokens is right.

    ONNX Runtime's kernel takes 8 keys at a time and goes on by the size of a subgroup: where that
    is 4, as in software, keys from the 32nd token on count twice. The last query sees all keys, so
    that it does not depend on the number of queries before it.
    """
    nodes = [
        Node(
            "MultiHeadAttention",
            ["query", "key", "value"],
            ["y"],
            "com.microsoft",
            {"num_heads": _HEADS},
        )
    ]
    inputs = [Tensor(name, np.float32, 3) for name in ("query", "key", "value")]
    session = open_graph(small_graph(nodes, inputs, [Tensor("y", np.float32, 3)]))
    rng = np.random.default_rng(0)
    size = (1, _TOKENS, _HEADS * _HEAD_SIZE)
    query, key, value = (rng.standard_normal(size, np.float32) for _ in range(3))
    (found,) = session.run(None, {"query": query, "key": key, "value": value})
    expected = _attention(query, key, value)
    return bool(np.abs(found - expected).max() < _TOLERANCE)


def _attention(query: Any, key: Any, value: Any) -> Any:
    """Attention of all tokens to all, without a mask."""
    heads = (1, _TOKENS, _HEADS, _HEAD_SIZE)
    query, key, value = (each.reshape(heads).swapaxes(1, 2) for each in (query, key, value))
    scores = query @ key.swapaxes(2, 3) / np.sqrt(_HEAD_SIZE)
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    weights /= weights.sum(axis=-1, keepdims=True)
    return (weights @ value).swapaxes(1, 2).reshape(1, _TOKENS, -1)
