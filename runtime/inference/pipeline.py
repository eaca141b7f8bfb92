"""The four stages of one request in order, as a generator. Knows nothing of batches or models."""

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import numpy as np

from bark_onnx.graphs.bundle.manifest import Manifest
from bark_onnx.graphs.contract import Stage
from bark_onnx.graphs.voices.voice import Tokens, Voice
from bark_onnx.runtime.audio.speech import Speech
from bark_onnx.runtime.inference.coarse import coarse_length, generate_coarse
from bark_onnx.runtime.inference.codec import generate_samples
from bark_onnx.runtime.inference.fine import fine_passes, generate_fine
from bark_onnx.runtime.inference.progress import Progress
from bark_onnx.runtime.inference.semantic import generate_semantic, semantic_prompt
from bark_onnx.runtime.options.generation import ResolvedOptions
from bark_onnx.runtime.provenance.provenance import Provenance


@dataclass(frozen=True)
class Request:
    """One text to say."""

    text: str
    text_ids: Tokens
    voice: Voice | None
    seed: int
    options: ResolvedOptions
    provenance: Provenance | None = None


@dataclass(frozen=True)
class StageCall:
    """A request's use of one stage."""

    stage: Stage
    generator: Generator[Any, Any, Any]  # sequence for a batch; its result is sent back


SpeechGenerator = Generator[StageCall, Any, Speech]


def generate_speech(request: Request, manifest: Manifest, progress: Progress) -> SpeechGenerator:
    """Generate the speech of one request: yield each stage call and receive its result.

    Args:
        request: Text, voice, seed and options.
        manifest: Shapes and settings of the bundle.
        progress: Counters of the call.
    """
    settings, shapes, options = manifest.generation, manifest.shapes, request.options
    voice, rng = request.voice, np.random.default_rng(request.seed)
    sequence: Generator[Any, Any, Any]
    # 1. Text to semantic tokens.
    progress.add_total("semantic", options.semantic_max_new_tokens)
    prompt = semantic_prompt(request.text_ids, voice, settings.semantic, shapes.semantic)
    sequence = generate_semantic(prompt, settings.semantic, options, rng)
    semantic = yield StageCall("semantic", progress.track("semantic", sequence))
    # The number of semantic tokens determines the totals of all later stages.
    tokens = coarse_length(len(semantic), settings)
    frames = tokens // settings.coarse.n_coarse_codebooks
    progress.add_total("coarse", tokens)
    progress.add_total("fine", fine_passes(frames, voice, settings))
    progress.add_total("codec", frames)
    # 2. Semantic tokens to the first codebooks.
    sequence = generate_coarse(semantic, voice, settings, options.coarse, rng)
    coarse = yield StageCall("coarse", progress.track("coarse", sequence))
    # 3. The first codebooks to all of them.
    sequence = generate_fine(coarse, voice, settings, options.fine, rng)
    codes = yield StageCall("fine", progress.track("fine", sequence))
    # 4. Codes to audio.
    sequence = generate_samples(codes)
    samples = yield StageCall("codec", progress.track("codec", sequence, frames))
    return Speech(
        samples=samples,
        sample_rate_hz=shapes.codec.sample_rate_hz,
        semantic_tokens=semantic,
        coarse_tokens=np.ascontiguousarray(coarse.T),
        fine_tokens=np.ascontiguousarray(codes.T),
        text=request.text,
        voice_name=voice.name if voice else "",
        seed=request.seed,
        provenance=request.provenance,
    )
