"""Configurations of checkpoints, and unusable ones."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bark_onnx.export.checkpoints.checkpoint import open_checkpoint
from bark_onnx.graphs.bundle.bundle import Bundle
from bark_onnx.graphs.errors import BundleError, CheckpointError, printable
from tests.support.checkpoints import assert_refused, change_json
from tests.support.messages import assert_one_line
from tests.support.permissions import permissions_bind


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


# Unusable checkpoints


def test_missing_folder_is_refused(tmp_path: Path) -> None:
    assert_refused(tmp_path / "nowhere", "nowhere", "no such folder", "suno/bark-small", "demo")


@pytest.mark.parametrize("name", ["./bark-small", "../bark-small", "~/bark", "a/b/c", "C:\\bark"])
@pytest.mark.parametrize(
    ("load", "error"), [(open_checkpoint, CheckpointError), (Bundle, BundleError)]
)
def test_path_is_not_taken_for_a_hub_id(
    name: str, load: Callable[[str], object], error: type[Exception]
) -> None:
    with pytest.raises(error) as caught:
        load(name)
    assert_one_line(caught.value, f"{printable(name)}: no such folder")


def test_file_is_refused(folder: Path) -> None:
    assert_refused(folder / "config.json", "config.json is a file; expected", "suno/bark-small")


def test_checkpoint_of_another_model_is_refused(folder: Path) -> None:
    change_json(folder / "config.json", lambda data: data.update(model_type="gpt2"))
    assert_refused(folder, "config.json", "'gpt2'", "expected 'bark'", "suno/bark-small")


@pytest.mark.parametrize("name", ["config.json", "generation_config.json"])
def test_missing_configuration_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    assert_refused(folder, str(folder), f"no {name}", "Hugging Face layout")


@pytest.mark.parametrize("name", ["config.json", "generation_config.json"])
@pytest.mark.parametrize("content", [b'{"model_type": ', b"\xff\xfe\x00", b""])
def test_configuration_is_named_when_its_json_is_broken(
    folder: Path, name: str, content: bytes
) -> None:
    (folder / name).write_bytes(content)
    assert_refused(folder, name, "not readable as JSON")


@pytest.mark.parametrize("name", ["config.json", "generation_config.json"])
def test_configuration_is_named_when_it_is_not_an_object(folder: Path, name: str) -> None:
    (folder / name).write_text("[]")
    assert_refused(folder, name, "the JSON is []", "expected an object")


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
    assert_refused(folder, name)


@pytest.mark.parametrize(
    ("key", "value"), [("norm_type", "time_group_norm"), ("use_causal_conv", False)]
)
def test_codec_is_refused_unless_it_is_encodec_24_khz(
    folder: Path, key: str, value: object
) -> None:
    change_json(folder / "config.json", lambda data: data["codec_config"].update({key: value}))
    assert_refused(
        folder, f"codec_config.{key}", json.dumps(value).strip('"'), "expected", "EnCodec 24 kHz"
    )


def set_to(path: Path, key: str, value: object) -> None:
    def change(data: dict[str, Any]) -> None:
        *parents, name = key.split(".")
        for parent in parents:
            data = data[parent]
        data[name] = value

    change_json(path, change)


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("coarse_acoustics_config.sliding_window_len", 0, "from 1 to 16384"),
        ("coarse_acoustics_config.coarse_rate_hz", 0, "from 1.0 to 1000.0"),
        ("coarse_acoustics_config.coarse_rate_hz", -1, "from 1.0 to 1000.0"),
        ("semantic_config.semantic_rate_hz", 0, "from 1.0 to 1000.0"),
        ("fine_acoustics_config.max_fine_history_length", 0, "from 1 to 16384"),
        ("fine_acoustics_config.max_fine_history_length", 1024, "at most 1023"),
        ("semantic_config.max_input_semantic_length", 0, "from 1 to 16384"),
        ("coarse_acoustics_config.max_coarse_input_length", -1, "from 1 to 16384"),
        ("semantic_config.max_new_tokens", 10**6, "from 1 to 16384"),
        ("semantic_config.top_p", -1, "more than 0.0 and at most 1.0"),
        ("semantic_config.temperature", 1e308, "from 0.0 to 1000000.0"),
        ("semantic_config.eos_token_id", 10**30, "from 0 to 4194304"),
        ("semantic_config.do_sample", "yes", "bool"),
        ("fine_acoustics_config.temperature", 0, "from 1e-06 to 1000000.0"),
        ("sample_rate", 1, "from 8000 to 192000"),
        ("codebook_size", 1024.0, "int"),
    ],
)
def test_generation_setting_out_of_range_is_named_as_in_its_file(
    folder: Path, key: str, value: object, expected: str
) -> None:
    set_to(folder / "generation_config.json", key, value)
    words = (f"generation_config.json: {key} is ", f"expected {expected}", "download it again")
    assert_refused(folder, *words)


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("semantic_config.hidden_size", 10**9, ["hidden_size / num_heads", "from 1 to 1024"]),
        ("coarse_acoustics_config.block_size", 10**9, ["block_size", "from 1 to 16384"]),
        ("coarse_acoustics_config.num_layers", 10**9, ["num_layers", "from 1 to 256"]),
        ("fine_acoustics_config.n_codes_total", 10**6, ["n_codes_total", "from 1 to 64"]),
        ("fine_acoustics_config.n_codes_given", 0, ["n_codes_given", "from 1 to 64"]),
        ("fine_acoustics_config.n_codes_given", 3, ["n_codes_given", "at most 2"]),
        ("codec_config.upsampling_ratios", [0, 0], ["upsampling_ratios[0] is 0", "from 1 to 16"]),
        ("codec_config.upsampling_ratios", [], ["0 upsampling_ratios", "at least one"]),
        ("codec_config.upsampling_ratios", [2] * 300, ["300 upsampling_ratios", "channels"]),
        ("codec_config.upsampling_ratios", [8, 5, 4], ["the product of upsampling_ratios", "316"]),
        ("codec_config.hidden_size", 10**8, ["hidden_size is 100000000", "from 1 to 4096"]),
        ("codec_config.num_filters", 0, ["num_filters is 0", "from 1 to 4096"]),
        ("codec_config.num_filters", 4096, ["num_filters is 4096", "at most 2048 channels"]),
        ("codec_config.target_bandwidths", [], ["0 target_bandwidths", "at least one"]),
        ("codec_config.target_bandwidths", ["x"], ["target_bandwidths"]),
        ("codec_config.num_lstm_layers", 10**6, ["num_lstm_layers", "from 0 to 8"]),
        ("codec_config.model_type", "gpt2", ["codec_config"]),
    ],
)
def test_size_out_of_range_is_named(
    folder: Path, key: str, value: object, words: list[str]
) -> None:
    set_to(folder / "config.json", key, value)
    assert_refused(folder, "config.json", *words)


@pytest.mark.parametrize("name", ["config.json", "generation_config.json", "vocab.txt"])
@pytest.mark.parametrize("kind", ["named pipe", "folder", "device"])
def test_special_file_is_refused_and_not_opened(folder: Path, name: str, kind: str) -> None:
    (folder / name).unlink()
    make = {
        "named pipe": os.mkfifo,
        "folder": Path.mkdir,
        "device": lambda path: path.symlink_to("/dev/zero"),
    }
    make[kind](folder / name)
    with pytest.raises(CheckpointError) as caught:
        open_checkpoint(str(folder)).read_tokenizer()
    assert_one_line(caught.value, f"{folder / name} is a {kind}, expected a regular file")


@pytest.mark.parametrize("name", ["config.json", "vocab.txt"])
def test_unreadable_file_is_named_with_the_reason(folder: Path, name: str) -> None:
    (folder / name).chmod(0)
    with permissions_bind(), pytest.raises(CheckpointError) as caught:
        open_checkpoint(str(folder)).read_tokenizer()
    assert_one_line(caught.value, f"{folder / name}: cannot be read (Permission denied)", "owner")


def test_unreachable_folder_is_named_with_the_reason(folder: Path) -> None:
    folder.parent.chmod(0)
    with permissions_bind():
        assert_refused(folder, f"{folder}: cannot be read (Permission denied)", "owner")
    folder.parent.chmod(0o700)


@pytest.mark.parametrize(
    "change", [lambda words: words[: len(words) // 2], lambda words: [*words, "dog"]]
)
def test_vocabulary_of_another_size_is_refused(
    folder: Path, change: Callable[[list[str]], list[str]]
) -> None:
    path = folder / "vocab.txt"
    words = path.read_text().splitlines()
    path.write_text("\n".join(change(words)) + "\n")
    with pytest.raises(CheckpointError) as caught:
        open_checkpoint(str(folder)).read_tokenizer()
    found = f"has {len(change(words))} entries, the semantic model reads {len(words)}"
    assert_one_line(caught.value, str(folder), found, "--tokenizer")
