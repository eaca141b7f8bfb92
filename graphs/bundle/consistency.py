"""Numbers of a bundle that must fit each other, such as windows and the length of a context.

The exporter checks a checkpoint by these rules, and the runtime bark.json. Each number on its own
has a range where it is declared.
"""

import math
from collections.abc import Iterator

from bark_onnx.graphs.files.dataclass_json import SchemaError
from bark_onnx.graphs.generation_config import MIN_TEMPERATURE, GenerationSettings, Sampling
from bark_onnx.graphs.shapes import ModelShapes

_MAX_RATE_RATIO = 10  # frames per semantic token, or the inverse; 1.5 in Suno's checkpoints
_RATE_TOLERANCE = 0.01

# Key, value, smallest and largest valid one, and the reason for these.
_Bound = tuple[str, float, float, float, str]


def check_settings(settings: GenerationSettings, where: str = "") -> None:
    """Check that generation settings fit each other; keys in errors begin with `where`.

    Raises:
        SchemaError: They do not.
    """
    _check(_settings_bounds(settings), where)


def check_shapes(shapes: ModelShapes, settings: GenerationSettings, where: str = "") -> None:
    """Check that sizes suffice for generation settings; keys in errors begin with `where`.

    Raises:
        SchemaError: A size is too small, or another than the settings imply.
    """
    for bounds in (_semantic_bounds, _coarse_bounds, _fine_bounds, _codec_bounds):
        _check(bounds(shapes, settings), where)


def _check(bounds: Iterator[_Bound], where: str) -> None:
    for key, found, least, most, reason in bounds:
        if least <= found <= most:
            continue
        expected = f"at least {least}" if found < least else f"at most {most}"
        expected = f"{least}" if least == most else expected
        raise SchemaError(f"is {found}, expected {expected} ({reason})", f"{where}{key}")


def _settings_bounds(settings: GenerationSettings) -> Iterator[_Bound]:
    semantic, coarse, fine = settings.semantic, settings.coarse, settings.fine
    yield (
        "semantic.text_encoding_offset",
        semantic.text_encoding_offset,
        0,
        semantic.text_pad_token - 1,
        "the ids of the text end before text_pad_token",
    )
    yield (
        "semantic.semantic_rate_hz",
        semantic.semantic_rate_hz,
        coarse.coarse_rate_hz / _MAX_RATE_RATIO,
        coarse.coarse_rate_hz * _MAX_RATE_RATIO,
        f"coarse_rate_hz is {coarse.coarse_rate_hz}",
    )
    yield (
        "coarse.n_coarse_codebooks",
        coarse.n_coarse_codebooks,
        1,
        fine.n_fine_codebooks,
        "n_fine_codebooks of the fine stage",
    )
    yield (
        "fine.max_fine_history_length",
        fine.max_fine_history_length,
        1,
        fine.max_fine_input_length - 1,
        "it is shorter than max_fine_input_length",
    )
    yield from _sampling_bounds("semantic", semantic.sampling)
    yield from _sampling_bounds("coarse", coarse.sampling)


def _sampling_bounds(stage: str, sampling: Sampling) -> Iterator[_Bound]:
    if sampling.do_sample:
        key = f"{stage}.sampling.temperature"
        yield key, sampling.temperature, MIN_TEMPERATURE, math.inf, "do_sample is true"


def _semantic_bounds(shapes: ModelShapes, settings: GenerationSettings) -> Iterator[_Bound]:
    shape, semantic = shapes.semantic, settings.semantic
    length = semantic.prompt_length + semantic.max_new_tokens - 1
    yield (
        "semantic.context_length",
        shape.context_length,
        length,
        math.inf,
        "a prompt and max_new_tokens",
    )
    largest = max(
        semantic.text_pad_token,
        semantic.semantic_infer_token,
        semantic.semantic_pad_token,
        semantic.semantic_vocab_size,
    )
    yield (
        "semantic.input_vocabulary",
        shape.input_vocabulary,
        largest + 1,
        math.inf,
        "the largest token id, plus 1",
    )
    yield "semantic.first_logit_id", shape.first_logit_id, 0, 0, "the first semantic token"
    logits = semantic.semantic_vocab_size + 1
    yield "semantic.num_logits", shape.num_logits, logits, logits, "semantic_vocab_size, plus 1"


def _coarse_bounds(shapes: ModelShapes, settings: GenerationSettings) -> Iterator[_Bound]:
    shape, coarse = shapes.coarse, settings.coarse
    prompt = coarse.max_coarse_input_length + 1 + coarse.max_coarse_history
    length = prompt + coarse.sliding_window_len - 1
    yield (
        "coarse.context_length",
        shape.context_length,
        length,
        math.inf,
        "a prompt and sliding_window_len",
    )
    first = settings.semantic.semantic_vocab_size
    yield "coarse.first_logit_id", shape.first_logit_id, first, first, "semantic_vocab_size"
    codes = coarse.n_coarse_codebooks * settings.codebook_size
    yield (
        "coarse.num_logits",
        shape.num_logits,
        codes,
        math.inf,
        "n_coarse_codebooks times codebook_size",
    )
    largest = max(
        first + shape.num_logits - 1, coarse.coarse_infer_token, coarse.coarse_semantic_pad_token
    )
    yield (
        "coarse.input_vocabulary",
        shape.input_vocabulary,
        largest + 1,
        math.inf,
        "the largest token id, plus 1",
    )


def _fine_bounds(shapes: ModelShapes, settings: GenerationSettings) -> Iterator[_Bound]:
    shape, fine, codes = shapes.fine, settings.fine, settings.codebook_size
    length = fine.max_fine_input_length
    yield "fine.context_length", shape.context_length, length, math.inf, "max_fine_input_length"
    # The last id marks unknown codes.
    yield "fine.input_vocabulary", shape.input_vocabulary, codes + 1, math.inf, "codebook_size + 1"
    yield "fine.num_logits", shape.num_logits, codes, codes, "codebook_size"
    yield (
        "fine.num_codebooks",
        shape.num_codebooks,
        fine.n_fine_codebooks,
        math.inf,
        "n_fine_codebooks",
    )
    yield (
        "fine.num_given_codebooks",
        shape.num_given_codebooks,
        1,
        settings.coarse.n_coarse_codebooks,
        "n_coarse_codebooks",
    )


def _codec_bounds(shapes: ModelShapes, settings: GenerationSettings) -> Iterator[_Bound]:
    shape, books = shapes.codec, settings.fine.n_fine_codebooks
    yield "codec.num_codebooks", shape.num_codebooks, books, books, "n_fine_codebooks"
    codes = settings.codebook_size
    yield "codec.codebook_size", shape.codebook_size, codes, math.inf, "codebook_size"
    rate = settings.sample_rate_hz
    yield (
        "codec.sample_rate_hz",
        shape.sample_rate_hz,
        rate,
        rate,
        "the sample rate of the settings",
    )
    samples = rate / settings.coarse.coarse_rate_hz
    yield (
        "codec.samples_per_frame",
        shape.samples_per_frame,
        math.floor(samples * (1 - _RATE_TOLERANCE)),
        math.ceil(samples * (1 + _RATE_TOLERANCE)),
        "the sample rate divided by coarse_rate_hz",
    )
