"""Sentences of thirteen languages are told apart, and the language is recognised."""

import pytest

from bark_onnx.runtime.text.sentences import LANGUAGE_CODES, detect_language, sentence_ends
from tests.support.sentences import SENTENCES, written


def split(text: str, language: str) -> list[str]:
    sentences, start = [], 0
    for end in sentence_ends(text, language):
        sentences.append(text[start:end].strip())
        start = end
    assert not text[start:].strip()
    return sentences


def test_there_are_sentences_in_every_language() -> None:
    assert tuple(SENTENCES) == LANGUAGE_CODES


@pytest.mark.parametrize("language", LANGUAGE_CODES)
def test_sentences_end_where_a_reader_says(language: str) -> None:
    assert split(written(language), language) == SENTENCES[language]


@pytest.mark.parametrize("language", LANGUAGE_CODES)
def test_a_language_is_recognised(language: str) -> None:
    assert detect_language(written(language)) == language


@pytest.mark.parametrize("text", ["", "1234", "?!", "🙂"])
def test_a_text_of_no_language_still_has_one_always_the_same(text: str) -> None:
    assert detect_language(text) == detect_language(text)
    assert detect_language(text) in LANGUAGE_CODES


@pytest.mark.parametrize("language", LANGUAGE_CODES)
def test_a_long_text_has_the_sentences_of_its_parts(language: str) -> None:
    # Longer than any window in which the rules look for sentences.
    sentences = SENTENCES[language] * 90
    text = "\n\n".join(sentences)
    assert len(text) > 5_000
    assert split(text, language) == sentences


def test_lines_are_sentences_and_wrapped_lines_are_not() -> None:
    text = "A heading\n\nIt was raining and\nthe wind blew.\nNext line"
    assert split(text, "en") == ["A heading", "It was raining and\nthe wind blew.", "Next line"]


@pytest.mark.parametrize("text", ["", " \n ", "\u200b"])
def test_a_blank_text_has_no_sentence_or_one(text: str) -> None:
    assert len(list(sentence_ends(text, "en"))) == len(text.strip())
