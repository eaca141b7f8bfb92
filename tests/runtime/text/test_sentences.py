"""Sentences of thirteen languages are found, and the language is detected."""

import errno
import os

import pytest

from bark_onnx.graphs.errors import OptionsError
from bark_onnx.runtime.text.languages import LANGUAGE_CODES
from bark_onnx.runtime.text.sentences import detect_language, sentence_ends
from tests.support.messages import assert_one_line
from tests.support.sentences import SENTENCES, written


def split(text: str, language: str) -> list[str]:
    sentences, start = [], 0
    for end in sentence_ends(text, language):
        sentences.append(text[start:end].strip())
        start = end
    assert not text[start:].strip()
    return sentences


def test_sample_sentences_cover_every_language() -> None:
    assert tuple(SENTENCES) == LANGUAGE_CODES


@pytest.mark.parametrize("language", LANGUAGE_CODES)
def test_sentence_ends_match_the_sample(language: str) -> None:
    assert split(written(language), language) == SENTENCES[language]


@pytest.mark.parametrize("language", LANGUAGE_CODES)
def test_language_of_a_text_is_detected(language: str) -> None:
    assert detect_language(written(language)) == language


@pytest.mark.parametrize("text", ["", "1234", "?!", "🙂"])
def test_detected_language_is_stable_for_text_without_words(text: str) -> None:
    assert detect_language(text) == detect_language(text)
    assert detect_language(text) in LANGUAGE_CODES


@pytest.mark.parametrize("language", LANGUAGE_CODES)
def test_long_text_has_the_sentences_of_its_parts(language: str) -> None:
    # Longer than a window of `sentence_ends`.
    sentences = SENTENCES[language] * 90
    text = "\n\n".join(sentences)
    assert len(text) > 5_000
    assert split(text, language) == sentences


def test_paragraphs_end_sentences_but_wrapped_lines_do_not() -> None:
    text = "A heading\n\nIt was raining and\nthe wind blew.\nNext line"
    assert split(text, "en") == ["A heading", "It was raining and\nthe wind blew.", "Next line"]


@pytest.mark.parametrize("text", ["", " \n ", "\u200b"])
def test_blank_text_has_at_most_one_sentence(text: str) -> None:
    assert len(list(sentence_ends(text, "en"))) == len(text.strip())


def test_a_full_disk_leaves_the_language_to_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: str) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))  # its model is unpacked to a file

    monkeypatch.setattr("py3langid.rank", full)
    with pytest.raises(OptionsError) as caught:
        detect_language("Hello")
    assert_one_line(caught.value, "give language (No space left on device)")
