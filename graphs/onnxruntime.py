"""The import of onnxruntime, which is an optional package and must not report usage."""

import os
from typing import Any

from bark_onnx.graphs.errors import ProviderError


def import_onnxruntime() -> Any:
    """The module onnxruntime.

    Its Linux wheels report usage unless told not to before the import; a user's own value of
    ORT_DISABLE_TELEMETRY stands.

    Raises:
        ProviderError: it is not installed.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    try:
        import onnxruntime
    except ImportError as error:
        raise ProviderError(
            "onnxruntime is not installed; install one of: "
            "pip install 'bark-onnx[cpu]', pip install 'bark-onnx[gpu]'"
        ) from error
    return onnxruntime
