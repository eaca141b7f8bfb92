"""Contracts of the graphs in both forms of attention, and sessions that must match them."""

import dataclasses
import json
from pathlib import Path

import onnx_ir as ir
import pytest

from bark_onnx.graphs.contract import (
    ATTENTIONS,
    CONTRACT_VERSION,
    METADATA_KEY,
    STAGES,
    GraphContract,
    Stage,
    graph_contract,
)
from bark_onnx.graphs.errors import BundleError, ContractError
from bark_onnx.graphs.shapes import CodecShape
from bark_onnx.graphs.top_logits import num_top_logits, top_groups
from bark_onnx.runtime.inference.providers.cpu import CpuProvider
from bark_onnx.runtime.inference.sessions import ExecutionTarget, open_session
from tests.support.messages import assert_one_line
from tests.support.sizes import SHAPES


def _listed(contract: GraphContract) -> tuple[list[str], list[str]]:
    return [str(tensor) for tensor in contract.inputs], [str(tensor) for tensor in contract.outputs]


def test_fused_semantic_graph_reads_and_writes_one_cache_buffer():
    inputs, outputs = _listed(graph_contract("semantic", SHAPES, "fused"))
    assert inputs == [
        "input_ids: int64[batch, sequence]",
        "history_ids: int64[batch, sequence]",
        "position_ids: int64[batch, sequence]",
        "seqlens_k: int32[batch]",
        "total_sequence_length: int32[]",
        "past_key_values.0.key: float32[batch, 2, buffer, 4]",
        "past_key_values.0.value: float32[batch, 2, buffer, 4]",
    ]
    assert outputs == [
        "logits: float32[batch, 10001]",
        "present.0.key: float32[batch, 2, buffer, 4]",
        "present.0.value: float32[batch, 2, buffer, 4]",
    ]


def test_a_graph_with_top_logits_returns_them_after_the_cache():
    _, without = _listed(graph_contract("semantic", SHAPES, "fused"))
    _, outputs = _listed(graph_contract("semantic", SHAPES, "fused", for_draws=True))
    assert outputs == [
        *without,
        "top_logits: float32[batch, 64]",
        "top_ids: int32[batch, 64]",
        "log_sum_exp: float32[batch]",
        "end_logit: float32[batch]",
    ]


def test_the_top_logits_of_the_coarse_graph_are_those_of_one_codebook():
    _, outputs = _listed(graph_contract("coarse", SHAPES, "fused", for_draws=True))
    assert outputs[-3:] == [
        "top_logits: float32[batch, 64]",
        "top_ids: int32[batch, 64]",
        "log_sum_exp: float32[batch]",
    ]
    assert top_groups("coarse", SHAPES) == (range(1024), range(1024, 2096))


def test_a_fine_graph_that_draws_takes_random_numbers_and_returns_codes():
    inputs, outputs = _listed(graph_contract("fine", SHAPES, "fused", for_draws=True))
    assert inputs[-2:] == ["uniforms: float64[batch, read_frames]", "temperatures: float32[batch]"]
    assert outputs == [
        *_listed(graph_contract("fine", SHAPES, "fused"))[1],
        "drawn_codes: int32[batch, read_frames]",
        "largest_codes: int32[batch, read_frames]",
    ]


def test_a_small_vocabulary_has_fewer_top_logits():
    coarse = dataclasses.replace(SHAPES.coarse, num_logits=70)
    fine = dataclasses.replace(SHAPES.fine, num_logits=40)
    shapes = dataclasses.replace(SHAPES, coarse=coarse, fine=fine)
    assert num_top_logits("coarse", shapes) == 30


def test_the_first_contract_fixes_the_length_of_the_cache_buffer_alone():
    first = graph_contract("semantic", SHAPES, "fused", version=1)
    second = graph_contract("semantic", SHAPES, "fused")
    assert (first.version, second.version) == (1, 2)
    for earlier, later in zip(_listed(first), _listed(second), strict=True):
        assert earlier == [tensor.replace("buffer", "1024") for tensor in later]
    assert "free" not in first.to_json()
    assert "its length is free from total_sequence_length to 1024" in second.to_json()


@pytest.mark.parametrize("stage", STAGES)
def test_standard_graphs_are_the_same_in_both_contracts(stage: Stage):
    first, second = (
        graph_contract(stage, SHAPES, "standard", version=version) for version in (1, 2)
    )
    assert _listed(first) == _listed(second)


def test_standard_coarse_graph_appends_to_a_growing_cache():
    inputs, outputs = _listed(graph_contract("coarse", SHAPES, "standard"))
    assert inputs == [
        "input_ids: int64[batch, sequence]",
        "position_ids: int64[batch, sequence]",
        "past_key_values.0.key: float32[batch, 2, past, 4]",
        "past_key_values.0.value: float32[batch, 2, past, 4]",
        "past_key_values.1.key: float32[batch, 2, past, 4]",
        "past_key_values.1.value: float32[batch, 2, past, 4]",
    ]
    assert outputs == [
        "logits: float32[batch, 2096]",
        "present.0.key: float32[batch, 2, past + sequence, 4]",
        "present.0.value: float32[batch, 2, past + sequence, 4]",
        "present.1.key: float32[batch, 2, past + sequence, 4]",
        "present.1.value: float32[batch, 2, past + sequence, 4]",
    ]


def test_only_the_semantic_graph_has_history_ids():
    for attention in ATTENTIONS:
        names = {
            stage: {tensor.name for tensor in graph_contract(stage, SHAPES, attention).inputs}
            for stage in STAGES
        }
        assert [stage for stage in STAGES if "history_ids" in names[stage]] == ["semantic"]


@pytest.mark.parametrize("attention", ATTENTIONS)
def test_fine_and_codec_contracts_are_the_same_in_both_forms(attention):
    assert _listed(graph_contract("fine", SHAPES, attention)) == (
        [
            "codes: int64[batch, frames, 8]",
            "codebook_index: int64[]",
            "frame_indices: int64[read_frames]",
        ],
        ["logits: float32[batch, read_frames, 1024]"],
    )
    assert _listed(graph_contract("codec", SHAPES, attention)) == (
        ["codes: int64[batch, 8, frames]"],
        ["audio: float32[batch, 320 * frames]"],
    )


def test_only_the_cache_has_the_dtype_of_the_precision():
    contract = graph_contract("coarse", SHAPES, "fused", float_dtype="float16")
    halves = {t.name for t in (*contract.inputs, *contract.outputs) if t.dtype == "float16"}
    caches = {
        t.name for t in (*contract.inputs, *contract.outputs) if t.name[:4] in ("past", "pres")
    }
    assert halves == caches
    assert len(caches) == 8


@pytest.mark.parametrize("attention", ATTENTIONS)
@pytest.mark.parametrize("stage", STAGES)
def test_contract_round_trips_through_json(stage, attention):
    contract = graph_contract(stage, SHAPES, attention)
    found = GraphContract.from_json(contract.to_json(), "x.onnx")
    assert (found, found.to_json()) == (contract, contract.to_json())


def test_contracts_are_equal_when_only_meanings_differ():
    contract = graph_contract("coarse", SHAPES, "fused")
    first, *others = contract.inputs
    other_meaning = dataclasses.replace(first, meaning="ids of tokens")
    other_shape = dataclasses.replace(first, shape=("batch", 1))
    assert dataclasses.replace(contract, inputs=(other_meaning, *others)) == contract
    assert dataclasses.replace(contract, inputs=(other_shape, *others)) != contract


def test_later_contract_is_refused_with_update_as_remedy():
    data = {"version": CONTRACT_VERSION + 1, "key_of_the_future": 1}
    with pytest.raises(
        ContractError, match=r"^x\.onnx: contract version 3, .* 2; update bark-onnx$"
    ):
        GraphContract.from_json(json.dumps(data), "x.onnx")


@pytest.mark.parametrize("text", ["", "no JSON", "[]", "{}", '{"version": 1}', '{"version": "1"}'])
def test_malformed_contract_is_refused_with_export_as_remedy(text: str):
    with pytest.raises(ContractError) as caught:
        GraphContract.from_json(text, "x.onnx")
    assert_one_line(caught.value, "x.onnx: not a contract: ", "export it again")


# A codec of one sample per frame, small enough to write by hand.
CODEC = graph_contract(
    "codec",
    dataclasses.replace(
        SHAPES,
        codec=CodecShape(
            num_codebooks=8, codebook_size=1024, samples_per_frame=1, sample_rate_hz=24_000
        ),
    ),
    "fused",
)
GRAPH = """
<ir_version: 10, opset_import: ["" : 21]>
codec (int64[batch, 8, frames] codes) => (float[batch, length] audio)
<int64[1] axis = {1}>
{
  summed = ReduceSum <keepdims = 0> (codes, axis)
  audio = Cast <to = 1> (summed)
}
"""


def _write(folder: Path, text: str, metadata: str | None) -> Path:
    model = ir.from_onnx_text(text)
    if metadata is not None:
        model.metadata_props[METADATA_KEY] = metadata
    path = folder / "codec.onnx"
    ir.save(model, path)
    return path


def test_graph_opens_when_it_matches_its_contract(tmp_path: Path):
    path = _write(tmp_path, GRAPH, CODEC.to_json())
    session = open_session(path, CODEC, ExecutionTarget(CpuProvider(), 1))
    assert [value.name for value in session.get_inputs()] == ["codes"]


def _refused(path: Path, *words: str) -> None:
    with pytest.raises(ContractError) as caught:
        open_session(path, CODEC, ExecutionTarget(CpuProvider(), 1))
    assert_one_line(caught.value, str(path), "export the bundle again", *words)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (
            "codes",
            "tokens",
            ["found tokens: tensor(int64)", "expected codes: tensor(int64)[?, 8, ?]"],
        ),
        ("int64[batch, 8", "int32[batch, 8", ["found codes: tensor(int32)", "expected", "int64"]),
        (
            "[batch, 8",
            "[batch, 4",
            ["found codes: tensor(int64)[?, 4, ?]", "expected", "[?, 8, ?]"],
        ),
        (
            "[batch, 8, frames]",
            "[batch, 8, 7]",
            ["found codes", "[?, 8, 7]", "expected", "[?, 8, ?]"],
        ),
        ("audio", "sound", ["found sound: tensor(float)", "expected audio: tensor(float)"]),
        ("codes) =>", "codes, float[n] extra) =>", ["found 2 inputs", "expected 1"]),
        ("length] audio)", "length] audio, int64[batch, n] summed)", ["found 2", "expected 1"]),
    ],
)
def test_graph_with_other_inputs_or_outputs_is_refused(tmp_path: Path, old, new, words):
    assert old in GRAPH
    _refused(_write(tmp_path, GRAPH.replace(old, new), CODEC.to_json()), *words)


def test_graph_without_contract_is_refused(tmp_path: Path):
    _refused(_write(tmp_path, GRAPH, None), "carries no contract")


def test_graph_with_the_contract_of_another_is_refused(tmp_path: Path):
    other = graph_contract("fine", SHAPES, "fused")
    _refused(_write(tmp_path, GRAPH, other.to_json()), "its contract is not the one", "bark.json")


def test_graph_with_a_later_contract_is_refused(tmp_path: Path):
    future = dataclasses.replace(CODEC, version=CONTRACT_VERSION + 1)
    path = _write(tmp_path, GRAPH, future.to_json())
    with pytest.raises(
        ContractError, match=r"codec\.onnx: contract version 3, .*update bark-onnx$"
    ):
        open_session(path, CODEC, ExecutionTarget(CpuProvider(), 1))


@pytest.mark.parametrize("content", [b"", b"no graph", b"\x08\x0a"])
def test_file_is_refused_when_it_is_not_a_graph(tmp_path: Path, content: bytes):
    path = tmp_path / "codec.onnx"
    path.write_bytes(content)
    with pytest.raises(BundleError) as caught:
        open_session(path, CODEC, ExecutionTarget(CpuProvider(), 1))
    words = ("ONNX Runtime cannot load it", "export the bundle again")
    assert_one_line(caught.value, str(path), *words)
