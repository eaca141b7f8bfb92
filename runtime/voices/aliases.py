"""Names of voices: Suno's presets, and languages as aliases ("german", "deutsch", "de-3")."""

import re
import unicodedata
from collections.abc import Collection
from typing import NamedTuple

from bark_onnx.graphs.errors import VoiceError
from bark_onnx.runtime.text.languages import LANGUAGES, Language

DEFAULT_SPEAKER = 6  # of a language: the one of Suno's own examples


class PresetId(NamedTuple):
    """One of Suno's presets."""

    language: Language
    number: int


class VoiceQuery(NamedTuple):
    """Whom an alias means."""

    language: Language
    number: int | None  # None: any

    def matches(self, name: str) -> bool:
        """Whether a preset's name has this language, and this number if there is one."""
        preset = parse_preset_name(name)
        return (
            preset is not None
            and preset.language is self.language
            and self.number in (None, preset.number)
        )


def fold_accents(text: str) -> str:
    """A text without case and accents, to compare what people type."""
    parts = unicodedata.normalize("NFKD", text.strip().casefold())
    return "".join(part for part in parts if not unicodedata.combining(part))


_BY_CODE = {language.code: language for language in LANGUAGES}
_BY_NAME = {fold_accents(name): language for language in LANGUAGES for name in language.names}
_PRESET = re.compile(r"(?:[\w.-]+/)?([a-z]{2})_speaker_([0-9]{1,4})")
_ALIAS = re.compile(r"(.+?)(?:[-_ ]([0-9]{1,4}))?")
_SERIES = ("v2/", "")  # the better one first


def parse_preset_name(name: str) -> PresetId | None:
    """Language and number in the name of a preset, as in "v2/de_speaker_3"."""
    found = _PRESET.fullmatch(name)
    if found is None or found[1] not in _BY_CODE:
        return None
    return PresetId(_BY_CODE[found[1]], int(found[2]))


def language_of(name: str) -> Language | None:
    """The language that the name of a voice tells."""
    speaker = parse_preset_name(name)
    return speaker.language if speaker else None


def parse_alias(alias: str) -> VoiceQuery | None:
    """Whom an alias means: a language's English or own name, or code; then perhaps a number."""
    found = _ALIAS.fullmatch(fold_accents(alias))
    if found is None or found[1] not in _BY_NAME:
        return None
    return VoiceQuery(_BY_NAME[found[1]], int(found[2]) if found[2] else None)


def resolve_alias(alias: str, names: Collection[str]) -> str | None:
    """The voice that an alias stands for.

    "german-3" is v2/de_speaker_3. "german" is v2/de_speaker_6; where that is missing, the lowest
    number there is; where there is none in v2/, the same of those without a folder, and at last
    the first by name of those in other folders.

    Args:
        alias: what a user wrote; the caller has seen that no voice is called so.
        names: of the voices there are.

    Returns:
        One of `names`; None where the alias names no language, or there are no voices at all.

    Raises:
        VoiceError: there is no such voice of that language.
    """
    wanted = parse_alias(alias)
    if wanted is None or not names:
        return None
    language, shown = wanted.language, alias.strip()
    there = sorted(name for name in names if language_of(name) is language)
    if not there:
        raise VoiceError(
            f'Voice "{shown}": there is no {language.name} voice; {_languages_there(names)}. '
            "List them with: bark-onnx voices"
        )
    if wanted.number is None:
        return _default(language, there)
    name = f"{_SERIES[0]}{language.code}_speaker_{wanted.number}"
    if name not in there:
        raise VoiceError(
            f'Voice "{shown}": there is no {name}; {language.name} voices: {", ".join(there)}'
        )
    return name


def _default(language: Language, there: list[str]) -> str:
    """Of the voices of a language, the one that speaks where no number is given."""
    for series in _SERIES:
        names = {
            speaker.number: name
            for name in there
            if name.startswith(f"{series}{language.code}_") and (speaker := parse_preset_name(name))
        }
        if names:
            return names[DEFAULT_SPEAKER if DEFAULT_SPEAKER in names else min(names)]
    return there[0]


def _languages_there(names: Collection[str]) -> str:
    there = {language.code: str(language) for name in names if (language := language_of(name))}
    if not there:
        return "the names of those that are there tell no language"
    return f"those that are there are {', '.join(there[code] for code in sorted(there))}"
