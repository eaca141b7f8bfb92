"""Records the provenance of requests to one bundle."""

import dataclasses
import math
import re
from collections.abc import Mapping

from bark_onnx.graphs.bundle.bundle import Bundle
from bark_onnx.graphs.errors import printable
from bark_onnx.graphs.voices.provenance import software_version
from bark_onnx.runtime.options.generation import GenerationOptions
from bark_onnx.runtime.options.stream import StreamOptions
from bark_onnx.runtime.provenance.provenance import BundleRef, Provenance, VoiceRef


class ProvenanceRecorder:
    """Records the provenance of requests to one loaded bundle.

    Args:
        bundle: Loaded bundle.
        precision: Precision of the graphs.
        provider: Name of the provider that runs the graphs.
        onnxruntime_version: Version of ONNX Runtime.
    """

    def __init__(
        self, bundle: Bundle, *, precision: str, provider: str, onnxruntime_version: str
    ) -> None:
        self._bundle = bundle
        self._software = software_version()
        self._ref = BundleRef(
            path=printable(bundle.source),
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
        """The provenance of speech for a text.

        Args:
            text: The whole text.
            seed: Seed of the whole text.
            voice: Voice, from `VoiceLibrary.load`.
            options: Generation options of the request.
            speakers: Voices by speaker.
            stream: Options of a long text.
        """
        generation = dataclasses.asdict(options)
        return Provenance(
            software=self._software,
            text=text,
            seed=seed,
            bundle=self._ref,
            voice=voice,
            speakers=dict(speakers or {}),
            generation={name: value for name, value in generation.items() if value is not None},
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
        """The provenance of speech for a text that is not split, whatever its length.

        Takes the arguments of `record`, and the number of tokens that Bark reads.
        """
        stream = None
        generation = self._bundle.manifest.generation
        rate = generation.text_tokens_per_second
        if tokens > int(generation.segment_seconds * rate):  # `Bark.stream` would split it
            limit = generation.semantic.max_input_semantic_length
            stream = StreamOptions(max_seconds=float(math.ceil(limit / rate)))
        return self.record(text, seed, voice, options, stream=stream)


def _without_folders(source: str) -> str:
    """The name of a checkpoint without the folders of the machine that exported it."""
    return printable(re.sub(r"(?<![^\s(,])/(?:[^\s/]+/)*(?=[^\s/])", "", source))
