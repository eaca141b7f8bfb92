"""Text to semantic tokens: the prompt and the loop, for one sequence.

Source: `BarkSemanticModel.generate` of transformers.
"""

from dataclasses import replace

import numpy as np

from bark_onnx.graphs.generation_config import SemanticSettings
from bark_onnx.graphs.shapes import CausalShape
from bark_onnx.graphs.voices.voice import Tokens, Voice
from bark_onnx.runtime.inference.decoders.decoder import SequenceGenerator, StepInput
from bark_onnx.runtime.inference.draws import Draw, EndRule, check_drawn
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
    rule = None
    if options.min_eos_p is not None:
        rule = EndRule(end, options.min_eos_p, options.min_eos_p_warped)
    draw = Draw(options.semantic, rng, end=rule)
    tokens: list[int] = []
    step, position = replace(prompt, draw=draw), 0
    while True:
        token = yield step
        check_drawn(token, "semantic")
        position += len(step.input_ids)
        if token == end:
            break
        tokens.append(token)
        if len(tokens) == options.semantic_max_new_tokens:
            break
        step = StepInput(np.array([token]), position, draw=draw)
    return np.array(tokens, np.int64)
