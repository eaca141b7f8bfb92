"""--codec: every form of EnCodec gives the same decoder, and anything else is refused."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import EncodecConfig, EncodecModel

from bark_onnx.export.checkpoints.sources import SourceOptions, open_source
from bark_onnx.graphs.errors import CheckpointError
from tests.support.exporting import Run, assert_run_fails, put_in_cache
from tests.support.messages import assert_one_line
from tests.support.suno import Twins, encodec_state

HINTS = ("facebook/encodec_24khz", "encodec_24khz-d7cc33bc.th")


def of_48_khz() -> EncodecModel:
    """EnCodec 48 kHz as configured by the conversion of transformers, with few filters."""
    return EncodecModel(
        EncodecConfig(
            sampling_rate=48_000,
            audio_channels=2,
            use_causal_conv=False,
            norm_type="time_group_norm",
            normalize=True,
            chunk_length_s=1.0,
            overlap=0.01,
            target_bandwidths=[3.0, 6.0],
            num_filters=4,
            hidden_size=16,
        )
    )


@pytest.fixture
def folder(twins: Twins, tmp_path: Path) -> Path:
    """EnCodec alone in the Hugging Face layout."""
    target = tmp_path / "encodec"
    twins.model.codec_model.save_pretrained(target)
    return target


def decoder(twins: Twins, codec: object) -> dict[str, Tensor]:
    """Tensors of the codec's graph."""
    checkpoint = open_source(str(twins.suno), SourceOptions(codec=str(codec)))
    with checkpoint.sub_model("codec") as model:
        used = model.state_dict().items()
        return {
            name: tensor
            for name, tensor in used
            if name.startswith("decoder.") or name.endswith("codebook.embed")
        }


def assert_same_decoder(twins: Twins, codec: object) -> None:
    found = decoder(twins, codec)
    expected = twins.model.codec_model.state_dict()
    assert len([name for name in found if name.endswith("codebook.embed")]) >= 8
    assert {name for name in expected if name.startswith("decoder.")} <= set(found)
    for name, tensor in found.items():
        assert torch.equal(tensor, expected[name]), name


def as_the_original_file(twins: Twins, folder: Path) -> object:
    return twins.codec


def as_a_file_of_a_torch_before_1_6(twins: Twins, folder: Path) -> object:
    path = folder.with_name("old.th")
    state = encodec_state(twins.model.codec_model)
    torch.save(state, path, _use_new_zipfile_serialization=False)
    return path


def as_the_decoder_and_eight_codebooks(twins: Twins, folder: Path) -> object:
    path = folder.with_name("small.th")
    state = encodec_state(twins.model.codec_model)
    kept = tuple(f"quantizer.vq.layers.{layer}._codebook.embed" for layer in range(8))
    torch.save(
        {
            name: tensor
            for name, tensor in state.items()
            if name.startswith("decoder.") or name in kept
        },
        path,
    )
    return path


def as_a_hugging_face_folder(twins: Twins, folder: Path) -> object:
    assert (folder / "model.safetensors").is_file()
    return folder


def as_an_old_hugging_face_folder(twins: Twins, folder: Path) -> object:
    (folder / "model.safetensors").unlink()
    state = twins.model.codec_model.state_dict()
    renamed = {
        name.replace("parametrizations.weight.original0", "weight_g").replace(
            "parametrizations.weight.original1", "weight_v"
        ): tensor
        for name, tensor in state.items()
    }
    torch.save(renamed, folder / "pytorch_model.bin")
    return folder


def as_a_hugging_face_bark(twins: Twins, folder: Path) -> object:
    return twins.huggingface


@pytest.mark.parametrize(
    "form",
    [
        as_the_original_file,
        as_a_file_of_a_torch_before_1_6,
        as_the_decoder_and_eight_codebooks,
        as_a_hugging_face_folder,
        as_an_old_hugging_face_folder,
        as_a_hugging_face_bark,
    ],
)
def test_decoder_is_the_same_for_every_form(
    twins: Twins, folder: Path, form: Callable[[Twins, Path], object]
) -> None:
    assert_same_decoder(twins, form(twins, folder))


def test_decoder_is_the_same_for_a_hub_id(cache: Path, twins: Twins, folder: Path) -> None:
    put_in_cache(cache, "facebook/encodec_24khz", folder)
    assert_same_decoder(twins, "facebook/encodec_24khz")


# Unusable codecs


def refuse(run: Run, twins: Twins, tmp_path: Path, codec: object, *words: str) -> None:
    assert_run_fails(run(twins.suno, tmp_path / "bundle", "--codec", codec), 1, *words)
    assert not (tmp_path / "bundle").exists()


def test_missing_codec_is_refused(run: Run, twins: Twins, tmp_path: Path) -> None:
    codec = tmp_path / "nowhere"
    refuse(run, twins, tmp_path, codec, str(codec), "no such codec", *HINTS)


def test_hub_id_that_is_not_cached_names_the_option(
    run: Run, cache: Path, twins: Twins, tmp_path: Path
) -> None:
    words = ("facebook/encodec_24khz", "not in the local cache", "that folder with --codec")
    refuse(run, twins, tmp_path, "facebook/encodec_24khz", *words)


def test_folder_is_refused_without_a_configuration(run: Run, twins: Twins, tmp_path: Path) -> None:
    refuse(run, twins, tmp_path, twins.tokenizer, "tokenizer", "no config.json", *HINTS)


def test_folder_of_another_model_is_refused(
    run: Run, twins: Twins, folder: Path, tmp_path: Path
) -> None:
    (folder / "config.json").write_text(json.dumps({"model_type": "dac"}))
    refuse(run, twins, tmp_path, folder, "config.json", "'dac'", "'encodec' or 'bark'", *HINTS)


def test_folder_of_the_48_khz_model_is_refused(run: Run, twins: Twins, tmp_path: Path) -> None:
    of_48_khz().save_pretrained(tmp_path / "48")
    refuse(run, twins, tmp_path, tmp_path / "48", "config.json", "EnCodec 24 kHz")


@pytest.mark.parametrize(
    ("key", "value"), [("sampling_rate", 48_000), ("audio_channels", 2), ("pad_mode", "constant")]
)
def test_setting_is_named_when_it_differs_from_24_khz(
    run: Run, twins: Twins, folder: Path, tmp_path: Path, key: str, value: object
) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, key: value}))
    refuse(run, twins, tmp_path, folder, f"config.json: {key} is {value!r}", "EnCodec 24 kHz")


def test_codec_is_refused_with_too_few_codebooks(
    run: Run, twins: Twins, folder: Path, tmp_path: Path
) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "target_bandwidths": [3.0]}))
    words = ("config.json", "num_quantizers of the codec stage is 4", "expected at least 8")
    refuse(run, twins, tmp_path, folder, *words)


def test_folder_is_refused_without_weights(twins: Twins, folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    with pytest.raises(CheckpointError) as caught:
        decoder(twins, folder)
    assert_one_line(caught.value, str(folder), "no weights", "model.safetensors")


def test_file_of_the_48_khz_model_is_refused(run: Run, twins: Twins, tmp_path: Path) -> None:
    path = tmp_path / "encodec_48khz-7e698e3e.th"
    state: dict[str, Tensor] = {}
    for name, tensor in encodec_state(of_48_khz()).items():
        state[name.replace(".norm.", ".conv.norm.")] = tensor
    assert "decoder.model.0.conv.norm.weight" in state
    torch.save(state, path)
    refuse(run, twins, tmp_path, path, path.name, "EnCodec 48 kHz", *HINTS)


@pytest.mark.parametrize(
    ("found", "words"),
    [
        ({"best_state": {"a": torch.zeros(2)}}, ("a dict under 'best_state'", "tensors by name")),
        ({"weight": torch.zeros(2)}, ("not EnCodec 24 kHz", *HINTS)),
        ([torch.zeros(2)], ("found a list", "tensors by name")),
    ],
)
def test_file_of_another_model_is_refused(
    run: Run, twins: Twins, tmp_path: Path, found: Any, words: tuple[str, ...]
) -> None:
    torch.save(found, tmp_path / "other.th")
    refuse(run, twins, tmp_path, tmp_path / "other.th", "other.th", *words)


@pytest.mark.parametrize("kept", [0, 7, 10_000, -100])
@pytest.mark.parametrize("is_archive", [True, False])
def test_file_is_refused_when_truncated(
    run: Run, twins: Twins, tmp_path: Path, kept: int, is_archive: bool
) -> None:
    path = tmp_path / "truncated.th"
    state = encodec_state(twins.model.codec_model)
    torch.save(state, path, _use_new_zipfile_serialization=is_archive)
    path.write_bytes(path.read_bytes()[:kept])
    refuse(run, twins, tmp_path, path, path.name, "not readable as weights", "download it again")


class _Malice:
    def __init__(self, proof: Path) -> None:
        self.proof = proof

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.proof}",)


@pytest.mark.parametrize("is_archive", [True, False])
def test_file_that_runs_code_is_refused_and_runs_none(
    run: Run, twins: Twins, tmp_path: Path, is_archive: bool
) -> None:
    proof, path = tmp_path / "code-was-run", tmp_path / "malice.th"
    torch.save({"a": _Malice(proof)}, path, _use_new_zipfile_serialization=is_archive)
    refuse(run, twins, tmp_path, path, path.name, "not readable as weights", "was not run")
    assert not proof.exists()


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("decoder.model.3.convtr.convtr.weight_v", [64, 32, 8]),  # another rate of upsampling
        ("decoder.model.15.conv.conv.bias", [2]),  # stereo
        ("quantizer.vq.layers.7._codebook.embed", [512, 16]),
    ],
)
def test_tensor_of_another_shape_is_named_as_in_the_file(
    twins: Twins, tmp_path: Path, name: str, shape: list[int]
) -> None:
    state = encodec_state(twins.model.codec_model)
    state[name] = torch.zeros(shape)
    torch.save(state, tmp_path / "codec.th")
    with pytest.raises(CheckpointError) as caught:
        decoder(twins, tmp_path / "codec.th")
    assert_one_line(caught.value, "codec.th", name, str(shape), "EnCodec 24 kHz")


def test_missing_tensor_is_named_as_in_the_file(twins: Twins, tmp_path: Path) -> None:
    state = encodec_state(twins.model.codec_model)
    name = "decoder.model.9.convtr.convtr.weight_g"
    del state[name]
    torch.save(state, tmp_path / "codec.th")
    with pytest.raises(CheckpointError) as caught:
        decoder(twins, tmp_path / "codec.th")
    assert_one_line(caught.value, "codec.th", f"{name} is missing", "download it again")


def test_codec_option_is_refused_for_the_hugging_face_layout(
    run: Run, twins: Twins, tmp_path: Path
) -> None:
    for source in (twins.huggingface, "demo"):
        result = run(source, tmp_path / "b", "--codec", twins.codec)
        assert_run_fails(result, 1, "--codec", "Suno's .pt files", "omit --codec")


def test_folder_with_both_layouts_is_read_as_the_hugging_face_one(
    twins: Twins, tmp_path: Path
) -> None:
    both = Path(shutil.copytree(twins.huggingface, tmp_path / "both"))
    for path in twins.suno.iterdir():
        (both / path.name).symlink_to(path)
    checkpoint = open_source(str(both), SourceOptions())
    assert checkpoint.source == str(both)
    with pytest.raises(CheckpointError) as caught:
        open_source(str(both), SourceOptions(size="small"))
    assert_one_line(caught.value, "--size small", "no config.json", "omit --size")
