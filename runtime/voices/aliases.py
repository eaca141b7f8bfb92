"""Names of voices: Suno's presets, and languages as aliases ("german", "deutsch", "de-3")."""

import re
import unicodedata
from collections.abc import Collection
from typing import NamedTuple

from bark_onnx.graphs.errors import VoiceError
from bark_onnx.runtime.text.languages import LANGUAGES, Language

DEFAULT_SPEAKER = 6  # number of a language's preset in Suno's own examples


class PresetId(NamedTuple):
    """Language and number of one of Suno's presets."""

    language: Language
    number: int


class VoiceQuery(NamedTuple):
    """Presets that an alias stands for."""

    language: Language
    number: int | None  # None: any

    def matches(self, name: str) -> bool:
        """Whether a preset's name has this language, and this number if there is one."""
        preset = parse_preset_name(name)
        if preset is None or preset.language is not self.language:
            return False
        return self.number in (None, preset.number)


def fold_accents(text: str) -> str:
    """Text without case and accents, for comparison."""
    parts = unicodedata.normalize("NFKD", text.strip().casefold())
    return "".join(part for part in parts if not unicodedata.combining(part))


_BY_CODE = {language.code: language for language in LANGUAGES}
_BY_NAME = {fold_accents(name): language for language in LANGUAGES for name in language.names}
_PRESET = re.compile(r"(?:[\w.-]+/)?([a-z]{2})_speaker_([0-9]{1,4})")
_ALIAS = re.compile(r"(.+?)(?:[-_ ]([0-9]{1,4}))?")
_SERIES = ("v2/", "")  # the better one first


def parse_preset_name(name: str) -> PresetId | None:
    """Language and number in the name of a preset such as "v2/de_speaker_3"; None: not a preset."""
    found = _PRESET.fullmatch(name)
    if found is None or found[1] not in _BY_CODE:
        return None
    return PresetId(_BY_CODE[found[1]], int(found[2]))


def language_of(name: str) -> Language | None:
    """Language in the name of a preset; None for other voices."""
    preset = parse_preset_name(name)
    return preset.language if preset else None


def parse_alias(alias: str) -> VoiceQuery | None:
    """Parse a language's name or code, optionally with a preset's number; None: not an alias."""
    found = _ALIAS.fullmatch(fold_accents(alias))
    if found is None or found[1] not in _BY_NAME:
        return None
    return VoiceQuery(_BY_NAME[found[1]], int(found[2]) if found[2] else None)


def resolve_alias(alias: str, names: Collection[str]) -> str | None:
    """The voice that an alias stands for.

    "german-3" is v2/de_speaker_3. "german" is v2/de_speaker_6, or else the lowest number in v2/,
    or else the same among voices without a folder, or else the first by name in other folders.

    The alias is not itself one of `names`. The result is one of them; None if the alias names no
    language, or if `names` is empty.

    Raises:
        VoiceError: The language has no such voice.
    """
    query = parse_alias(alias)
    if query is None or not names:
        return None
    language, shown = query.language, alias.strip()
    available = sorted(name for name in names if language_of(name) is language)
    if not available:
        raise VoiceError(
            f'Voice "{shown}": the bundle has no {language.name} voice, {_languages(names)}. '
            "List its voices with: bark-onnx voices -m BUNDLE"
        )
    if query.number is None:
        return _default(language, available)
    name = f"{_SERIES[0]}{language.code}_speaker_{query.number}"
    if name not in available:
        raise VoiceError(
            f'Voice "{shown}": the bundle has no {name}; its {language.name} voices: '
            f"{', '.join(available)}"
        )
    return name


def _default(language: Language, available: list[str]) -> str:
    """The voice of a language for an alias without a number."""
    for series in _SERIES:
        names = {
            preset.number: name
            for name in available
            if name.startswith(f"{series}{language.code}_") and (preset := parse_preset_name(name))
        }
        if names:
            return names[DEFAULT_SPEAKER if DEFAULT_SPEAKER in names else min(names)]
    return available[0]


def _languages(names: Collection[str]) -> str:
    found = {language.code: str(language) for name in names if (language := language_of(name))}
    if not found:
        return "and the names of its voices contain no language"
    return f"only {', '.join(found[code] for code in sorted(found))}"
