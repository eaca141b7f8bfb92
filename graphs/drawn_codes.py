"""Inputs and outputs of a fine graph that draws the codes: names, sizes, types.

The logits of a pass are 4 MB, of which a draw makes 4 KB.
"""

from bark_onnx.graphs.tensor_contract import TensorContract

UNIFORMS = "uniforms"
TEMPERATURES = "temperatures"
DRAWN_CODES = "drawn_codes"
LARGEST_CODES = "largest_codes"

NOT_FINITE = -1  # instead of a code of which a logit is not finite

_READ = ("batch", "read_frames")
_INVALID = f"; {NOT_FINITE} where a logit is not finite"

DRAW_INPUTS = (
    TensorContract(UNIFORMS, "float64", _READ, "uniform random numbers from 0 up to 1"),
    TensorContract(TEMPERATURES, "float32", ("batch",), "temperatures above 0"),
)
DRAWN_TENSORS = (
    TensorContract(DRAWN_CODES, "int32", _READ, f"codes drawn by uniforms{_INVALID}"),
    TensorContract(LARGEST_CODES, "int32", _READ, f"codes of the largest logits{_INVALID}"),
)
