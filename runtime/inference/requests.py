"""What callers ask for, to requests that can be said: texts, voices and seeds, checked."""

from collections.abc import Sequence

from bark_onnx.graphs.bundle.bundle import Bundle
from bark_onnx.graphs.errors import OptionsError, TextError
from bark_onnx.runtime.inference.pipeline import Request
from bark_onnx.runtime.options.generation import GenerationOptions
from bark_onnx.runtime.provenance.recorder import ProvenanceRecorder
from bark_onnx.runtime.seeds import resolve_seed
from bark_onnx.runtime.text.tokenizer import TextTokenizer
from bark_onnx.runtime.voices.library import VoiceLibrary, VoiceLike


class RequestReader:
    """Reads requests for one bundle.

    Args:
        bundle: whose voices are known.
        tokenizer: of the bundle.
        recipes: written for every request.
    """

    def __init__(
        self, bundle: Bundle, tokenizer: TextTokenizer, recorder: ProvenanceRecorder
    ) -> None:
        self._bundle = bundle
        self._tokenizer = tokenizer
        self._recipes = recorder

    def read(
        self, text: str, voice: VoiceLike, seed: int | None, options: GenerationOptions
    ) -> Request:
        """One request; a seed of None is drawn.

        Raises:
            BarkError: the text is empty, the voice unknown, or the seed out of range.
        """
        if not isinstance(text, str):
            raise TextError(f"The text is a {type(text).__name__}; expected a string")
        number = resolve_seed(seed)
        ids = self._tokenizer.encode(text)
        loaded = VoiceLibrary(self._bundle).load(voice)
        provenance = self._recipes.write_single(text, len(ids), number, loaded.ref, options)
        return Request(text, ids, loaded.voice, number, provenance)

    def read_all(
        self,
        texts: Sequence[str],
        voices: VoiceLike | Sequence[VoiceLike],
        seed: int | Sequence[int] | None,
        options: GenerationOptions,
    ) -> list[Request]:
        """One request per text, with a voice and a seed for all or for each.

        Raises:
            BarkError: as `read` does, or there are not as many of each.
        """
        if isinstance(texts, str):
            raise TextError("texts is a single text; expected a sequence of texts, or use speak")
        seeds = [*seed] if isinstance(seed, Sequence) else [seed] * len(texts)
        voice_list = _one_each(voices, len(texts))
        for what, found in (("voices", len(voice_list)), ("seeds", len(seeds))):
            if found != len(texts):
                raise OptionsError(f"{found} {what} for {len(texts)} texts; expected as many")
        return [self.read(*each, options) for each in zip(texts, voice_list, seeds, strict=True)]


def _one_each(voices: VoiceLike | Sequence[VoiceLike], count: int) -> list[VoiceLike]:
    if isinstance(voices, Sequence) and not isinstance(voices, str):
        return [*voices]
    return [voices] * count
