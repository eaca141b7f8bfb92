"""Configurations of checkpoints, and unusable ones."""

from pathlib import Path
from typing import Any

import pytest

from bark_onnx.export.checkpoints.checkpoint import open_checkpoint
from tests.support.checkpoints import assert_refused, change_json


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
    assert_refused(folder, name, "found a list", "expected a JSON object")


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
    assert_refused(folder, f"codec_config.{key}", repr(value), "expected", "EnCodec 24 kHz")
