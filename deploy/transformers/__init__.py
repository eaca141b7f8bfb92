"""bark-onnx for callers of Hugging Face transformers: `BarkOnnxModel` in place of `BarkModel`.

The only package that needs both PyTorch and the runtime, which never imports it.
"""

from bark_onnx.graphs.installation import install_command

try:
    import torch  # noqa: F401
    import transformers  # noqa: F401
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        f"{error.name} is not installed; bark_onnx.transformers needs: "
        f"{install_command('transformers,cpu')}",
        name=error.name,
    ) from error

from bark_onnx.transformers.model import BarkOnnxModel

__all__ = ["BarkOnnxModel"]
