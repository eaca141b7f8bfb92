"""Settings of a checkpoint that transformers does not know."""

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import pytest

from bark_onnx.export.bundle import ExportOptions, export_bundle
from bark_onnx.export.checkpoints.generation import SUNO_GENERATION, read_generation
from bark_onnx.export.checkpoints.sources import SourceOptions, open_source
from bark_onnx.export.random_bark import RandomBark, write_checkpoint
from bark_onnx.graphs.bundle.bundle import Bundle
from bark_onnx.graphs.errors import CheckpointError
from bark_onnx.runtime import Bark
from tests.support.checkpoints import change_json
from tests.support.messages import assert_one_line

TEXT = "The sun is warm today. The rain was cold and long. The wind is strong in the night. " * 2


def test_suno_segments_have_13_seconds() -> None:
    settings = read_generation(SUNO_GENERATION)
    assert (settings.text_tokens_per_second, settings.segment_seconds) == (3.6, 13.0)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("text_tokens_per_second", 0),
        ("text_tokens_per_second", "fast"),
        ("segment_seconds", 0.5),
        ("segment_seconds", None),
        ("segment_seconds", float("inf")),
    ],
)
def test_impossible_rates_are_refused(name: str, value: Any) -> None:
    with pytest.raises(CheckpointError) as caught:
        read_generation({**SUNO_GENERATION, name: value})
    assert_one_line(caught.value, name, "expected")


@pytest.fixture(scope="module")
def small_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle with words, segments of 4 seconds, and contexts hardly longer than its windows."""
    folder = tmp_path_factory.mktemp("small") / "checkpoint"
    write_checkpoint(folder, RandomBark(num_layers=1, hidden_size=16, max_new_tokens=40))

    def shorten(config: dict[str, Any]) -> None:
        config["semantic_config"]["block_size"] = 256 + 1 + 40

    change_json(folder / "config.json", shorten)
    change_json(
        folder / "generation_config.json",
        lambda data: data.update(text_tokens_per_second=10.0, segment_seconds=4.0),
    )
    shrink_positions(folder)
    (folder / "words.txt").write_text("sun\nwarm\n")
    checkpoint = open_source(str(folder), SourceOptions())
    target = folder.with_name("bundle")
    export_bundle(checkpoint, target, ExportOptions(), force=False, progress=lambda step: None)
    return target


def shrink_positions(folder: Path) -> None:
    from tests.support.checkpoints import change_weights

    name = "semantic.position_embeds_layer.weight"
    change_weights(folder, lambda tensors: tensors.update({name: tensors[name][:297].clone()}))


def test_parity_is_measured_within_a_small_context(small_bundle: Path) -> None:
    cases = [case.case for case in Bundle(small_bundle).manifest.parity["fp32/semantic"]]
    assert "batch 1, 294 tokens after 3" in cases


def test_words_are_part_of_the_bundle(small_bundle: Path) -> None:
    assert Bundle(small_bundle).known_words() == {"sun", "warm"}


def test_segments_are_as_long_as_the_checkpoint_says(small_bundle: Path) -> None:
    with Bark.load(small_bundle) as bark:
        plan = bark.plan(TEXT)
        assert all(1.0 < segment.seconds <= 4.0 for segment in plan.segments)
        assert plan.segments[0].seconds == plan.segments[0].tokens / 10
        assert len(bark.plan(TEXT, max_seconds=8.0).segments) < len(plan.segments)


def test_words_that_are_not_text_are_refused(tiny_checkpoint: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_checkpoint, tmp_path / "checkpoint"))
    (folder / "words.txt").write_bytes(b"caf\xe9\n")
    checkpoint = dataclasses.replace(open_source(str(folder), SourceOptions()))
    with pytest.raises(CheckpointError) as caught:
        export_bundle(
            checkpoint,
            tmp_path / "b",
            ExportOptions(verify=False),
            force=False,
            progress=lambda step: None,
        )
    assert_one_line(caught.value, "words.txt", "UTF-8", "download it again")
    assert not (tmp_path / "b").exists()
