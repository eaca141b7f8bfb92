"""Checkpoints in every form that a hub has them in, and what is said of the unusable ones."""

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from bark_onnx.export.checkpoints.checkpoint import open_checkpoint
from bark_onnx.export.demo import RandomBark, random_model, write_checkpoint
from bark_onnx.graphs.contract import STAGES
from bark_onnx.graphs.errors import CheckpointError
from tests.support.messages import assert_one_line

TINY = RandomBark(num_layers=1, num_heads=2, hidden_size=8, bias=True, max_new_tokens=99, seed=3)
WEIGHTS = "model.safetensors"
MASKS = ("layers.0.attn.bias",)  # causal masks bear the name of a bias


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny") / "checkpoint"
    write_checkpoint(folder, TINY)
    return folder


@pytest.fixture
def folder(pristine: Path, tmp_path: Path) -> Path:
    """A checkpoint of one layer that a test may change."""
    return Path(shutil.copytree(pristine, tmp_path / "checkpoint"))


def tensors_of(folder: Path, stage: str) -> dict[str, Tensor]:
    with open_checkpoint(str(folder)).sub_model(stage) as model:
        return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def needed(stage: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """What the graphs read: the codec's encoder may hold anything."""
    if stage != "codec":
        return tensors
    return {
        name: tensor
        for name, tensor in tensors.items()
        if name.startswith("decoder.") or name.endswith("codebook.embed")
    }


def assert_same_tensors(folder: Path, other: Path) -> None:
    for stage in STAGES:
        found = needed(stage, tensors_of(folder, stage))
        expected = needed(stage, tensors_of(other, stage))
        assert found.keys() == expected.keys()
        for name, tensor in expected.items():
            assert torch.equal(found[name], tensor), (stage, name)


def change_json(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))


def change_weights(folder: Path, change: Callable[[dict[str, Tensor]], object]) -> None:
    tensors = load_file(folder / WEIGHTS)
    change(tensors)
    save_file(tensors, folder / WEIGHTS)


def open_and_read(folder: Path, stage: str | None) -> None:
    checkpoint = open_checkpoint(str(folder))
    if stage is not None:
        with checkpoint.sub_model(stage):
            pass


def refuse(folder: Path, *words: str, stage: str | None = None) -> None:
    with pytest.raises(CheckpointError) as caught:
        open_and_read(folder, stage)
    assert_one_line(caught.value, *words)


# What is read


def test_shapes_equal_the_sizes_of_the_configuration(folder: Path) -> None:
    shapes = open_checkpoint(str(folder)).shapes
    infer_token = TINY.generation_config()["semantic_config"]["semantic_infer_token"]
    for shape in (shapes.semantic, shapes.coarse, shapes.fine):
        assert (shape.num_layers, shape.num_heads, shape.head_size) == (1, 2, 4)
        assert shape.context_length == 1024
    assert shapes.semantic.input_vocabulary == infer_token + 1
    assert (shapes.semantic.first_logit_id, shapes.semantic.num_logits) == (0, 10_001)
    assert shapes.coarse.input_vocabulary == 12_096
    assert (shapes.coarse.first_logit_id, shapes.coarse.num_logits) == (10_000, 2_096)
    assert shapes.fine.input_vocabulary == 1056
    assert (shapes.fine.num_codebooks, shapes.fine.num_given_codebooks) == (8, 1)
    assert shapes.fine.num_logits == 1024
    assert (shapes.codec.num_codebooks, shapes.codec.codebook_size) == (8, 1024)
    assert (shapes.codec.samples_per_frame, shapes.codec.sample_rate_hz) == (320, 24_000)


def test_settings_equal_the_generation_config(folder: Path) -> None:
    def change(data: dict[str, Any]) -> None:
        data["semantic_config"] |= {"temperature": 0.9, "top_k": 7, "top_p": 0.8}
        data["coarse_acoustics_config"] |= {"do_sample": False, "sliding_window_len": 30}
        data["fine_acoustics_config"] |= {"temperature": 0.25, "max_fine_history_length": 400}

    change_json(folder / "generation_config.json", change)
    generation = open_checkpoint(str(folder)).generation
    semantic, coarse, fine = generation.semantic, generation.coarse, generation.fine
    assert semantic.sampling.do_sample
    assert semantic.sampling.temperature == 0.9
    assert semantic.sampling.top_k == 7
    assert semantic.sampling.top_p == 0.8
    assert semantic.max_new_tokens == 99
    assert semantic.semantic_rate_hz == 49.9
    assert not coarse.sampling.do_sample
    assert coarse.sampling.temperature == 0.7
    assert coarse.sliding_window_len == 30
    assert (fine.temperature, fine.max_fine_history_length) == (0.25, 400)
    assert (generation.codebook_size, generation.sample_rate_hz) == (1024, 24_000)


def test_top_k_defaults_to_that_of_transformers_when_missing(folder: Path) -> None:
    change_json(
        folder / "generation_config.json", lambda data: data["semantic_config"].pop("top_k")
    )
    assert open_checkpoint(str(folder)).generation.semantic.sampling.top_k == 50


def test_fine_temperature_is_one_when_null(folder: Path) -> None:
    change_json(
        folder / "generation_config.json",
        lambda data: data["fine_acoustics_config"].update(temperature=None),
    )
    assert open_checkpoint(str(folder)).generation.fine.temperature == 1.0


def test_logit_ids_cover_only_ids_that_can_be_sampled(folder: Path) -> None:
    checkpoint = open_checkpoint(str(folder))
    assert checkpoint.logit_ids("semantic").tolist() == list(range(10_001))
    assert checkpoint.logit_ids("coarse").tolist() == list(range(10_000, 12_096))


# Forms of weights


def test_tensors_equal_those_of_the_saved_model(folder: Path) -> None:
    model = random_model(TINY)
    stages = zip(
        STAGES,
        (model.semantic, model.coarse_acoustics, model.fine_acoustics, model.codec_model),
        strict=True,
    )
    for stage, module in stages:
        found = needed(stage, tensors_of(folder, stage))
        for name, tensor in needed(stage, module.state_dict()).items():
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
    # transformers 4.31 stored them. They are wrong here: nobody may read them.
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
    folder: Path, pristine: Path, store: Callable[[Path, dict[str, Tensor]], None]
) -> None:
    tensors = load_file(folder / WEIGHTS)
    (folder / WEIGHTS).unlink()
    store(folder, tensors)
    assert_same_tensors(folder, pristine)


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


# What is refused


def test_missing_folder_is_refused(tmp_path: Path) -> None:
    refuse(tmp_path / "nowhere", "nowhere", "no such folder", "suno/bark-small", "demo")


def test_checkpoint_of_another_model_is_refused(folder: Path) -> None:
    change_json(folder / "config.json", lambda data: data.update(model_type="gpt2"))
    refuse(folder, "config.json", "'gpt2'", "expected 'bark'", "suno/bark-small")


@pytest.mark.parametrize("name", ["config.json", "generation_config.json"])
def test_missing_configuration_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    refuse(folder, str(folder), f"no {name}", "Hugging Face layout")


@pytest.mark.parametrize("name", ["config.json", "generation_config.json"])
@pytest.mark.parametrize("content", [b'{"model_type": ', b"\xff\xfe\x00", b""])
def test_configuration_is_named_when_its_json_is_broken(
    folder: Path, name: str, content: bytes
) -> None:
    (folder / name).write_bytes(content)
    refuse(folder, name, "not readable as JSON")


@pytest.mark.parametrize("name", ["config.json", "generation_config.json"])
def test_configuration_is_named_when_it_is_not_an_object(folder: Path, name: str) -> None:
    (folder / name).write_text("[]")
    refuse(folder, name, "found a list", "expected a JSON object")


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("config.json", {"semantic_config": 5}),
        ("config.json", {"coarse_acoustics_config": {"hidden_size": "large"}}),
        ("config.json", {"codec_config": []}),
        ("generation_config.json", {"semantic_config": []}),
        ("generation_config.json", {"semantic_config": {"max_new_tokens": "many"}}),
        ("generation_config.json", {"coarse_acoustics_config": {"coarse_rate_hz": None}}),
        ("generation_config.json", {"fine_acoustics_config": {"temperature": "cold"}}),
        ("generation_config.json", {"codebook_size": "1024"}),
    ],
)
def test_malformed_setting_raises_a_one_line_error(
    folder: Path, name: str, changes: dict[str, object]
) -> None:
    def change(data: dict[str, Any]) -> None:
        for key, value in changes.items():
            data[key] = {**data[key], **value} if isinstance(value, dict) else value

    change_json(folder / name, change)
    refuse(folder, name)


@pytest.mark.parametrize(
    ("key", "value"), [("norm_type", "time_group_norm"), ("use_causal_conv", False)]
)
def test_codec_is_refused_unless_it_is_encodec_24_khz(
    folder: Path, key: str, value: object
) -> None:
    change_json(folder / "config.json", lambda data: data["codec_config"].update({key: value}))
    refuse(folder, f"codec_config.{key}", repr(value), "expected", "EnCodec 24 kHz")


@pytest.mark.parametrize(
    ("part", "stage", "needs"),
    [
        ("semantic_config", "semantic", "257"),
        ("coarse_acoustics_config", "coarse", "946"),
        ("fine_acoustics_config", "fine", "1024"),
    ],
)
def test_context_is_refused_when_too_short_for_the_settings(
    folder: Path, part: str, stage: str, needs: str
) -> None:
    change_json(folder / "config.json", lambda data: data[part].update(block_size=256))
    refuse(folder, f"{stage} stage needs {needs} positions", "block_size is 256")


@pytest.mark.parametrize(
    ("part", "stage", "size", "value", "needs"),
    [
        ("semantic_config", "semantic", "output_vocab_size", 10_000, 10_001),
        ("coarse_acoustics_config", "coarse", "input_vocab_size", 12_047, 12_051),
        ("coarse_acoustics_config", "coarse", "output_vocab_size", 12_047, 12_048),
        ("fine_acoustics_config", "fine", "input_vocab_size", 1024, 1025),
        ("fine_acoustics_config", "fine", "n_codes_total", 7, 8),
        ("codec_config", "codec", "codebook_size", 512, 1024),
    ],
)
def test_size_is_refused_when_too_small_for_the_settings(
    folder: Path, part: str, stage: str, size: str, value: int, needs: int
) -> None:
    change_json(folder / "config.json", lambda data: data[part].update({size: value}))
    refuse(folder, f"{stage} stage needs {needs} as {size}", f"its {size} is {value}")


def test_heads_are_refused_when_they_do_not_divide_the_width(folder: Path) -> None:
    change_json(
        folder / "config.json", lambda data: data["fine_acoustics_config"].update(num_heads=3)
    )
    refuse(folder, "config.json", "width 8 with 3 heads")


def test_checkpoint_is_refused_without_weights(folder: Path) -> None:
    (folder / WEIGHTS).unlink()
    refuse(folder, "no weights", WEIGHTS, "pytorch_model.bin", stage="semantic")


@pytest.mark.parametrize("kept", [0, 4, 1000, -1])
def test_safetensors_are_refused_when_truncated(folder: Path, kept: int) -> None:
    content = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes(content[:kept])
    refuse(folder, WEIGHTS, "not readable as weights", "download it again", stage="semantic")


@pytest.mark.parametrize("kept", [0, 4, 1000, -1000])
def test_bin_is_refused_when_truncated(folder: Path, kept: int) -> None:
    as_pytorch_bin(folder, load_file(folder / WEIGHTS))
    (folder / WEIGHTS).unlink()
    path = folder / "pytorch_model.bin"
    path.write_bytes(path.read_bytes()[:kept])
    refuse(folder, path.name, "not readable as weights", "download it again", stage="semantic")


def test_bin_is_refused_when_it_holds_no_tensors_by_name(folder: Path) -> None:
    (folder / WEIGHTS).unlink()
    torch.save([torch.zeros(2)], folder / "pytorch_model.bin")
    refuse(folder, "pytorch_model.bin", "download it again", stage="semantic")


class _Malice:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def test_bin_that_runs_code_is_refused_and_runs_none(folder: Path, tmp_path: Path) -> None:
    (folder / WEIGHTS).unlink()
    proof = tmp_path / "code-was-run"
    torch.save({"semantic.lm_head.weight": _Malice(proof)}, folder / "pytorch_model.bin")
    refuse(folder, "pytorch_model.bin", "not readable as weights", stage="semantic")
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(_Malice(proof)))
    refuse(folder, "pytorch_model.bin", "not readable as weights", stage="semantic")
    assert not proof.exists()


def test_missing_shard_is_named(folder: Path) -> None:
    in_safetensors_shards(folder, load_file(folder / WEIGHTS))
    (folder / WEIGHTS).unlink()
    (folder / "model-00002-of-00003.safetensors").unlink()
    refuse(folder, "model-00002-of-00003.safetensors", "download it again", stage="semantic")


@pytest.mark.parametrize("index", ["{}", '{"weight_map": []}', '{"weight_map": {"a": 1}}'])
def test_index_of_shards_is_named_when_malformed(folder: Path, index: str) -> None:
    (folder / f"{WEIGHTS}.index.json").write_text(index)
    refuse(folder, f"{WEIGHTS}.index.json", stage="semantic")


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
    refuse(folder, name, "missing", "download it again", stage=stage)


def test_tensor_of_another_shape_is_named_with_both_shapes(folder: Path) -> None:
    name = "semantic.layers.0.mlp.in_proj.weight"
    change_weights(folder, lambda tensors: tensors.update({name: torch.zeros(31, 8)}))
    refuse(folder, name, "[31, 8]", "[32, 8]", "config.json", stage="semantic")


def test_checkpoint_loads_without_the_encoder(folder: Path, pristine: Path) -> None:
    change_weights(
        folder,
        lambda tensors: [
            tensors.pop(name) for name in list(tensors) if name.startswith("codec_model.encoder.")
        ],
    )
    assert_same_tensors(folder, pristine)
