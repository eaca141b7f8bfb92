"""The texts of a kit, with their voices and options."""

import dataclasses
import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bark_onnx.export.golden.requests import Options, Trace
from bark_onnx.export.golden.sampling import Uniforms
from bark_onnx.export.session import Tokens
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

_MAX_NEW_TOKENS = 80  # under two seconds

_GREETING = "Hello, how are you?"
_LONG = "My sister has two dogs and three cats. It will be cold and windy tomorrow night."


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


def make_cases(voices: list[Voice], settings: GenerationSettings, context: int) -> list[Case]:
    """The texts, not yet said; `context` is that of the semantic stage."""
    most = context - settings.semantic.max_input_semantic_length
    short = {"semantic_max_new_tokens": min(most, _MAX_NEW_TOKENS)}
    long = {"semantic_max_new_tokens": min(most, sliding_length(voices[0], settings))}
    lamp, market = (
        "Please turn on the light in the kitchen.",
        "Where is the next supermarket, please?",
    )
    return [
        Case("plain", "See you tomorrow.", GREEDY | short),
        Case("voice", _GREETING, GREEDY | short, voices[0]),
        Case("slide", _LONG, GREEDY | long, voices[0]),
        Case("early-end", _GREETING, GREEDY | short, voices[0]),
        Case("sampled", lamp, SAMPLED | short, voices[-1], seed=6),
        Case("suno", market, SUNO | short, seed=17),
    ]


def sliding_length(voice: Voice, settings: GenerationSettings) -> int:
    """Semantic tokens after which the windows of the fine and the coarse stage have slid."""
    fine = settings.fine
    history = min(voice.fine_prompt.shape[1], fine.max_fine_history_length)
    frames = fine.max_fine_input_length - history + 1
    rate = settings.semantic_to_coarse_ratio / settings.coarse.n_coarse_codebooks
    return math.ceil((frames + 1) / rate)


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
