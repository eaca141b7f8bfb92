"""Sizes of the sub-models, and sizes too small for the generation settings."""

from pathlib import Path

import pytest

from bark_onnx.export.checkpoints.checkpoint import open_checkpoint
from tests.support.checkpoints import TINY, assert_refused, change_json


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


@pytest.mark.parametrize(
    ("part", "stage", "needs"),
    [
        ("semantic_config", "semantic", "355"),
        ("coarse_acoustics_config", "coarse", "946"),
        ("fine_acoustics_config", "fine", "1024"),
    ],
)
def test_context_is_refused_when_too_short_for_the_settings(
    folder: Path, part: str, stage: str, needs: str
) -> None:
    change_json(folder / "config.json", lambda data: data[part].update(block_size=256))
    assert_refused(folder, f"block_size of the {stage} stage is 256", f"expected at least {needs}")


@pytest.mark.parametrize(
    ("part", "stage", "size", "value", "needs"),
    [
        ("semantic_config", "semantic", "output_vocab_size", 10_000, 10_001),
        ("coarse_acoustics_config", "coarse", "input_vocab_size", 12_095, 12_096),
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
    assert_refused(folder, f"{size} of the {stage} stage is {value}", f"expected at least {needs}")


def test_heads_are_refused_when_they_do_not_divide_the_width(folder: Path) -> None:
    change_json(
        folder / "config.json", lambda data: data["fine_acoustics_config"].update(num_heads=3)
    )
    assert_refused(folder, "config.json", "width 8 with 3 heads")
