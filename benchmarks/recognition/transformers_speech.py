"""Sentences said by `BarkModel.generate` of transformers, in a type that this project lacks."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm
from transformers import BarkModel

from bark_onnx.graphs.bundle.bundle import Bundle
from bark_onnx.runtime.text.tokenizer import TextTokenizer
from bark_onnx.runtime.voices.library import VoiceLibrary
from recognition.utterances import Utterance

DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
_VOICE = ("semantic_prompt", "coarse_prompt", "fine_prompt")


def generate_with_transformers(
    checkpoint: Path, dtype: str, bundle: Bundle, said: Sequence[tuple[str, str]], seed: int
) -> list[Utterance]:
    """Say sentences one after the other with the checkpoint's settings.

    Args:
        checkpoint: Folder of the checkpoint that the bundle was exported from.
        dtype: Key of DTYPES.
        bundle: Bundle, for its tokenizer and voices.
        said: Sentences, and voices; an empty name is none.
        seed: Seed of the first sentence; the others follow.
    """
    model = BarkModel.from_pretrained(checkpoint, dtype=DTYPES[dtype]).eval()
    tokenizer, voices = TextTokenizer.from_bundle(bundle), VoiceLibrary(bundle)
    semantic = bundle.manifest.generation.semantic
    counts = _count_tokens(model.semantic)
    utterances = []
    for index, (sentence, name) in enumerate(tqdm(said, "transformers", unit="sentence")):
        ids = torch.zeros((1, semantic.max_input_semantic_length), dtype=torch.long)
        encoded = torch.from_numpy(tokenizer.encode(sentence))
        ids[0, : len(encoded)] = encoded
        voice = voices.load(name or None).voice
        torch.manual_seed(seed + index)
        started = time.perf_counter()
        samples = model.generate(
            ids,
            attention_mask=(torch.arange(ids.shape[1]) < len(encoded)).long()[None],
            history_prompt=voice and {key: torch.tensor(getattr(voice, key)) for key in _VOICE},
        )
        taken = time.perf_counter() - started
        utterances.append(
            Utterance(
                sentence,
                name,
                samples[0].float().numpy(),
                bundle.manifest.shapes.codec.sample_rate_hz,
                taken,
                counts[-1] < semantic.max_new_tokens,
            )
        )
    return utterances


def _count_tokens(model: Any) -> list[int]:
    """The list to which every call of a semantic model adds the number of its tokens."""
    counts: list[int] = []
    generate = model.generate

    def counted(*args: Any, **kwargs: Any) -> Any:
        tokens = generate(*args, **kwargs)
        end = kwargs["semantic_generation_config"].semantic_vocab_size
        counts.append(int((tokens[0] < end).sum()))
        return tokens

    model.generate = counted
    return counts
