"""Voices asked for by language: what people type, and which voice they get."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bark_onnx.graphs.bundle.bundle import Bundle
from bark_onnx.graphs.errors import VoiceError
from bark_onnx.runtime import Bark
from bark_onnx.runtime.text import languages
from bark_onnx.runtime.voices.aliases import (
    LANGUAGES,
    PresetId,
    VoiceQuery,
    fold_accents,
    language_of,
    parse_alias,
    parse_preset_name,
    resolve_alias,
)
from bark_onnx.runtime.voices.library import VoiceLibrary
from tests.support.command import Run, failed, worked
from tests.support.messages import assert_one_line
from tests.support.presets import PRESET_NAMES, write_presets

BY_CODE = {language.code: language for language in LANGUAGES}


def refused(alias: str, names: list[str], *words: str) -> None:
    with pytest.raises(VoiceError) as caught:
        resolve_alias(alias, names)
    assert_one_line(caught.value, f'"{alias}"', *words)


def test_the_languages_are_those_whose_sentences_are_known() -> None:
    assert tuple(BY_CODE) == languages.LANGUAGE_CODES


def test_no_two_languages_share_a_name() -> None:
    names = [
        name for language in LANGUAGES for name in {fold_accents(name) for name in language.names}
    ]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("language", LANGUAGES, ids=str)
def test_a_language_by_any_of_its_names_is_its_sixth_speaker(language) -> None:
    for name in language.names:
        for written in (name, name.upper(), f" {name} "):
            assert resolve_alias(written, PRESET_NAMES) == f"v2/{language.code}_speaker_6"
        for written in (f"{name}-3", f"{name}_3", f"{name} 3"):
            assert resolve_alias(written, PRESET_NAMES) == f"v2/{language.code}_speaker_3"


@pytest.mark.parametrize(
    ("alias", "code"), [("espanol", "es"), ("FRANCAIS", "fr"), ("turkce", "tr"), ("हिंदी", "hi")]
)
def test_accents_and_case_do_not_matter(alias: str, code: str) -> None:
    assert parse_alias(alias) == VoiceQuery(BY_CODE[code], None)


@pytest.mark.parametrize(
    "alias", ["", "anna", "deu", "de_speaker_3", "german-", "german-x", "3", "de-12345", "v2/de"]
)
def test_what_names_no_language_is_no_alias(alias: str) -> None:
    assert parse_alias(alias) is None
    assert resolve_alias(alias, PRESET_NAMES) is None


def test_without_the_sixth_the_lowest_number_of_the_better_series_speaks() -> None:
    there = ["de_speaker_0", "de_speaker_6", "v2/de_speaker_10", "v2/de_speaker_9"]
    assert resolve_alias("german", there) == "v2/de_speaker_9"
    assert resolve_alias("german", [*there, "v2/de_speaker_6"]) == "v2/de_speaker_6"
    assert resolve_alias("german", there[:2]) == "de_speaker_6"
    assert resolve_alias("german", there[:1]) == "de_speaker_0"
    assert resolve_alias("german", ["z/de_speaker_6", "mine/de_speaker_9"]) == "mine/de_speaker_9"


def test_a_number_is_that_of_the_v2_presets_and_no_other() -> None:
    there = ["de_speaker_3", "v2/de_speaker_4", "v2/en_speaker_3"]
    refused("german-3", there, "no v2/de_speaker_3", "German voices: de_speaker_3, v2/de_speaker_4")


def test_a_language_that_is_not_there_is_one_line_with_those_that_are() -> None:
    there = ["me", "v2/fr_speaker_1", "v2/en_speaker_0", "en_speaker_2"]
    refused("german", there, "no German voice", "English (en), French (fr)", "bark-onnx voices")
    refused("de-3", there, "no German voice", "English (en), French (fr)")
    refused("german", ["me"], "no German voice", "tell no language")
    with pytest.raises(VoiceError) as caught:
        resolve_alias("\ngerman\n", ["me"])
    assert_one_line(caught.value, '"german"')


def test_a_bundle_without_voices_is_not_said_to_lack_a_language() -> None:
    assert resolve_alias("german", []) is None


@pytest.mark.parametrize(
    ("name", "code", "number"),
    [("v2/de_speaker_3", "de", 3), ("zh_speaker_0", "zh", 0), ("mine/en_speaker_12", "en", 12)],
)
def test_the_name_of_a_preset_tells_language_and_number(name: str, code: str, number: int) -> None:
    assert parse_preset_name(name) == PresetId(BY_CODE[code], number)
    assert language_of(name) is BY_CODE[code]


@pytest.mark.parametrize("name", ["announcer", "speaker_3", "xx_speaker_3", "de_speaker_", "de"])
def test_other_names_tell_no_language(name: str) -> None:
    assert language_of(name) is None


@given(alias=st.text() | st.from_regex(r"\A(german|DE|中文)[-_ ]?[0-9]*\Z"), there=st.data())
def test_whatever_is_asked_for_is_there_or_refused_in_one_line(alias: str, there) -> None:
    names = there.draw(st.lists(st.sampled_from(PRESET_NAMES), max_size=5))
    try:
        found = resolve_alias(alias, names)
    except VoiceError as error:
        assert_one_line(error, f'"{alias.strip()}"', "there is no ")
    else:
        assert found is None or found in names


# In a bundle


def test_a_bundle_speaks_with_a_language_s_voice_and_says_which(demo_bundle: Path) -> None:
    with Bark.load(demo_bundle) as demo:
        speech = demo.speak("Hi", voice="English", semantic_max_new_tokens=2)
        voice = demo.voice("en-0")
    assert speech.voice_name == "v2/en_speaker_0"
    assert voice is not None
    assert voice.name == "v2/en_speaker_0"


def test_a_voice_that_is_called_like_a_language_wins(bundle: Path) -> None:
    write_presets(bundle / "voices", ["english"])
    opened = Bundle(bundle)
    found, other = (
        VoiceLibrary(opened).load("english").voice,
        VoiceLibrary(opened).load("English").voice,
    )
    assert found is not None
    assert other is not None
    assert (found.name, other.name) == ("english", "v2/en_speaker_0")


def test_the_command_takes_a_language(run: Run, demo_bundle: Path) -> None:
    short = ("-m", demo_bundle, "--semantic-max-new-tokens", 2, "-o", "a.wav")
    assert "a.wav" in worked(run("speak", "Hi", "--voice", "english", *short))
    assert "a.wav" in worked(run("speak", "A: Hi", "--cast", "A=en-0", *short))
    failed(run("speak", "Hi", "--voice", "deutsch", *short), 1, "no German voice", "English (en)")
    failed(run("speak", "Hi", "--voice", "en-3", *short), 1, "no v2/en_speaker_3", "English voices")
