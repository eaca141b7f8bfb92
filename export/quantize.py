"""Converts float32 graphs to lower precisions."""

from pathlib import Path
from typing import get_args

import onnx_ir as ir
from onnx_ir.passes import InPlacePass
from onnx_ir.passes.common import RemoveUnusedNodesPass

from bark_onnx.export.trace import save_graph
from bark_onnx.graphs.bundle.manifest import PREFILL_SUFFIX
from bark_onnx.graphs.contract import CausalStage, GraphContract
from bark_onnx.graphs.passes.append_top_logits import AppendTopLogitsPass, RemoveTopLogitsPass
from bark_onnx.graphs.passes.apply_contract import ApplyContractPass
from bark_onnx.graphs.passes.convert_to_float16 import ConvertToFloat16Pass
from bark_onnx.graphs.passes.quantize_embeddings import QuantizeEmbeddingsPass
from bark_onnx.graphs.passes.quantize_matmul_blockwise import QuantizeMatMulBlockwisePass
from bark_onnx.graphs.passes.quantize_matmul_per_tensor import QuantizeMatMulPerTensorPass
from bark_onnx.graphs.passes.quantize_matmul_per_token import QuantizeMatMulPerTokenPass
from bark_onnx.graphs.precisions import (
    HEAD_SCHEME,
    BlockwiseInt,
    Float16,
    PerTensorInt8,
    QuantizationScheme,
    StagePrecision,
)
from bark_onnx.graphs.shapes import ModelShapes


def quantize_stage(
    source: Path,
    target: Path,
    precision: StagePrecision,
    contract: GraphContract,
    shapes: ModelShapes,
) -> None:
    """Write the graphs of a stage at a lower precision.

    Args:
        source: Float32 graph.
        target: Graph to write; a prefill graph, if the precision has one, is written beside it.
        precision: Quantization schemes of the stage.
        contract: Contract of the graphs to write.
        shapes: Sizes of the sub-models.
    """
    save_graph(_quantized(source, precision.scheme, contract, shapes), target)
    if precision.prefill_scheme is not None:
        prefill = _quantized(source, precision.prefill_scheme, contract, shapes)
        save_graph(prefill, target.with_suffix(PREFILL_SUFFIX), shared=target)


def _quantized(
    source: Path, scheme: QuantizationScheme, contract: GraphContract, shapes: ModelShapes
) -> ir.Model:
    graph = ir.load(source)
    passes = [RemoveTopLogitsPass(), *_passes(scheme), RemoveUnusedNodesPass()]
    if contract.stage in get_args(CausalStage):
        passes.append(AppendTopLogitsPass(contract, shapes))
    for rewrite in (*passes, ApplyContractPass(contract)):
        rewrite(graph)
    return graph


def _passes(scheme: QuantizationScheme) -> list[InPlacePass]:
    if isinstance(scheme, Float16):
        return [ConvertToFloat16Pass()]
    if isinstance(scheme, BlockwiseInt):
        products: InPlacePass = QuantizeMatMulBlockwisePass(
            scheme.bits, scheme.block_size, head=False
        )
    elif isinstance(scheme, PerTensorInt8):
        products = QuantizeMatMulPerTensorPass()
    else:
        products = QuantizeMatMulPerTokenPass()
    head = QuantizeMatMulBlockwisePass(HEAD_SCHEME.bits, HEAD_SCHEME.block_size, head=True)
    return [products, head, QuantizeEmbeddingsPass()]
