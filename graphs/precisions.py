"""Quantization schemes of each stage at each precision.

Chosen by measurement (benchmarks/LOG.md). Decoding is bound by reading weights, which favors few
bits, and sequences of a batch must not influence each other. Prefill and fine windows are bound by
arithmetic, which favors the integer product with one activation scale per run; that is safe for
prefill, which runs one sequence at a time. Per-token and per-tensor kernels share their weights.
"""

from dataclasses import dataclass

from bark_onnx.graphs.contract import Stage


@dataclass(frozen=True)
class BlockwiseInt:
    """MatMulNBits: a scale per block of rows."""

    bits: int
    block_size: int


@dataclass(frozen=True)
class PerTensorInt8:
    """DynamicQuantizeMatMul: 8 bits, a scale per column, one activation scale per run."""


@dataclass(frozen=True)
class PerTokenInt8:
    """MatMulIntegerToFloat: 8 bits, a scale per column, one activation scale per token."""


@dataclass(frozen=True)
class Float16:
    """float16 weights, activations and cache; logits are float32."""


QuantizationScheme = BlockwiseInt | PerTensorInt8 | PerTokenInt8 | Float16


@dataclass(frozen=True)
class StagePrecision:
    """Quantization of one stage's matrix products."""

    scheme: QuantizationScheme  # decoding of a causal stage, windows of the fine stage
    prefill_scheme: QuantizationScheme | None = None  # of a second graph, for prefill
    has_draw_graph: bool = False  # a fused graph has a second one, which returns what a draw needs


HEAD_SCHEME = BlockwiseInt(bits=8, block_size=32)  # logits choose the token: the finest blocks

# Stages without an entry stay in float32, as the codec always does.
PRECISIONS: dict[str, dict[Stage, StagePrecision]] = {
    "fp32": {},
    "fp16": {
        "semantic": StagePrecision(Float16(), has_draw_graph=True),
        "coarse": StagePrecision(Float16(), has_draw_graph=True),
        "fine": StagePrecision(Float16(), has_draw_graph=True),
    },
    "int8": {
        "semantic": StagePrecision(PerTokenInt8(), PerTensorInt8()),
        "coarse": StagePrecision(PerTokenInt8(), PerTensorInt8()),
        "fine": StagePrecision(PerTensorInt8()),
    },
    "int4": {
        "semantic": StagePrecision(BlockwiseInt(4, 32), PerTensorInt8()),
        "coarse": StagePrecision(BlockwiseInt(4, 32), PerTensorInt8()),
        "fine": StagePrecision(PerTensorInt8()),
    },
}

# Precisions that each provider runs well, best first, and the remedy for others.
PREFERRED_PRECISIONS: dict[str, tuple[str, ...]] = {
    "cpu": ("int4", "int8", "fp32"),
    "cuda": ("fp16", "fp32"),
    "webgpu": ("fp16", "fp32"),
    "webgpu-low-power": ("fp16", "fp32"),
}
_WEBGPU_HINT = (
    "it runs fused attention in fp32, and in fp16 where the GPU computes with 16 bits; int8 and "
    "int4 are forms for the CPU; export with --precision fp32, or use --provider cpu"
)
UNSUPPORTED_HINT: dict[str, str] = {
    "cpu": "float16 is very slow on a CPU; use int8, int4 or fp32",
    "cuda": "export with --precision fp16, or in fp32 with --attention standard, "
    "or use --provider cpu",
    "webgpu": _WEBGPU_HINT,
    "webgpu-low-power": _WEBGPU_HINT,
}


def float_dtype(precision: str) -> str:
    """Name of the numpy dtype of the cache at a precision."""
    return "float16" if precision == "fp16" else "float32"
