"""Weights in every storage format, and unusable ones."""

import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from bark_onnx.export.checkpoints.checkpoint import open_checkpoint
from bark_onnx.export.random_bark import random_model
from bark_onnx.graphs.contract import STAGES
from tests.support.checkpoints import (
    TINY,
    WEIGHTS,
    assert_refused,
    assert_same_tensors,
    change_json,
    change_weights,
    tensors_of,
    used_tensors,
)

MASKS = ("layers.0.attn.bias",)  # causal masks bear the name of a bias


# Storage formats


def test_tensors_equal_those_of_the_saved_model(folder: Path) -> None:
    model = random_model(TINY)
    stages = zip(
        STAGES,
        (model.semantic, model.coarse_acoustics, model.fine_acoustics, model.codec_model),
        strict=True,
    )
    for stage, module in stages:
        found = used_tensors(stage, tensors_of(folder, stage))
        for name, tensor in used_tensors(stage, module.state_dict()).items():
            assert torch.equal(found[name], tensor), (stage, name)


def as_pytorch_bin(folder: Path, tensors: dict[str, Tensor]) -> None:
    torch.save(tensors, folder / "pytorch_model.bin")


def with_old_names_of_weight_norm(folder: Path, tensors: dict[str, Tensor]) -> None:
    renamed = {
        name.replace("parametrizations.weight.original0", "weight_g").replace(
            "parametrizations.weight.original1", "weight_v"
        ): tensor
        for name, tensor in tensors.items()
    }
    assert any(name.endswith("weight_g") for name in renamed)
    assert not any("original" in name for name in renamed)
    torch.save(renamed, folder / "pytorch_model.bin")


def with_causal_masks(folder: Path, tensors: dict[str, Tensor]) -> None:
    # transformers 4.31 stored them. These are wrong, so that reading them would show.
    masks = {
        f"{part}.layers.0.attn.bias": torch.zeros(1, 1, 1024, 1024, dtype=torch.bool)
        for part in ("semantic", "coarse_acoustics")
    }
    torch.save({**tensors, **masks}, folder / "pytorch_model.bin")


def in_shards(folder: Path, tensors: dict[str, Tensor], suffix: str) -> None:
    stem = "pytorch_model" if suffix == "bin" else "model"
    weight_map: dict[str, str] = {}
    for number in range(3):
        name = f"{stem}-{number + 1:05}-of-00003.{suffix}"
        shard = {key: tensors[key] for key in sorted(tensors)[number::3]}
        (torch.save if suffix == "bin" else save_file)(shard, folder / name)
        weight_map |= dict.fromkeys(shard, name)
    index = {"metadata": {}, "weight_map": weight_map}
    (folder / f"{stem}.{suffix}.index.json").write_text(json.dumps(index))


def in_bin_shards(folder: Path, tensors: dict[str, Tensor]) -> None:
    in_shards(folder, tensors, "bin")


def in_safetensors_shards(folder: Path, tensors: dict[str, Tensor]) -> None:
    in_shards(folder, tensors, "safetensors")


@pytest.mark.parametrize(
    "store",
    [
        as_pytorch_bin,
        with_old_names_of_weight_norm,
        with_causal_masks,
        in_bin_shards,
        in_safetensors_shards,
    ],
)
def test_tensors_are_equal_for_every_storage_format(
    folder: Path, tiny_checkpoint: Path, store: Callable[[Path, dict[str, Tensor]], None]
) -> None:
    tensors = load_file(folder / WEIGHTS)
    (folder / WEIGHTS).unlink()
    store(folder, tensors)
    assert_same_tensors(folder, tiny_checkpoint)


def test_stored_causal_masks_are_ignored(folder: Path) -> None:
    tensors = load_file(folder / WEIGHTS)
    (folder / WEIGHTS).unlink()
    with_causal_masks(folder, tensors)
    with open_checkpoint(str(folder)).sub_model("semantic") as model:
        mask = model.layers[0].attn.bias[0, 0]
    assert torch.equal(mask.bool(), torch.ones(1024, 1024, dtype=torch.bool).tril())


def test_half_precision_checkpoint_loads_as_float32(folder: Path) -> None:
    halves: dict[str, Tensor] = {}

    def halve(tensors: dict[str, Tensor]) -> None:
        for name, tensor in tensors.items():
            if tensor.dtype == torch.float32:
                tensors[name] = halves[name] = tensor.half()

    change_weights(folder, halve)
    found = tensors_of(folder, "coarse")
    for name in ("lm_head.weight", "layernorm_final.weight", "layers.0.mlp.in_proj.bias"):
        assert found[name].dtype == torch.float32
        assert torch.equal(found[name], halves[f"coarse_acoustics.{name}"].float())


def test_layers_load_without_biases_when_the_configuration_has_none(folder: Path) -> None:
    def drop_biases(tensors: dict[str, Tensor]) -> None:
        for name in list(tensors):
            if name.startswith("semantic.") and name.endswith(".bias"):
                del tensors[name]

    change_weights(folder, drop_biases)
    change_json(folder / "config.json", lambda data: data["semantic_config"].update(bias=False))
    found = tensors_of(folder, "semantic")
    stored = load_file(folder / WEIGHTS)
    weights = [name for name in found if name.endswith(".weight")]
    assert weights
    for name in weights:
        assert torch.equal(found[name], stored[f"semantic.{name}"]), name
    biases = [name for name in found if name.endswith(".bias") and name not in MASKS]
    assert not biases


def test_heads_default_to_the_next_codebooks_embeddings_when_not_stored(folder: Path) -> None:
    change_weights(
        folder,
        lambda tensors: [
            tensors.pop(name) for name in list(tensors) if name.startswith("fine_acoustics.lm_head")
        ],
    )
    tensors = tensors_of(folder, "fine")
    for index in range(7):
        head = tensors[f"lm_heads.{index}.weight"]
        assert torch.equal(head, tensors[f"input_embeds_layers.{index + 1}.weight"])


def test_stored_heads_are_kept_when_they_differ_from_the_embeddings(folder: Path) -> None:
    head = torch.randn(1056, 8, generator=torch.Generator().manual_seed(0))
    change_weights(
        folder, lambda tensors: tensors.update({"fine_acoustics.lm_heads.2.weight": head})
    )
    tensors = tensors_of(folder, "fine")
    assert torch.equal(tensors["lm_heads.2.weight"], head)
    assert not torch.equal(tensors["input_embeds_layers.3.weight"], head)
    assert torch.equal(tensors["lm_heads.1.weight"], tensors["input_embeds_layers.2.weight"])


def test_checkpoint_is_refused_without_weights(folder: Path) -> None:
    (folder / WEIGHTS).unlink()
    assert_refused(folder, "no weights", WEIGHTS, "pytorch_model.bin", stage="semantic")


@pytest.mark.parametrize("kept", [0, 4, 1000, -1])
def test_safetensors_are_refused_when_truncated(folder: Path, kept: int) -> None:
    content = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes(content[:kept])
    assert_refused(
        folder, WEIGHTS, "not readable as weights", "download it again", stage="semantic"
    )


@pytest.mark.parametrize("kept", [0, 4, 1000, -1000])
def test_bin_is_refused_when_truncated(folder: Path, kept: int) -> None:
    as_pytorch_bin(folder, load_file(folder / WEIGHTS))
    (folder / WEIGHTS).unlink()
    path = folder / "pytorch_model.bin"
    path.write_bytes(path.read_bytes()[:kept])
    assert_refused(
        folder, path.name, "not readable as weights", "download it again", stage="semantic"
    )


def test_bin_is_refused_when_it_holds_no_tensors_by_name(folder: Path) -> None:
    (folder / WEIGHTS).unlink()
    torch.save([torch.zeros(2)], folder / "pytorch_model.bin")
    assert_refused(folder, "pytorch_model.bin", "download it again", stage="semantic")


class _Malice:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def test_bin_that_runs_code_is_refused_and_runs_none(folder: Path, tmp_path: Path) -> None:
    (folder / WEIGHTS).unlink()
    proof = tmp_path / "code-was-run"
    torch.save({"semantic.lm_head.weight": _Malice(proof)}, folder / "pytorch_model.bin")
    assert_refused(folder, "pytorch_model.bin", "not readable as weights", stage="semantic")
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(_Malice(proof)))
    assert_refused(folder, "pytorch_model.bin", "not readable as weights", stage="semantic")
    assert not proof.exists()


def test_missing_shard_is_named(folder: Path) -> None:
    in_safetensors_shards(folder, load_file(folder / WEIGHTS))
    (folder / WEIGHTS).unlink()
    (folder / "model-00002-of-00003.safetensors").unlink()
    assert_refused(
        folder, "model-00002-of-00003.safetensors", "download it again", stage="semantic"
    )


@pytest.mark.parametrize("index", ["{}", '{"weight_map": []}', '{"weight_map": {"a": 1}}'])
def test_index_of_shards_is_named_when_malformed(folder: Path, index: str) -> None:
    (folder / f"{WEIGHTS}.index.json").write_text(index)
    assert_refused(folder, f"{WEIGHTS}.index.json", stage="semantic")


@pytest.mark.parametrize(
    ("stage", "name"),
    [
        ("semantic", "semantic.layers.0.attn.att_proj.weight"),
        ("coarse", "coarse_acoustics.lm_head.weight"),
        ("fine", "fine_acoustics.input_embeds_layers.0.weight"),
        ("codec", "codec_model.quantizer.layers.3.codebook.embed"),
        ("codec", "codec_model.decoder.layers.1.lstm.weight_hh_l0"),
    ],
)
def test_missing_tensor_is_named(folder: Path, stage: str, name: str) -> None:
    change_weights(folder, lambda tensors: tensors.pop(name))
    assert_refused(folder, name, "missing", "download it again", stage=stage)


def test_tensor_of_another_shape_is_named_with_both_shapes(folder: Path) -> None:
    name = "semantic.layers.0.mlp.in_proj.weight"
    change_weights(folder, lambda tensors: tensors.update({name: torch.zeros(31, 8)}))
    assert_refused(folder, name, "[31, 8]", "[32, 8]", "config.json", stage="semantic")


def test_checkpoint_loads_without_the_encoder(folder: Path, tiny_checkpoint: Path) -> None:
    change_weights(
        folder,
        lambda tensors: [
            tensors.pop(name) for name in list(tensors) if name.startswith("codec_model.encoder.")
        ],
    )
    assert_same_tensors(folder, tiny_checkpoint)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize(
    ("stage", "name"),
    [
        ("semantic", "semantic.layers.0.mlp.in_proj.weight"),
        ("coarse", "coarse_acoustics.input_embeds_layer.weight"),
        ("fine", "fine_acoustics.layernorm_final.bias"),
        ("codec", "codec_model.decoder.layers.0.conv.bias"),
    ],
)
def test_tensor_that_is_not_finite_is_named(
    folder: Path, stage: str, name: str, value: float
) -> None:
    def change(tensors: dict[str, Tensor]) -> None:
        tensors[name].view(-1)[3] = value

    change_weights(folder, change)
    words = (f"tensor {name} holds NaN or infinity in 1 of", "download it again")
    assert_refused(folder, *words, stage=stage)


@pytest.mark.parametrize("dtype", [torch.int64, torch.bool, torch.complex64])
def test_tensor_that_holds_no_floating_point_values_is_named(
    folder: Path, dtype: torch.dtype
) -> None:
    name = "semantic.layers.0.mlp.in_proj.weight"
    change_weights(folder, lambda tensors: tensors.update({name: tensors[name].to(dtype)}))
    words = (f"tensor {name} holds {dtype}", "expected floating-point values")
    assert_refused(folder, *words, stage="semantic")


@pytest.mark.parametrize("name", ["../secret.safetensors", "/etc/hostname", "", "..", "a/b.bin"])
def test_index_that_names_files_elsewhere_is_refused(folder: Path, name: str) -> None:
    index = folder / f"{WEIGHTS}.index.json"
    index.write_text(json.dumps({"weight_map": {"semantic.lm_head.weight": name}}))
    assert_refused(folder, index.name, "does not name files of its folder", stage="semantic")


def test_shard_that_is_no_regular_file_is_refused(folder: Path) -> None:
    index = folder / f"{WEIGHTS}.index.json"
    index.write_text(json.dumps({"weight_map": {"semantic.lm_head.weight": "a.safetensors"}}))
    assert_refused(folder, "a.safetensors", "it is missing", stage="semantic")
    os.mkfifo(folder / "a.safetensors")
    words = ("a.safetensors is a named pipe", "expected a regular file")
    assert_refused(folder, *words, stage="semantic")
