"""Which kernel each stage uses at each precision: the one table that says so.

The choice is by measurement (benchmarks/LOG.md): a step of one token is bound by reading weights,
so it wants few bits, and rows that share it must not hear of each other; a prompt or a fine window
is bound by arithmetic, so it wants the integer product with one activation scale, which for a
prompt, that runs alone, harms no other row. Row by row and dynamic kernels have the same weights.
"""

from dataclasses import dataclass

from bark_onnx.graphs.contract import Stage


@dataclass(frozen=True)
class BlockwiseInt:
    """MatMulNBits: a scale per block of rows."""

    bits: int
    block_size: int

    def __str__(self) -> str:
        return f"{self.bits} bits in blocks of {self.block_size}"


@dataclass(frozen=True)
class PerTensorInt8:
    """DynamicQuantizeMatMul: 8 bits, a scale per column, one activation scale per run."""

    def __str__(self) -> str:
        return "8 bits, dynamic"


@dataclass(frozen=True)
class PerTokenInt8:
    """MatMulIntegerToFloat: 8 bits, a scale per column, one activation scale per row."""

    def __str__(self) -> str:
        return "8 bits, row by row"


@dataclass(frozen=True)
class Float16:
    """float16 weights, activations and cache; logits leave in float32."""

    def __str__(self) -> str:
        return "float16"


QuantizationScheme = BlockwiseInt | PerTensorInt8 | PerTokenInt8 | Float16


@dataclass(frozen=True)
class StagePrecision:
    """How the products of one stage are computed."""

    kernel: QuantizationScheme  # steps of a causal stage, windows of the fine one
    prompt_kernel: QuantizationScheme | None = None  # prompts, where another graph serves them


HEAD_KERNEL = BlockwiseInt(bits=8, block_size=32)  # logits decide the token: the finest blocks

# A stage that is missing stays in float32, as the codec always does.
PRECISIONS: dict[str, dict[Stage, StagePrecision]] = {
    "fp32": {},
    "fp16": {
        "semantic": StagePrecision(Float16()),
        "coarse": StagePrecision(Float16()),
        "fine": StagePrecision(Float16()),
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

# What each provider runs well, and what to do about the others.
PREFERRED_PRECISIONS: dict[str, tuple[str, ...]] = {
    "cpu": ("int4", "int8", "fp32"),
    "cuda": ("fp16", "fp32"),
}
UNSUPPORTED_HINT: dict[str, str] = {
    "cpu": "a CPU runs float16 at a crawl; use int8, int4 or fp32",
    "cuda": "export with --precision fp16, or in fp32 with --attention standard, "
    "or use --provider cpu",
}


def float_dtype(precision: str) -> str:
    """What the cache of a precision's graphs is stored in, as numpy names it."""
    return "float16" if precision == "fp16" else "float32"
