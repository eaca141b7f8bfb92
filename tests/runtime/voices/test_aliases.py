"""Languages as aliases of voices."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bark_onnx.graphs.bundle.bundle import Bundle
from bark_onnx.graphs.errors import VoiceError
from bark_onnx.runtime import Bark
from bark_onnx.runtime.text.languages import LANGUAGE_CODES, LANGUAGES
from bark_onnx.runtime.voices.aliases import (
    PresetId,
    VoiceQuery,
    fold_accents,
    language_of,
    parse_alias,
    parse_preset_name,
    resolve_alias,
)
from bark_onnx.runtime.voices.library import VoiceLibrary
from tests.support.command import Run, assert_fails, output_of
from tests.support.messages import assert_one_line
from tests.support.presets import PRESET_NAMES, write_presets

BY_CODE = {language.code: language for language in LANGUAGES}


def refused(alias: str, names: list[str], *words: str) -> None:
    with pytest.raises(VoiceError) as caught:
        resolve_alias(alias, names)
    assert_one_line(caught.value, f'"{alias}"', *words)


def test_codes_of_languages_are_unique() -> None:
    assert tuple(BY_CODE) == LANGUAGE_CODES


def test_names_of_languages_are_unique() -> None:
    names = [
        name for language in LANGUAGES for name in {fold_accents(name) for name in language.names}
    ]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("language", LANGUAGES, ids=str)
def test_language_by_any_of_its_names_is_its_default_preset(language) -> None:
    for name in language.names:
        for written in (name, name.upper(), f" {name} "):
            assert resolve_alias(written, PRESET_NAMES) == f"v2/{language.code}_speaker_6"
        for written in (f"{name}-3", f"{name}_3", f"{name} 3"):
            assert resolve_alias(written, PRESET_NAMES) == f"v2/{language.code}_speaker_3"


@pytest.mark.parametrize(
    ("alias", "code"), [("espanol", "es"), ("FRANCAIS", "fr"), ("turkce", "tr"), ("हिंदी", "hi")]
)
def test_alias_ignores_accents_and_case(alias: str, code: str) -> None:
    assert parse_alias(alias) == VoiceQuery(BY_CODE[code], None)


@pytest.mark.parametrize(
    "alias", ["", "anna", "deu", "de_speaker_3", "german-", "german-x", "3", "de-12345", "v2/de"]
)
def test_text_without_a_language_is_not_an_alias(alias: str) -> None:
    assert parse_alias(alias) is None
    assert resolve_alias(alias, PRESET_NAMES) is None


def test_lowest_number_of_the_preferred_series_replaces_a_missing_default() -> None:
    available = ["de_speaker_0", "de_speaker_6", "v2/de_speaker_10", "v2/de_speaker_9"]
    assert resolve_alias("german", available) == "v2/de_speaker_9"
    assert resolve_alias("german", [*available, "v2/de_speaker_6"]) == "v2/de_speaker_6"
    assert resolve_alias("german", available[:2]) == "de_speaker_6"
    assert resolve_alias("german", available[:1]) == "de_speaker_0"
    assert resolve_alias("german", ["z/de_speaker_6", "mine/de_speaker_9"]) == "mine/de_speaker_9"


def test_alias_with_a_number_matches_only_v2_presets() -> None:
    available = ["de_speaker_3", "v2/de_speaker_4", "v2/en_speaker_3"]
    refused(
        "german-3", available, "no v2/de_speaker_3", "German voices: de_speaker_3, v2/de_speaker_4"
    )


def test_error_for_a_missing_language_lists_the_available_languages() -> None:
    available = ["me", "v2/fr_speaker_1", "v2/en_speaker_0", "en_speaker_2"]
    refused("german", available, "no German voice", "English (en), French (fr)", "bark-onnx voices")
    refused("de-3", available, "no German voice", "English (en), French (fr)")
    refused("german", ["me"], "no German voice", "contain no language")
    with pytest.raises(VoiceError) as caught:
        resolve_alias("\ngerman\n", ["me"])
    assert_one_line(caught.value, '"german"')


def test_alias_resolves_to_none_without_voices() -> None:
    assert resolve_alias("german", []) is None


@pytest.mark.parametrize(
    ("name", "code", "number"),
    [("v2/de_speaker_3", "de", 3), ("zh_speaker_0", "zh", 0), ("mine/en_speaker_12", "en", 12)],
)
def test_preset_name_contains_language_and_number(name: str, code: str, number: int) -> None:
    assert parse_preset_name(name) == PresetId(BY_CODE[code], number)
    assert language_of(name) is BY_CODE[code]


@pytest.mark.parametrize("name", ["announcer", "speaker_3", "xx_speaker_3", "de_speaker_", "de"])
def test_other_names_have_no_language(name: str) -> None:
    assert language_of(name) is None


@given(alias=st.text() | st.from_regex(r"\A(german|DE|中文)[-_ ]?[0-9]*\Z"), data=st.data())
def test_any_alias_resolves_to_an_available_voice_or_one_line_error(alias: str, data) -> None:
    names = data.draw(st.lists(st.sampled_from(PRESET_NAMES), max_size=5))
    try:
        found = resolve_alias(alias, names)
    except VoiceError as error:
        assert_one_line(error, f'"{alias.strip()}"', "the bundle has no ")
    else:
        assert found is None or found in names


# In a bundle


def test_speech_has_the_name_of_the_resolved_voice(random_bundle: Path) -> None:
    with Bark.load(random_bundle) as random_bark:
        speech = random_bark.speak("Hi", voice="English", semantic_max_new_tokens=2)
        voice = random_bark.voice("en-0")
    assert speech.voice_name == "v2/en_speaker_0"
    assert voice is not None
    assert voice.name == "v2/en_speaker_0"


def test_voice_named_like_a_language_takes_precedence(bundle: Path) -> None:
    write_presets(bundle / "voices", ["english"])
    opened = Bundle(bundle)
    found, other = (
        VoiceLibrary(opened).load("english").voice,
        VoiceLibrary(opened).load("English").voice,
    )
    assert found is not None
    assert other is not None
    assert (found.name, other.name) == ("english", "v2/en_speaker_0")


def test_speak_command_accepts_a_language(run: Run, random_bundle: Path) -> None:
    short = ("-m", random_bundle, "--semantic-max-new-tokens", 2, "-o", "a.wav")
    assert "a.wav" in output_of(run("speak", "Hi", "--voice", "english", *short))
    assert "a.wav" in output_of(run("speak", "A: Hi", "--speaker", "A=en-0", *short))
    assert_fails(
        run("speak", "Hi", "--voice", "deutsch", *short), 1, "no German voice", "English (en)"
    )
    assert_fails(
        run("speak", "Hi", "--voice", "en-3", *short), 1, "no v2/en_speaker_3", "English voices"
    )
