"""Writes down how each sound is made, from what was asked for and the bundle that says it."""

import dataclasses
import math
import re
from collections.abc import Mapping

from bark_onnx.graphs.bundle.bundle import Bundle
from bark_onnx.graphs.voices.provenance import software_version
from bark_onnx.runtime.options.generation import GenerationOptions
from bark_onnx.runtime.options.stream import StreamOptions
from bark_onnx.runtime.provenance.provenance import BundleRef, Provenance, VoiceRef
from bark_onnx.runtime.text.segments import MAX_SECONDS, TOKENS_PER_SECOND


class ProvenanceRecorder:
    """Writes recipes for one loaded bundle.

    Args:
        bundle: that speaks.
        precision: that was picked.
        provider: that it runs on.
        onnxruntime_version: Version of ONNX Runtime.
    """

    def __init__(
        self, bundle: Bundle, *, precision: str, provider: str, onnxruntime_version: str
    ) -> None:
        self._bundle = bundle
        self._software = software_version()
        self._used = BundleRef(
            path=bundle.source,
            source=_without_folders(bundle.manifest.source),
            precision=precision,
            fingerprint=bundle.manifest.fingerprint(precision),
            sample_rate_hz=bundle.manifest.shapes.codec.sample_rate_hz,
            provider=provider,
            onnxruntime=onnxruntime_version,
        )

    def record(
        self,
        text: str,
        seed: int,
        voice: VoiceRef | None,
        options: GenerationOptions,
        *,
        speakers: Mapping[str, VoiceRef | None] | None = None,
        stream: StreamOptions | None = None,
    ) -> Provenance:
        """A recipe.

        Args:
            text: the whole.
            seed: of the whole.
            voice: as `Bundle.load_voice` describes it.
            options: as they were asked for.
            speakers: Voices by speaker.
            stream: Options of long text.
        """
        chosen = dataclasses.asdict(options)
        return Provenance(
            software=self._software,
            text=text,
            seed=seed,
            bundle=self._used,
            voice=voice,
            speakers=dict(speakers or {}),
            generation={name: value for name, value in chosen.items() if value is not None},
            stream={} if stream is None else stream.non_default(),
        )

    def for_single_request(
        self,
        text: str,
        tokens: int,
        seed: int,
        voice: VoiceRef | None,
        options: GenerationOptions,
    ) -> Provenance:
        """A recipe for a text that is said in one go, though a long text is split otherwise.

        Args:
            text: the whole.
            tokens: of the text, as far as Bark reads it.
            seed: of the speech.
            voice: as `Bundle.load_voice` describes it.
            options: as they were asked for.
        """
        stream = StreamOptions()
        if tokens > int(MAX_SECONDS * TOKENS_PER_SECOND):
            most = self._bundle.manifest.generation.semantic.max_input_semantic_length
            stream = StreamOptions(max_seconds=float(math.ceil(most / TOKENS_PER_SECOND)))
        return self.record(text, seed, voice, options, stream=stream)


def _without_folders(source: str) -> str:
    """The name of a checkpoint without the folders of the machine that exported it."""
    return re.sub(r"(?<![^\s(,])/(?:[^\s/]+/)*(?=[^\s/])", "", source)
