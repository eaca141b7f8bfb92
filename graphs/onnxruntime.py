"""The import of onnxruntime, which is an optional package, and what it is told before."""

import os
from typing import Any

from bark_onnx.graphs.errors import ProviderError

# Read by onnxruntime from the environment only; a value that is there already stands.
_SETTINGS = {
    "ORT_DISABLE_TELEMETRY": "1",  # its Linux wheels report usage unless told not to
    # On the CPU, GroupQueryAttention's other way through a prompt takes half the time of this one
    # (benchmarks/LOG.md).
    "ORT_GQA_DISABLE_FLASH_ATTENTION": "1",
}


def import_onnxruntime() -> Any:
    """The module onnxruntime.

    Raises:
        ProviderError: it is not installed.
    """
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    try:
        import onnxruntime
    except ImportError as error:
        raise ProviderError(
            "onnxruntime is not installed; install one of: "
            "pip install 'bark-onnx[cpu]', pip install 'bark-onnx[gpu]'"
        ) from error
    return onnxruntime
