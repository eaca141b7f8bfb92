"""Limits of a machine: the rate at which it reads memory, and at which it multiplies matrices."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from bark_onnx.graphs.onnxruntime import import_onnxruntime


def read_bandwidth(threads: int, megabytes: int = 1024, repeats: int = 5) -> float:
    """Bytes per second that `threads` threads read from memory with hardly any computation."""
    parts = np.ones((threads, megabytes * 2**20 // 4 // threads), np.float32)

    def read(part: Any) -> float:
        # One BLAS call each, which releases the GIL; the parts exceed every cache.
        return float(np.dot(part, part))

    with ThreadPoolExecutor(threads) as pool:
        return parts.nbytes / _best(lambda: list(pool.map(read, parts)), repeats)


def product_rate(threads: int, *, integers: bool) -> float:
    """Operations per second of one large product in ONNX Runtime: float32, or 8-bit integers."""
    size = 2048
    rng = np.random.default_rng(0)
    weight = rng.integers(-127, 128, (size, size)).astype(np.int8 if integers else np.float32)
    values = rng.integers(0, 255, (size, size)).astype(np.uint8 if integers else np.float32)
    types = (TensorProto.UINT8, TensorProto.INT32) if integers else (TensorProto.FLOAT,) * 2
    graph = helper.make_graph(
        [helper.make_node("MatMulInteger" if integers else "MatMul", ["x", "w"], ["y"])],
        "product",
        [helper.make_tensor_value_info("x", types[0], [size, size])],
        [helper.make_tensor_value_info("y", types[1], [size, size])],
        [numpy_helper.from_array(weight, "w")],
    )
    opset = helper.make_opsetid("", 21)
    model = helper.make_model(graph, opset_imports=[opset], ir_version=10)
    onnxruntime = import_onnxruntime()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    return 2 * size**3 / _best(lambda: session.run(None, {"x": values}), 10)


def _best(run: Callable[[], Any], repeats: int) -> float:
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        run()
        times.append(time.perf_counter() - started)
    return min(times)
