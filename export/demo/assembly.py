"""Puts the trained stages together: a checkpoint of Bark in the layout of Hugging Face."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from transformers import BarkConfig, BarkModel

from bark_onnx.export.checkpoints.checkpoint import CONFIG_NAME
from bark_onnx.export.checkpoints.generation import GENERATION_NAME
from bark_onnx.export.demo import codec, corpus, sizes
from bark_onnx.export.demo.coarse import coarse_config
from bark_onnx.export.demo.fine import fine_config
from bark_onnx.export.demo.semantic import semantic_config
from bark_onnx.export.demo.text import vocabulary, write_tokenizer
from bark_onnx.export.demo.words import known_words
from bark_onnx.graphs.bundle.manifest import WORDS_NAME
from bark_onnx.graphs.voices.presets import VOICE_INDEX_NAME

# What the presets say, and by whom.
_VOICES = {"v2/en_speaker_0": "slt", "v2/en_speaker_1": "rms"}
_VOICE_TEXT = "Good morning, my friend. The weather is nice today."


def write_checkpoint(work: Path, folder: Path) -> None:
    """Write weights in fp16, configurations, tokenizer, voices and words.

    Args:
        work: Folder of the training, with semantic.pt, coarse.pt, fine.pt and codec.pt.
        folder: Folder to write to.
    """
    folder.mkdir(parents=True, exist_ok=True)
    size = len(vocabulary())
    config = BarkConfig(
        semantic_config=semantic_config(size).to_dict(),
        coarse_acoustics_config=coarse_config().to_dict(),
        fine_acoustics_config=fine_config().to_dict(),
        codec_config=codec.codec_config().to_dict(),
    )
    model = BarkModel(config)
    for name, module in (
        ("semantic", model.semantic),
        ("coarse", model.coarse_acoustics),
        ("fine", model.fine_acoustics),
        ("codec", model.codec_model),
    ):
        module.load_state_dict(torch.load(work / f"{name}.pt"))
    # Causal masks follow from the sizes, and the heads of the fine model are its embeddings.
    tensors = {
        name: tensor.half() if tensor.is_floating_point() else tensor
        for name, tensor in model.state_dict().items()
        if not name.endswith(".attn.bias") and ".lm_heads." not in name
    }
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    _write_json(folder / CONFIG_NAME, {**config.to_dict(), "architectures": ["BarkModel"]})
    _write_json(folder / GENERATION_NAME, sizes.generation_config(size))
    write_tokenizer(folder)
    _write_voices(work, folder)
    (folder / WORDS_NAME).write_text("\n".join(known_words()) + "\n", encoding="utf-8")


def _write_voices(work: Path, folder: Path) -> None:
    """Write a preset of each teacher in the layout of Suno's speaker embeddings."""
    index: dict[str, Any] = {"repo_or_path": "demo"}
    recorded = {each.teacher: each for each in corpus.load(work, "voices")}
    for name, teacher in _VOICES.items():
        codes = recorded[teacher].codes.astype(np.int64)
        arrays = {
            "semantic_prompt": recorded[teacher].semantic.astype(np.int64),
            "coarse_prompt": codes[: sizes.NUM_COARSE],
            "fine_prompt": codes,
        }
        index[name] = {key: f"speaker_embeddings/{name}_{key}.npy" for key in arrays}
        for key, array in arrays.items():
            path = folder / index[name][key]
            path.parent.mkdir(parents=True, exist_ok=True)
            np.save(path, array)
    _write_json(folder / VOICE_INDEX_NAME, index)


def record_voices(work: Path) -> None:
    """Record what the presets say."""
    corpus.record(work, [_VOICE_TEXT], "voices")


def _write_json(path: Path, data: dict[str, Any]) -> None:
    path.write_text(json.dumps(data, indent=2) + "\n", encoding="utf-8")
