"""Generates the texts of a batch to one length, as `BarkModel` of transformers does.

There the shorter rows of a batch go on to the length of the longest: the coarse stage continues
them past their end, and the fine stage, which sees all frames at once, reads what was added. Rows
of `Bark.speak_batch` end where they end, and equal single runs.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from bark_onnx.graphs.bundle.bundle import Bundle
from bark_onnx.graphs.bundle.manifest import Manifest
from bark_onnx.graphs.generation_config import GenerationSettings, Sampling
from bark_onnx.graphs.voices.voice import Tokens, Voice
from bark_onnx.runtime.audio.speech import Speech
from bark_onnx.runtime.engine.future import wait_all
from bark_onnx.runtime.engine.loaded_bundle import LoadedBundle
from bark_onnx.runtime.inference.coarse import coarse_length, generate_coarse
from bark_onnx.runtime.inference.codec import generate_samples
from bark_onnx.runtime.inference.decoders.decoder import SequenceGenerator
from bark_onnx.runtime.inference.fine import generate_fine
from bark_onnx.runtime.inference.pipeline import SpeechGenerator, StageCall
from bark_onnx.runtime.inference.semantic import generate_semantic, semantic_prompt
from bark_onnx.runtime.options.generation import GenerationOptions, ResolvedOptions
from bark_onnx.runtime.voices.library import VoiceLike


@dataclass(frozen=True)
class BatchSettings:
    """What the rows of one batch share."""

    manifest: Manifest
    voice: Voice | None
    options: ResolvedOptions
    trims: bool  # whether the codec decodes each row to its own length only
    lengths: list[int] = field(default_factory=list)  # semantic tokens of the rows that have ended


class BatchedBark(LoadedBundle):
    """A loaded bundle that generates batches as `BarkModel` does."""

    @property
    def bundle(self) -> Bundle:
        """The bundle on disk."""
        return self._bundle

    def generate_batch(
        self,
        text_ids: Sequence[Tokens],
        *,
        voice: VoiceLike,
        seeds: Sequence[int],
        options: GenerationOptions,
        trims: bool,
    ) -> list[Speech]:
        """Speech of every row.

        Args:
            text_ids: Token ids of the tokenizer, (n,) each, at most as many as a prompt has.
            voice: Voice that all rows continue.
            seeds: One seed per row.
            options: Options of all rows.
            trims: Whether the samples of a row end with its speech, not with the longest row's.

        Raises:
            BarkError: An option is out of range, the voice unusable, or a stage failed.
        """
        found, resolved = self._builder.voices.load(voice).voice, self._builder.resolve(options)
        batch = BatchSettings(self._bundle.manifest, found, resolved, trims)
        generators = [
            _generate_row(ids, seed, batch) for ids, seed in zip(text_ids, seeds, strict=True)
        ]
        return wait_all(self._engine.submit(generators, keepalive=self))


def _generate_row(text_ids: Tokens, seed: int, batch: BatchSettings) -> SpeechGenerator:
    """As `generate_speech`, for a row of a batch."""
    settings, shapes, options = batch.manifest.generation, batch.manifest.shapes, batch.options
    rng, voice = np.random.default_rng(seed), batch.voice
    prompt = semantic_prompt(text_ids, voice, settings.semantic, shapes.semantic)
    semantic = yield StageCall(
        "semantic", generate_semantic(prompt, settings.semantic, options, rng)
    )
    batch.lengths.append(len(semantic))
    # The engine starts the coarse stage of all requests of a call together: the lengths are known.
    coarse = yield StageCall(
        "coarse", _generate_coarse(semantic, batch, settings, options.coarse, rng)
    )
    fine = yield StageCall("fine", generate_fine(coarse, voice, settings, options.fine, rng))
    frames = coarse_length(len(semantic), settings) // settings.coarse.n_coarse_codebooks
    samples = yield StageCall("codec", generate_samples(fine[:frames] if batch.trims else fine))
    return Speech(
        samples=samples,
        sample_rate_hz=shapes.codec.sample_rate_hz,
        semantic_tokens=semantic,
        coarse_tokens=np.ascontiguousarray(coarse.T),
        fine_tokens=np.ascontiguousarray(fine.T),
        text="",
        voice_name="",
        seed=seed,
    )


def _generate_coarse(
    semantic: Tokens,
    batch: BatchSettings,
    settings: GenerationSettings,
    sampling: Sampling,
    rng: np.random.Generator,
) -> SequenceGenerator[Tokens]:
    """Coarse tokens for as long as the longest row, the semantic tokens padded at their end."""
    padding = (0, max(batch.lengths) - len(semantic))
    padded = np.pad(semantic, padding, constant_values=settings.coarse.coarse_semantic_pad_token)
    return (yield from generate_coarse(padded, batch.voice, settings, sampling, rng))
