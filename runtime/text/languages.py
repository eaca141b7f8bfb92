"""Bark's thirteen languages: codes, English names, native names."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Language:
    """A language and its names."""

    code: str  # as in the names of Suno's presets
    name: str  # in English
    native: str  # in the language itself
    other_names: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Code and all names."""
        return (self.code, self.name, self.native, *self.other_names)

    def __str__(self) -> str:
        return f"{self.name} ({self.code})"


LANGUAGES = (
    Language("de", "German", "Deutsch"),
    Language("en", "English", "English"),
    Language("es", "Spanish", "Español", ("castellano",)),
    Language("fr", "French", "Français"),
    Language("hi", "Hindi", "हिन्दी", ("हिंदी",)),
    Language("it", "Italian", "Italiano"),
    Language("ja", "Japanese", "日本語", ("nihongo",)),
    Language("ko", "Korean", "한국어"),
    Language("pl", "Polish", "Polski"),
    Language("pt", "Portuguese", "Português"),
    Language("ru", "Russian", "Русский"),
    Language("tr", "Turkish", "Türkçe"),
    Language("zh", "Chinese", "中文", ("mandarin", "汉语", "漢語")),
)
LANGUAGE_CODES = tuple(language.code for language in LANGUAGES)
