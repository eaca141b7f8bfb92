"""Imports onnxruntime (an optional dependency) after setting its environment variables."""

import os
from typing import Any

from bark_onnx.graphs.errors import ProviderError, system_reason
from bark_onnx.graphs.installation import install_command

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
    except ModuleNotFoundError as error:
        if error.name is not None and error.name.partition(".")[0] != "onnxruntime":
            raise ProviderError(
                f"onnxruntime is installed, but cannot be loaded (it needs {error.name}); "
                "install it again"
            ) from error
        raise ProviderError(
            f"onnxruntime is not installed; on the CPU: {install_command('cpu')}; on a GPU: "
            f"{install_command('gpu')}"
        ) from error
    except (ImportError, OSError) as error:
        raise ProviderError(
            f"onnxruntime is installed, but cannot be loaded ({system_reason(error)}); free memory "
            "if that is the reason, otherwise install it again"
        ) from error
    if not hasattr(onnxruntime, "InferenceSession"):  # one of two wheels of the module is gone
        raise ProviderError(
            "onnxruntime is incomplete, as after onnxruntime or onnxruntime-gpu was uninstalled "
            "beside the other one; run pip uninstall onnxruntime onnxruntime-gpu, then: "
            f"{install_command('cpu')} or {install_command('gpu')}"
        )
    return onnxruntime
