"""The four stages one after the other, for one request or many at once."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bark_onnx.graphs.contract import CODEBOOK_INDEX, CODES, FRAME_INDICES
from bark_onnx.graphs.voices import Tokens, Voice
from bark_onnx.runtime.audio import Speech
from bark_onnx.runtime.coarse import coarse_length, generate_coarse
from bark_onnx.runtime.fine import fine_passes, generate_fine
from bark_onnx.runtime.options import ResolvedOptions
from bark_onnx.runtime.progress import Counter, OnProgress
from bark_onnx.runtime.rows import Row, run_rows
from bark_onnx.runtime.semantic import generate_semantic, semantic_prompt
from bark_onnx.runtime.stages import Stages


@dataclass(frozen=True)
class Request:
    """One text to say."""

    text: str
    text_ids: Tokens
    voice: Voice | None
    seed: int
    rng: np.random.Generator


def synthesize(
    requests: list[Request],
    options: ResolvedOptions,
    stages: Stages,
    on_progress: OnProgress | None,
) -> list[Speech]:
    """Say all requests together, stage by stage.

    Args:
        requests: what to say.
        options: how; the same for all.
        stages: of the bundle.
        on_progress: hears how far it has come.
    """
    manifest = stages.manifest
    settings, shapes = manifest.generation, manifest.shapes
    # 1. Text to semantic tokens, all rows together.
    prompts = [
        semantic_prompt(request.text_ids, request.voice, settings.semantic, shapes.semantic)
        for request in requests
    ]
    semantic = _decode(
        stages,
        Counter("semantic", len(requests) * options.semantic_max_new_tokens, on_progress),
        [
            generate_semantic(prompt, settings.semantic, options, request.rng)
            for request, prompt in zip(requests, prompts, strict=True)
        ],
    )
    # 2. Semantic tokens to the first codebooks, all rows together.
    total = sum(coarse_length(len(tokens), settings) for tokens in semantic)
    coarse = _decode(
        stages,
        Counter("coarse", total, on_progress),
        [
            generate_coarse(tokens, request.voice, settings, options.coarse, request.rng)
            for request, tokens in zip(requests, semantic, strict=True)
        ],
    )
    # 3. The first codebooks to all of them, row by row.
    fine = _fine(stages, coarse, requests, options, on_progress)
    # 4. Codes to audio, row by row: the codec is no faster on several.
    samples = _codec(stages, fine, on_progress)
    return [
        Speech(
            samples=audio,
            sample_rate_hz=manifest.shapes.codec.sample_rate_hz,
            semantic_tokens=tokens,
            coarse_tokens=np.ascontiguousarray(first.T),
            fine_tokens=np.ascontiguousarray(codes.T),
            text=request.text,
            voice_name=request.voice.name if request.voice else "",
            seed=request.seed,
        )
        for request, tokens, first, codes, audio in zip(
            requests, semantic, coarse, fine, samples, strict=True
        )
    ]


def _decode(stages: Stages, counter: Counter, rows: list[Row[Tokens]]) -> list[Tokens]:
    with stages.use(counter.stage) as decoder:
        results = dict(run_rows(decoder, [counter.counted(row) for row in rows]))
    return [results[index] for index in range(len(rows))]


def _fine(
    stages: Stages,
    coarse: list[Tokens],
    requests: list[Request],
    options: ResolvedOptions,
    on_progress: OnProgress | None,
) -> list[Tokens]:
    settings = stages.manifest.generation
    passes = sum(
        fine_passes(len(codes), request.voice, settings)
        for request, codes in zip(requests, coarse, strict=True)
    )
    counter = Counter("fine", passes, on_progress)
    with stages.use("fine") as session:

        def predict(codes: Tokens, codebook: int, frames: Tokens) -> NDArray[np.float32]:
            feeds = {CODES: codes, CODEBOOK_INDEX: np.array(codebook), FRAME_INDICES: frames}
            logits: NDArray[np.float32] = session.run(None, feeds)[0]
            counter.add()
            return logits

        return [
            generate_fine(codes, request.voice, settings, options.fine, request.rng, predict)
            for request, codes in zip(requests, coarse, strict=True)
        ]


def _codec(
    stages: Stages, fine: list[Tokens], on_progress: OnProgress | None
) -> list[NDArray[np.float32]]:
    counter = Counter("codec", sum(len(codes) for codes in fine), on_progress)
    samples = []
    with stages.use("codec") as session:
        for codes in fine:
            if len(codes):
                samples.append(session.run(None, {CODES: codes.T[None]})[0][0])
            else:
                samples.append(np.zeros(0, np.float32))
            counter.add(len(codes))
    return samples
