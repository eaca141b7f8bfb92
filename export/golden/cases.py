"""Says the texts of a kit, from the ids to the samples, with one stage in memory at a time."""

import math
from collections.abc import Callable

from bark_onnx.export.golden import loops
from bark_onnx.export.golden.files import rounded
from bark_onnx.export.golden.models import CausalModel
from bark_onnx.export.golden.texts import GREEDY, Case, make_cases, resolve
from bark_onnx.export.session import Tokens, open_session
from bark_onnx.graphs.bundle.bundle import Bundle
from bark_onnx.graphs.generation_config import GenerationSettings
from bark_onnx.graphs.voices.voice import Voice

_EARLIEST_END = 4  # tokens before it
_SLIDE_SEEDS = 4  # tried if the greedy tokens end before a window slides
_LEAST_SHARE = 1e-30  # probability that an option can have


def say_cases(
    bundle: Bundle,
    precision: str,
    voices: list[Voice],
    encode: Callable[[str], Tokens],
    progress: Callable[[str], None],
) -> list[Case]:
    """Say all texts of a kit.

    Args:
        bundle: Bundle with the graphs.
        precision: Precision of the graphs.
        voices: One or two voices.
        encode: Token ids of a text.
        progress: Callback that receives one line per stage.
    """
    settings = bundle.manifest.generation
    cases = make_cases(voices, settings, bundle.manifest.shapes.semantic.context_length)
    progress(f"kit: {precision}: semantic")
    model = CausalModel(bundle, "semantic", precision)
    for index, case in enumerate(cases):
        if case.name == "early-end":
            (same,) = (other for other in cases if other.name == "voice")
            case.options |= {"min_eos_p": early_end(same.trace.end_probabilities)}
        _say_semantic(model, case, encode, settings)
        if case.name == "slide":
            cases[index] = _lengthen(model, case, encode, settings)
    progress(f"kit: {precision}: coarse")
    model = CausalModel(bundle, "coarse", precision)
    for case in cases:
        model.reset()
        sampling = resolve(case.options, settings).coarse
        case.coarse = loops.say_coarse(
            model, case.semantic, case.voice, settings, sampling, case.uniforms, case.trace
        )
    del model
    progress(f"kit: {precision}: fine and codec")
    session = open_session(bundle.graph(precision, "fine"))
    for case in cases:
        sampling = resolve(case.options, settings).fine
        case.fine = loops.say_fine(
            session, case.coarse, case.voice, settings, sampling, case.uniforms, case.trace
        )
        if case.name == "slide" and len(case.trace.fine_windows) == 1:
            progress(f"kit: {precision}: the model ends the text before its fine windows slide")
    session = open_session(bundle.graph(precision, "codec"))
    for case in cases:
        case.samples = loops.say_samples(session, case.fine)
    return cases


def early_end(probabilities: list[float]) -> float:
    """A `min_eos_p` that ends an utterance before it ends by itself.

    Args:
        probabilities: Probability of the end before each of its tokens.
    """
    threshold, largest = probabilities[0] / 2, 1.0
    for index in range(_EARLIEST_END, len(probabilities) - 1):
        before = max(max(probabilities[:index]), _LEAST_SHARE)
        if probabilities[index] / before > largest:
            largest = probabilities[index] / before
            threshold = math.sqrt(probabilities[index] * before)
    return max(rounded(threshold), _LEAST_SHARE)


def _say_semantic(
    model: CausalModel,
    case: Case,
    encode: Callable[[str], Tokens],
    settings: GenerationSettings,
) -> None:
    assert model.null_history is not None
    model.reset()
    case.ids = encode(case.text)[: settings.semantic.max_input_semantic_length]
    case.prompt = loops.semantic_prompt(case.ids, case.voice, settings, model.null_history)
    case.semantic = loops.say_semantic(
        model,
        case.prompt,
        settings.semantic.semantic_vocab_size,
        resolve(case.options, settings),
        case.uniforms,
        case.trace,
    )


def _lengthen(
    model: CausalModel,
    case: Case,
    encode: Callable[[str], Tokens],
    settings: GenerationSettings,
) -> Case:
    """The case itself if it is long enough, or else a sampled one that is."""
    length, found = case.options["semantic_max_new_tokens"], case
    for seed in range(_SLIDE_SEEDS):
        if len(found.semantic) == length:
            return found
        options = GREEDY | {
            "semantic_do_sample": True,
            "semantic_temperature": 1.0,
            "semantic_max_new_tokens": length,
        }
        found = Case(case.name, case.text, options, case.voice, seed)
        _say_semantic(model, found, encode, settings)
    return max(case, found, key=lambda each: len(each.semantic))
