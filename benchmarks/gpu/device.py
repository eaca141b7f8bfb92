"""The GPU as CUDA and nvidia-smi see it: memory in use, utilization."""

import ctypes
import statistics
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from machine import query_gpu

from bark_onnx.runtime.inference.providers.cuda import CudaProvider

MEGABYTE = 2**20
_CUDART = "libcudart.so.13"


class DeviceMemory:
    """Memory of the first GPU, everything that runs there included."""

    def __init__(self) -> None:
        CudaProvider().start()  # loads the library
        self._runtime = ctypes.CDLL(_CUDART)

    def used_megabytes(self) -> float:
        """Memory in use now."""
        free, total = ctypes.c_size_t(), ctypes.c_size_t()
        status = self._runtime.cudaMemGetInfo(ctypes.byref(free), ctypes.byref(total))
        if status:
            raise RuntimeError(f"cudaMemGetInfo returned {status}")
        return (total.value - free.value) / MEGABYTE


class Utilization:
    """Shares of time in which the GPU ran a kernel, sampled; empty without nvidia-smi."""

    def __init__(self) -> None:
        self.samples: list[float] = []

    def mean(self) -> float | None:
        """Mean in percent; None without samples."""
        return statistics.mean(self.samples) if self.samples else None


@contextmanager
def watch_utilization(seconds: float = 0.5) -> Iterator[Utilization]:
    """Sample the utilization while the context is open."""
    found, stop = Utilization(), threading.Event()

    def watch() -> None:
        while not stop.wait(seconds):
            value = query_gpu("utilization.gpu")
            if value is not None:
                found.samples.append(float(value))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield found
    finally:
        stop.set()
        thread.join()
