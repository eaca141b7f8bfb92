"""Converts checkpoints to the OpenVINO models with which its CPU plugin runs Bark fastest.

The conversion needs torch; running the models (openvino_stages.py) does not.
"""

import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import openvino
import torch
from openvino import opset13
from openvino.passes import MakeStateful, Manager
from openvino_int8 import Feeds, quantize
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from bark_onnx.export.checkpoints.checkpoint import Checkpoint, open_checkpoint
from bark_onnx.export.modules.causal import CausalGraph
from bark_onnx.graphs.contract import (
    CACHE_PARTS,
    CODEBOOK_INDEX,
    CODES,
    FRAME_INDICES,
    HISTORY_IDS,
    INPUT_IDS,
    LOGITS,
    POSITION_IDS,
    CausalStage,
    past_name,
    present_name,
)
from bark_onnx.graphs.shapes import CausalShape, FineShape

BEAM_INDEX = "beam_idx"  # row of the state that continues: always the only one
_CALIBRATION_TOKENS = (887, 257)  # lengths of the prompts that determine the scales of int8


class StatefulGraph(CausalGraph):
    """A causal stage whose attention and cache have the form that OpenVINO's CPU plugin fuses."""

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Tokens, positions, beam index, history ids where there are any, then the cache."""
        input_ids, position_ids, beam_index, *rest = inputs
        history_ids = rest.pop(0) if len(rest) % 2 else None
        past = [part.index_select(0, beam_index) for part in rest]
        return super().forward(input_ids, history_ids, position_ids, past)

    def _attend(self, projected: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, ...]:
        batch, count, _ = projected.shape
        size = (batch, count, self.shape.num_heads, self.shape.head_size)
        queries, keys, values = (
            part.view(size).transpose(1, 2) for part in projected.chunk(3, dim=2)
        )
        key, value = torch.cat([key, keys], dim=2), torch.cat([value, values], dim=2)
        # OpenVINO aligns the last query with the last key. Torch aligns the first ones, but its
        # results are not used.
        attended = scaled_dot_product_attention(queries, key, value, is_causal=True)
        return attended.transpose(1, 2).reshape(batch, count, -1), key, value


def write_models(checkpoint: Path, bundle: Path, folder: Path, precision: str) -> None:
    """Write semantic.xml, coarse.xml, fine.xml and codec.xml, each with its weights in a .bin.

    Args:
        checkpoint: Folder of the checkpoint, for the causal stages.
        bundle: Folder of its bundle, for the fine and codec graphs in fp32.
        folder: Folder to create.
        precision: "f32", "int8", or "bf16", to which OpenVINO rounds at run time.
    """
    opened = open_checkpoint(str(checkpoint))
    folder.mkdir(parents=True)
    stages: tuple[CausalStage, ...] = ("semantic", "coarse")
    for stage in stages:
        model = _stateful_model(opened, stage)
        if precision == "int8":
            quantize(model, _prompts(model, getattr(opened.shapes, stage)))
        _save(model, folder / f"{stage}.xml", precision)
    # OpenVINO turns MultiHeadAttention into the same operator as the standard Attention.
    fine = openvino.Core().read_model(bundle / "fp32" / "fine.onnx")
    if precision == "int8":
        quantize(fine, _windows(opened.shapes.fine))
    _save(fine, folder / "fine.xml", precision)
    _save(openvino.Core().read_model(bundle / "fp32" / "codec.onnx"), folder / "codec.xml", "f32")


def _save(model: Any, path: Path, precision: str) -> None:
    openvino.save_model(model, path, compress_to_fp16=precision != "f32")


def _stateful_model(checkpoint: Checkpoint, stage: CausalStage) -> Any:
    """Model for prefill and decode steps, with the cache as its state."""
    shape: CausalShape = getattr(checkpoint.shapes, stage)
    with_history = stage == "semantic"
    names = [INPUT_IDS, POSITION_IDS, BEAM_INDEX, *([HISTORY_IDS] if with_history else [])]
    cache = [(layer, part) for layer in range(shape.num_layers) for part in CACHE_PARTS]
    input_ids = torch.arange(5)[None]
    past = torch.zeros(1, shape.num_heads, 7, shape.head_size)
    examples = [
        input_ids,
        input_ids,
        torch.zeros(1, dtype=torch.int32),
        *([input_ids] if with_history else []),
    ]
    examples += [past] * len(cache)
    shapes = [[1] if example.ndim == 1 else [1, -1] for example in examples[: len(names)]]
    shapes += [[1, shape.num_heads, -1, shape.head_size]] * len(cache)
    with (
        checkpoint.sub_model(stage) as module,
        torch.no_grad(),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")  # of the tracer, about torch
        logit_ids = checkpoint.logit_ids(stage)
        graph = StatefulGraph(module, shape, logit_ids, with_history=with_history).eval()
        model = openvino.convert_model(
            graph,
            example_input=tuple(example.clone() for example in examples),
            input=[openvino.PartialShape(size) for size in shapes],
        )
    pasts = [past_name(*name) for name in cache]
    presents = [present_name(*name) for name in cache]
    _name(model.inputs, [*names, *pasts])
    _name(model.outputs, [LOGITS, *presents])
    _keep_state(model, dict(zip(pasts, presents, strict=True)))
    return model


def _name(ports: Iterable[Any], names: list[str]) -> None:
    for port, name in zip(ports, names, strict=True):
        port.get_tensor().set_names({name})


def _keep_state(model: Any, pairs: dict[str, str]) -> None:
    """Turn each pair of a past and a present into an initially empty variable."""
    manager = Manager()
    manager.register_pass(MakeStateful(pairs))
    manager.run_passes(model)
    for node in model.get_ops():
        if node.get_type_name() == "ReadValue":
            axes = node.get_output_partial_shape(0)
            empty = np.zeros([0 if axis.is_dynamic else axis.get_length() for axis in axes])
            # The plugin does not fuse a variable without an initial value.
            node.set_arguments([opset13.constant(empty.astype(np.float32)).output(0)])
    model.validate_nodes_and_infer_types()


def _prompts(model: Any, shape: CausalShape) -> Feeds:
    rng = np.random.default_rng(0)
    names = {port.any_name for port in model.inputs}
    for count in _CALIBRATION_TOKENS:
        feeds = {
            INPUT_IDS: rng.integers(0, shape.input_vocabulary, (1, count)),
            HISTORY_IDS: rng.integers(0, shape.input_vocabulary, (1, count)),
            POSITION_IDS: np.arange(count)[None],
            BEAM_INDEX: np.zeros(1, np.int32),
        }
        yield {name: value for name, value in feeds.items() if name in names}


def _windows(shape: FineShape) -> Feeds:
    rng = np.random.default_rng(0)
    for codebook in range(shape.num_given_codebooks, shape.num_codebooks):
        yield {
            CODES: rng.integers(
                0, shape.num_logits, (1, shape.context_length, shape.num_codebooks)
            ),
            CODEBOOK_INDEX: np.array(codebook),
            FRAME_INDICES: np.arange(shape.context_length),
        }
