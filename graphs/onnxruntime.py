"""Imports onnxruntime (an optional dependency) after setting its environment variables."""

import os
from typing import Any

from bark_onnx.graphs.errors import ProviderError, first_line

# onnxruntime reads these from the environment only; existing values are kept.
_SETTINGS = {
    "ORT_DISABLE_TELEMETRY": "1",  # its Linux wheels report usage by default
    # On the CPU, GroupQueryAttention without it prefills in half the time (benchmarks/LOG.md).
    "ORT_GQA_DISABLE_FLASH_ATTENTION": "1",
}


def import_onnxruntime() -> Any:
    """Import the module onnxruntime.

    Raises:
        ProviderError: onnxruntime is not installed, or cannot be loaded.
    """
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    try:
        import onnxruntime
    except ImportError as error:
        if not isinstance(error, ModuleNotFoundError) or error.name != "onnxruntime":
            raise ProviderError(
                f"onnxruntime is installed, but cannot be loaded ({first_line(error)}); "
                "free memory if that is the reason, otherwise install it again"
            ) from error
        raise ProviderError(
            "onnxruntime is not installed; install one of: "
            "pip install 'bark-onnx[cpu]', pip install 'bark-onnx[gpu]'"
        ) from error
    return onnxruntime
