"""Long text becomes segments: complete, short enough, split at the best breaks."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bark_onnx.runtime import Bark, OptionsError, TextError
from bark_onnx.runtime.text.languages import LANGUAGE_CODES
from bark_onnx.runtime.text.segments import Segment, split_text
from tests.support.messages import assert_one_line
from tests.support.sentences import SENTENCES, between, written

# Of Suno's checkpoints.
MAX_TOKENS = 256
MAX_SECONDS = 13.0
TOKENS_PER_SECOND = 3.6

LONGEST = math.floor(MAX_SECONDS * TOKENS_PER_SECOND)


def count_tokens(text: str) -> int:
    """Approximation of BERT: one per ideograph or kana, one per three letters otherwise."""
    words = "".join(f" {letter} " if letter > "\u2e80" else letter for letter in text).split()
    return sum(1 if len(word) > 100 else (len(word) + 2) // 3 for word in words)


def split(text: str, max_tokens: int = MAX_TOKENS, **options: object) -> list[str]:
    return [segment.text for segment in split_segments(text, max_tokens=max_tokens, **options)]


def split_segments(text: str, **options: object) -> list[Segment]:
    suno = {
        "count_tokens": count_tokens,
        "max_tokens": MAX_TOKENS,
        "max_seconds": MAX_SECONDS,
        "tokens_per_second": TOKENS_PER_SECOND,
    }
    return split_text(text, **(suno | options))


def check(text: str, segments: list[Segment], limit: int, counted: object = count_tokens) -> None:
    assert squeezed("".join(segment.text for segment in segments)) == squeezed(text)
    for segment in segments:
        assert segment.tokens == counted(segment.text)
        assert 0 < segment.tokens <= limit or segments == [Segment(text, 0, TOKENS_PER_SECOND)]


def squeezed(text: str) -> str:
    return "".join(text.split())


# Coverage


@pytest.mark.parametrize("language", LANGUAGE_CODES)
@settings(max_examples=5, deadline=None)
@given(data=st.data())
def test_long_text_of_any_language_is_covered_once(language: str, data: st.DataObject) -> None:
    gaps = st.sampled_from([between(language), " ", "\n", "\n\n", " — ", " [laughs] ", ", "])
    parts = data.draw(
        st.lists(st.tuples(st.sampled_from(SENTENCES[language]), gaps), min_size=8, max_size=30)
    )
    text = "".join(sentence + gap for sentence, gap in parts)
    text = (text * (20_000 // len(text) + 1))[:20_000]
    max_seconds = data.draw(st.sampled_from([4.0, 13.0, 100.0]))
    segments = split_segments(text, max_seconds=max_seconds)
    check(text, segments, min(MAX_TOKENS, int(max_seconds * TOKENS_PER_SECOND)))
    assert len(segments) > 5


@settings(max_examples=150, deadline=None)
@given(
    text=st.text(max_size=300)
    | st.text(alphabet="aB1.?!… \n\t\"'“”«»()[]♪,-—。、あ漢한क्\u200b\u0301\x00", max_size=300),
    language=st.sampled_from(LANGUAGE_CODES),
    max_tokens=st.integers(4, 40),
)
def test_any_text_is_covered_once(text: str, language: str, max_tokens: int) -> None:
    segments = split_segments(text, language=language, max_tokens=max_tokens)
    check(text, segments, max_tokens)


@settings(max_examples=60, deadline=None)
@given(text=st.text(alphabet='aB1. ?\n"[]é漢\u200b\x00♪', min_size=60, max_size=300))
def test_any_text_is_covered_once_with_a_real_tokenizer(random_bark: Bark, text: str) -> None:
    segments = split_segments(
        text, count_tokens=random_bark.count_tokens, language="en", max_tokens=20
    )
    check(text, segments, 20, random_bark.count_tokens)


@pytest.mark.parametrize("language", LANGUAGE_CODES)
def test_long_text_is_covered_once_with_suno_tokenizer(real: Bark, language: str) -> None:
    text = (between(language).join([written(language)] * 100))[:20_000]
    segments = split_segments(text, count_tokens=real.count_tokens)
    check(text, segments, LONGEST, real.count_tokens)
    assert min(segment.seconds for segment in segments[:-1]) > 5


@pytest.mark.parametrize(
    "text", ["(" * 20_000, "„" * 20_000, "." * 20_000, "a\n" * 10_000, "♪ " * 10_000, "好" * 20_000]
)
def test_pathological_text_is_covered_once(text: str) -> None:
    def one_each(part: str) -> int:
        return len(squeezed(part))

    check(text, split_segments(text, count_tokens=one_each), LONGEST, one_each)


# Breaks


def test_text_that_fits_is_one_unchanged_segment() -> None:
    assert split("  Hello!\n\nHow are you?  ") == ["  Hello!\n\nHow are you?  "]
    assert split("") == [""]


@pytest.mark.parametrize("language", LANGUAGE_CODES)
def test_segments_are_whole_sentences(language: str) -> None:
    sentences = SENTENCES[language] * 3
    text = between(language).join(sentences)
    limit = max(map(count_tokens, sentences)) + 4
    ends = {squeezed("".join(sentences[:count])) for count in range(1, len(sentences) + 1)}
    text_so_far = ""
    segments = split(text, limit)
    for segment in segments:
        text_so_far += squeezed(segment)
        assert text_so_far in ends
    assert 1 < len(segments) <= len(sentences)


def test_segments_have_similar_lengths() -> None:
    # Greedy filling would give 4, 4 and 1 sentences.
    text = " ".join(["Here is a sentence of it."] * 9)
    assert [segment.count(".") for segment in split(text, 40)] == [3, 3, 3]


def test_paragraph_ends_a_segment_if_the_cost_is_low() -> None:
    sentence = "Here is a sentence of it."
    text = " ".join([sentence] * 3) + "\n\n" + " ".join([sentence] * 4)
    assert [segment.count(".") for segment in split(text, 40)] == [3, 4]


def test_long_sentence_is_split_at_commas_then_between_words() -> None:
    clauses = [
        "the wind was blowing from the sea,",
        "the rain was cold and heavy and grey,",
        "and not one friend came to see us.",
    ]
    assert split(" ".join(clauses), 16) == clauses
    words = "one two three four five six seven eight nine ten eleven twelve"
    assert " ".join(split(words, 10)) == words
    wide = split("今天很冷,我在家里,看书喝茶,听听音乐", 6)
    assert wide == ["今天很冷,", "我在家里,", "看书喝茶,", "听听音乐"]


def test_grapheme_cluster_is_never_split() -> None:
    cluster = "🏳️‍🌈"
    segments = split(cluster * 20, 4)
    assert len(segments) > 1
    assert all(
        squeezed(segment) == cluster * (len(segment) // len(cluster)) for segment in segments
    )


@pytest.mark.parametrize("tag", ["[clears throat]", "[laughs]", "♪ Oh. Yes! No, no ♪"])
def test_tags_and_songs_stay_whole(tag: str) -> None:
    text = f"It was late. He came home {tag} and went to bed. {tag} " * 8
    segments = split(text, 14)
    assert sum(segment.count(tag) for segment in segments) == 16
    assert len(segments) >= 8


def test_song_over_the_limit_is_split_but_its_tags_stay_whole() -> None:
    song = "♪ " + "Oh my dear [clears throat] how it rains, " * 10 + "♪"
    segments = split(song, 14)
    assert len(segments) > 5
    assert sum(segment.count("[clears throat]") for segment in segments) == 10


def test_abbreviations_depend_on_the_language() -> None:
    text = "Sie kamen alle am 3. Oktober, und es gab Kaffee."
    limit = count_tokens(text) - 1
    assert split(text, limit, language="de")[0] == "Sie kamen alle am 3. Oktober,"
    assert split(text, limit) == split(text, limit, language="de")
    assert split(text, limit, language="en")[0] == "Sie kamen alle am 3."


def test_max_seconds_makes_segments_shorter() -> None:
    text = written("en") * 20
    long, short = split(text), split(text, max_seconds=5)
    assert len(short) > 2 * len(long)
    assert max(map(count_tokens, short)) <= 5 * TOKENS_PER_SECOND


@pytest.mark.parametrize("seconds", [0, -1, math.nan, math.inf, "13", True, None])
def test_impossible_max_seconds_is_refused(seconds: object) -> None:
    with pytest.raises(OptionsError) as caught:
        split("Hello", max_seconds=seconds)
    assert_one_line(caught.value, "max_seconds", repr(seconds), "from 1")


def test_unknown_language_is_refused() -> None:
    with pytest.raises(OptionsError) as caught:
        split("Hello", language="nl")
    assert_one_line(caught.value, "'nl'", "de, en, es")


def test_text_that_is_not_unicode_is_refused(random_bark: Bark) -> None:
    with pytest.raises(TextError) as caught:
        random_bark.count_tokens("Hello \ud800")
    assert_one_line(caught.value, "not valid Unicode", "character 6")
