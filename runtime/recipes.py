"""Writes down how each sound is made, from what was asked for and the bundle that says it."""

import dataclasses
import hashlib
import math
import os
import re
from collections.abc import Mapping
from pathlib import Path

from bark_onnx.graphs.errors import VoiceError
from bark_onnx.graphs.files import os_errors_as
from bark_onnx.graphs.manifest import VOICES_FOLDER
from bark_onnx.graphs.onnxruntime import import_onnxruntime
from bark_onnx.graphs.voice_origin import this_software
from bark_onnx.graphs.voices import Voice
from bark_onnx.runtime.audio.recipe import BundleUsed, Recipe, Setting, VoiceUsed
from bark_onnx.runtime.bundle import Bundle, VoiceLike
from bark_onnx.runtime.options import GenerationOptions
from bark_onnx.runtime.text.pieces import MAX_SECONDS, TOKENS_PER_SECOND


class RecipeWriter:
    """Writes recipes for one loaded bundle.

    Args:
        bundle: that speaks.
        precision: that was picked.
        provider: that it runs on.
    """

    def __init__(self, bundle: Bundle, *, precision: str, provider: str) -> None:
        self._bundle = bundle
        self._software = this_software()
        self._used = BundleUsed(
            path=bundle.source,
            source=_without_folders(bundle.manifest.source),
            precision=precision,
            fingerprint=bundle.manifest.fingerprint(precision),
            sample_rate_hz=bundle.manifest.shapes.codec.sample_rate_hz,
            provider=provider,
            onnxruntime=import_onnxruntime().__version__,
        )

    def write(
        self,
        text: str,
        seed: int,
        voice: VoiceUsed | None,
        options: GenerationOptions,
        *,
        cast: Mapping[str, VoiceUsed | None] | None = None,
        reading: Mapping[str, Setting] | None = None,
    ) -> Recipe:
        """A recipe.

        Args:
            text: the whole.
            seed: of the whole.
            voice: as `voice_used` describes it.
            options: as they were asked for.
            cast: voices by speaker, likewise.
            reading: keywords of `Bark.stream` that are not at their defaults.
        """
        chosen = dataclasses.asdict(options)
        return Recipe(
            software=self._software,
            text=text,
            seed=int(seed),
            bundle=self._used,
            voice=voice,
            cast=dict(cast or {}),
            generation={name: value for name, value in chosen.items() if value is not None},
            reading=dict(reading or {}),
        )

    def write_single(
        self,
        text: str,
        tokens: int,
        seed: int,
        voice: VoiceUsed | None,
        options: GenerationOptions,
    ) -> Recipe:
        """A recipe for a text that is said in one go, though a long text is split otherwise.

        Args:
            text: the whole.
            tokens: of the text, as far as Bark reads it.
            seed: of the speech.
            voice: as `voice_used` describes it.
            options: as they were asked for.
        """
        reading: dict[str, Setting] = {}
        if tokens > int(MAX_SECONDS * TOKENS_PER_SECOND):
            most = self._bundle.manifest.generation.semantic.max_input_semantic_length
            reading["max_seconds"] = float(math.ceil(most / TOKENS_PER_SECOND))
        return self.write(text, seed, voice, options, reading=reading)

    def voice_used(self, asked: VoiceLike, voice: Voice | None) -> VoiceUsed | None:
        """Describe a voice.

        Args:
            asked: as it was asked for.
            voice: what was found.

        Raises:
            VoiceError: its file has gone in the meantime.
        """
        if voice is None:
            return None
        if not isinstance(asked, str | os.PathLike):
            return VoiceUsed(voice.name, "")
        if os.fspath(asked).endswith(".npz"):
            return VoiceUsed(os.fspath(asked), _sha256(Path(asked)))
        path = self._bundle.folder / VOICES_FOLDER / f"{voice.name}.npz"
        return VoiceUsed(voice.name, _sha256(path))


def _without_folders(source: str) -> str:
    """The name of a checkpoint without the folders of the machine that exported it."""
    return re.sub(r"(?<![^\s(,])/(?:[^\s/]+/)*(?=[^\s/])", "", source)


def _sha256(path: Path) -> str:
    with os_errors_as(VoiceError, f"{path}: cannot be read"):
        return hashlib.sha256(path.read_bytes()).hexdigest()
