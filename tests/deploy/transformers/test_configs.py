"""The configurations of a `BarkOnnxModel` are those of the checkpoint."""

import json
from pathlib import Path

from bark_onnx.transformers import BarkOnnxModel
from tests.deploy.transformers.conftest import Pair


def test_the_generation_config_is_that_of_the_checkpoint(
    model: BarkOnnxModel, random_checkpoint: Path
):
    stored = json.loads((random_checkpoint / "generation_config.json").read_text())
    found = model.generation_config.to_dict()
    assert {name: found[name] for name in stored} == stored


def test_the_config_has_the_sizes_of_the_checkpoint(pair: Pair):
    found, expected = pair.onnx.config, pair.torch.config
    assert found.model_type == "bark"
    parts = ("semantic_config", "coarse_acoustics_config", "fine_acoustics_config")
    for part in parts:
        for name in ("num_layers", "num_heads", "hidden_size", "block_size", "input_vocab_size"):
            assert getattr(getattr(found, part), name) == getattr(getattr(expected, part), name)
    assert found.fine_acoustics_config.n_codes_total == 8
    assert found.codec_config.sampling_rate == expected.codec_config.sampling_rate == 24_000
