"""Builds requests: text, voice, seed and options, checked before anything is generated."""

from collections.abc import Sequence
from dataclasses import dataclass

from bark_onnx.graphs.bundle.manifest import Manifest
from bark_onnx.graphs.errors import OptionsError, TextError
from bark_onnx.runtime.inference.pipeline import Request
from bark_onnx.runtime.options.generation import GenerationOptions, ResolvedOptions
from bark_onnx.runtime.provenance.recorder import ProvenanceRecorder
from bark_onnx.runtime.seeds import resolve_seed
from bark_onnx.runtime.text.tokenizer import TextTokenizer
from bark_onnx.runtime.voices.library import VoiceLibrary, VoiceLike


@dataclass(frozen=True)
class RequestBuilder:
    """What every request to one bundle is built from."""

    manifest: Manifest
    tokenizer: TextTokenizer
    voices: VoiceLibrary
    recorder: ProvenanceRecorder

    def resolve(self, options: GenerationOptions) -> ResolvedOptions:
        """Options completed with the checkpoint's values.

        Raises:
            OptionsError: The combination is impossible.
        """
        return options.resolve(self.manifest.generation, self.manifest.shapes.semantic)

    def build(
        self, text: str, voice: VoiceLike, seed: int | None, options: GenerationOptions
    ) -> Request:
        """One request; a seed of None is drawn.

        Raises:
            BarkError: The text is empty, the voice unknown, or the seed out of range.
        """
        return self._build(text, voice, seed, options, self.resolve(options))

    def build_batch(
        self,
        texts: Sequence[str],
        voices: VoiceLike | Sequence[VoiceLike],
        seed: int | Sequence[int] | None,
        options: GenerationOptions,
    ) -> list[Request]:
        """One request per text, with a voice and a seed for all or for each.

        Raises:
            BarkError: As for `build`, or the numbers of texts, voices and seeds differ.
        """
        resolved = self.resolve(options)
        if isinstance(texts, str):
            raise TextError("texts is a single text; expected a sequence of texts, or use speak")
        seeds = [*seed] if isinstance(seed, Sequence) else [seed] * len(texts)
        voice_list = _broadcast(voices, len(texts))
        for what, found in (("voices", len(voice_list)), ("seeds", len(seeds))):
            if found != len(texts):
                raise OptionsError(f"{found} {what} for {len(texts)} texts; expected as many")
        return [
            self._build(text, voice, number, options, resolved)
            for text, voice, number in zip(texts, voice_list, seeds, strict=True)
        ]

    def _build(
        self,
        text: str,
        voice: VoiceLike,
        seed: int | None,
        options: GenerationOptions,
        resolved: ResolvedOptions,
    ) -> Request:
        number = resolve_seed(seed)
        ids = self.tokenizer.encode(text)
        found = self.voices.load(voice)
        provenance = self.recorder.for_single_request(text, len(ids), number, found.ref, options)
        return Request(text, ids, found.voice, number, resolved, provenance)


def _broadcast(voices: VoiceLike | Sequence[VoiceLike], count: int) -> list[VoiceLike]:
    if isinstance(voices, Sequence) and not isinstance(voices, str):
        return [*voices]
    return [voices] * count
