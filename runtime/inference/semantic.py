"""Text to semantic tokens: the prompt and the loop, for one row.

Source: `BarkSemanticModel.generate` of transformers.
"""

import numpy as np

from bark_onnx.graphs.generation_config import SemanticSettings
from bark_onnx.graphs.shapes import CausalShape
from bark_onnx.graphs.voices.voice import Tokens, Voice
from bark_onnx.runtime.inference.decoders.decoder import SequenceGenerator, StepInput
from bark_onnx.runtime.inference.sampling import (
    Logits,
    sample_token,
    token_distribution,
    token_probability,
)
from bark_onnx.runtime.options.generation import ResolvedOptions


def semantic_prompt(
    text_ids: Tokens, voice: Voice | None, settings: SemanticSettings, shape: CausalShape
) -> StepInput:
    """The prompt: text padded to its full length, summed with the voice's end, then one token more.

    Args:
        text_ids: from the tokenizer, (n,) with n <= max_input_semantic_length.
        voice: whose semantic tokens to continue.
        settings: of the checkpoint.
        shape: of the semantic transformer.
    """
    length = settings.max_input_semantic_length
    ids = np.full(settings.prompt_length, settings.text_pad_token)
    ids[: len(text_ids)] = text_ids + settings.text_encoding_offset
    ids[-1] = settings.semantic_infer_token
    history = np.full(settings.prompt_length, settings.semantic_pad_token)
    if voice is not None:
        spoken = voice.semantic_prompt[-length:]
        history[: len(spoken)] = spoken
    history[-1] = shape.input_vocabulary  # adds nothing to the last token
    return StepInput(ids, 0, history)


def generate_semantic(
    prompt: StepInput,
    settings: SemanticSettings,
    options: ResolvedOptions,
    rng: np.random.Generator,
) -> SequenceGenerator[Tokens]:
    """Draw semantic tokens until the end of the utterance.

    Returns:
        Semantic tokens, int64 (n,), without the one that ends the utterance.
    """
    end = settings.semantic_vocab_size  # index of its logit: the last one
    tokens: list[int] = []
    feed, position = prompt, 0
    while True:
        logits = yield feed
        position += len(feed.input_ids)
        token = _draw_token(logits, end, options, rng)
        if token == end:
            break
        tokens.append(token)
        if len(tokens) == options.semantic_max_new_tokens:
            break
        feed = StepInput(np.array([token]), position)
    return np.array(tokens, np.int64)


def _draw_token(
    logits: Logits, end: int, options: ResolvedOptions, rng: np.random.Generator
) -> int:
    if options.min_eos_p is not None and _may_end(logits, end, options.min_eos_p, options):
        return end
    return sample_token(logits, options.semantic, rng)


def _may_end(logits: Logits, end: int, least: float, options: ResolvedOptions) -> bool:
    """Whether ending is likely enough to end at once."""
    if not options.min_eos_p_warped:
        # `BarkEosPrioritizerLogitsProcessor` looks at the logits before the temperature does.
        return token_probability(logits, end) > least
    indices, probabilities = token_distribution(logits, options.semantic)
    return bool(indices[-1] == end and probabilities[-1] >= least)
