"""The voices of a bundle: loaded by name, language, path or arrays; listed with their lengths."""

import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from bark_onnx.graphs.bundle.bundle import Bundle
from bark_onnx.graphs.errors import BarkError, VoiceError, printable
from bark_onnx.graphs.files.atomic_write import wrap_os_errors
from bark_onnx.graphs.voices.npz import VoiceFile
from bark_onnx.graphs.voices.voice import Voice, is_voice_name, is_voice_path
from bark_onnx.runtime.provenance.provenance import VoiceRef
from bark_onnx.runtime.text.languages import Language
from bark_onnx.runtime.text.terminal import excerpt
from bark_onnx.runtime.voices.aliases import language_of, parse_alias, resolve_alias

VoiceLike = str | os.PathLike[str] | Voice | Mapping[str, Any] | None

_MAX_SUGGESTIONS = 3
_MAX_SHOWN_CHARACTERS = 100  # of a name in a message


@dataclass(frozen=True)
class ResolvedVoice:
    """A voice and its reference. Both come from one read where the voice has a file."""

    voice: Voice | None  # None: the model chooses
    ref: VoiceRef | None  # for provenance


@dataclass(frozen=True)
class VoiceInfo:
    """A voice of a bundle, as listed by `Bark.find_voices`."""

    name: str  # value of `voice` in `Bark.speak`
    language: Language | None  # None: unknown
    seconds: float | None  # length of the voice's audio; None: the file is damaged


class VoiceLibrary:
    """The voices of one bundle."""

    def __init__(self, bundle: Bundle) -> None:
        self._bundle = bundle

    def load(self, voice: VoiceLike) -> ResolvedVoice:
        """The voice that a name, a language, a path, a dict of arrays or a `Voice` stands for.

        Raises:
            VoiceError: The voice is unknown, malformed, or from another checkpoint.
            BundleError: The voice's file was altered since the export.
        """
        if voice is None:
            return ResolvedVoice(None, None)
        if isinstance(voice, str | os.PathLike):
            found, ref = self._read(os.fspath(voice))
        elif isinstance(voice, Voice | Mapping):
            found = voice if isinstance(voice, Voice) else Voice.from_arrays(voice)
            ref = VoiceRef(printable(found.name), "")
        else:
            raise VoiceError(
                f"voice is {excerpt(repr(voice), _MAX_SHOWN_CHARACTERS)}; expected a name, the "
                "path of an .npz file, a Voice, or a dict of its arrays"
            )
        found.check(self._bundle.manifest.generation)
        return ResolvedVoice(found, ref)

    def find(self, search: str = "") -> list[VoiceInfo]:
        """Voices in alphabetical order; a damaged file causes a warning.

        Args:
            search: Part of a name, or a language such as "german", "de" or "german-3". An empty
                string matches every voice.

        Raises:
            VoiceError: The bundle has voices, but none matches.
        """
        names = self._bundle.voice_names()
        query = parse_alias(search)
        found = [name for name in names if query is not None and query.matches(name)]
        found = found or [name for name in names if search.casefold() in name.casefold()]
        if names and not found:
            raise VoiceError(
                f'No voice matches "{search}" among {len(names)}; expected part of a name or a '
                "language. List all with: bark-onnx voices -m BUNDLE"
            )
        return [VoiceInfo(name, language_of(name), self._seconds(name)) for name in found]

    def _read(self, voice: str) -> tuple[Voice, VoiceRef]:
        if is_voice_path(voice):
            file = VoiceFile.read(voice)
            return Voice.from_file(file), VoiceRef(printable(voice), file.sha256)
        name = self._resolve_name(voice)
        file = self._bundle.read_voice_file(name)
        return Voice.from_file(file, name=name), VoiceRef(name, file.sha256)

    def _resolve_name(self, voice: str) -> str:
        """The voice with that name, or else the one that the alias stands for."""
        is_name = is_voice_name(voice)
        shown = excerpt(voice, _MAX_SHOWN_CHARACTERS)
        with wrap_os_errors(VoiceError, f'Voice "{shown}": cannot be read'):
            if is_name and self._bundle.has_voice(voice):
                return voice
        names = self._bundle.voice_names()
        alias = resolve_alias(voice, names)
        if alias is not None:
            return alias
        if is_name:
            raise VoiceError(_unknown_voice(shown, names))
        raise VoiceError(
            f"Voice {shown!r}: expected a name such as v2/en_speaker_6, a language such as "
            "german, or the path of an .npz file"
        )

    def _seconds(self, name: str) -> float | None:
        try:
            voice = self.load(name).voice
        except BarkError as error:
            warnings.warn(str(error), stacklevel=2)
            return None
        assert voice is not None
        frames: int = voice.fine_prompt.shape[1]
        return frames / self._bundle.manifest.generation.coarse.coarse_rate_hz


def _unknown_voice(voice: str, names: list[str]) -> str:
    nearest = get_close_matches(voice, names, n=_MAX_SUGGESTIONS, cutoff=0.5)
    if not names:
        return f'Voice "{voice}" not found; the bundle has none, export it with --voices all'
    hint = f"nearest: {', '.join(nearest)}"
    if not nearest:
        few = ", ".join(names) if len(names) <= _MAX_SUGGESTIONS else f"{len(names)} others"
        hint = f"the bundle has {few}"
    return f'Voice "{voice}" not found; {hint}. List them with: bark-onnx voices -m BUNDLE'
