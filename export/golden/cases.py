"""The texts of a kit, from the ids to the samples."""

import dataclasses
import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bark_onnx.export.golden import loops
from bark_onnx.export.golden.files import KitFiles, rounded
from bark_onnx.export.golden.loops import Options, Trace
from bark_onnx.export.golden.models import CausalModel
from bark_onnx.export.golden.sampling import Uniforms
from bark_onnx.export.session import Tokens, open_session
from bark_onnx.graphs.bundle.bundle import Bundle
from bark_onnx.graphs.generation_config import GenerationSettings, Sampling
from bark_onnx.graphs.voices.voice import Voice

GREEDY = {"semantic_do_sample": False, "coarse_do_sample": False, "fine_do_sample": False}
SAMPLED = {
    "semantic_do_sample": True,
    "semantic_temperature": 0.7,
    "semantic_top_k": 20,
    "semantic_top_p": 0.9,
    "coarse_do_sample": True,
    "coarse_temperature": 0.6,
    "coarse_top_k": 30,
    "coarse_top_p": 0.95,
    "fine_temperature": 0.5,
}
SUNO = {
    "semantic_do_sample": True,
    "semantic_temperature": 0.7,
    "semantic_top_k": 0,
    "semantic_top_p": 1.0,
    "min_eos_p": 0.2,
    "min_eos_p_warped": True,
    "coarse_do_sample": True,
    "coarse_temperature": 0.7,
    "coarse_top_k": 0,
    "coarse_top_p": 1.0,
    "fine_do_sample": True,
    "fine_temperature": 0.5,
}

SAMPLE_TOLERANCE = 2e-3
_MAX_NEW_TOKENS = 80  # under two seconds
_SHOWN_SAMPLES = 8
_SAMPLE_STEP = 40  # between the samples that a kit shows
_SLIDE_SEEDS = 4  # tried if the greedy tokens end before a window slides

_GREETING = "Hello! The weather is warm and sunny today."
_LONG = (
    "We had dinner with our children on Sunday. The train to London leaves at seven thirty, "
    "and it will be cold and windy tomorrow night."
)


@dataclass
class Case:
    """One text, and what the stages have made of it so far."""

    name: str
    text: str
    options: dict[str, Any]
    voice: Voice | None = None
    seed: int = 0
    ids: Tokens = field(default_factory=lambda: np.zeros(0, np.int64))
    trace: Trace = field(default_factory=Trace)
    prompt: tuple[Tokens, Tokens] | None = None
    semantic: Tokens = field(default_factory=lambda: np.zeros(0, np.int64))
    coarse: Tokens = field(default_factory=lambda: np.zeros((0, 0), np.int64))
    fine: Tokens = field(default_factory=lambda: np.zeros((0, 0), np.int64))
    samples: Any = None

    def __post_init__(self) -> None:
        self.uniforms = Uniforms(self.seed)


def say_cases(
    bundle: Bundle,
    precision: str,
    voices: list[Voice],
    encode: Callable[[str], Tokens],
    progress: Callable[[str], None],
) -> list[Case]:
    """Say all texts of a kit, with one stage in memory at a time.

    Args:
        bundle: Bundle with the graphs.
        precision: Precision of the graphs.
        voices: One or two voices.
        encode: Token ids of a text.
        progress: Callback that receives one line per stage.
    """
    settings = bundle.manifest.generation
    cases = _texts(voices, settings)
    progress(f"kit: {precision}: semantic")
    model = CausalModel(bundle, "semantic", precision)
    for index, case in enumerate(cases):
        if case.name == "early-end":
            case.options |= {"min_eos_p": early_end(cases[0].trace.end_probabilities)}
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
    session = open_session(bundle.graph(precision, "codec"))
    for case in cases:
        case.samples = loops.say_samples(session, case.fine)
    return cases


def _texts(voices: list[Voice], settings: GenerationSettings) -> list[Case]:
    short = {"semantic_max_new_tokens": min(_MAX_NEW_TOKENS, settings.semantic.max_new_tokens)}
    long = {"semantic_max_new_tokens": sliding_length(voices[0], settings)}
    return [
        Case("plain", _GREETING, GREEDY | short),
        Case("voice", "Good morning, my friend. How are you?", GREEDY | short, voices[0]),
        Case("slide", _LONG, GREEDY | long, voices[0]),
        Case("early-end", _GREETING, GREEDY | short),
        Case(
            "sampled",
            "Please turn on the light in the kitchen.",
            SAMPLED | short,
            voices[-1],
            seed=42,
        ),
        Case("suno", "Where is the next supermarket, please?", SUNO | short, seed=2**53 - 1),
    ]


def sliding_length(voice: Voice, settings: GenerationSettings) -> int:
    """Semantic tokens after which the windows of the fine and the coarse stage have slid."""
    fine = settings.fine
    history = min(voice.fine_prompt.shape[1], fine.max_fine_history_length)
    frames = fine.max_fine_input_length - history + 1
    rate = settings.semantic_to_coarse_ratio / settings.coarse.n_coarse_codebooks
    return min(math.ceil((frames + 1) / rate), settings.semantic.max_new_tokens)


def early_end(probabilities: list[float]) -> float:
    """A `min_eos_p` that ends an utterance before it ends by itself.

    Args:
        probabilities: Probability of the end before each of its tokens.
    """
    best, threshold = 0.0, probabilities[0] / 2
    for index in range(1, len(probabilities) - 1):
        before = max(max(probabilities[:index]), 1e-30)
        if probabilities[index] / before > best > 0 or (index > 3 and best == 0.0):
            if probabilities[index] > before:
                best = probabilities[index] / before
                threshold = math.sqrt(probabilities[index] * before)
    return rounded(threshold)


def resolve(options: dict[str, Any], settings: GenerationSettings) -> Options:
    """Options completed with the checkpoint's values."""

    def sampling(stage: str, defaults: Sampling) -> Sampling:
        names = [each.name for each in dataclasses.fields(Sampling)]
        given = {name: options.get(f"{stage}_{name}") for name in names}
        return dataclasses.replace(
            defaults, **{name: value for name, value in given.items() if value is not None}
        )

    temperature = options.get("fine_temperature", settings.fine.temperature)
    return Options(
        semantic=sampling("semantic", settings.semantic.sampling),
        coarse=sampling("coarse", settings.coarse.sampling),
        fine=Sampling(options.get("fine_do_sample", temperature != 1.0), temperature, 0, 1.0),
        semantic_max_new_tokens=options["semantic_max_new_tokens"],
        min_eos_p=options.get("min_eos_p"),
        min_eos_p_warped=options.get("min_eos_p_warped", False),
    )


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


def describe(case: Case, files: KitFiles, precision: str, bundle: Bundle) -> dict[str, Any]:
    """The JSON of a case; `files` receives samples."""
    assert case.prompt is not None
    input_ids, history_ids = case.prompt
    return {
        "name": case.name,
        "text": case.text,
        "voice": case.voice.name if case.voice else None,
        "seed": case.seed,
        "options": case.options,
        "resolved": dataclasses.asdict(resolve(case.options, bundle.manifest.generation)),
        "text_ids": case.ids.tolist(),
        "prompt": {"input_ids": input_ids.tolist(), "history_ids": history_ids.tolist()},
        "semantic_end": case.trace.end,
        "semantic_tokens": case.semantic.tolist(),
        "coarse_windows": case.trace.coarse_windows,
        "coarse_tokens": case.coarse.T.tolist(),
        "fine_windows": case.trace.fine_windows,
        "fine_tokens": case.fine.T.tolist(),
        "uniforms": {"count": case.uniforms.count, "first": case.uniforms.first},
        "closest": {
            stage: rounded(margin.closest) if math.isfinite(margin.closest) else None
            for stage, margin in case.trace.margins.items()
        },
        "samples": _samples(case, files, precision, bundle.manifest.shapes.codec.sample_rate_hz),
    }


def _samples(case: Case, files: KitFiles, precision: str, rate_hz: int) -> dict[str, Any]:
    samples = case.samples
    power = float(np.mean(np.square(samples, dtype=np.float64))) if len(samples) else 0.0
    return {
        "sample_rate_hz": rate_hz,
        "count": len(samples),
        "sha256": hashlib.sha256(samples.astype("<f4").tobytes()).hexdigest(),
        "tolerance": SAMPLE_TOLERANCE,
        "rms": math.sqrt(power),
        "first": samples[:_SHOWN_SAMPLES].tolist(),
        "last": samples[-_SHOWN_SAMPLES:].tolist(),
        "step": _SAMPLE_STEP,
        "every_step": files.write_array(
            f"{precision}/cases/{case.name}", samples[::_SAMPLE_STEP], tolerance=SAMPLE_TOLERANCE
        ),
    }
