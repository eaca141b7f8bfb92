"""Which voices a bundle has, and the few that somebody looks for."""

import re
import warnings
from dataclasses import dataclass
from difflib import get_close_matches

from bark_onnx.graphs.errors import BarkError, VoiceError
from bark_onnx.runtime.bundle import Bundle
from bark_onnx.runtime.voices.languages import Language, fold, language_of, parse_alias, speaker_of

_NEAREST = 3


@dataclass(frozen=True)
class VoiceEntry:
    """A voice of a bundle."""

    name: str  # what `speak` takes
    language: Language | None  # None: the name tells none
    seconds: float | None  # of what was said; None: its file is damaged


def find_voices(bundle: Bundle, words: str = "") -> list[VoiceEntry]:
    """The voices of a bundle for which every word holds, by name.

    A word is part of a name, the beginning of a language's name, a language's code, a speaker's
    number, or a language and a number, as "german-3". A damaged voice comes with a warning.

    Args:
        bundle: whose voices.
        words: with spaces between them; none of them: all voices.

    Raises:
        VoiceError: there are voices, but none of them fits.
    """
    names = bundle.voice_names()
    wanted = words.split()
    found = [name for name in names if all(_fits(name, word) for word in wanted)]
    if names and not found:
        raise VoiceError(f'No voice fits "{words}"; {_hint(names, wanted)}')
    rate_hz = bundle.manifest.generation.coarse.coarse_rate_hz
    return [VoiceEntry(name, language_of(name), _seconds(bundle, name, rate_hz)) for name in found]


def _seconds(bundle: Bundle, name: str, rate_hz: float) -> float | None:
    try:
        voice = bundle.voice(name)
    except BarkError as error:
        warnings.warn(str(error), stacklevel=2)
        return None
    assert voice is not None
    frames: int = voice.fine_prompt.shape[1]
    return frames / rate_hz


def _fits(name: str, word: str) -> bool:
    speaker, folded = speaker_of(name), fold(word)
    parts = re.split(r"[^\w]|_", fold(name))
    wanted = parse_alias(word)
    if wanted is not None:
        same = speaker is not None and speaker.language is wanted.language
        return folded in parts or (same and wanted.number in (None, speaker and speaker.number))
    if folded.isdecimal():
        # As part of a name, "2" would find everything in v2/.
        return folded in (parts if speaker is None else [str(speaker.number)])
    return folded in fold(name) or (
        speaker is not None
        and any(fold(known).startswith(folded) for known in speaker.language.names)
    )


def _hint(names: list[str], words: list[str]) -> str:
    alone = [word for word in words if not any(_fits(name, word) for name in names)]
    if not alone:
        return "each of these words fits some, but no voice fits all"
    spoken = {language.code: language for name in names if (language := language_of(name))}
    known = {fold(name): name for name in names}
    for language in spoken.values():
        known |= {fold(name): name for name in language.names}
    nearest = get_close_matches(fold(alone[0]), known, n=_NEAREST, cutoff=0.6)
    if nearest and parse_alias(alone[0]) is None:
        return f"nearest: {', '.join(known[name] for name in nearest)}"
    languages = ", ".join(str(spoken[code]) for code in sorted(spoken))
    return f"there are {len(names)} voices" + (f", in {languages}" if languages else "")
