"""Text to semantic tokens: the prompt and the loop, for one sequence.

Source: `BarkSemanticModel.generate` of transformers.
"""

import numpy as np

from bark_onnx.graphs.generation_config import SemanticSettings
from bark_onnx.graphs.shapes import CausalShape
from bark_onnx.graphs.voices.voice import Tokens, Voice
from bark_onnx.runtime.inference.decoders.decoder import SequenceGenerator, StepInput
from bark_onnx.runtime.inference.sampling import (
    Logits,
    check_finite,
    sample_token,
    token_distribution,
    token_probability,
)
from bark_onnx.runtime.options.generation import ResolvedOptions


def semantic_prompt(
    text_ids: Tokens, voice: Voice | None, settings: SemanticSettings, shape: CausalShape
) -> StepInput:
    """Prompt: the text, padded and summed with the end of the voice, then the infer token.

    Args:
        text_ids: Token ids of the tokenizer, (n,) with n <= max_input_semantic_length.
        voice: Voice whose semantic tokens are continued.
        settings: Semantic settings of the checkpoint.
        shape: Shape of the semantic transformer.
    """
    length = settings.max_input_semantic_length
    ids = np.full(settings.prompt_length, settings.text_pad_token)
    ids[: len(text_ids)] = text_ids + settings.text_encoding_offset
    ids[-1] = settings.semantic_infer_token
    history = np.full(settings.prompt_length, settings.semantic_pad_token)
    if voice is not None:
        semantic_history = voice.semantic_prompt[-length:]
        history[: len(semantic_history)] = semantic_history
    history[-1] = shape.input_vocabulary  # null id: adds nothing to the last token
    return StepInput(ids, 0, history)


def generate_semantic(
    prompt: StepInput,
    settings: SemanticSettings,
    options: ResolvedOptions,
    rng: np.random.Generator,
) -> SequenceGenerator[Tokens]:
    """Sample semantic tokens until the end of the utterance.

    Returns:
        Semantic tokens, int64 (n,), without the one that ends the utterance.
    """
    end = settings.semantic_vocab_size  # index of the last logit
    tokens: list[int] = []
    step, position = prompt, 0
    while True:
        logits = yield step
        check_finite(logits, "semantic")
        position += len(step.input_ids)
        token = _sample_semantic(logits, end, options, rng)
        if token == end:
            break
        tokens.append(token)
        if len(tokens) == options.semantic_max_new_tokens:
            break
        step = StepInput(np.array([token]), position)
    return np.array(tokens, np.int64)


def _sample_semantic(
    logits: Logits, end: int, options: ResolvedOptions, rng: np.random.Generator
) -> int:
    if options.min_eos_p is not None and _is_end_likely(logits, end, options.min_eos_p, options):
        return end
    return sample_token(logits, options.semantic, rng)


def _is_end_likely(
    logits: Logits, end: int, min_probability: float, options: ResolvedOptions
) -> bool:
    """Whether the end token is probable enough to end the utterance without sampling."""
    if not options.min_eos_p_warped:
        # `BarkEosPrioritizerLogitsProcessor` reads the logits before the temperature is applied.
        return token_probability(logits, end) > min_probability
    indices, probabilities = token_distribution(logits, options.semantic)
    return bool(indices[-1] == end and probabilities[-1] >= min_probability)
