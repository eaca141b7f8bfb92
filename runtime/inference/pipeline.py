"""The four stages one after the other, for one request. Knows nothing of who runs them."""

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
    """What a request needs from one stage."""

    stage: Stage
    generator: Generator[Any, Any, Any]  # as batches run it; its result is sent back


Synthesis = Generator[StageCall, Any, Speech]


def generate_speech(request: Request, manifest: Manifest, progress: Progress) -> Synthesis:
    """Say one request; yields what it needs from each stage and receives what came out.

    Args:
        request: what to say.
        manifest: of the bundle: shapes and settings.
        progress: hears how far it has come.
    """
    settings, shapes, options = manifest.generation, manifest.shapes, request.options
    voice, rng = request.voice, np.random.default_rng(request.seed)
    # 1. Text to semantic tokens.
    progress.expect("semantic", options.semantic_max_new_tokens)
    prompt = semantic_prompt(request.text_ids, voice, settings.semantic, shapes.semantic)
    row: Generator[Any, Any, Any] = generate_semantic(prompt, settings.semantic, options, rng)
    semantic = yield StageCall("semantic", progress.counted("semantic", row))
    # From here on it is certain how much there is to do.
    tokens = coarse_length(len(semantic), settings)
    frames = tokens // settings.coarse.n_coarse_codebooks
    progress.expect("coarse", tokens)
    progress.expect("fine", fine_passes(frames, voice, settings))
    progress.expect("codec", frames)
    # 2. Semantic tokens to the first codebooks.
    row = generate_coarse(semantic, voice, settings, options.coarse, rng)
    coarse = yield StageCall("coarse", progress.counted("coarse", row))
    # 3. The first codebooks to all of them.
    row = generate_fine(coarse, voice, settings, options.fine, rng)
    codes = yield StageCall("fine", progress.counted("fine", row))
    # 4. Codes to audio.
    row = generate_samples(codes)
    samples = yield StageCall("codec", progress.counted("codec", row, frames))
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
