"""Serves a bundle, and generates batches, on several machines with Ray; its modules import Ray.

`app` builds the application from arguments, for `serve run` and Serve configs; `demo` is the one
of the demo, for `serve build`.
"""

from typing import Any


def __getattr__(name: str) -> Any:
    """Import the application when it is used."""
    if name not in ("app", "demo"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from bark_onnx.runtime.cluster.application import app

    return app if name == "app" else app({})
