"""Word errors of sentences, and their rate."""

import pytest


@pytest.fixture(scope="module")
def word_errors(recognition):
    return recognition("word_errors")


@pytest.mark.parametrize(
    ("sentence", "recognized", "errors", "words"),
    [
        ("The dog is warm.", "the dog is warm", 0, 4),
        ("The dog is warm.", "The fog is warm.", 1, 4),
        ("The dog is warm.", "dog is", 2, 4),
        ("The dog is warm.", "the big dog is warm", 1, 4),
        ("The dog is warm.", "", 4, 4),
        ("Good night.", "good night night night night night", 2, 2),  # a recognizer's loop
        ("The post office is near.", "The postoffice is near.", 0, 5),
        ("Good afternoon, dear.", "Good after noon dear", 0, 3),
        ("At 7:30.", "at seven thirty", 0, 3),
    ],
)
def test_errors_are_counted_against_the_words_of_the_sentence(
    word_errors, sentence, recognized, errors, words
):
    found = word_errors.word_errors(sentence, recognized)
    assert (found.errors, found.words) == (errors, words)


def test_sentence_without_words_is_an_error(word_errors):
    with pytest.raises(ValueError, match="has no words"):
        word_errors.word_errors("...", "yes")


def test_rate_is_that_of_all_words_with_an_interval_around_it(word_errors):
    long = word_errors.WordErrors("", "", 0, 30)
    short = word_errors.WordErrors("", "", 2, 2)
    rate = word_errors.error_rate([long, short] * 10)
    assert rate.percent == pytest.approx(100 * 2 / 32)
    assert 0 < rate.low < rate.percent < rate.high < 100
    assert word_errors.error_rate([long, short] * 10) == rate
    assert f"{rate:.1f}".startswith("6.2 (")


def test_interval_narrows_with_the_number_of_sentences(word_errors):
    counts = [word_errors.WordErrors("", "", errors, 8) for errors in (0, 0, 1, 4)]
    few, many = word_errors.error_rate(counts), word_errors.error_rate(counts * 30)
    assert many.high - many.low < (few.high - few.low) / 3
